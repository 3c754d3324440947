"""What a handler takes and gives: a `Call`, an `Answer`, a `Route`, and Google's errors in Google's own words.

No HTTP server and no storage here: a part of a batch becomes a `Call` exactly as a request of its own does.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl, unquote

Api = Literal["gmail", "sheets", "drive", "token", "local"]

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
}  # fmt: skip
_REASONS = {
    400: "invalidArgument", 401: "authError", 403: "forbidden", 404: "notFound", 429: "rateLimitExceeded",
    501: "notImplemented",
}  # fmt: skip
INVALID_CREDENTIALS = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid "
    "authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class GoogleError(Exception):
    """An answer that is not 2xx. `reason` is the word in `errors[].reason`, by which clients judge a 403."""

    def __init__(self, status: int, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.reason = reason or _REASONS.get(status, "backendError")


def not_found() -> GoogleError:
    """Google's 404, in Google's words."""
    return GoogleError(404, "Requested entity was not found.")


@dataclass(frozen=True)
class Pace:
    """How an answer is sent when a fault asks for more than its bytes at once."""

    wait_seconds: float = 0.0
    is_silent: bool = False
    """After the wait the connection is closed without an answer."""
    byte_seconds: float = 0.0
    """Seconds between two bytes of the body; 0: all at once."""
    cut_at: int | None = None
    """So many bytes of the body are sent, then the connection is closed."""


@dataclass(frozen=True)
class Answer:
    """Status, body and headers. A dict body is sent as JSON; None as an empty body."""

    status: int = 200
    body: dict[str, Any] | bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json; charset=UTF-8"
    pace: Pace | None = None

    def payload(self) -> bytes:
        """The bytes of the body."""
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


def error_answer(error: GoogleError, api: Api, *, retry_after: str | None = None) -> Answer:
    """The JSON body of an error. Gmail and Drive add `errors[]`; Sheets does not."""
    inner: dict[str, Any] = {"code": error.status, "message": error.message}
    if api in ("gmail", "drive"):
        item = {"message": error.message, "domain": _domain(error), "reason": error.reason}
        if error.status == 401:
            item |= {
                "message": "Invalid Credentials", "location": "Authorization", "locationType": "header",
            }  # fmt: skip
        inner["errors"] = [item]
    if error.reason == "failedPrecondition":
        inner["status"] = "FAILED_PRECONDITION"
    elif error.status in _STATUS_NAMES:
        inner["status"] = _STATUS_NAMES[error.status]
    headers = (("Retry-After", retry_after),) if retry_after else ()
    return Answer(error.status, {"error": inner}, headers)


def _domain(error: GoogleError) -> str:
    quota = ("rateLimitExceeded", "userRateLimitExceeded", "dailyLimitExceeded", "quotaExceeded")
    return "usageLimits" if error.reason in quota else "global"


@dataclass
class Call:
    """One request: `segments` is the path cut at its slashes and then unquoted, so a tab's name may hold one."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    content: bytes = b""
    subject: str = ""
    """Who the access token speaks for: a mailbox's address, or the name of the Sheets identity."""
    mailbox: str = ""
    """Whose quota the call used: set by the Gmail handlers."""
    is_part: bool = False
    """One call within a batch."""
    params: dict[str, str] = field(default_factory=dict)

    def first(self, name: str, default: str = "") -> str:
        """First value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default

    def flag(self, name: str) -> bool:
        """A boolean query parameter; gspread writes False, Google's client false."""
        return self.first(name).lower() == "true"

    def number(self, name: str, default: int, *, most: int) -> int:
        """An integer query parameter from 1 to `most`; over that it is cut, as Google does."""
        text = self.first(name)
        if not text:
            return default
        if not re.fullmatch(r"\d+", text) or int(text) < 1:
            raise GoogleError(400, f"Invalid value at '{name}' (TYPE_UINT32), \"{text}\"")
        return min(int(text), most)

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. An empty body is {}."""
        if not self.content.strip():
            return {}
        try:
            found = json.loads(self.content)
        except ValueError:
            raise GoogleError(400, "Invalid JSON payload received. Parse error.", reason="parseError") from None
        if not isinstance(found, dict):
            raise GoogleError(400, "Invalid JSON payload received. Root element must be a message.")
        return found


def parse_query(text: str) -> dict[str, list[str]]:
    """A query string as name -> values in order."""
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


Handler = Callable[[Call], Answer]


@dataclass(frozen=True)
class Route:
    """A method and a path pattern (`/gmail/v1/users/{userId}/profile`) with the name and the price of the call."""

    api: Api
    method: str
    pattern: str
    name: str
    handler: Handler
    units: int = 0

    def regex(self) -> re.Pattern[str]:
        """The pattern as a regular expression over the path as it was sent (percent signs and all)."""
        text = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+?)", re.escape(self.pattern).replace(r"\{", "{").replace(r"\}", "}"))
        return re.compile(text + r"\Z")


class Router:
    """Finds the route of a call."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = [(route, route.regex()) for route in routes]
        self._known: dict[str, list[tuple[Route, re.Pattern[str]]]] = {}
        for route, regex in self._routes:
            self._known.setdefault(route.method, []).append((route, regex))

    def find(self, call: Call) -> Route | None:
        """The route, with the call's `params` filled in; None where nothing matches."""
        for route, regex in self._known.get(call.method, ()):
            if match := regex.match(call.path):
                call.params = {name: unquote(value) for name, value in match.groupdict().items()}
                return route
        return None
