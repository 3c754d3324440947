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

from cheerful_pipelines.core.errors import ThrottledError
from cheerful_pipelines.google.deadlines import LONGEST_CALL_SECONDS
from cheerful_pipelines.google.quota.learning import BURST_PAUSE_SECONDS, Learned, after_refusal, after_use

WINDOW_SECONDS = 60.0

LONGEST_EXPIRY_SECONDS = WINDOW_SECONDS + LONGEST_CALL_SECONDS + 5.0
"""No spend counts for longer from now. One that claims to was written before the clock was set back: it is counted for
a window more, since its call may have ended a moment ago. The last seconds: clocks are slewed, too."""

LONGEST_SLEEP_SECONDS = 60.0
"""A run sleeps through a window of the quota, and no longer."""

POLLING_UNITS = 60
"""Left over for the sensor's polls, a unit each few seconds: they are not worth a ledger entry each."""

_LONGEST_NAP_SECONDS = 5.0
_SHORTEST_NAP_SECONDS = 0.02


class Grant(NamedTuple):
    """Of a ledger: `units` granted under `spend_id`, or none and how long it will take until there may be some."""

    units: int
    spend_id: int
    wait_seconds: float
    batch_size: int | None = None
    """Calls that may stand in one batch, as refusals have taught; None: as many as are configured."""


class Refusal(NamedTuple):
    """Calls that Google refused as too many."""

    spend_id: int
    units: int
    accepted: int
    """Units of calls under way, of this process, that Google took: they are not settled yet."""
    batch_size: int | None = None
    """How many calls the request held, if it was a batch."""
    of_project: bool = False
    """The limit of the whole Google project was reached, not the mailbox's."""


class Ledger(Protocol):
    """Spends of the last minute, of one mailbox and of the whole project."""

    def grant(self, wanted: int, *, at_least: int, limit: int, full: int | None = None) -> Grant:
        """Note as much of `wanted` as fits, but no less than `at_least`, below `limit` units a minute.

        `full`: the assumed limit that `limit` is a share of. What refusals taught lowers both alike.
        """
        ...

    def settle(self, spend_id: int) -> None:
        """The call is over: it counts for a minute from now."""
        ...

    def block(self, seconds: float, *, limit: int) -> None:
        """Gmail refused: nothing is granted for so long."""
        ...

    def learn(self, refusal: Refusal, *, full: int) -> None:
        """A refusal: for every process the limit may be lower than `full` from now on (see learning.py)."""
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
        self._accepted: dict[int, int] = {}  # by spend, until it is settled
        self.spent = 0
        self.waited_seconds = 0.0

    def take(self, wanted: int, *, at_least: int, ends_at: float | None = None) -> Grant:
        """Wait until at least `at_least` units are there and take up to `wanted`.

        Raises ThrottledError if Gmail said to stay away for longer than a run may sleep, or if there are no units
        until `ends_at` (on this allowance's clock).
        """
        started = self._clock()
        limit = max(self._limit, at_least)  # a call that costs more than a tiny limit must not wait for ever
        while True:
            if (left := self._closed_until - self._clock()) > 0:
                raise ThrottledError("Google asked us to stay away for now.", retry_after_seconds=left)
            answer = self._ledger.grant(wanted, at_least=at_least, limit=limit, full=self._full)
            if answer.units:
                break
            nap = min(max(answer.wait_seconds, _SHORTEST_NAP_SECONDS), _LONGEST_NAP_SECONDS)
            if ends_at is not None and self._clock() + nap > ends_at:
                raise ThrottledError(
                    "The time for this mailbox ends before there is quota.", retry_after_seconds=answer.wait_seconds
                )
            self._sleep(nap)
        with self._lock:
            self._accepted[answer.spend_id] = 0
            self.spent += answer.units
            self.waited_seconds += self._clock() - started
        return answer

    def over(self, taken: Grant) -> None:
        """The call that these units were for has been answered, or has failed."""
        with self._lock:
            self._accepted.pop(taken.spend_id, None)
        self._ledger.settle(taken.spend_id)

    def accepted(self, taken: Grant, units: int) -> None:
        """So many units of a grant were let in by Google, while others of it are still under way."""
        with self._lock:
            if taken.spend_id in self._accepted:  # else it is settled, and the ledger counts it
                self._accepted[taken.spend_id] += units

    def refused(self, seconds: float) -> None:
        """Gmail said it is too much: nobody asks for this mailbox until then, in whatever process.

        A wait that is too long to sleep through ends what this process does; the account's not_before tells the rest.
        """
        if seconds > LONGEST_SLEEP_SECONDS:
            self._closed_until = self._clock() + seconds
        else:
            self._ledger.block(seconds, limit=self._full)

    def note_refusal(
        self, error: ThrottledError, taken: Grant, *, units: int, asked: int, batch_size: int | None = None
    ) -> None:
        """Google refused `units` of a request for `asked`: all processes wait as long as it says, and learn from it.

        A refusal until the day ends teaches nothing about the minute.
        """
        seconds = error.retry_after_seconds
        self.refused(BURST_PAUSE_SECONDS * units / max(units, asked) if seconds is None else seconds)
        if seconds is not None and seconds > LONGEST_SLEEP_SECONDS:
            return
        with self._lock:
            accepted = sum(self._accepted.values())
        refusal = Refusal(taken.spend_id, units, accepted, batch_size, error.of_project)
        self._ledger.learn(refusal, full=self._full)


class MemoryLedger:
    """A ledger of one process. Safe to share between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._spends: dict[int, tuple[int, float]] = {}
        self._refused: dict[int, int] = {}
        self._learned: Learned | None = None
        self._changed_at = 0.0
        self._number = 0

    def grant(self, wanted: int, *, at_least: int, limit: int, full: int | None = None) -> Grant:
        """See Ledger."""
        with self._lock:
            now = self._clock()
            self._spends = {key: spend for key, spend in self._spends.items() if spend[1] > now}
            self._refused = {key: units for key, units in self._refused.items() if key in self._spends}
            learned = self._looked_at(full or limit, limit)
            limit = lowered(limit, learned, full=full or limit, at_least=at_least)
            units, wait = room(list(self._spends.values()), wanted, at_least=at_least, limit=limit, now=now)
            if units:
                self._note(units, now + WINDOW_SECONDS + LONGEST_CALL_SECONDS)
            return Grant(units, self._number, wait, learned.batch_size if learned else None)

    def settle(self, spend_id: int) -> None:
        """See Ledger."""
        with self._lock:
            if spend_id in self._spends:
                self._spends[spend_id] = (self._spends[spend_id][0], self._clock() + WINDOW_SECONDS)

    def block(self, seconds: float, *, limit: int) -> None:
        """See Ledger."""
        with self._lock:
            self._note(limit, self._clock() + seconds)
            self._refused[self._number] = limit  # not a spend of anybody's

    def learn(self, refusal: Refusal, *, full: int) -> None:
        """See Ledger."""
        with self._lock:
            now = self._clock()
            self._refused[refusal.spend_id] = self._refused.get(refusal.spend_id, 0) + refusal.units
            settled = sum(
                units - self._refused.get(key, 0)
                for key, (units, ends) in self._spends.items()
                if ends <= now + WINDOW_SECONDS
            )
            known = self._learned and self._learned._replace(seconds=now - self._changed_at)
            learned = after_refusal(
                known, assumed=full, accepted=settled + refusal.accepted, batch_size=refusal.batch_size
            )
            if learned is not None:
                self._learned, self._changed_at = learned, now

    def _looked_at(self, full: int, limit: int) -> Learned | None:
        if self._learned is None:
            return None
        now = self._clock()
        known = self._learned._replace(seconds=now - self._changed_at)
        used, mine = sum(units for units, _ in self._spends.values()), lowered(limit, known, full=full, at_least=1)
        learned = after_use(known, assumed=full, used=used, limit=mine)
        if learned is not known:
            self._learned, self._changed_at = learned, now
        return learned

    def _note(self, units: int, expires: float) -> None:
        self._number += 1
        self._spends[self._number] = (units, expires)


def lowered(limit: int, learned: Learned | None, *, full: int, at_least: int) -> int:
    """A limit, or a share of it, after what refusals taught; never too low for one call. Pure.

    >>> lowered(2_970, Learned(2_850), full=5_940, at_least=20)
    1425
    """
    if learned is None or learned.units_a_minute >= full:
        return limit
    return max(at_least, limit * learned.units_a_minute // full)


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
