"""After a common outage all mailboxes are back within minutes, and one that keeps hanging stays by itself."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from cheerful_pipelines.mail.gmail.assets import LIVE_SECONDS, MAILBOXES_AT_ONCE
from cheerful_pipelines.mail.gmail.turns import SHARED_FROM, Part, askable, share_out, shared_failures, sync_kinds
from cheerful_pipelines.mail.models import SyncTarget
from cheerful_pipelines.orchestration.retries import FailureClass, WorkFailure, wait_after

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
OUTAGE = timedelta(minutes=10)
LIVE_PLACES = 3
"""Of live and returning runs together, as in dagster.yaml."""
SECONDS_TO_START = 8.0
SECONDS_A_MAILBOX = 1.5


def failed(
    alias: str, began: datetime, *, at: datetime | None = None, kind: FailureClass = "transient", attempts: int = 1,
    run_id: str | None = None,
) -> WorkFailure:  # fmt: skip
    at = at or began
    return WorkFailure(
        unit=f"mailbox:{alias}", user_id=None, failure_class=kind, error="E", attempts=attempts, first_failed_at=began,
        failed_at=at, next_try_at=at + wait_after(kind, attempts), run_id=run_id, watermark="1", summary="",
        what_to_do="",
    )  # fmt: skip


def by_unit(*failures: WorkFailure) -> dict[str, WorkFailure]:
    return {one.unit: one for one in failures}


def target(alias: str) -> SyncTarget:
    return SyncTarget(alias=alias, status="active", not_before=None, live_history_id=5, first_needed=None)


class Run:
    """One run over mailboxes: five side by side, one of which may hang until its time is over."""

    def __init__(self, part: Part, began: datetime, hanging: set[str]) -> None:
        self.part = part
        workers = [SECONDS_TO_START] * MAILBOXES_AT_ONCE
        self.done: dict[str, datetime] = {}
        for alias in part.aliases:
            n = workers.index(min(workers))
            workers[n] += LIVE_SECONDS if alias in hanging else SECONDS_A_MAILBOX
            self.done[alias] = began + timedelta(seconds=workers[n])
        self.ends = began + timedelta(seconds=max(workers))


class Fleet:
    """Mailboxes with news all the time, on a clock of their own: the sensor's decisions, and runs that take time."""

    def __init__(self, aliases: list[str], failures: Mapping[str, WorkFailure], hanging: set[str]) -> None:
        self.targets = {alias: target(alias) for alias in aliases}
        self.failures, self.hanging = dict(failures), hanging
        self.under_way: list[Run] = []
        self.queued: list[Part] = []
        self.after: dict[str, str] = {}
        self.requested: dict[str, list[tuple[datetime, Part]]] = {alias: [] for alias in aliases}
        self.synced: dict[str, datetime] = {}

    def tick(self, now: datetime) -> None:
        self._end_runs(now)
        covered = {alias for part in [*self.queued, *(run.part for run in self.under_way)] for alias in part.aliases}
        ready = askable(list(self.targets.values()), self.failures, partitions=self.targets, now=now)
        due = {one.alias: one for one in ready if one.alias not in covered}
        unfinished: dict[str, int] = {}
        for part in [*self.queued, *(run.part for run in self.under_way)]:
            unfinished[part.kind] = unfinished.get(part.kind, 0) + 1
        parts = share_out(
            sync_kinds(due, self.failures, ()), progress={}, unfinished=unfinished,  # type: ignore[arg-type]
            go_on_after=self.after,
        )  # fmt: skip
        for part in parts:
            self.after[part.kind] = part.aliases[-1]
            for alias in part.aliases:
                self.requested[alias].append((now, part))
        self.queued += parts
        self._begin_runs(now)

    def _end_runs(self, now: datetime) -> None:
        for run in [one for one in self.under_way if one.ends <= now]:
            self.under_way.remove(run)
            for alias, at in run.done.items():
                before = self.failures.get(f"mailbox:{alias}")
                if alias not in self.hanging:
                    self.synced.setdefault(alias, at)
                    self.failures.pop(f"mailbox:{alias}", None)
                else:
                    began, attempts = (before.first_failed_at, before.attempts + 1) if before else (at, 1)
                    self.failures[f"mailbox:{alias}"] = failed(alias, began, at=at, attempts=attempts, run_id="r")

    def _begin_runs(self, now: datetime) -> None:
        for part in list(self.queued):  # in their order: they have the same priority
            is_live = part.kind in ("live", "returning")
            places = sum((run.part.kind in ("live", "returning")) == is_live for run in self.under_way)
            if places < (LIVE_PLACES if is_live else 1):
                self.queued.remove(part)
                self.under_way.append(Run(part, now, self.hanging))


@given(seed=st.integers(0, 10_000), hung_before=st.booleans())
@options(max_examples=12, deadline=None)
def test_120_mailboxes_that_failed_together_are_all_asked_for_within_three_minutes_of_the_repair(
    seed: int, hung_before: bool
) -> None:
    chance = random.Random(seed)  # a list of 240 numbers would be shrunk for minutes
    aliases = [f"m{number:03d}" for number in range(120)]
    repaired = START + OUTAGE
    failures = by_unit(
        *(
            failed(
                alias,
                START + timedelta(seconds=chance.randint(0, 150)),
                at=repaired - timedelta(seconds=chance.choice([0, chance.randint(0, 119)])),
                attempts=5,
            )
            for alias in aliases
        )
    )
    slow = "m060"
    if hung_before:
        failures |= by_unit(failed(slow, START - timedelta(hours=1), at=repaired - timedelta(seconds=30), attempts=20))
    fleet = Fleet(aliases, failures, {slow})
    for second in range(0, 900, 5):
        fleet.tick(repaired + timedelta(seconds=second))

    healthy = set(aliases) - {slow}
    assert all(fleet.requested[alias][0][0] - repaired <= timedelta(minutes=3) for alias in aliases)
    assert all(fleet.synced[alias] - repaired <= timedelta(minutes=4) for alias in healthy)
    with_others = [part for _, part in fleet.requested[slow] if len(part.aliases) > 1]
    assert len(with_others) <= (0 if hung_before else 1), "once failed by itself again, it stays by itself"
    assert {part.kind for _, part in fleet.requested[slow][1:]} <= {"slow"}
    last = repaired + timedelta(seconds=300)
    for alias in healthy:
        asked = [at for at, _ in fleet.requested[alias] if at >= last]
        gaps = [later - earlier for earlier, later in zip([last, *asked], asked, strict=False)]
        assert asked
        assert max(gaps) <= timedelta(seconds=30), "the one that hangs delays nobody's news"


def test_few_that_fail_together_and_many_that_fail_one_after_the_other_are_slow() -> None:
    few = by_unit(*(failed(f"m{number}", START) for number in range(SHARED_FROM - 1)))
    spread = by_unit(*(failed(f"m{number}", START + timedelta(minutes=number)) for number in range(60)))
    many = by_unit(*(failed(f"m{number}", START + timedelta(seconds=number)) for number in range(SHARED_FROM)))

    assert shared_failures(few) == set()
    assert shared_failures(spread) == set()
    assert shared_failures(many) == set(many)


def test_a_crash_of_one_run_is_no_outage_and_one_of_several_is_so_once() -> None:
    def crashed(*runs: str, attempts: int = 1) -> dict[str, WorkFailure]:
        return by_unit(
            *(
                failed(f"m{number}", START, kind="crashed", run_id=runs[number % len(runs)], attempts=attempts)
                for number in range(40)
            )
        )

    assert shared_failures(crashed("a")) == set(), "one of its mailboxes may have caused it"
    assert len(shared_failures(crashed("a", "b", "c"))) == 40, "Postgres was away"
    assert shared_failures(crashed("a", "b", attempts=2)) == set()


def test_a_first_listing_after_an_outage_stays_among_listings() -> None:
    aliases = [f"m{number}" for number in range(SHARED_FROM)]
    failures = by_unit(*(failed(alias, START) for alias in aliases))
    due = {alias: target(alias) for alias in aliases} | {
        "m0": target("m0").model_copy(update={"live_history_id": None})
    }

    kinds = sync_kinds({**due, "new": target("new")}, failures, ())

    assert (kinds["m0"], kinds["m1"], kinds["new"]) == ("listing", "returning", "live")
