"""What is told of failures: old ones that nobody repaired, units of work, sensors whose ticks fail, silent daemons."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._daemon.types import DaemonHeartbeat
from dagster_shared.error import SerializableErrorInfo
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.operations.alerts.alert_store import AlertStore
from cheerful_pipelines.operations.alerts.notify import body
from cheerful_pipelines.operations.alerts.troubles import ALERT_RULES, severity_of, troubles
from cheerful_pipelines.operations.automation_state import failing_ticks, silent_daemons
from cheerful_pipelines.operations.failed_work import failed_work
from cheerful_pipelines.operations.health import headline, health_report, signs
from cheerful_pipelines.operations.models import Trouble
from cheerful_pipelines.operations.sensors import alerts
from cheerful_pipelines.orchestration.retries import FAILURE_CLASSES, FailureClass
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import work_tags
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account

NOW = datetime.now(UTC)
IN_TEN_DAYS = NOW + timedelta(days=10)
SPRING, AUTUMN = "spring", "autumn"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions("campaign", [SPRING, AUTUMN])
        yield found


@dg.job
def count() -> None:
    """Some work of a campaign."""


@dg.op
def refuse() -> None:
    raise dg.Failure("The sheet of spring may not be read.", allow_retries=False)


@dg.job(partitions_def=dg.DynamicPartitionsDefinition(name="campaign"))
def failing() -> None:
    """Some work that fails for good."""
    refuse()


def complete(database: Database, slug: str) -> None:
    """End a campaign."""
    with database.transaction() as connection:
        connection.execute(sa.text("update campaign set status = 'COMPLETED' where slug = :slug"), {"slug": slug})


def a_run(instance: dg.DagsterInstance, partition: str, *, fails: bool, **tags: str) -> str:
    """One finished run."""
    status = dg.DagsterRunStatus.FAILURE if fails else dg.DagsterRunStatus.SUCCESS
    time.sleep(0.002)  # runs are ordered by the time of their change
    return instance.create_run_for_job(count, status=status, tags={"dagster/partition": partition, **tags}).run_id


# --- what failed and was not repaired ------------------------------------------------------------------------------


@pytest.mark.parametrize("remembers", [False, True])
def test_what_failed_ten_days_ago_stays_failed_until_it_succeeds(instance: dg.DagsterInstance, remembers: bool) -> None:
    run_id = a_run(instance, SPRING, fails=True)
    remembered = [run_id] if remembers else None

    (found,) = failed_work(instance, IN_TEN_DAYS, remembered=remembered)
    assert (found.partition, found.run_id) == (SPRING, run_id)

    a_run(instance, AUTUMN, fails=False)
    assert len(failed_work(instance, IN_TEN_DAYS, remembered=remembered)) == 1, "another campaign repairs nothing"

    a_run(instance, SPRING, fails=False)
    assert failed_work(instance, IN_TEN_DAYS, remembered=remembered) == []


events = st.lists(st.tuples(st.sampled_from([SPRING, AUTUMN]), st.booleans(), st.booleans()), max_size=7)


@given(events)
@options(max_examples=6, deadline=None)
def test_what_is_remembered_between_looks_is_always_all_that_is_unrepaired(
    happened: list[tuple[str, bool, bool]],
) -> None:
    """Whatever runs end and whenever somebody looks: all of it is still known ten days later."""
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaign", [SPRING, AUTUMN])
        truth: dict[str, str] = {}
        remembered: set[str] = set()
        for partition, fails, looks in [*happened, (SPRING, True, True)]:
            run_id = a_run(instance, partition, fails=fails)
            truth.pop(partition, None)
            if fails:
                truth[partition] = run_id
            if looks:
                found = failed_work(instance, datetime.now(UTC), remembered=remembered)
                remembered = {one.run_id for one in found}
                assert remembered == set(truth.values())
        for known in (remembered, None):
            later = failed_work(instance, IN_TEN_DAYS, remembered=known)
            assert {one.run_id for one in later} == set(truth.values())


class Switch:
    fails = True


def test_materializing_the_partition_by_whichever_run_repairs_it(instance: dg.DagsterInstance) -> None:
    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name="campaign"))
    def numbers() -> None:
        if Switch.fails:
            raise dg.Failure("The sheet of spring may not be read.", allow_retries=False)

    job = dg.define_asset_job("campaign_count", selection=[numbers])
    defs = dg.Definitions(assets=[numbers], jobs=[job])
    Switch.fails = True
    defs.resolve_job_def("campaign_count").execute_in_process(
        partition_key=SPRING, instance=instance, raise_on_error=False
    )
    (found,) = failed_work(instance, IN_TEN_DAYS)
    assert found.words == "The sheet of spring may not be read."

    Switch.fails = False
    dg.materialize([numbers], partition_key=SPRING, instance=instance)  # a person, from the asset's page

    assert failed_work(instance, IN_TEN_DAYS) == []


def test_what_is_gone_is_not_told_of(instance: dg.DagsterInstance, database: Database, settings: Settings) -> None:
    deleted, kept = a_run(instance, AUTUMN, fails=True), a_run(instance, SPRING, fails=True)

    instance.delete_dynamic_partition("campaign", AUTUMN)
    assert [one.run_id for one in failed_work(instance, IN_TEN_DAYS)] == [kept]

    instance.add_dynamic_partitions("campaign", [AUTUMN])
    instance.delete_run(deleted)
    assert [one.run_id for one in failed_work(instance, IN_TEN_DAYS, remembered=[deleted, kept])] == [kept], "purged"

    spring = a_campaign(database, senders=())
    failed = failed_work(instance, IN_TEN_DAYS)
    assert len(health_report(settings, database, failed).failed) == 1
    complete(database, spring.slug)
    assert health_report(settings, database, failed).failed == ()


def test_runs_of_sensors_are_told_of_by_their_unit_alone(instance: dg.DagsterInstance) -> None:
    a_run(instance, SPRING, fails=True, **work_tags("campaign", {"campaign:spring": "7"}))
    assert failed_work(instance, NOW) == []


def test_an_alert_on_old_work_is_open_until_the_success_and_resolved_once(
    instance: dg.DagsterInstance, database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = failing.execute_in_process(partition_key=SPRING, instance=instance, raise_on_error=False).run_id
    cursor = _tick(instance, database, settings, None)
    store = AlertStore(database)
    assert store.open_run_ids("failed_run") == [run_id]

    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return IN_TEN_DAYS

    monkeypatch.setattr("cheerful_pipelines.operations.sensors.datetime", Later)
    cursor = _tick(instance, database, settings, cursor)
    assert store.open_run_ids("failed_run") == [run_id], "ten days later"

    instance.create_run_for_job(failing, status=dg.DagsterRunStatus.SUCCESS, tags={"dagster/partition": SPRING})
    _tick(instance, database, settings, cursor)
    assert store.standing() == []


def _tick(instance: dg.DagsterInstance, database: Database, settings: Settings, cursor: str | None) -> str | None:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": database, "settings": settings}
    )
    alerts(context)
    return context.cursor


# --- units of work -------------------------------------------------------------------------------------------------


def _of_units(database: Database, settings: Settings) -> dict[str, Trouble]:
    found = troubles(health_report(settings, database, ()), lag_minutes=60)
    return {one.key: one for one in found if one.kind == "failing_unit"}


def test_each_failing_unit_is_one_alert_with_everything_a_person_needs(database: Database, settings: Settings) -> None:
    a_campaign(database, senders=())
    store, since = WorkFailureStore(database), datetime.now(UTC) - timedelta(hours=3)
    for number in range(2):
        store.record(
            "sheet:spring", "auth", at=since + timedelta(hours=number), error="AuthError",
            summary="The spreadsheet s-1 is not shared with us.", what_to_do="Press Share.", run_id=f"run-{number}",
        )  # fmt: skip

    (found,) = _of_units(database, settings).values()

    assert found.words == "Sheet spring fails (auth, attempt 2): The spreadsheet s-1 is not shared with us."
    assert found.what_to_do.startswith("Press Share. Next try ")
    assert (found.severity, found.since, found.run_id) == ("error", since, "run-1")
    AlertStore(database).open(found, now=NOW)
    text = body(AlertStore(database).changes_for("log"), "https://cheerful.example/")
    assert "NEW error: Sheet spring fails" in text
    assert f"since {since:%Y-%m-%d %H:%M} UTC" in text
    assert "https://cheerful.example/runs/run-1" in text
    assert "sheet:spring: auth, attempt 2" in signs(health_report(settings, database, ()))[0]

    store.clear(["sheet:spring"])
    assert _of_units(database, settings) == {}


def test_units_that_nobody_works_on_any_more_are_not_told_of(database: Database, settings: Settings) -> None:
    account, spring = an_account(database), a_campaign(database)
    store = WorkFailureStore(database)
    for unit in (
        "mailbox:mia", "mailbox:gone", "reconcile:gone", "campaign:spring", "campaign:gone", "sheet:gone",
        "batch:spring:7", "batch:gone:8",
    ):  # fmt: skip
        store.record(unit, "unknown", at=NOW, summary="KeyError; the log of the run says where.")
    report = health_report(settings, database, ())
    assert set(_of_units(database, settings)) == {"unit mailbox:mia", "unit campaign:spring", "unit batch:spring:7"}
    assert headline(report)["failing_units"] == 3

    CampaignStore(database).set_account_status(account.id, status="paused", reason="by hand")
    complete(database, spring.slug)
    assert _of_units(database, settings) == {}


def test_a_mailbox_to_reconnect_is_one_alert_and_not_two(database: Database, settings: Settings) -> None:
    account = an_account(database)
    WorkFailureStore(database).record("mailbox:mia", "auth", at=NOW, summary="Google refused the account.")
    CampaignStore(database).set_account_status(account.id, status="needs_reauth", reason="revoked")
    found = troubles(health_report(settings, database, ()), lag_minutes=60)
    assert [one.kind for one in found] == ["reauthorisation"]


@pytest.mark.parametrize("failure_class", FAILURE_CLASSES)
@given(attempts=st.integers(1, 50), minutes=st.integers(0, 3_000))
@options(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_blips_are_no_alert_lasting_failures_are_at_once_and_interruptions_never(
    failure_class: FailureClass, attempts: int, minutes: int
) -> None:
    told = severity_of(failure_class, attempts=attempts, since=NOW, now=NOW + timedelta(minutes=minutes))
    if failure_class == "interrupted":
        assert told is None
    elif failure_class in ("auth", "permanent", "unknown"):
        assert told == "error"
    else:
        rule = ALERT_RULES[failure_class]
        assert rule is not None
        assert (told is None) == (attempts < rule.attempts and timedelta(minutes=minutes) < rule.after)
        assert severity_of(failure_class, attempts=1, since=NOW, now=NOW) is None


# --- sensors and daemons -------------------------------------------------------------------------------------------

ORIGIN = RemoteInstigatorOrigin(
    RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("127.0.0.1", 4500, location_name="cheerful"), "__repository__"),
    "gmail_changes",
)


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance on files, which knows one sensor."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as found:
        state = InstigatorState(
            ORIGIN, InstigatorType.SENSOR, InstigatorStatus.DECLARED_IN_CODE, SensorInstigatorData()
        )
        found.add_instigator_state(state)
        yield found


def a_tick(instance: dg.DagsterInstance, status: TickStatus, at: datetime, error: Any = None) -> None:
    tick = TickData(
        ORIGIN.get_id(), "gmail_changes", InstigatorType.SENSOR, status, at.timestamp(), error=error,
        selector_id=ORIGIN.get_selector().get_id(), run_ids=[], run_keys=[],
    )  # fmt: skip
    instance.create_tick(tick)


def an_error(cls_name: str, message: str, cause: Any = None) -> SerializableErrorInfo:
    return SerializableErrorInfo(f"{cls_name}: {message}\n", [], cls_name, cause=cause)


OURS = an_error("SensorExecutionError", "in gmail_changes",
                an_error("cheerful_pipelines.core.errors.TransientError", "The database is away."))  # fmt: skip
OURS = OURS._replace(cause=an_error("TransientError", "The database is away."))
FOREIGN = an_error("SensorExecutionError", "in gmail_changes", an_error("ValueError", "Dear Ava <ava@creator.example>"))


def test_a_sensor_whose_ticks_fail_is_told_of_with_since_when_and_without_private_words(
    stored: dg.DagsterInstance, database: Database, settings: Settings
) -> None:
    a_tick(stored, TickStatus.SKIPPED, NOW - timedelta(minutes=9))
    assert failing_ticks(stored) == []
    for minutes in (8, 7, 6):
        a_tick(stored, TickStatus.FAILURE, NOW - timedelta(minutes=minutes), FOREIGN)

    (found,) = failing_ticks(stored)
    assert (found.name, found.kind, found.count, found.error) == ("gmail_changes", "sensor", 3, "ValueError")
    assert abs(found.since - (NOW - timedelta(minutes=8))) < timedelta(seconds=1)
    assert "Ava" not in found.words

    report = health_report(settings, database, (), failing_ticks=[found])
    (alert,) = troubles(report, lag_minutes=60)
    assert (alert.kind, alert.severity, alert.since) == ("failing_ticks", "critical", found.since)
    assert "gmail_changes" in alert.words
    assert signs(report)[0].startswith("sensor gmail_changes: 3 ticks failed since")

    a_tick(stored, TickStatus.STARTED, NOW - timedelta(minutes=4))
    assert len(failing_ticks(stored)) == 1, "a tick under way says nothing yet"
    a_tick(stored, TickStatus.SUCCESS, NOW - timedelta(minutes=3))
    assert failing_ticks(stored) == []


def test_an_error_of_ours_is_quoted_and_one_failing_tick_is_no_alert(
    stored: dg.DagsterInstance, database: Database, settings: Settings
) -> None:
    a_tick(stored, TickStatus.FAILURE, datetime.now(UTC), OURS)
    (found,) = failing_ticks(stored)
    assert (found.error, found.words) == ("TransientError", "The database is away.")
    assert troubles(health_report(settings, database, (), failing_ticks=[found]), lag_minutes=60) == []


def test_a_daemon_that_no_longer_beats_is_critical_and_one_that_never_ran_is_not_told_of(
    stored: dg.DagsterInstance, database: Database, settings: Settings
) -> None:
    assert silent_daemons(stored, NOW) == []
    stored.add_daemon_heartbeat(DaemonHeartbeat(NOW.timestamp(), "SENSOR", "d-1", []))
    assert silent_daemons(stored, NOW + timedelta(minutes=1)) == []

    later = NOW + timedelta(minutes=20)
    (found,) = silent_daemons(stored, later)
    (alert,) = troubles(health_report(settings, database, (), silent_daemons=[found]), lag_minutes=60)

    assert found.name == "SENSOR"
    assert (alert.kind, alert.severity) == ("daemon", "critical")
    assert abs((alert.since or NOW) - NOW) < timedelta(seconds=1)

    stored.add_daemon_heartbeat(DaemonHeartbeat(later.timestamp(), "SENSOR", "d-1", [FOREIGN]))
    (told,) = silent_daemons(stored, later)
    assert (told.error or "").startswith("ValueError")
    assert "Ava" not in (told.error or "")
