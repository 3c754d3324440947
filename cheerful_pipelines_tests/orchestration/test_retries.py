"""The retry table: a lasting failure never becomes a busy loop, and a repair is never followed by silence."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.orchestration.retries import (
    FAILURE_CLASSES,
    RETRIES,
    FailureClass,
    Work,
    WorkFailure,
    due,
    keys_hash,
    may_be_tried,
    wait_after,
)

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
CLASSES = st.sampled_from(FAILURE_CLASSES)


def failed(
    kind: FailureClass, at: datetime = NOW, *, attempts: int = 1, unit: str = "mailbox:mia",
    watermark: str | None = "1", changes_failed: int = 0,
) -> WorkFailure:  # fmt: skip
    return WorkFailure(
        unit=unit, user_id=None, failure_class=kind, error="E", attempts=attempts, first_failed_at=at, failed_at=at,
        next_try_at=at + wait_after(kind, attempts), run_id=f"run-{attempts:04d}", watermark=watermark, summary="",
        changes_failed=changes_failed, what_to_do="",
    )  # fmt: skip


def _runs_in(time: timedelta, kind: FailureClass, *, news_every: timedelta | None = None) -> int:
    """Runs of a unit that always fails, looked at every five seconds, while its watermark may change."""
    at, runs, failure = NOW, 0, None
    while at < NOW + time:
        watermark = str((at - NOW) // news_every) if news_every else "1"
        if due([Work("mailbox:mia", watermark)], {"mailbox:mia": failure} if failure else {}, at):
            runs += 1
            is_changed = failure is not None and failure.watermark != watermark
            changes = failure.changes_failed + 1 if failure is not None and is_changed else 0
            failure = failed(kind, at, attempts=runs, watermark=watermark, changes_failed=changes)
        at += timedelta(seconds=5)
    return runs


@pytest.mark.parametrize(
    ("kind", "quiet", "with_news"),
    [
        ("transient", 721, 721), ("throttled", 150, 150), ("auth", 24, 24), ("permanent", 1, 12), ("crashed", 60, 60),
        ("unclear", 150, 160), ("interrupted", 160, 160), ("unknown", 9, 18),
    ],
)  # fmt: skip
def test_a_failure_that_lasts_a_day_costs_a_bounded_number_of_runs(
    kind: FailureClass, quiet: int, with_news: int
) -> None:
    assert 1 <= _runs_in(timedelta(days=1), kind) <= quiet
    assert _runs_in(timedelta(days=1), kind, news_every=timedelta(minutes=1)) <= with_news


@given(CLASSES, st.integers(1, 10_000))
@settings(deadline=None)
def test_a_wait_never_shrinks_and_never_passes_its_limit(kind: FailureClass, attempts: int) -> None:
    assert wait_after(kind, attempts) <= wait_after(kind, attempts + 1) <= max(RETRIES[kind].longest, timedelta(0))
    assert wait_after(kind, attempts) <= timedelta(days=1)


@pytest.mark.parametrize("attempts", [1, 2, 3, 50, 5_000])
def test_what_passes_is_tried_within_three_minutes_of_a_repair_however_long_it_lasted(attempts: int) -> None:
    assert wait_after("transient", attempts) < timedelta(minutes=3)
    assert wait_after("interrupted", 1) == timedelta(0)


@given(CLASSES, st.integers(1, 100))
@settings(deadline=None)
def test_no_failure_silences_a_unit_for_more_than_a_day(kind: FailureClass, attempts: int) -> None:
    assert may_be_tried(failed(kind, attempts=attempts), NOW + timedelta(days=1))


@given(
    st.lists(st.tuples(st.sampled_from("abcdef"), CLASSES), unique_by=lambda one: one[0]),
    st.sets(st.sampled_from("abcdef")),
)
@settings(deadline=None)
def test_a_failure_of_one_unit_never_holds_up_another(
    failing: list[tuple[str, FailureClass]], wanted: set[str]
) -> None:
    failures = {unit: failed(kind, unit=unit) for unit, kind in failing}
    found = {one.unit for one in due([Work(unit, "1") for unit in sorted(wanted)], failures, NOW)}

    assert wanted - set(failures) <= found
    assert found - set(failures) == wanted - set(failures)


def test_the_first_change_after_a_lasting_failure_is_tried_at_once_and_later_ones_wait() -> None:
    first, soon = failed("permanent", attempts=9), NOW + timedelta(seconds=5)
    again = failed("permanent", attempts=10, changes_failed=1)
    often = failed("permanent", attempts=14, changes_failed=5)

    assert not may_be_tried(first, soon, watermark="1")
    assert may_be_tried(first, soon, watermark="2"), "however often the unchanged work failed"
    assert not may_be_tried(again, soon, watermark="2"), "the change before it repaired nothing"
    assert may_be_tried(again, NOW + timedelta(minutes=1), watermark="2")
    assert not may_be_tried(often, NOW + timedelta(minutes=15), watermark="2")
    assert may_be_tried(often, NOW + timedelta(minutes=16), watermark="2")
    assert not may_be_tried(failed("auth"), soon, watermark="2"), "new mail repairs no access"


def test_a_failure_written_while_the_clock_was_an_hour_ahead_delays_nothing() -> None:
    assert may_be_tried(failed("transient", NOW + timedelta(hours=1)), NOW)


def test_each_attempt_has_a_run_key_of_its_own() -> None:
    work = [Work("mailbox:mia", "1")]
    keys = [due(work, {}, NOW)[0].key]
    for attempts in range(1, 5):
        failure = failed("transient", attempts=attempts)
        keys.append(due(work, {failure.unit: failure}, NOW + timedelta(minutes=3))[0].key)

    assert len(set(keys)) == len(keys)
    after = due(work, {}, NOW)[0].after("abcdefgh-1")
    assert after.key != keys[0]
    assert keys_hash([after]) != keys_hash(due(work, {}, NOW))
