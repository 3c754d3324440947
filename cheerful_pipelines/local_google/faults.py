"""Trouble on demand: which of the next calls fails, and how. Kept in memory; a restart is a clean slate.

    json      an error of Google's, with `status` and `reason`, and Retry-After where given
    html      the same status with an HTML page for a body, as proxies send it
    reset     the connection is reset without an answer
    cut       the answer breaks off in the middle
    garbage   200 with JSON that does not parse
    empty     a list answers no items, but a token for a next page: the same page again
    twice     a list names every item twice
    reversed  a list comes in reverse order

json, html, reset, cut and garbage happen instead of the call (nothing is changed); `lost` is a reset after the
call was done: the answer is lost, the change is not.
"""

import random
from dataclasses import dataclass
from typing import Any, Literal, get_args

from cheerful_pipelines.local_google.calls import Answer, Api, Call, GoogleError, error_answer

Kind = Literal["json", "html", "reset", "cut", "garbage", "lost", "empty", "twice", "reversed"]
AFTER_THE_CALL = ("lost", "empty", "twice", "reversed")
_LISTS = ("messages", "history", "threads", "drafts")
_HTML = "<!DOCTYPE html><html><title>Error {status}</title><p>The server encountered a temporary error.</html>"


class ConnectionBroken(Exception):
    """The answer is not to be sent (whole): close the socket, by force or after half the bytes."""

    def __init__(self, sent: bytes | None = None) -> None:
        super().__init__("injected fault")
        self.sent = sent


@dataclass
class Fault:
    """One order for trouble. `times` counts down."""

    path_contains: str
    status: int
    reason: str = ""
    times: int = 1
    retry_after: str | None = None
    kind: Kind = "json"


WHOLE_REQUESTS = ("reset", "cut", "lost")
"""Of a batch these hit the request, never a part."""


def refusal(status: int, seconds: float) -> Fault:
    """What a mailbox hears that has used up its minute."""
    if status == 429:
        return Fault("", 429, "rateLimitExceeded", retry_after=str(int(seconds) + 1))
    return Fault("", 403, "userRateLimitExceeded")


class Faults:
    """The orders still open, oldest first; and a mix that hits any call of Gmail's by chance."""

    def __init__(self) -> None:
        self._open: list[Fault] = []
        self._mix: list[tuple[float, Fault]] = []
        self._chance = random.Random(0)

    def set_mix(self, mix: list[tuple[float, Fault]], *, seed: int) -> None:
        """(rate, fault) pairs; the same seed and calls give the same trouble."""
        self._mix, self._chance = mix, random.Random(seed)

    def add(self, fault: Fault) -> None:
        """Order trouble."""
        if fault.kind not in get_args(Kind):
            raise GoogleError(400, f"Unknown kind of fault: {fault.kind}. One of {', '.join(get_args(Kind))}.")
        self._open.append(fault)

    def _by_chance(self, call: Call) -> Fault | None:
        if not self._mix or not call.path.startswith(("/gmail/", "/batch")):
            return None
        drawn = self._chance.random()
        for rate, fault in self._mix:
            drawn -= rate
            if drawn < 0:
                return fault if _can_hit(fault, call.path) else None
        return None

    def clear(self) -> None:
        """Cancel every order and the mix."""
        self._open.clear()
        self._mix.clear()

    def take(self, call: Call, query: str) -> Fault | None:
        """The fault that hits this call, counted down; None for a call that is left alone."""
        if (chosen := self._by_chance(call)) is not None:
            return chosen
        if not self._open:
            return None
        target = f"{call.path}?{query}"
        for fault in self._open:
            if fault.path_contains in target:
                fault.times -= 1
                if fault.times <= 0:
                    self._open.remove(fault)
                return fault
        return None


def _can_hit(fault: Fault, path: str) -> bool:
    """A batch as a whole only breaks; its parts only get answers of their own; other calls get everything."""
    if fault.kind in WHOLE_REQUESTS:
        return "/messages/" not in path
    return not path.startswith("/batch")


def fault_answer(fault: Fault, api: Api) -> Answer:
    """What is sent instead of the answer."""
    if fault.kind == "reset":
        raise ConnectionBroken
    if fault.kind == "cut":
        raise ConnectionBroken(b'{"messages": [{"id": "1900')
    if fault.kind == "garbage":
        return Answer(200, b'{"messages": [{"id": "19')
    headers = (("Retry-After", fault.retry_after),) if fault.retry_after else ()
    if fault.kind == "html":
        page = _HTML.format(status=fault.status).encode()
        return Answer(fault.status, page, headers, content_type="text/html; charset=UTF-8")
    if api == "token":
        return Answer(fault.status, {"error": fault.reason or "internal_failure"}, headers)
    error = GoogleError(fault.status, _words(fault), reason=fault.reason)
    return error_answer(error, api, retry_after=fault.retry_after)


def _words(fault: Fault) -> str:
    if fault.reason in ("rateLimitExceeded", "userRateLimitExceeded") or fault.status == 429:
        return (
            "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute per user' of service "
            "'gmail.googleapis.com' for consumer 'project_number:1'."
        )
    return f"Injected fault: {fault.status} {fault.reason}".strip()


def disturbed(fault: Fault, answer: Answer, query: dict[str, Any]) -> Answer:
    """The answer of a call that was done, changed as the fault says."""
    if fault.kind == "lost":
        raise ConnectionBroken
    if not isinstance(answer.body, dict):
        return answer
    body = dict(answer.body)
    for name in _LISTS:
        if isinstance(body.get(name), list):
            if fault.kind == "empty":
                # The token leads back to this very page: nothing is lost by being empty once.
                body["nextPageToken"] = query.get("pageToken", [_first_page_token(name, query)])[0]
                del body[name]
            elif fault.kind == "twice":
                body[name] = [item for item in body[name] for _ in range(2)]
            else:
                body[name] = body[name][::-1]
    return Answer(answer.status, body, answer.headers, answer.content_type)


def _first_page_token(name: str, query: dict[str, Any]) -> str:
    return query.get("startHistoryId", ["0"])[0] if name == "history" else "0" * 20
