"""Every sensor goes through the one helper: no cursor ever fails a tick, and no failure is forgotten."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterExecutionInterruptedError

from cheerful_pipelines.core.errors import AuthError, CheerfulError, PermanentError, ThrottledError, TransientError
from cheerful_pipelines.definitions import build_defs
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.orchestration.failures import as_failure, dagster_failures, run_failure
from cheerful_pipelines.orchestration.retries import DueWork, FailureClass, Work
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import REGISTERED, Cursor, Tick, read_cursor, work_tags
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.pipeline import Pipeline

DAMAGED = ["damaged", "{", "[]", '["2026-11-01T00:00:00", 7]', "12", '{"sensor":"another"}', '{"version":99}', "\u0000"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_every_sensor_is_made_by_the_helper() -> None:
    """One made by dg.sensor is in the definitions, and not here."""
    sensors = {sensor.name: sensor for sensor in build_defs().get_repository_def().sensor_defs}

    assert sensors.keys() == REGISTERED.keys()
    assert all(REGISTERED[name]._raw_fn is sensor._raw_fn for name, sensor in sensors.items())


def test_a_damaged_or_foreign_cursor_begins_again_in_every_sensor(pipeline: Pipeline) -> None:
    pipeline.register_partitions()
    for name, sensor in REGISTERED.items():
        for cursor in DAMAGED:
            wanted = {key: pipeline.resources[key] for key in sensor.required_resource_keys}
            context = dg.build_sensor_context(instance=pipeline.instance, cursor=cursor, resources=wanted)
            found: Any = sensor(context)
            kept = found.cursor if isinstance(found, dg.SensorResult) else context.cursor
            assert f'"sensor":"{name}"' in str(kept), (name, cursor)


HARMFUL = ("0001-01-01T00:00:00Z", "2026-11-01T00:00:00", -1, 10**30, "\u0000", {}, [])


@pytest.mark.parametrize("value", HARMFUL, ids=repr)
def test_no_field_of_a_cursor_can_hold_what_fails_its_sensors_ticks(pipeline: Pipeline, value: Any) -> None:
    """A damaged cursor may carry the right name: each field in turn holds what it should not."""
    pipeline.register_partitions()
    for name, sensor in REGISTERED.items():
        fields = set(_kept(pipeline, name, None)) | CURSOR_FIELDS.get(name, set()) | {"looked_at"}
        for field in fields - {"sensor", "version"}:
            assert _kept(pipeline, name, json.dumps({"sensor": name, field: value}))["sensor"] == sensor.name


CURSOR_FIELDS = {
    "gmail_changes": {"minute", "noted", "go_on_at", "not_reached", "silent", "synced"},
    "sheet_changes": {"go_on_at", "not_reached", "silent"},
    "portfolio": {"computed_at", "requested_at"},
    "alerts": {"event_id", "knows_old_failures"},
    "failed_schedules": {"seen_until"},
    "campaign_fanout": {"fingerprint", "minute"},
    "classifier_versions": {"evaluated"},
}


def _kept(pipeline: Pipeline, name: str, cursor: str | None) -> dict[str, Any]:
    sensor = REGISTERED[name]
    wanted = {key: pipeline.resources[key] for key in sensor.required_resource_keys}
    context = dg.build_sensor_context(instance=pipeline.instance, cursor=cursor, resources=wanted)
    found: Any = sensor(context)
    return dict(json.loads((found.cursor if isinstance(found, dg.SensorResult) else context.cursor) or "{}"))


def test_a_cursor_is_read_back_as_it_was_kept_and_another_sensors_begins_again() -> None:
    class Mine(Cursor):
        position: str = ""

    kept = Mine(sensor="mine", position="mia").model_dump_json()

    assert read_cursor(kept, Mine, "mine") == (Mine(sensor="mine", position="mia"), False)
    assert read_cursor(None, Mine, "mine") == (Mine(sensor="mine"), True)
    assert read_cursor(kept, Mine, "other") == (Mine(sensor="other"), True)


# --- what a run's end means for the next tick ---------------------------------------------------------------------


def _tick(instance: dg.DagsterInstance, cursor: Cursor | None = None) -> Tick[Cursor]:
    context = dg.build_sensor_context(instance=instance)
    return Tick(context, cursor or Cursor(sensor="x"), is_first=cursor is None, kinds=["campaign"])


def _run(instance: dg.DagsterInstance, error: BaseException | None, work: dict[str, str]) -> dg.DagsterRun:
    @dg.op
    def body() -> None:
        with dagster_failures():
            if error is not None:
                raise error

    @dg.job
    def job() -> None:
        body()

    try:
        result = job.execute_in_process(instance=instance, raise_on_error=False, tags=work_tags("campaign", work))
    except DagsterExecutionInterruptedError:
        (found,) = instance.get_runs(limit=1)
        return found
    return result.dagster_run


def _due(instance: dg.DagsterInstance, database: Database, *work: Work, cursor: Cursor | None = None) -> list[DueWork]:
    return _tick(instance, cursor).work(database, work)


SPRING = Work("campaign:spring", "7:1")
SUMMER = Work("campaign:summer", "3:1")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TransientError("reset"), "transient"), (ThrottledError("slow", retry_after_seconds=900), "throttled"),
        (AuthError("no"), "auth"), (PermanentError("gone"), "permanent"), (KeyError("bug"), "unknown"),
        (DagsterExecutionInterruptedError(), "interrupted"), (OSError(28, "No space left on device"), "transient"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_run_that_failed_is_written_down_once_and_asked_for_when_the_table_says_so(
    instance: dg.DagsterInstance, database: Database, error: BaseException, kind: FailureClass,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = _run(instance, error, {SPRING.unit: SPRING.watermark})

    first, second = _due(instance, database, SPRING, SUMMER), _due(instance, database, SPRING, SUMMER)

    failure = WorkFailureStore(database).failures()[SPRING.unit]
    assert (failure.failure_class, failure.attempts, failure.run_id) == (kind, 1, run.run_id)
    assert failure.watermark == SPRING.watermark
    assert first == second
    assert [one.unit for one in first] == ([SPRING.unit] if kind == "interrupted" else []) + [SUMMER.unit]
    later = failure.next_try_at + timedelta(seconds=1)
    monkeypatch.setattr(helper, "now", lambda: later)
    again = _due(instance, database, SPRING)
    assert [one.unit for one in again] == [SPRING.unit]
    assert run.run_id[:8] in again[0].key, "a key of its own, or Dagster would skip it"


def test_a_run_that_dagster_is_about_to_repeat_is_not_asked_for_too(
    instance: dg.DagsterInstance, database: Database
) -> None:
    """A stop interrupted it: Dagster's run retries say so in a tag, or that they gave up."""
    run = _run(instance, DagsterExecutionInterruptedError(), {SPRING.unit: SPRING.watermark})
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    assert _due(instance, database, SPRING) == []

    instance.add_run_tags(run.run_id, {"dagster/will_retry": "false"})
    assert [one.unit for one in _due(instance, database, SPRING)] == [SPRING.unit]


def test_a_retry_of_dagsters_that_never_begins_is_taken_over_with_a_key_that_no_run_had(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks go on meanwhile: the failed run must not fall out of what they look at."""
    run = _run(instance, DagsterExecutionInterruptedError(), {SPRING.unit: SPRING.watermark})
    instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    real, cursor, found = helper.now(), Cursor(sensor="x"), list[DueWork]()
    for minutes in range(20):
        moment = real + timedelta(minutes=minutes)
        monkeypatch.setattr(helper, "now", lambda moment=moment: moment)
        tick = _tick(instance, cursor)
        found = tick.work(database, [SPRING])
        cursor = tick.cursor
        if found:
            break

    assert minutes == 15
    assert run.run_id[:8] in found[0].key
    assert WorkFailureStore(database).failures()[SPRING.unit].run_id == run.run_id


def test_work_whose_run_ended_unnoticed_has_another_key_a_minute_later(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its mailbox did not answer for a while, or a person deleted the run: nothing tells of the first request."""
    (first,) = _due(instance, database, SPRING)
    later = helper.now() + timedelta(minutes=5)
    monkeypatch.setattr(helper, "now", lambda: later)
    (second,) = _due(instance, database, SPRING)

    assert first.key != second.key, "Dagster would skip it until the day ends"


def test_what_is_repaired_is_asked_for_at_once_and_its_failed_run_is_not_written_down_again(
    instance: dg.DagsterInstance, database: Database
) -> None:
    run = _run(instance, AuthError("refused"), {SPRING.unit: SPRING.watermark})
    assert _due(instance, database, SPRING) == []

    tick = _tick(instance)
    tick.make_due(database, [SPRING.unit])
    (found,) = tick.work(database, [SPRING])

    assert run.run_id[:8] in found.key
    kept = WorkFailureStore(database).failures()[SPRING.unit]
    assert (kept.run_id, kept.attempts, kept.next_try_at) == (run.run_id, 1, tick.now)


def test_no_run_key_is_used_twice_however_often_work_is_repaired_and_ends_unnoticed(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ticks that do not look at this unit go on, so that the ends of its later runs are never looked at."""
    real, keys = helper.now(), list[str]()
    _run(instance, AuthError("refused"), {SPRING.unit: SPRING.watermark})
    _due(instance, database, SPRING)
    for hours in range(1, 6):
        later = real + timedelta(hours=hours)
        monkeypatch.setattr(helper, "now", lambda later=later: later)
        tick = _tick(instance, Cursor(sensor="x", looked_at=later))
        tick.make_due(database, [SPRING.unit])
        keys += [one.key for one in tick.work(database, [SPRING])]
        _run(instance, AuthError("refused"), {SPRING.unit: SPRING.watermark})

    assert len(keys) == 5
    assert len(set(keys)) == 5, "Dagster would skip the repaired work for ever"


def test_after_the_clock_was_set_back_a_unit_that_fails_still_waits(
    instance: dg.DagsterInstance, database: Database
) -> None:
    store = WorkFailureStore(database)
    store.record(SPRING.unit, "unknown", at=helper.now() + timedelta(hours=1), run_id="an earlier one", watermark="7:1")
    assert [one.unit for one in _due(instance, database, SPRING)] == [SPRING.unit], "it delays nothing"

    run = _run(instance, KeyError("bug"), {SPRING.unit: SPRING.watermark})

    assert _due(instance, database, SPRING) == [], "or it would be repeated in each tick of that hour"
    assert store.failures()[SPRING.unit].run_id == run.run_id


def test_a_crashed_and_a_canceled_run_are_told_apart(instance: dg.DagsterInstance) -> None:
    @dg.job
    def job() -> None:
        pass

    crashed, canceled = instance.create_run_for_job(job), instance.create_run_for_job(job)
    instance.report_run_failed(crashed, "the worker was lost")
    instance.report_run_canceled(canceled)

    def kind(run: dg.DagsterRun) -> str:
        found = instance.get_run_by_id(run.run_id)
        assert found is not None
        return run_failure(instance, found).failure_class

    assert (kind(crashed), kind(canceled)) == ("crashed", "interrupted")


def test_of_a_run_over_many_only_those_that_it_names_have_failed(
    instance: dg.DagsterInstance, database: Database
) -> None:
    failure = as_failure(TransientError("reset"), allow_retries=False, failed_units={SUMMER.unit: "permanent"})
    _run(instance, failure, {SPRING.unit: SPRING.watermark, SUMMER.unit: SUMMER.watermark})

    due = _due(instance, database, SPRING, SUMMER)

    assert [one.unit for one in due] == [SPRING.unit]
    assert {unit: found.failure_class for unit, found in WorkFailureStore(database).failures().items()} == {
        SUMMER.unit: "permanent"
    }


def test_a_unit_that_is_up_to_date_has_no_failure(instance: dg.DagsterInstance, database: Database) -> None:
    _run(instance, PermanentError("gone"), {SPRING.unit: SPRING.watermark})
    tick = _tick(instance)
    assert tick.work(database, [SPRING]) == []

    _tick(instance, tick.cursor).work(database, [], up_to_date=[SPRING.unit])

    assert WorkFailureStore(database).failures() == {}


def test_work_that_a_run_covers_waits_for_its_end(instance: dg.DagsterInstance, database: Database) -> None:
    @dg.job
    def job() -> None:
        pass

    instance.create_run_for_job(
        job, tags=work_tags("campaign", {SPRING.unit: "6:1"}), status=dg.DagsterRunStatus.STARTED
    )

    assert [one.unit for one in _due(instance, database, SPRING, SUMMER)] == [SUMMER.unit]


def test_a_run_that_ended_well_and_left_its_work_undone_is_followed_by_another_later(
    instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(instance, None, {SPRING.unit: SPRING.watermark})
    real = helper.now()

    assert _due(instance, database, SPRING) == [], "what it has done shows in a moment"
    assert [one.unit for one in _due(instance, database, Work(SPRING.unit, "8:1"))] == [SPRING.unit], "new work"
    monkeypatch.setattr(helper, "now", lambda: real + timedelta(minutes=2))
    assert _due(instance, database, SPRING) == []
    monkeypatch.setattr(helper, "now", lambda: real + timedelta(minutes=8))
    assert [one.unit for one in _due(instance, database, SPRING)] == [SPRING.unit]


def test_every_error_of_ours_has_a_class() -> None:
    from cheerful_pipelines.orchestration.failures import failure_class_of
    from cheerful_pipelines.orchestration.retries import FAILURE_CLASSES

    def all_of(kind: type[CheerfulError]) -> Iterator[type[CheerfulError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from all_of(child)

    for kind in all_of(CheerfulError):
        found = kind("x", reason_code="x") if kind.__name__ == "PoisonError" else kind("x")  # type: ignore[call-arg]
        assert failure_class_of(found) in FAILURE_CLASSES
        assert failure_class_of(found) != "unknown"


def test_a_failure_that_was_cleared_is_not_written_down_again_from_its_old_run(
    instance: dg.DagsterInstance, database: Database
) -> None:
    """The reason was repaired and the unit is up to date: news a minute later do not wait for the old failure."""
    _run(instance, AuthError("no"), {SPRING.unit: SPRING.watermark})
    tick = _tick(instance)
    assert tick.work(database, [SPRING]) == []
    tick = _tick(instance, tick.cursor)
    tick.work(database, [], up_to_date=[SPRING.unit])

    found = _tick(instance, tick.cursor).work(database, [Work(SPRING.unit, "8:1")])

    assert [one.unit for one in found] == [SPRING.unit]
    assert WorkFailureStore(database).failures() == {}
