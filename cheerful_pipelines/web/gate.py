"""The ASGI application in front of Dagster's: nobody passes who is not signed in, and no other site speaks for them.

    GET  /health      without a login (health.py)
    GET  /sign-in     the form; POST takes address and password
    POST /sign-out
    anything else     with a session cookie, or with a bearer token for programs

A browser sends the cookie with requests that another site makes, too. So whatever changes something, and every
websocket, must come from our own origin; programs with a bearer token have no such trouble. Endpoints beside GraphQL
that change something are for engineers.
"""

import asyncio
import html
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from limits import parse as parse_limit
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from cheerful_pipelines.errors import AuthError, CheerfulError, TransientError
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.web.sessions import COOKIE, Sessions
from cheerful_pipelines.web.tokens import TokenReader, Visitor

logger = get_logger(__name__)

FAILURES = parse_limit("10 per 15 minutes")
"""Of one address of the network, or of one account."""
_MOST_FORM_BYTES = 4_096
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers call our own form's origin null
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Cheerful: sign in</title><style>
body {{ font: 16px/1.5 system-ui, sans-serif; background: #f4f4f6; color: #1b1b2f; margin: 0;
       display: grid; place-items: center; min-height: 100vh }}
form {{ background: #fff; padding: 2rem; border-radius: 12px; box-shadow: 0 2px 16px #0002; width: 20rem }}
label {{ display: block; margin-top: 1rem }}
input {{ width: 100%; box-sizing: border-box; padding: .5rem; font: inherit }}
button {{ margin-top: 1.5rem; width: 100%; padding: .6rem; font: inherit; border: 0; border-radius: 6px;
          background: #4f43dd; color: #fff; cursor: pointer }} p {{ color: #a3123d }}
</style></head><body><form method="post" action="/sign-in?next={next}">
<h1>Cheerful</h1>{words}
<label>Address<input name="address" type="email" autocomplete="username" required autofocus></label>
<label>Password<input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button></form></body></html>"""


class Gate:
    """Wraps an ASGI application. `ask_for_token(address, password)` may block; it runs in a thread."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: TokenReader,
        sessions: Sessions,
        ask_for_token: Callable[[str, str], str],
        health: Callable[[], tuple[bool, dict[str, Any]]],
        is_secure: bool,
    ) -> None:
        self._app, self._tokens, self._sessions = app, tokens, sessions
        self._ask_for_token, self._health = ask_for_token, health
        self._is_secure = is_secure  # cookies over https only; plain http is for a machine of one's own
        self._failures = MovingWindowRateLimiter(MemoryStorage())

    def forget_failures(self) -> None:
        """Start counting anew."""
        self._failures.storage.reset()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Decide, then hand on or answer."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            response = await self._answer(Request(scope, receive))
            await (response or self._app)(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        visitor = self._by_cookie(headers) if self._is_own_origin(headers) else None
        if visitor is None:
            await receive()
            await send({"type": "websocket.close", "code": 4401})
            return
        scope["cheerful_visitor"] = visitor
        await self._app(scope, receive, send)

    async def _answer(self, request: Request) -> Response | None:
        """A response of our own, or None where the application behind may answer."""
        path = request.url.path
        if path == "/health":
            is_well, told = await asyncio.to_thread(self._health)
            return JSONResponse(told, status_code=200 if is_well else 503, headers=_HEADERS)
        if path == "/sign-in":
            return await self._sign_in(request)
        visitor, is_by_cookie = self._visitor(request)
        if visitor is None:
            return self._turned_away(request)
        if is_by_cookie and request.method not in _SAFE and not self._is_own_origin(request.headers):
            logger.warning("other_origin_refused", user_id=visitor.user_id)
            return PlainTextResponse("This request came from another site.", status_code=403, headers=_HEADERS)
        if path == "/sign-out":
            if request.method != "POST":
                return PlainTextResponse("Send a POST to sign out.", status_code=405, headers=_HEADERS)
            gone = RedirectResponse("/sign-in", status_code=303, headers=_HEADERS)
            gone.delete_cookie(COOKIE, path="/", secure=self._is_secure, httponly=True, samesite="lax")
            return gone
        if request.method not in _SAFE and path.rstrip("/") != "/graphql" and visitor.role != "engineer":
            logger.warning("endpoint_refused", user_id=visitor.user_id, role=visitor.role)
            return PlainTextResponse("Only engineers may do this.", status_code=403, headers=_HEADERS)
        request.scope["cheerful_visitor"] = visitor
        return None

    def _visitor(self, request: Request) -> tuple[Visitor | None, bool]:
        """(who it is, whether a cookie says so)."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            try:
                return self._tokens.read(token.strip()), False
            except AuthError:
                return None, False
        return self._by_cookie(request.headers), True

    def _by_cookie(self, headers: Headers) -> Visitor | None:
        for part in headers.get("cookie", "").split(";"):
            name, _, value = part.strip().partition("=")
            if name == COOKIE:
                return self._sessions.read(value)
        return None

    def _is_own_origin(self, headers: Headers) -> bool:
        """Browsers say where a request comes from with everything that is no plain reading."""
        return urlsplit(headers.get("origin", "")).netloc == headers.get("host") != ""

    def _turned_away(self, request: Request) -> Response:
        if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
            wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"/sign-in?next={quote(wanted)}", status_code=303, headers=_HEADERS)
        return JSONResponse({"errors": [{"message": "Sign in first."}]}, status_code=401, headers=_HEADERS)

    async def _sign_in(self, request: Request) -> Response:
        target = _local_path(request.query_params.get("next", "/"))
        if request.method != "POST":
            return _form(target, "", 200)
        if not self._is_own_origin(request.headers):
            return PlainTextResponse("This request came from another site.", status_code=403, headers=_HEADERS)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_FORM_BYTES:
                return PlainTextResponse("Too long.", status_code=413, headers=_HEADERS)
        fields = parse_qs(body.decode("utf-8", "replace"))
        address, password = (fields.get(name, [""])[0] for name in ("address", "password"))
        asked_by = ("from", request.client.host if request.client else ""), ("for", address.strip().lower())
        if not all(self._failures.test(FAILURES, *one) for one in asked_by):
            return _form(target, "Too many failed sign-ins. Wait a quarter of an hour.", 429)
        try:
            visitor = self._tokens.read(await asyncio.to_thread(self._ask_for_token, address, password))
        except AuthError as error:
            for one in asked_by:
                self._failures.hit(FAILURES, *one)
            logger.warning("sign_in_failed", reason=type(error).__name__)
            return _form(target, str(error), 401)
        except TransientError as error:
            return _form(target, str(error), 503)
        except CheerfulError as error:
            return _form(target, str(error), 500)
        logger.info("signed_in", user_id=visitor.user_id, role=visitor.role)
        response = RedirectResponse(target, status_code=303, headers=_HEADERS)
        response.set_cookie(
            COOKIE, self._sessions.begin(visitor), path="/", secure=self._is_secure, httponly=True, samesite="lax"
        )
        return response


def _form(target: str, words: str, status: int) -> HTMLResponse:
    told = f"<p role='alert'>{html.escape(words)}</p>" if words else ""
    return HTMLResponse(_PAGE.format(next=quote(target), words=told), status_code=status, headers=_HEADERS)


def _local_path(target: str) -> str:
    """Where to go after signing in: a path of ours, whatever somebody wrote into the link.

    >>> [_local_path(one) for one in ("/runs?x=1", "//evil.example/x", "https://evil.example", "/\\\\evil")]
    ['/runs?x=1', '/', '/', '/']
    """
    parts = urlsplit(target)
    is_local = target.startswith("/") and not target.startswith(("//", "/\\")) and not parts.netloc and not parts.scheme
    return target if is_local and not any(letter in target for letter in "\r\n\\") else "/"
