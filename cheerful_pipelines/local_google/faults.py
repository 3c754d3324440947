"""Trouble on demand: which of the next calls fails, and how. Kept in memory; a restart is a clean slate.

    json      an error of Google's, with `status` and `reason`, and Retry-After where given
    html      the same status with an HTML page for a body, as proxies send it
    reset     the connection is reset without an answer
    cut       the answer breaks off in the middle
    garbage   200 with JSON that does not parse
    empty     a list answers no items, but a token for a next page: the same page again
    twice     a list names every item twice
    reversed  a list comes in reverse order
    hang      no answer for `seconds` (600 unless told), then the connection is closed
    slow      the right answer, `seconds` later
    drip      the right answer, one byte each `byte_seconds` (a second unless told)
    short     the right answer, but the connection closes after `cut_at` bytes of its body

json, html, reset, cut, garbage and hang happen instead of the call (nothing is changed); `lost` is a reset after the
call was done: the answer is lost, the change is not. With `mailbox` only requests signed in as that mailbox are hit,
token refreshes included; with `lasting_seconds` an order ends by time, however many requests it hits.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from cheerful_pipelines.local_google.calls import Answer, Api, Call, GoogleError, Pace, error_answer

Kind = Literal[
    "json", "html", "reset", "cut", "garbage", "lost", "empty", "twice", "reversed", "hang", "slow", "drip", "short"
]
AFTER_THE_CALL = ("lost", "empty", "twice", "reversed", "slow", "drip", "short")
PACED = ("hang", "slow", "drip", "short")
HANG_SECONDS = 600.0
DRIP_SECONDS = 1.0
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
    mailbox: str = ""
    """Only requests with this mailbox's token; empty: anybody's."""
    seconds: float | None = None
    byte_seconds: float = DRIP_SECONDS
    cut_at: int = 0
    message: str = ""
    """Google's words in the error; empty: the usual ones."""
    lasting_seconds: float | None = None
    """The order stays open so long, and `times` does not count."""
    ends_at: float | None = None
    """Set by `Faults.add`: time.monotonic() at which a lasting order ends."""


WHOLE_REQUESTS = ("reset", "cut", "lost", *PACED)
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
        if fault.lasting_seconds is not None:
            fault = replace(fault, ends_at=time.monotonic() + fault.lasting_seconds)
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

    def take(self, call: Call, query: str, *, subject_of: Callable[[Call], str] = lambda _call: "") -> Fault | None:
        """The fault that hits this call, counted down; None for a call that is left alone.

        `subject_of` tells whose token a request carries; asked only when an order names a mailbox.
        """
        if (chosen := self._by_chance(call)) is not None:
            return chosen
        if not self._open:
            return None
        now, target = time.monotonic(), f"{call.path}?{query}"
        self._open = [fault for fault in self._open if fault.ends_at is None or fault.ends_at > now]
        for fault in self._open:
            if fault.path_contains not in target or (call.is_part and fault.kind in PACED):
                continue
            if fault.mailbox and fault.mailbox.lower() != subject_of(call).lower():
                continue
            if fault.ends_at is None:
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
    if fault.kind == "hang":
        return Answer(pace=Pace(wait_seconds=HANG_SECONDS if fault.seconds is None else fault.seconds, is_silent=True))
    headers = (("Retry-After", fault.retry_after),) if fault.retry_after else ()
    if fault.kind == "html":
        page = _HTML.format(status=fault.status).encode()
        return Answer(fault.status, page, headers, content_type="text/html; charset=UTF-8")
    if api == "token":
        body = {"error": fault.reason or "internal_failure"}
        return Answer(fault.status, body | ({"error_description": fault.message} if fault.message else {}), headers)
    error = GoogleError(fault.status, _words(fault), reason=fault.reason)
    return error_answer(error, api, retry_after=fault.retry_after)


def _words(fault: Fault) -> str:
    if fault.message:
        return fault.message
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
    if fault.kind in PACED:
        return replace(answer, pace=_pace(fault))
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


def _pace(fault: Fault) -> Pace:
    if fault.kind == "slow":
        return Pace(wait_seconds=fault.seconds or 0.0)
    if fault.kind == "drip":
        return Pace(byte_seconds=fault.byte_seconds)
    return Pace(cut_at=fault.cut_at)


def _first_page_token(name: str, query: dict[str, Any]) -> str:
    return query.get("startHistoryId", ["0"])[0] if name == "history" else "0" * 20
