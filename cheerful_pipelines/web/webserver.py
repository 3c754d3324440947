"""Dagster's web server, whose GraphQL asks the roles. Every GraphQL request over HTTP passes one method of it.

Over a websocket Dagster executes subscriptions only, which change nothing.
"""

from typing import Any

from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse

from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.web.roles import LAUNCHES, may_send, mutations_in, with_launcher
from cheerful_pipelines.web.tokens import Visitor

logger = get_logger(__name__)


class GatedWebserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """`scope["cheerful_visitor"]` says who asks: the gate in front has put it there."""

    def _make_request_context(self, conn: HTTPConnection) -> WorkspaceRequestContext:
        """A viewer's is read-only: the UI greys out what they may not do, and Dagster itself refuses it as well."""
        context, visitor = super()._make_request_context(conn), conn.scope.get("cheerful_visitor")
        if isinstance(visitor, Visitor) and visitor.role != "viewer":
            return context
        return WorkspaceRequestContext(
            instance=context.instance, current_workspace=context.get_current_workspace(),
            process_context=self._process_context, version=context.version, source=context.source, read_only=True,
        )  # fmt: skip

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """As Dagster's, for those who may; what changes something is written down."""
        visitor = request.scope.get("cheerful_visitor")
        try:
            mutations = mutations_in(query, operation_name)
        except GraphQLError as error:
            return _refusal(400, error.message)
        if not isinstance(visitor, Visitor) or not may_send(visitor.role, mutations):
            role = visitor.role if isinstance(visitor, Visitor) else "nobody"
            logger.warning("mutation_refused", user_id=getattr(visitor, "user_id", None), role=role, what=mutations)
            return _refusal(403, f"The role {role} may not do this ({', '.join(mutations)}).")
        if not mutations:
            return await super().execute_graphql_request(request, query, variables, operation_name)
        if not LAUNCHES.isdisjoint(mutations):
            variables = with_launcher(variables, visitor.user_id)
        answer = await super().execute_graphql_request(request, query, variables, operation_name)
        logger.info(
            "mutation_sent", user_id=visitor.user_id, role=visitor.role, what=mutations, status=answer.status_code
        )
        return answer


def _refusal(status: int, words: str) -> JSONResponse:
    """As GraphQL says errors, so that Dagster's UI shows the words."""
    return JSONResponse({"data": None, "errors": [{"message": words}]}, status_code=status)
