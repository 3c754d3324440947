"""The one retry table: when failed work is tried again, per class of failure and per unit of work. Pure.

A unit of work is what fails and recovers by itself: `mailbox:ALIAS`, `archive:ALIAS`, `sheet:SLUG`, `campaign:SLUG`,
or a singleton such as `portfolio`. Its failures are rows of the table `work_failure`; every sensor decides by `due`.

Four numbers are apart from this table, each because it answers another question:

| number | where | why it is apart |
|---|---|---|
| tries of one call (Gmail 8, Sheets 4, LLM 4) | the clients | seconds, within one call; the run does not notice |
| tries of one step (3) | failures.py, RetryPolicy | seconds, within one run of one unit; runs of many units have none |
| dead letters (10 minutes to a day) | mail/dead_letter_store.py | one message; its mailbox goes on |
| interrupted and crashed runs (2), code location away (120) | dagster.yaml | Dagster's own, before this table applies |
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Literal, NamedTuple, get_args
from uuid import UUID

from pydantic import BaseModel, ConfigDict

FailureClass = Literal["transient", "throttled", "unclear", "auth", "permanent", "crashed", "interrupted", "unknown"]
FAILURE_CLASSES: tuple[FailureClass, ...] = get_args(FailureClass)

MAILBOX_KINDS = ("mailbox", "archive", "dead_letters", "reconcile")
"""Kinds of units that name a mailbox; other units with a name belong to a campaign."""

_DAY = timedelta(days=1)


class RetryRule(NamedTuple):
    """When a unit of work is tried again after its first, second, ... failure of one class in a row."""

    first: timedelta
    """The wait after the first failure."""
    doubled_from: timedelta
    """The wait after the second failure; it doubles with each one more."""
    longest: timedelta
    changes_count: bool
    """Whether changed work (a new sheet version, new mail, a new setting) may be tried before the wait is over."""
    why: str


RETRIES: Mapping[FailureClass, RetryRule] = {
    "transient": RetryRule(
        timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=2), False,
        "short for ever: after a repair (disk, bucket, Postgres) everything is up to date within three minutes",
    ),
    "throttled": RetryRule(
        timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=10), False,
        "where Google names no time; its Retry-After goes first",
    ),
    "unclear": RetryRule(
        timedelta(minutes=1), timedelta(minutes=2), timedelta(minutes=10), True,
        "an answer without a reason that we know may pass by itself, or be our request's fault for good",
    ),
    "auth": RetryRule(
        timedelta(hours=1), timedelta(hours=1), timedelta(hours=1), False,
        "one call an hour shows whether a person has repaired the access",
    ),
    "permanent": RetryRule(_DAY, _DAY, _DAY, True, "a person must change a setting, a sheet or our code"),
    "crashed": RetryRule(
        timedelta(minutes=2), timedelta(minutes=4), timedelta(minutes=30), False,
        "Dagster's run retries have repeated the run twice by then",
    ),
    "interrupted": RetryRule(
        timedelta(0), timedelta(minutes=1), timedelta(minutes=10), False,
        "a stop or a deployment is no failure; only work that is interrupted again and again waits",
    ),
    "unknown": RetryRule(
        timedelta(minutes=5), timedelta(minutes=10), _DAY, True,
        "a bug: it affects this unit alone, and repeating it all day repairs nothing",
    ),
}  # fmt: skip

CHANGED_WORK_WAITS = timedelta(minutes=1)
"""After a lasting failure changed work is tried at once: the change may be the repair. Only if that failed again, the
next change waits; so long at first, and double with each that fails, to a day."""


class WorkFailure(BaseModel):
    """One unit of work whose newest attempt failed. Ids only: the summary carries no address, subject or body."""

    model_config = ConfigDict(frozen=True)
    unit: str
    user_id: UUID | None
    """The client whose work it is; None for work of the whole installation."""
    failure_class: FailureClass
    error: str
    """Class name of the error."""
    attempts: int
    """Failures of this class in a row."""
    changes_failed: int = 0
    """Changed work that failed again, in a row."""
    first_failed_at: datetime
    """Since when the unit fails, whatever the class."""
    failed_at: datetime
    next_try_at: datetime
    run_id: str | None
    """The run that failed; None when no run was needed to see it (a poll)."""
    watermark: str | None
    """What was to be done: another one means that something has changed since."""
    summary: str
    what_to_do: str


class Work(NamedTuple):
    """A unit of work that is to be done now. `watermark` changes with what there is to do."""

    unit: str
    watermark: str


def keys_hash(work: Iterable["DueWork"]) -> str:
    """For the key of a run over many units."""
    return hashlib.sha256("\n".join(one.key for one in work).encode()).hexdigest()[:24]


class DueWork(NamedTuple):
    """Work that is worth a run now."""

    unit: str
    watermark: str
    suffix: str = ""
    """The run key ends with it: each failed attempt is followed by a key of its own."""

    @property
    def name(self) -> str:
        """What stands behind the kind: an alias or a slug; empty for a singleton."""
        return self.unit.partition(":")[2]

    @property
    def key(self) -> str:
        """Run key of a run of this unit alone."""
        return f"{self.unit}:{self.watermark}{self.suffix}"

    def after(self, run_id: str) -> "DueWork":
        """The same, asked for after that run has ended: with a key that no earlier request had."""
        return self if run_id[:8] in self.suffix else self._replace(suffix=f"{self.suffix}:after-{run_id[:8]}")


def wait_after(failure_class: FailureClass, attempts: int) -> timedelta:
    """How long a unit waits after that many failures of one class in a row.

    >>> [wait_after("crashed", n) // timedelta(minutes=1) for n in (1, 2, 3, 4, 5, 6)]
    [2, 4, 8, 16, 30, 30]
    """
    rule = RETRIES[failure_class]
    return rule.first if attempts <= 1 else _doubled(rule.doubled_from, attempts - 1, rule.longest)


def changed_work_waits(changes_failed: int) -> timedelta:
    """How long changed work waits after so many changes in a row that failed again.

    >>> [changed_work_waits(n) // timedelta(minutes=1) for n in (0, 1, 2, 3)]
    [0, 1, 2, 4]
    """
    return _doubled(CHANGED_WORK_WAITS, changes_failed, _DAY) if changes_failed else timedelta(0)


def _doubled(first: timedelta, times: int, longest: timedelta) -> timedelta:
    return min(longest, first * (1 << min(times - 1, 20)))


def may_be_tried(failure: WorkFailure, now: datetime, *, watermark: str | None = None) -> bool:
    """Whether the unit's next attempt is due.

    A failure from the future was written while this machine's clock was wrong: it delays nothing.
    """
    if now >= failure.next_try_at or is_from_the_future(failure, now):
        return True
    has_changed = watermark is not None and failure.watermark is not None and watermark != failure.watermark
    if not (has_changed and RETRIES[failure.failure_class].changes_count):
        return False
    return now - failure.failed_at >= changed_work_waits(failure.changes_failed)


def is_from_the_future(failure: WorkFailure, now: datetime) -> bool:
    """Whether it was written while this machine's clock was ahead: its times say nothing."""
    return failure.failed_at > now + timedelta(minutes=1)


def key_suffix(failure: WorkFailure | None, now: datetime) -> str:
    """What follows a failed attempt has a run key of its own, or Dagster would skip it as done.

    It names the minute, too: a watermark may come back (a sender is taken away and added again), and a run that ended
    unnoticed must not burn its key for longer, be it the first attempt or one after a failure that is still on record.
    What has just been asked for is an unfinished run.
    """
    minute = f":{now:%Y-%m-%dT%H:%M}"
    if failure is None:
        return minute
    attempt = failure.run_id[:8] if failure.run_id else f"{failure.failed_at:%Y%m%dT%H%M%S}"
    return f":after-{attempt}{minute}"


def due(work: Iterable[Work], failures: Mapping[str, WorkFailure], now: datetime) -> list[DueWork]:
    """The work that is worth a run now, in the given order: one unit's failures never hold up another."""
    found = []
    for unit, watermark in work:
        failure = failures.get(unit)
        if failure is None or may_be_tried(failure, now, watermark=watermark):
            found.append(DueWork(unit, watermark, key_suffix(failure, now)))
    return found
