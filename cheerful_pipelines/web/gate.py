"""The ASGI application in front of Dagster's: nobody passes who is not signed in, and no other site speaks for them.

    GET  /health      without signing in (health.py)
    GET  /sign-in     the form; POST takes address and password (door.py)
    POST /sign-out
    anything else     with a session cookie, or with a bearer token for programs

A browser sends the cookie with requests that another site makes, too. So whatever changes something, and every
websocket, must come from our own origin; programs with a bearer token need no such check. Endpoints beside GraphQL that
change something are for engineers.

What may block (Postgres, Supabase Auth) runs in threads, each kind with a limit of its own, so that a slow one holds up
no other.
"""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cheerful_pipelines.core.errors import AuthError, TransientError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.web.door import Door, cookie_of
from cheerful_pipelines.web.headers import FORM_POLICY, SecurityHeaders
from cheerful_pipelines.web.origin import is_own_origin
from cheerful_pipelines.web.sessions import COOKIE, Sessions
from cheerful_pipelines.web.tokens import TokenReader, Visitor
from cheerful_pipelines.web.well_formed import MalformedError, check_target

logger = get_logger(__name__)

WATCH_SECONDS = 10.0
"""How soon a websocket is closed whose session is over."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": FORM_POLICY}


class Gate:
    """Wraps an ASGI application. `sessions`, `health` and what the door does may block; they run in threads."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        door: Door,
        tokens: TokenReader,
        sessions: Sessions,
        health: Callable[[], tuple[bool, dict[str, Any]]],
        is_secure: bool,
        watch_seconds: float = WATCH_SECONDS,
    ) -> None:
        self._app, self._door, self._tokens, self._sessions = app, door, tokens, sessions
        self._health, self._watch_seconds = health, watch_seconds
        self._is_secure = is_secure  # cookies over https only; plain http is for a machine of one's own
        self._limits = {"health": CapacityLimiter(1), "sessions": CapacityLimiter(5)}  # connections of a pool
        self._outermost = SecurityHeaders(self._decide, is_secure=is_secure)

    def forget_failures(self) -> None:
        """Count failed sign-ins from zero."""
        self._door.limits.forget_failures()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, then hand on or answer."""
        await self._outermost(scope, receive, send)

    async def _decide(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            try:
                _check_target(scope)
                response = await self._answer(Request(scope, receive))
            except MalformedError as error:
                response = _refusal(error.status, str(error))
            except TransientError as error:
                response = _refusal(503, str(error))
            await (response or self._app)(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """A response of our own, or None if the application behind may answer."""
        path = request.scope["path"]
        if path == "/health":
            is_well, told = await anyio.to_thread.run_sync(self._health, limiter=self._limits["health"])
            return JSONResponse(told, status_code=200 if is_well else 503, headers=_HEADERS)
        if path == "/sign-in":
            return await self._door.answer(request)
        visitor, is_by_cookie = await self._visitor(request.headers)
        if visitor is None:
            return _turned_away(request)
        if is_by_cookie and request.method not in _SAFE and not is_own_origin(request.headers):
            logger.warning("other_origin_refused", user_id=visitor.user_id)
            return PlainTextResponse("This request came from another site.", status_code=403, headers=_HEADERS)
        if path == "/sign-out":
            return await self._sign_out(request, visitor)
        if request.method not in _SAFE and path.rstrip("/") != "/graphql" and visitor.role != "engineer":
            logger.warning("endpoint_refused", user_id=visitor.user_id, role=visitor.role)
            return PlainTextResponse("Only engineers may do this.", status_code=403, headers=_HEADERS)
        request.scope["cheerful_visitor"] = visitor
        return None

    async def _visitor(self, headers: Headers) -> tuple[Visitor | None, bool]:
        """(who it is, whether a cookie says so). A request with a bearer token is judged by that token alone."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            try:
                return await self._tokens.read_soon(token.strip()), False
            except AuthError:
                return None, False
        return await self._by_cookie(headers), True

    async def _by_cookie(self, headers: Headers) -> Visitor | None:
        value = cookie_of(headers, COOKIE)
        if not value:
            return None
        return await anyio.to_thread.run_sync(self._sessions.find, value, limiter=self._limits["sessions"])

    async def _sign_out(self, request: Request, visitor: Visitor) -> Response:
        if request.method != "POST":
            return PlainTextResponse("Send a POST to sign out.", status_code=405, headers=_HEADERS)
        value = cookie_of(request.headers, COOKIE)
        await anyio.to_thread.run_sync(self._sessions.end, value, limiter=self._limits["sessions"])
        logger.info("signed_out", user_id=visitor.user_id)
        gone = RedirectResponse("/sign-in", status_code=303, headers=_HEADERS)
        gone.delete_cookie(COOKIE, path="/", secure=self._is_secure, httponly=True, samesite="lax")
        return gone

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        try:
            _check_target(scope)
            visitor = await self._by_cookie(headers) if is_own_origin(headers) else None
        except (MalformedError, TransientError):
            visitor = None
        if visitor is None:
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        scope["cheerful_visitor"] = visitor
        await self._while_signed_in(scope, receive, send, headers)

    async def _while_signed_in(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Serve a websocket until it ends or its session does."""
        served = asyncio.ensure_future(self._app(scope, receive, send))
        try:
            while not (await asyncio.wait({served}, timeout=self._watch_seconds))[0]:
                try:
                    is_over = await self._by_cookie(headers) is None
                except TransientError:
                    continue  # the next look tells
                if is_over:
                    served.cancel()
                    await asyncio.wait({served})
                    await send({"type": "websocket.close", "code": 4401})
                    return
            served.result()
        finally:
            served.cancel()


def _check_target(scope: Scope) -> None:
    check_target(scope.get("raw_path") or scope["path"].encode(), scope["query_string"])


def _turned_away(request: Request) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
        query = request.scope["query_string"].decode("latin-1")
        wanted = request.scope["path"] + (f"?{query}" if query else "")
        return RedirectResponse(f"/sign-in?next={quote(wanted, errors='replace')}", status_code=303, headers=_HEADERS)
    return _refusal(401, "Sign in first.")


def _refusal(status: int, words: str) -> Response:
    return JSONResponse({"errors": [{"message": words}]}, status_code=status, headers=_HEADERS)
