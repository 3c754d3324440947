"""Headers with which browsers keep other sites out: who may frame a page, and what a page may load. Pure."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HSTS = "max-age=31536000; includeSubDomains"

FORM_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Of our own pages, which load nothing."""

_UI_POLICY = {
    "default-src": "'self'",
    "img-src": "'self' data: blob:",  # plots in metadata are data URIs; a picture elsewhere would tell who looks
    "font-src": "'self' data:",
    "media-src": "'self'",
    "worker-src": "'self' blob:",
    "manifest-src": "'self'",
    "form-action": "'self'",
    "frame-src": "'self'",
    "frame-ancestors": "'none'",
}
"""What Dagster's own policy of its pages (script-src, style-src, base-uri, object-src) leaves open."""

_OTHER_POLICY = "frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
_GRAPHIQL_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; object-src 'none'"
)


def ui_policy(dagsters: str, host: str) -> str:
    """Dagster's policy of its pages, and what it leaves open. `host` is where the page's websocket goes.

    >>> ui_policy("base-uri 'none'; img-src *;", "cheerful.example").split("; ")[:2]
    ["base-uri 'none'", "default-src 'self'"]
    """
    own = {**_UI_POLICY, "connect-src": f"'self' ws://{host} wss://{host}" if host else "'self'"}
    kept = [part.strip() for part in dagsters.split(";") if part.strip() and part.split()[0] not in own]
    return "; ".join([*kept, *(f"{name} {value}" for name, value in own.items())])


class SecurityHeaders:
    """Adds to every response of `app` what it does not say itself."""

    def __init__(self, app: ASGIApp, *, is_secure: bool) -> None:
        self._app, self._is_secure = app, is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on, and complete the headers of the answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)

    def _complete(self, headers: MutableHeaders) -> None:
        is_page = headers.get("content-type", "").startswith("text/html")
        headers.setdefault("Content-Security-Policy", _GRAPHIQL_POLICY if is_page else _OTHER_POLICY)
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers["Referrer-Policy"] = "same-origin"  # with no-referrer, browsers call our own forms' origin null
        headers["X-Frame-Options"] = "DENY"
        headers["Cross-Origin-Opener-Policy"] = "same-origin"
        if self._is_secure:
            headers["Strict-Transport-Security"] = HSTS
