"""How often each call was made, and what it cost each mailbox in quota units. In memory."""

import time
from collections import Counter, deque
from typing import Any

_MINUTE = 60.0


class Counters:
    """Counts since the start or the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """From nought again."""
        self._calls: Counter[str] = Counter()
        self._by_mailbox: dict[str, Counter[str]] = {}
        self._units: Counter[str] = Counter()
        self._in_minute: Counter[str] = Counter()
        self._peak: Counter[str] = Counter()
        self._recent: dict[str, deque[tuple[float, int]]] = {}
        self._statuses: Counter[int] = Counter()
        self._requests = 0
        self._got: Counter[tuple[str, str]] = Counter()

    def got(self, name: str, mailbox: str, item: str) -> None:
        """A message was handed out whole."""
        if name == "gmail.users.messages.get":
            self._got[mailbox, item] += 1

    def request(self) -> None:
        """One HTTP request came in; a batch is one."""
        self._requests += 1

    def call(self, name: str, units: int, mailbox: str, status: int) -> None:
        """One call was answered; a batch of ten is ten."""
        self._calls[name] += 1
        self._statuses[status] += 1
        if not mailbox:
            return
        self._by_mailbox.setdefault(mailbox, Counter())[name] += 1
        self._units[mailbox] += units
        self._note_minute(mailbox, units)

    def _note_minute(self, mailbox: str, units: int) -> None:
        now = time.monotonic()
        recent = self._recent.setdefault(mailbox, deque())
        recent.append((now, units))
        self._in_minute[mailbox] += units
        while recent[0][0] < now - _MINUTE:
            self._in_minute[mailbox] -= recent.popleft()[1]
        self._peak[mailbox] = max(self._peak[mailbox], self._in_minute[mailbox])

    def as_json(self) -> dict[str, Any]:
        """requests, calls, statuses, and by mailbox: calls, units, units in the busiest minute."""
        return {
            "requests": self._requests,
            "calls": dict(self._calls),
            "calls_by_mailbox": {mailbox: dict(calls) for mailbox, calls in self._by_mailbox.items()},
            "statuses": {str(status): count for status, count in self._statuses.items()},
            "messages_got": len(self._got),
            "messages_got_again": sum(self._got.values()) - len(self._got),
            "units": dict(self._units),
            "units_in_busiest_minute": dict(self._peak),
        }
