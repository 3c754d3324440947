"""Which mailboxes may be polled, and how those with news are shared out among runs. Pure.

No mailbox is starved: each kind of run goes round in a circle.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from cheerful_pipelines.core.batches import in_circle
from cheerful_pipelines.mail.models import SyncTarget
from cheerful_pipelines.orchestration.retries import RETRIES, WorkFailure, may_be_tried

SyncKind = Literal["live", "returning", "slow", "listing"]
"""`returning`: many failed together and answer again. They are not slow, but one of them may still be."""

MOST_RUNS: Mapping[SyncKind, int] = {"live": 3, "returning": 2, "slow": 1, "listing": 2}
"""Queued or under way. A second listing waits in the queue. Of live and returning ones three are under way at once, as
dagster.yaml lets them: so returning ones leave a place to news."""
MAILBOXES_A_RUN: Mapping[SyncKind, int] = {"live": 40, "returning": 40, "slow": 5, "listing": 10}
"""Five of a run are side by side (assets.py): all slow ones; a live run walks through many that take a second each."""

SHARED_FROM = 10
"""So many mailboxes, or more, that began to fail within SHARED_WITHIN of each other had one outage in common. Fewer go
through the runs of slow ones within a minute or two."""
SHARED_WITHIN = timedelta(minutes=2)
"""An outage of Google shows in all mailboxes within a few rounds of polls; one of Postgres at once."""


class Part(NamedTuple):
    """Mailboxes of one run."""

    kind: SyncKind
    aliases: list[str]


def askable(
    targets: Sequence[SyncTarget], failures: Mapping[str, WorkFailure], *, partitions: Collection[str], now: datetime
) -> list[SyncTarget]:
    """Accounts that may be polled now.

    One that must be reconnected is polled when its next try is due, so that it comes back by itself. One whose sync
    failed for a lasting reason is polled all the same: new mail is a reason to try again.
    """
    return [target for target in targets if target.alias in partitions and _is_askable(target, failures, now)]


def reconnected(targets: Iterable[SyncTarget], failures: Mapping[str, WorkFailure]) -> list[str]:
    """Units of mailboxes that a person has connected again: active, although their login was refused last.

    What refuses a login makes the account needs_reauth before the failure is written down (mailbox_failures.py).
    """
    units = [f"mailbox:{target.alias}" for target in targets if target.status == "active"]
    return [unit for unit in units if unit in failures and failures[unit].failure_class == "auth"]


def _is_askable(target: SyncTarget, failures: Mapping[str, WorkFailure], now: datetime) -> bool:
    failure = failures.get(f"mailbox:{target.alias}")
    if target.status == "needs_reauth":
        return failure is None or may_be_tried(failure, now)
    if target.status != "active":
        return False
    clock_was_wrong = failure is not None and failure.failed_at > now + timedelta(minutes=1)
    if target.not_before is not None and target.not_before > now and not clock_was_wrong:
        return False
    if failure is None or may_be_tried(failure, now):
        return True
    return RETRIES[failure.failure_class].changes_count and failure.watermark is not None


def shared_failures(failures: Mapping[str, WorkFailure]) -> set[str]:
    """Units that began to fail together with many others: a common outage, which says nothing of any one of them.

    It counts when each began to fail, so that one that hung before the outage stays apart. A crash of a worker fails
    all mailboxes of its run, which one of them may have caused: such are shared only if several runs crashed, and not
    after another crash.
    """
    crashed = [one for one in failures.values() if one.failure_class == "crashed" and one.attempts == 1]
    runs = {one.run_id for one in crashed}
    found = [one for one in failures.values() if one.failure_class != "crashed"]
    found += crashed if len(runs) > 1 else []
    began = sorted(one.first_failed_at for one in found)

    def together(moment: datetime) -> int:
        return bisect_right(began, moment + SHARED_WITHIN) - bisect_left(began, moment - SHARED_WITHIN)

    return {one.unit for one in found if together(one.first_failed_at) >= SHARED_FROM}


def sync_kinds(
    due: Mapping[str, SyncTarget], failures: Mapping[str, WorkFailure], silent: Collection[str]
) -> dict[str, SyncKind]:
    """Which kind of run each mailbox belongs into. They have all answered a poll just now."""
    shared = shared_failures(failures)
    kinds: dict[str, SyncKind] = {}
    for alias, target in due.items():
        unit = f"mailbox:{alias}"
        has_failed = unit in failures or alias in silent or target.status == "needs_reauth"
        if has_failed and unit not in shared:
            kinds[alias] = "slow"
        elif target.live_history_id is None:
            kinds[alias] = "listing"
        else:
            kinds[alias] = "returning" if has_failed else "live"
    return kinds


def share_out(
    waiting: Mapping[str, SyncKind],
    *,
    progress: Mapping[str, int],
    unfinished: Mapping[SyncKind, int],
    go_on_after: Mapping[str, str],
) -> list[Part]:
    """Runs to request. `waiting`: mailboxes that no unfinished run covers, by kind; `unfinished`: runs by kind.

    Mailboxes that are known to be slow have a run of their own, and so have first listings and those that return from
    an outage: live news never wait for any of them. Of listings the least advanced go first; `go_on_after` names the
    last mailbox of each kind's last run.
    """
    parts = []
    for kind in MOST_RUNS:
        free = MOST_RUNS[kind] - unfinished.get(kind, 0)
        mine = in_circle([alias for alias, found in waiting.items() if found == kind], go_on_after.get(kind, "") + "\0")
        if kind == "listing":
            mine.sort(key=lambda alias: progress.get(alias, 0))
        size = MAILBOXES_A_RUN[kind]
        parts += [Part(kind, mine[n * size : (n + 1) * size]) for n in range(free) if mine[n * size :]]
    return parts
