"""Dagster's web server, whose GraphQL asks the roles, and whose every launch is checked before it is stored.

Every GraphQL request over HTTP passes `execute_graphql_request`, and everything over a websocket
`execute_graphql_subscription`. Launches are not judged by the document: the instance that a request sees does that
(guarded_instance.py).
"""

from asyncio import Task
from typing import Any

from dagster._core.definitions.selector import JobSelector
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import REPORTING_USER_TAG
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, GraphQLFormattedError, OperationType
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.websockets import WebSocket

from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.web.guarded_instance import guarded
from cheerful_pipelines.web.headers import ui_policy
from cheerful_pipelines.web.pages import with_account
from cheerful_pipelines.web.roles import may_send, operation_of
from cheerful_pipelines.web.tokens import Visitor

logger = get_logger(__name__)


class VisitorsContext(WorkspaceRequestContext):
    """What a request of one visitor sees. A viewer's is read-only: the UI greys out what they may not do."""

    def __init__(
        self, context: WorkspaceRequestContext, process: WorkspaceProcessContext, visitor: Visitor | None
    ) -> None:
        super().__init__(
            instance=guarded(context.instance, visitor, self.job_tags), process_context=process, source=context.source,
            current_workspace=context.get_current_workspace(), version=context.version,
            read_only=visitor is None or visitor.role == "viewer",
        )  # fmt: skip
        self._visitor = visitor

    def get_reporting_user_tags(self) -> dict[str, str]:
        """Who reports an event of an asset by hand."""
        return {REPORTING_USER_TAG: self._visitor.user_id} if self._visitor else {}

    def job_tags(self, run: DagsterRun) -> dict[str, str]:
        """Tags of the definition of a run's job; none if it is not there."""
        origin = run.remote_job_origin
        if origin is None:
            return {}
        selector = JobSelector(
            location_name=origin.location_name, repository_name=origin.repository_origin.repository_name,
            job_name=run.job_name,
        )  # fmt: skip
        return dict(self.get_full_job(selector).tags) if self.has_job(selector) else {}


class GatedWebserver(DagsterWebserver[WorkspaceProcessContext, WorkspaceRequestContext]):
    """`scope["cheerful_visitor"]` says who asks: the gate in front has put it there."""

    def _make_request_context(self, conn: HTTPConnection) -> WorkspaceRequestContext:
        return VisitorsContext(super()._make_request_context(conn), self._process_context, _visitor_of(conn))

    def index_html_endpoint(self, request: Request) -> Response:
        """Dagster's page, with who is signed in, a button to sign out, and a stricter policy."""
        page = super().index_html_endpoint(request)
        visitor = _visitor_of(request)
        headers = {name: value for name, value in page.headers.items() if name != "content-length"}
        headers["content-security-policy"] = ui_policy(
            headers.get("content-security-policy", ""), request.headers.get("host", "")
        )
        content = bytes(page.body).decode()
        return HTMLResponse(with_account(content, visitor) if visitor else content, headers=headers)

    async def graphql_http_endpoint(self, request: Request) -> Response:
        """As Dagster's; a body that is no GraphQL request is an error of the sender."""
        if request.method == "POST" and "application/json" in request.headers.get("content-type", ""):
            try:
                is_request = isinstance(await request.json(), dict)
            except (ValueError, RecursionError):
                is_request = False
            if not is_request:
                return _refusal(400, "The body is not a GraphQL request in JSON.")
        try:
            answer: Response = await super().graphql_http_endpoint(request)
        except UnicodeDecodeError:
            return _refusal(400, "The body is not text in UTF-8.")
        return answer

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """As Dagster's, for those who may, and mutations by POST only; what changes something is logged."""
        visitor = _visitor_of(request)
        if not (isinstance(query, str) and isinstance(variables or {}, dict) and isinstance(operation_name or "", str)):
            return _refusal(400, "Query and operation name are texts, variables are an object.")
        try:
            mutations = operation_of(query, operation_name).mutations
        except GraphQLError as error:
            return _refusal(400, error.message)
        if mutations and request.method != "POST":
            return _refusal(405, "Send mutations by POST.")
        if visitor is None or not may_send(visitor.role, mutations):
            role = visitor.role if visitor else "nobody"
            logger.warning("mutation_refused", user_id=getattr(visitor, "user_id", None), role=role, what=mutations)
            return _refusal(403, f"The role {role} may not do this ({', '.join(mutations)}).")
        answer = await super().execute_graphql_request(request, query, variables, operation_name)
        if mutations:
            logger.info(
                "mutation_sent", user_id=visitor.user_id, role=visitor.role, what=mutations, status=answer.status_code
            )
        return answer

    async def execute_graphql_subscription(
        self, websocket: WebSocket, operation_id: str, query: str, variables: dict[str, Any] | None,
        operation_name: str | None,
    ) -> tuple[Task[Any] | None, GraphQLFormattedError | None]:  # fmt: skip
        """As Dagster's; a websocket carries subscriptions and nothing else."""
        try:
            kind = operation_of(query, operation_name).kind
        except (GraphQLError, TypeError) as error:
            return None, {"message": str(error)}
        if kind is not OperationType.SUBSCRIPTION:
            return None, {"message": "A websocket carries subscriptions only."}
        return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)


def _visitor_of(conn: HTTPConnection) -> Visitor | None:
    visitor = conn.scope.get("cheerful_visitor")
    return visitor if isinstance(visitor, Visitor) else None


def _refusal(status: int, words: str) -> JSONResponse:
    """As GraphQL says errors, so that Dagster's UI shows the words."""
    return JSONResponse({"data": None, "errors": [{"message": words}]}, status_code=status)
