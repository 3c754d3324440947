"""Signing in: the form, the limits, Supabase Auth, and the cookies of a new session."""

import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import anyio.to_thread
from anyio import CapacityLimiter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from cheerful_pipelines.core.errors import AuthError, CheerfulError, ThrottledError, TransientError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.web.attempts import DEVICE_COOKIE, DEVICE_DAYS, Attempt, SignInLimits
from cheerful_pipelines.web.headers import FORM_POLICY
from cheerful_pipelines.web.origin import Proxies, client_network, is_own_origin, local_path
from cheerful_pipelines.web.pages import sign_in_form
from cheerful_pipelines.web.provider import MAX_SECONDS
from cheerful_pipelines.web.sessions import COOKIE, Sessions
from cheerful_pipelines.web.sign_in import Issued
from cheerful_pipelines.web.tokens import TokenReader, Visitor

logger = get_logger(__name__)

_MAX_FORM_BYTES = 4_096
_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": FORM_POLICY}


def cookie_of(headers: Headers, name: str) -> str:
    """The value of a cookie; empty if the browser sent none."""
    for line in headers.getlist("cookie"):
        for part in line.split(";"):
            found, _, value = part.strip().partition("=")
            if found == name:
                return value
    return ""


class Door:
    """Answers /sign-in. `ask_for_tokens(address, password)` may block; it runs in a thread."""

    def __init__(
        self,
        *,
        limits: SignInLimits,
        tokens: TokenReader,
        sessions: Sessions,
        ask_for_tokens: Callable[[str, str], Issued],
        proxies: Proxies,
        is_secure: bool,
    ) -> None:
        self.limits = limits
        self._tokens, self._sessions, self._ask_for_tokens = tokens, sessions, ask_for_tokens
        self._proxies, self._is_secure = proxies, is_secure
        self._database_threads, self._provider_threads = CapacityLimiter(5), CapacityLimiter(16)

    async def answer(self, request: Request) -> Response:
        """The form, or what became of it."""
        target = local_path(request.query_params.get("next", "/"))
        if request.method != "POST":
            return _form(target, "", 200)
        if not is_own_origin(request.headers):
            return PlainTextResponse("This request came from another site.", status_code=403, headers=_HEADERS)
        body = await _body(request)
        if body is None:
            return PlainTextResponse("Too long.", status_code=413, headers=_HEADERS)
        fields = parse_qs(body.decode("utf-8", "replace"))
        address, password = (fields.get(name, [""])[0] for name in ("address", "password"))
        device = cookie_of(request.headers, DEVICE_COOKIE)
        network = client_network(request.scope, self._proxies)
        try:
            attempt = await self._in_database(self.limits.reserve, address.strip().lower(), network, device)
            if attempt is None:
                logger.warning("sign_in_limited")
                return _form(target, "Too many failed sign-ins. Wait a quarter of an hour.", 429)
            visitor, issued = await self._visitor(attempt, address, password)
            known = await self._in_database(self.limits.succeeded, attempt, device)
            cookie = await self._in_database(self._sessions.begin, visitor, issued.refresh_token)
        except CheerfulError as error:
            return _form(target, str(error), _status(error))
        logger.info("signed_in", user_id=visitor.user_id, role=visitor.role)
        response = RedirectResponse(target, status_code=303, headers=_HEADERS)
        self._set(response, COOKIE, cookie, path="/")
        self._set(response, DEVICE_COOKIE, known, path="/sign-in", max_age=DEVICE_DAYS * 86_400)
        return response

    async def _visitor(self, attempt: Attempt, address: str, password: str) -> tuple[Visitor, Issued]:
        """Who signs in. A refused attempt stays counted; one that was not decided is released."""
        try:
            issued = await self._asked(address, password)
            visitor = await self._tokens.read_soon(issued.access_token)
        except (AuthError, ThrottledError) as error:
            logger.warning("sign_in_failed", reason=type(error).__name__)
            raise
        except CheerfulError:
            await self._in_database(self.limits.release, attempt)
            raise
        return (visitor if visitor.name else visitor.model_copy(update={"name": address.strip()[:80]})), issued

    async def _asked(self, address: str, password: str) -> Issued:
        """Supabase Auth's answer, within the limit even if the thread that asks is held up."""
        asked = anyio.to_thread.run_sync(
            self._ask_for_tokens, address, password, limiter=self._provider_threads, abandon_on_cancel=True
        )
        try:
            return await asyncio.wait_for(asked, MAX_SECONDS * 2)
        except TimeoutError:
            raise TransientError("Supabase Auth does not answer.", what_to_do="Try again in a minute.") from None

    async def _in_database(self, function: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._database_threads)

    def _set(self, response: Response, name: str, value: str, **more: Any) -> None:
        response.set_cookie(name, value, secure=self._is_secure, httponly=True, samesite="lax", **more)


async def _body(request: Request) -> bytes | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_FORM_BYTES:
            return None
    return body


def _status(error: CheerfulError) -> int:
    if isinstance(error, AuthError):
        return 401
    return 503 if isinstance(error, TransientError) else 500


def _form(target: str, words: str, status: int) -> HTMLResponse:
    return HTMLResponse(sign_in_form(target, words), status_code=status, headers=_HEADERS)
