"""A share of a quota: take units before a call, wait where there are none, say when the call is over.

Gmail counts units over any minute, Sheets calls. A call is counted here from before it is sent until a minute after
it ended, so that Google, whose clock and network are not ours, never sees more than it gives. Where spends are kept
is the ledger's matter: in Postgres for everything that runs (`store.py`, `sheets_store.py`), in memory for a lone
process.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from cheerful_pipelines.errors import ThrottledError

WINDOW_SECONDS = 60.0
LONGEST_CALL_SECONDS = 180.0
"""A call that nobody reported as over (its worker died) is counted no longer than this."""

LONGEST_SLEEP_SECONDS = 60.0
"""A run sleeps through a window of the quota, and no longer."""

POLLING_UNITS = 60
"""Left over for the sensor's polls, a unit each few seconds: they are not worth a ledger entry each."""

_LONGEST_NAP_SECONDS = 5.0
_SHORTEST_NAP_SECONDS = 0.02


class Answer(NamedTuple):
    """Of a ledger: `units` granted under `spend_id`, or none and how long it will take until there may be some."""

    units: int
    spend_id: int
    wait_seconds: float


class Ledger(Protocol):
    """Spends of the last minute, of one mailbox and of the whole project."""

    def grant(self, wanted: int, *, at_least: int, limit: int) -> Answer:
        """Note as much of `wanted` as fits, but no less than `at_least`, below `limit` units a minute."""
        ...

    def settle(self, spend_id: int) -> None:
        """The call is over: it counts for a minute from now."""
        ...

    def block(self, seconds: float, *, limit: int) -> None:
        """Gmail refused: nothing is granted for so long."""
        ...


class Allowance:
    """Takes units for one mailbox; safe to share between threads. `share` leaves room for others (the live sync)."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        units_a_minute: int,
        set_apart: int = POLLING_UNITS,
        share: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._ledger = ledger
        self._full = max(1, units_a_minute - set_apart)
        self._limit = max(1, int(self._full * share))
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()
        self._closed_until = float("-inf")
        self.spent = 0
        self.waited_seconds = 0.0

    def take(self, wanted: int, *, at_least: int) -> Answer:
        """Wait until at least `at_least` units are there and take up to `wanted`.

        Raises ThrottledError where Gmail said to stay away for longer than a run may sleep.
        """
        started = self._clock()
        limit = max(self._limit, at_least)  # a call that costs more than a tiny limit must not wait for ever
        while True:
            if (left := self._closed_until - self._clock()) > 0:
                raise ThrottledError("Google asked us to stay away for now.", retry_after_seconds=left)
            answer = self._ledger.grant(wanted, at_least=at_least, limit=limit)
            if answer.units:
                break
            self._sleep(min(max(answer.wait_seconds, _SHORTEST_NAP_SECONDS), _LONGEST_NAP_SECONDS))
        with self._lock:
            self.spent += answer.units
            self.waited_seconds += self._clock() - started
        return answer

    def over(self, taken: Answer) -> None:
        """The call that these units were for has been answered, or has failed."""
        self._ledger.settle(taken.spend_id)

    def refused(self, seconds: float) -> None:
        """Gmail said it is too much: nobody asks for this mailbox until then, in whatever process.

        A wait that is too long to sleep through ends what this process does; the account's not_before tells the rest.
        """
        if seconds > LONGEST_SLEEP_SECONDS:
            self._closed_until = self._clock() + seconds
        else:
            self._ledger.block(seconds, limit=self._full)


class MemoryLedger:
    """A ledger of one process. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spends: dict[int, tuple[int, float]] = {}
        self._number = 0

    def grant(self, wanted: int, *, at_least: int, limit: int) -> Answer:
        """See Ledger."""
        with self._lock:
            now = self._clock()
            self._spends = {key: spend for key, spend in self._spends.items() if spend[1] > now}
            units, wait = room(list(self._spends.values()), wanted, at_least=at_least, limit=limit, now=now)
            if units:
                self._note(units, now + WINDOW_SECONDS + LONGEST_CALL_SECONDS)
            return Answer(units, self._number, wait)

    def settle(self, spend_id: int) -> None:
        """See Ledger."""
        with self._lock:
            if spend_id in self._spends:
                self._spends[spend_id] = (self._spends[spend_id][0], self._clock() + WINDOW_SECONDS)

    def block(self, seconds: float, *, limit: int) -> None:
        """See Ledger."""
        with self._lock:
            self._note(limit, self._clock() + seconds)

    def _note(self, units: int, expires: float) -> None:
        self._number += 1
        self._spends[self._number] = (units, expires)


def room(spends: list[tuple[int, float]], wanted: int, *, at_least: int, limit: int, now: float) -> tuple[int, float]:
    """(units that fit, seconds to wait where none do). `spends`: (units, when they no longer count), any order. Pure.

    >>> room([(60, 10.0), (30, 20.0)], 50, at_least=20, limit=100, now=5.0)
    (0, 5.0)
    >>> room([(60, 10.0), (30, 20.0)], 50, at_least=10, limit=100, now=5.0)
    (10, 0.0)
    """
    free = limit - sum(units for units, _ in spends)
    if free >= at_least:
        return min(wanted, free), 0.0
    for units, expires in sorted(spends, key=lambda spend: spend[1]):
        free += units
        if free >= at_least:
            return 0, max(0.0, expires - now)
    return 0, WINDOW_SECONDS
