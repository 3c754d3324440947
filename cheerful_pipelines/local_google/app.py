"""One request from start to end: fault, route, token, handler, `fields`, count. The HTTP server is in `server`.

`LocalGoogle.answer` takes a `Call` and gives an `Answer`, so a part of a batch takes the same road.
"""

import asyncio
import socket
import struct
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.local_google.admin_api import AdminApi
from cheerful_pipelines.local_google.batch import answer_batch
from cheerful_pipelines.local_google.calls import (
    INVALID_CREDENTIALS,
    Answer,
    Api,
    Call,
    GoogleError,
    Pace,
    Route,
    Router,
    error_answer,
    parse_query,
)
from cheerful_pipelines.local_google.counters import Counters
from cheerful_pipelines.local_google.drive_api import DriveApi
from cheerful_pipelines.local_google.faults import (
    AFTER_THE_CALL,
    ConnectionBroken,
    Faults,
    disturbed,
    fault_answer,
    refusal,
)
from cheerful_pipelines.local_google.field_mask import apply_mask, parse_mask
from cheerful_pipelines.local_google.gmail_api import GmailApi
from cheerful_pipelines.local_google.gmail_writing import GmailWriting
from cheerful_pipelines.local_google.limits import Meter
from cheerful_pipelines.local_google.mailboxes import Mailboxes
from cheerful_pipelines.local_google.sheets_api import SheetsApi
from cheerful_pipelines.local_google.spreadsheets import Spreadsheets
from cheerful_pipelines.local_google.state import State
from cheerful_pipelines.local_google.token_api import TokenApi
from cheerful_pipelines.local_google.tokens import Tokens

TRANSPORT = "local_google.transport"
"""Where the server puts the socket's transport in the scope, so that a fault can reset it."""
_OPEN: tuple[Api, ...] = ("token", "local")
_log = get_logger(__name__)


class LocalGoogle:
    """The whole server without its socket."""

    def __init__(self, state: State) -> None:
        self._tokens = Tokens(state)
        self._faults = Faults()
        self._counters = Counters()
        self._meter = Meter()
        mailboxes, books = Mailboxes(state), Spreadsheets(state)
        admin = AdminApi(state, mailboxes, books, self._tokens, self._faults, self._counters, self._meter)
        self._routes = [
            *GmailApi(state, mailboxes).routes(),
            *GmailWriting(state, mailboxes).routes(),
            *SheetsApi(state, books).routes(),
            *DriveApi(books).routes(),
            *TokenApi(self._tokens, mailboxes).routes(),
            *admin.routes(),
        ]
        self._router = Router(self._routes)

    def routes(self) -> list[Route]:
        """Everything this server speaks, but for the batch endpoint."""
        return self._routes

    def answer(self, call: Call, query: str = "") -> Answer:
        """Answer one call. Raises ConnectionBroken where a fault says that no answer gets through."""
        api = _api_of(call.path)
        if api == "local" and "origin" in call.headers:
            # A web page in this machine's browser could send it; nobody who may steer this server is one.
            return error_answer(GoogleError(403, "The /local routes are not for web pages."), api)
        fault = None if api == "local" else self._faults.take(call, query, subject_of=self._whose)
        if fault and fault.kind not in AFTER_THE_CALL:
            self._counters.call(f"fault.{fault.kind}", 0, "", fault.status)
            return fault_answer(fault, api)
        try:
            answer = self._handled(call, api)
        except GoogleError as error:
            answer = error_answer(error, api)
        except ConnectionBroken:
            raise
        except Exception:
            _log.exception("local_google_failed", path=call.path.split("/users/")[0])
            answer = error_answer(GoogleError(500, "The local server has a mistake; see its log."), api)
        return disturbed(fault, answer, dict(call.query)) if fault else answer

    def _handled(self, call: Call, api: Api) -> Answer:
        if call.method == "POST" and call.path in ("/batch/gmail/v1", "/batch"):
            return answer_batch(call, lambda part: self.answer(part, _rewritten(part)))
        if override := call.headers.get("x-http-method-override"):
            # Google's client sends a GET this way where its address is over 2048 characters.
            call.method, call.query = override.upper(), parse_query(call.content.decode())
        route = self._router.find(call)
        if route is None:
            raise GoogleError(501, f"The local server does not speak {call.method} {_shape(call.path)}.")
        status = 200
        try:
            if route.api not in _OPEN:
                call.subject = self._subject(call)
            # The handler, which names the mailbox, has not been asked yet: a refused call must not do anything.
            mailbox = call.subject if route.api == "gmail" else ""
            wait = self._meter.seconds_until(mailbox, self._meter.price(route.name, route.units))
            if wait:
                status = int(self._meter.limits.refusal)
                return fault_answer(refusal(status, wait), route.api)
            answer = route.handler(call)
            status = answer.status
            self._counters.got(route.name, call.mailbox, call.params.get("id", ""))
        except GoogleError as error:
            status = error.status
            raise
        finally:
            if route.api != "local":
                units = self._meter.price(route.name, route.units)
                self._counters.call(route.name, units, call.mailbox, status)
        return _masked(answer, call) if route.api not in _OPEN else answer

    def _whose(self, call: Call) -> str:
        """Whose token a request carries, the refresh token of a login included; empty if nobody's."""
        if call.path == "/token":
            form = parse_query(call.content.decode("utf-8", "replace"))
            return self._tokens.subject_of_refresh_token(form.get("refresh_token", [""])[0]) or ""
        try:
            return self._subject(call)
        except GoogleError:
            return ""

    def _subject(self, call: Call) -> str:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        token = token.strip() if scheme.lower() == "bearer" else call.first("access_token")
        subject = self._tokens.subject_of(token) if token else None
        if subject is None:
            raise GoogleError(401, INVALID_CREDENTIALS)
        return subject

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI door."""
        body = await _read_body(receive)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        call = Call(scope["method"], scope["raw_path"].decode("latin-1"), parse_query(query), headers, body)
        if not call.path.startswith("/local/"):
            self._counters.request()
        if not call.path.startswith("/local") and (seconds := self._meter.limits.seconds(body.count(b"\r\nGET "))):
            await asyncio.sleep(seconds)
        try:
            answer = self.answer(call, query)
        except ConnectionBroken as broken:
            await _break(broken, scope, send)
            return
        if answer.pace is not None:
            await _send_paced(answer, answer.pace, scope, receive, send)
        else:
            await _send(answer, send)


def _api_of(path: str) -> Api:
    if path.startswith("/v4/"):
        return "sheets"
    if path.startswith("/drive/"):
        return "drive"
    if path.startswith("/local"):
        return "local"
    return "token" if path in ("/token", "/o/oauth2/auth") else "gmail"


def _shape(path: str) -> str:
    """The path without what may be an address."""
    return "/".join("..." if "@" in part or "%40" in part else part for part in path.split("/"))


def _rewritten(call: Call) -> str:
    return "&".join(f"{name}={value}" for name, values in call.query.items() for value in values)


def _masked(answer: Answer, call: Call) -> Answer:
    fields = call.first("fields")
    if not fields or not isinstance(answer.body, dict):
        return answer
    return Answer(answer.status, apply_mask(answer.body, parse_mask(fields)), answer.headers)


async def _read_body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message: Message = await receive()
        pieces.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(pieces)


async def _send(answer: Answer, send: Send) -> None:
    await _send_head(answer, send)
    await send({"type": "http.response.body", "body": answer.payload()})


async def _send_head(answer: Answer, send: Send) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in answer.headers]
    headers += [(b"content-length", str(len(answer.payload())).encode())]
    if answer.status != 204:
        headers += [(b"content-type", answer.content_type.encode())]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


async def _send_paced(answer: Answer, pace: Pace, scope: Scope, receive: Receive, send: Send) -> None:
    """Late, byte by byte or not whole, as a fault asks; ends when the client goes away."""
    payload = answer.payload()
    if await _is_gone(receive, pace.wait_seconds):
        return
    if pace.is_silent:
        await _break(ConnectionBroken(), scope, send)
        return
    await _send_head(answer, send)
    for at in range(len(payload)) if pace.byte_seconds else ():
        await send({"type": "http.response.body", "body": payload[at : at + 1], "more_body": True})
        if await _is_gone(receive, pace.byte_seconds):
            return
    if pace.cut_at is not None and pace.cut_at < len(payload):
        await send({"type": "http.response.body", "body": payload[: pace.cut_at], "more_body": True})
        scope[TRANSPORT].close()
        await asyncio.sleep(0.01)
        return
    rest = b"" if pace.byte_seconds else payload
    await send({"type": "http.response.body", "body": rest})


async def _is_gone(receive: Receive, seconds: float) -> bool:
    """Waits so long; True as soon as the client has closed the connection."""
    if seconds <= 0:
        return False
    try:
        async with asyncio.timeout(seconds):
            return bool((await receive())["type"] == "http.disconnect")
    except TimeoutError:
        return False


async def _break(broken: ConnectionBroken, scope: Scope, send: Send) -> None:
    """Half an answer and a closed socket, or no answer and a reset."""
    transport: Any = scope[TRANSPORT]
    if broken.sent is not None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"5000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": broken.sent, "more_body": True})
        transport.close()
    else:
        # Linger 0 makes close() a reset instead of an orderly goodbye.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await asyncio.sleep(0.01)  # until the server has seen that the connection is gone


def build_app(path: Path) -> Starlette:
    """The ASGI application over one state file."""
    return Starlette(routes=[Mount("/", app=LocalGoogle(State(path)))])
