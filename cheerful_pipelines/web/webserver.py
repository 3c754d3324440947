"""Dagster's web server, whose GraphQL asks the roles, and whose every launch is checked before it is stored.

Every GraphQL request over HTTP passes `execute_graphql_request`, and everything over a websocket
`execute_graphql_subscription`. Launches are not judged by the document: the instance that a request sees does that
(guarded_instance.py).
"""

from asyncio import Task
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, cast

from dagster import DagsterError
from dagster._check import CheckError
from dagster._core.definitions.selector import JobSelector
from dagster._core.storage.dagster_run import DagsterRun
from dagster._core.storage.tags import REPORTING_USER_TAG
from dagster._core.workspace.context import WorkspaceProcessContext, WorkspaceRequestContext
from dagster_graphql.schema.runs import parse_run_config_input
from dagster_webserver.webserver import DagsterWebserver
from graphql import GraphQLError, GraphQLFormattedError, GraphQLInputObjectType, OperationType
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.web.guarded_instance import guarded
from cheerful_pipelines.web.headers import ui_policy
from cheerful_pipelines.web.pages import with_account
from cheerful_pipelines.web.roles import may_send, operation_of
from cheerful_pipelines.web.tokens import Visitor
from cheerful_pipelines.web.well_formed import (
    MAX_BODY_BYTES,
    MalformedError,
    check_log_path,
    check_run_config,
    read_json,
    read_message,
    read_request,
)

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

    def build_graphql_schema(self) -> Any:
        """Dagster's, which takes a run config only if it is one: the rest would be an error of the server."""
        schema = super().build_graphql_schema()
        for name in ("ExecutionParams", "LaunchBackfillParams"):
            kind = cast(GraphQLInputObjectType, schema.graphql_schema.type_map[name])
            kind.out_type = partial(_with_run_config, kind.out_type)  # type: ignore[method-assign]
        return schema

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
        """As Dagster's; what is no GraphQL request is an error of the sender."""
        if request.method not in ("GET", "POST"):
            return _refusal(405, "Send GraphQL by GET or POST.")
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            page: Response = await super().graphql_http_endpoint(request)  # GraphiQL
            return page
        try:
            asked = read_request(await _fields(request))
        except MalformedError as error:
            return _refusal(error.status, str(error))
        return await self.execute_graphql_request(request, asked.query, asked.variables, asked.operation_name)

    async def execute_graphql_request(
        self, request: Request, query: str, variables: dict[str, Any] | None, operation_name: str | None
    ) -> JSONResponse:
        """As Dagster's, for those who may, and mutations by POST only; what changes something is logged."""
        visitor = _visitor_of(request)
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
        try:
            answer = await super().execute_graphql_request(request, query, variables, operation_name)
        except RecursionError:  # while it is validated: resolvers' own errors are part of an answer
            return _refusal(400, "The document is nested too deeply.")
        if mutations:
            logger.info(
                "mutation_sent", user_id=visitor.user_id, role=visitor.role, what=mutations, status=answer.status_code
            )
        return answer

    async def graphql_ws_endpoint(self, websocket: WebSocket) -> None:
        """As Dagster's, which is given well-formed messages only."""
        await super().graphql_ws_endpoint(CheckedWebSocket(websocket.scope, websocket.receive, websocket.send))

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
        try:
            return await super().execute_graphql_subscription(websocket, operation_id, query, variables, operation_name)
        except RecursionError:
            return None, {"message": "The document is nested too deeply."}

    async def download_captured_logs_endpoint(self, request: Request) -> Response:
        """Output of a step; 404 for a path that leads elsewhere."""
        try:
            check_log_path(request.path_params["path"])
        except MalformedError as error:
            return _refusal(error.status, str(error))
        answer: Response = await super().download_captured_logs_endpoint(request)
        return answer

    async def download_debug_file_endpoint(self, request: Request) -> Response:
        """Everything that Dagster knows about a run; 404 if there is no such run."""
        with self.request_context(request) as context:
            if not context.instance.has_run(request.path_params["run_id"]):
                return _refusal(404, "There is no such run.")
        answer: Response = await super().download_debug_file_endpoint(request)
        return answer

    async def download_notebook(self, request: Request) -> Response:
        """Dagster would read any notebook of the worker's disk; we have none."""
        return _refusal(404, "There are no notebooks here.")

    async def report_asset_materialization_endpoint(self, request: Request) -> JSONResponse:
        """As Dagster's; 400 for what is no report."""
        return await _reported(request, super().report_asset_materialization_endpoint)

    async def report_asset_check_endpoint(self, request: Request) -> JSONResponse:
        """The same for the result of a check."""
        return await _reported(request, super().report_asset_check_endpoint)

    async def report_asset_observation_endpoint(self, request: Request) -> JSONResponse:
        """The same for an observation."""
        return await _reported(request, super().report_asset_observation_endpoint)


class CheckedWebSocket(WebSocket):
    """Answers a message that is malformed with an error, and waits for the next."""

    async def receive_json(self, mode: str = "text") -> Any:
        """The next message that is well-formed. Raises WebSocketDisconnect at the end."""
        while True:
            received = await self.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(received.get("code", 1000), received.get("reason"))
            try:
                return read_message(received.get("text"))
            except MalformedError as error:
                kind = "connection_error" if error.operation_id is None else "error"
                await self.send_json({"type": kind, "id": error.operation_id, "payload": {"message": str(error)}})


def _with_run_config(made: Callable[[dict[str, Any]], Any], fields: dict[str, Any]) -> Any:
    """The input object of a launch. Raises GraphQLError, which is an answer of 400."""
    try:
        check_run_config(parse_run_config_input(fields.get("runConfigData") or {}, raise_on_error=False))
    except RecursionError:
        raise GraphQLError("The run config is nested too deeply.") from None
    except MalformedError as error:
        raise GraphQLError(str(error)) from None
    return made(fields)


async def _fields(request: Request) -> Mapping[str, Any]:
    """Of a GraphQL request, wherever it carries them. Raises MalformedError."""
    kind = request.headers.get("content-type", "") if request.method == "POST" else ""
    if "application/json" in kind:
        return read_json(await _body(request), "The body")
    if "application/graphql" in kind:
        try:
            return {"query": (await _body(request)).decode()}
        except UnicodeDecodeError:
            raise MalformedError("The body is not text in UTF-8.") from None
    return request.query_params


async def _body(request: Request) -> bytes:
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > MAX_BODY_BYTES:
            raise MalformedError("The body is too long.", status=413)
    return bytes(found)


async def _reported(request: Request, report: Callable[[Request], Awaitable[JSONResponse]]) -> JSONResponse:
    """What Dagster answers to a report of an event. It checks the content, but not that there is an object."""
    try:
        if request.headers.get("content-type") == "application/json":
            read_json(await request.body(), "The body")
        return await report(request)
    except MalformedError as error:
        return _refusal(error.status, str(error))
    except (CheckError, DagsterError) as error:
        return _refusal(400, f"This is not a report of an event ({type(error).__name__}).")


def _visitor_of(conn: HTTPConnection) -> Visitor | None:
    visitor = conn.scope.get("cheerful_visitor")
    return visitor if isinstance(visitor, Visitor) else None


def _refusal(status: int, words: str) -> JSONResponse:
    """As GraphQL says errors, so that Dagster's UI shows the words."""
    return JSONResponse({"data": None, "errors": [{"message": words}]}, status_code=status)
