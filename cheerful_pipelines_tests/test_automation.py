"""Automation under a simulated clock: nothing is lost, nothing runs away, nothing is done twice.

The sensors are the real ones on a real database and a real Dagster instance; time, the daemon's run-key memory and
the outcome of runs are played. The last tests let Dagster's own daemon look, with its own rule for run keys.
"""

import itertools
import logging
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon import sensor as dagster_sensor_daemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._utils.schedules import schedule_execution_time_iterator

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.core.errors import AuthError, CheerfulError, PermanentError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.operations import schedule_sensors
from cheerful_pipelines.operations.dagster_state import checks_since
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.orchestration.failures import dagster_failures
from cheerful_pipelines.orchestration.retries import DueWork
from cheerful_pipelines.orchestration.run_retries import ended_at
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.refresh import bulk_refresh as refresh_module
from cheerful_pipelines.refresh import sensors as refresh_sensors
from cheerful_pipelines.refresh.bulk_refresh import bulk_campaign_refresh
from cheerful_pipelines.refresh.chain import CHAIN
from cheerful_pipelines.schedules import SCHEDULES, months_to_reconcile
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign_mark
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import CampaignPulse, ThreadStore
from cheerful_pipelines_tests import fan_out_location
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch

MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)


class Clock:
    """Stands in for `datetime` in a sensor's module."""

    def __init__(self) -> None:
        self.time = MIDNIGHT

    def now(self, _zone: object = None) -> datetime:
        return self.time


class Outcome:
    """How runs end for now: None is success."""

    error: CheerfulError | Exception | None = None


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions("campaign", ["spring"])
        yield found


class Daemon:
    """Ticks the fan-out, remembers run keys for ever as Dagster does, and runs what is asked for."""

    def __init__(
        self, instance: dg.DagsterInstance, room: Mailroom, campaign: Campaign, clock: Clock, outcome: Outcome,
        ended: list[datetime],
    ) -> None:  # fmt: skip
        self.instance, self.room, self.campaign, self.clock, self.outcome = instance, room, campaign, clock, outcome
        self.cursor: str | None = None
        self.run_keys: set[str] = set()
        self.runs: list[datetime] = []
        self.ended = ended  # when the newest run did, by the clock

        @dg.op
        def refresh() -> None:
            with dagster_failures():
                if outcome.error is not None:
                    raise outcome.error
                process_campaign(ThreadStore(room.database), room.blobs, campaign.slug)
                count_campaign(room.database, campaign.slug, of="news")

        @dg.job(name="campaign_refresh")
        def campaign_refresh() -> None:
            refresh()

        self.job = campaign_refresh

    def tick(self) -> None:
        """One look, and whatever it asks for."""
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"database": self.room.database}
        )
        found = refresh_sensors.campaign_fanout(context)
        self.cursor = context.cursor
        for request in found if isinstance(found, list) else []:
            if request.run_key in self.run_keys:
                continue
            self.run_keys.add(str(request.run_key))
            self.runs.append(self.clock.time)
            self.ended[0] = self.clock.time
            self.job.execute_in_process(instance=self.instance, tags=dict(request.tags), raise_on_error=False)

    def wait(self, time: timedelta, *, step: timedelta = timedelta(minutes=1)) -> None:
        """Tick through the time."""
        end = self.clock.time + time
        while self.clock.time < end:
            self.clock.time += step
            self.tick()

    @property
    def is_in_step(self) -> bool:
        """Whether every stored mail is processed and counted."""
        return all(not refresh_sensors.is_behind(pulse) for pulse in ThreadStore(self.room.database).pulses())


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


@pytest.fixture
def daemon(
    database: Database, blobs: BlobStore, instance: dg.DagsterInstance, mia: GmailAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> Daemon:  # fmt: skip
    clock = Clock()
    monkeypatch.setattr(helper, "now", clock.now)
    ended = [MIDNIGHT]
    monkeypatch.setattr(helper, "ended_at", lambda _record: ended[0])  # runs end by this clock
    monkeypatch.setattr(helper, "_OVERLAP", timedelta(days=10_000))
    monkeypatch.setattr(helper, "_MOST_RUNS", 1)
    room = Mailroom(database, blobs)
    spring = a_campaign(database)
    room.recipients(spring, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    return Daemon(instance, room, spring, clock, Outcome(), ended)


def _a_reply(daemon: Daemon, mia: GmailAccount, number: int) -> None:
    mail = answer("Hello again.", f"<r{number}@creator.example>").replying_to("<p1@brand.example>")
    daemon.room.receive(mia, mail, thread="t1")


@pytest.mark.parametrize(
    ("error", "most"),
    [(PermanentError("The sheet is gone."), 2), (AuthError("Revoked."), 25), (RuntimeError("a bug"), 10)],
    ids=repr,
)
def test_a_day_of_a_lasting_failure_costs_few_runs(daemon: Daemon, error: Exception, most: int) -> None:
    daemon.outcome.error = error

    daemon.wait(timedelta(days=1), step=timedelta(minutes=10))

    assert 1 <= len(daemon.runs) <= most
    assert not daemon.is_in_step
    daemon.outcome.error = None
    daemon.wait(timedelta(days=1), step=timedelta(minutes=10))
    assert daemon.is_in_step, "repaired, it is done by itself within a day"
    assert WorkFailureStore(daemon.room.database).failures() == {}


def test_what_fails_for_a_bug_and_then_gets_new_mail_is_tried_before_the_day_is_over(
    daemon: Daemon, mia: GmailAccount
) -> None:
    daemon.outcome.error = PermanentError("The sheet is gone.")
    daemon.wait(timedelta(minutes=30))
    daemon.outcome.error = None
    _a_reply(daemon, mia, 1)
    daemon.wait(timedelta(minutes=2))

    assert daemon.is_in_step


def test_passing_trouble_is_over_within_three_minutes_after_its_repair(daemon: Daemon) -> None:
    daemon.outcome.error = TransientError("The connection was reset.")
    daemon.wait(timedelta(hours=1))

    assert 25 <= len(daemon.runs) <= 31

    daemon.outcome.error = None
    daemon.wait(timedelta(minutes=3))
    assert daemon.is_in_step
    quiet = len(daemon.runs)
    daemon.wait(timedelta(minutes=30))
    assert len(daemon.runs) == quiet, "nothing new, nothing runs"


def test_a_month_of_mail_flapping_restarts_and_lost_cursors_loses_nothing_and_does_nothing_twice(
    daemon: Daemon, mia: GmailAccount
) -> None:
    """Thirty days in steps of twenty minutes, with the change of 1 November 2026's winter time in between."""
    dice = random.Random(7)
    daemon.clock.time = datetime(2026, 10, 20, tzinfo=UTC)
    news = 0
    for _ in range(30 * 72 // 6):
        if dice.random() < 0.15:
            news += 1
            _a_reply(daemon, mia, news)
        daemon.outcome.error = TransientError("flapping") if dice.random() < 0.3 else None
        if dice.random() < 0.05:
            daemon.cursor = dice.choice([None, "", "damaged", "1:2:3@x"])
        for _ in range(dice.choice([1, 1, 2])):  # a tick that is delivered twice
            daemon.tick()
        daemon.clock.time += timedelta(minutes=120)
    daemon.outcome.error = None
    daemon.wait(timedelta(minutes=5))

    assert daemon.is_in_step
    assert news > 30
    with daemon.room.database.transaction() as connection:
        mark = connection.execute(sa.select(campaign_mark.c.processed_ingest_seq)).scalar_one()
    assert mark == news + 1
    assert len(daemon.runs) <= 2.2 * news + 10, "a run for each news, and one for each that failed"


def test_schedules_tick_once_an_hour_or_a_day_over_the_change_of_clocks() -> None:
    """All are told in UTC: 25 October and 1 November 2026 have as many ticks as any day."""
    hourly = {"metrics_sheet_hourly", "campaign_reports_hourly", "health_hourly"}
    for schedule in SCHEDULES:
        assert schedule.execution_timezone == "UTC"
        for day in (datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)):
            ticks = schedule_execution_time_iterator(
                day.timestamp(), schedule.cron_schedule, schedule.execution_timezone
            )
            found = list(itertools.takewhile(lambda tick, day=day: tick < day + timedelta(days=1), ticks))
            assert len(found) == (24 if schedule.name in hourly else 1), schedule.name
    assert months_to_reconcile(datetime(2026, 3, 1, 1, tzinfo=UTC))[0].month == 2


def _pulse(slug: str) -> CampaignPulse:
    return CampaignPulse(
        slug=slug, newest_relevant_seq=1, processed_seq=0, recipients_revision=1, processed_revision=1, new_senders=0,
        was_computed=True, was_exported=True, wants_export=False,
    )  # fmt: skip


def test_few_campaigns_run_alone_and_many_together() -> None:
    def asked(count: int) -> list[dg.RunRequest]:
        due = [DueWork(f"campaign:c{n}", "1") for n in range(count)]
        pulses = {f"c{n}": _pulse(f"c{n}") for n in range(count)}
        return refresh_sensors.decide(
            due, pulses, lambda *work: helper.work_tags("campaign", {one.unit: "1" for one in work})
        )

    assert [one.partition_key for one in asked(3)] == ["c0", "c1", "c2"]
    together = asked(100)
    assert len(together) == 5
    assert {one.job_name for one in together} == {"bulk_campaign_refresh"}
    slugs = [slug for one in together for slug in one.tags["cheerful/campaigns"].split(",")]
    assert sorted(slugs) == sorted(f"c{n}" for n in range(100))
    assert len({one.run_key for one in together}) == 5


def test_one_run_over_many_campaigns_says_and_does_what_a_run_of_each_would(
    database: Database, blobs: BlobStore, instance: dg.DagsterInstance, mia: GmailAccount, settings: Settings
) -> None:
    room = Mailroom(database, blobs)
    for slug in ("spring", "autumn"):
        campaign = a_campaign(database, slug=slug)
        room.recipients(campaign, f"{slug}@creator.example")
        first = f"<p-{slug}@brand.example>"
        room.receive(mia, pitch(f"{slug}@creator.example", first), thread=slug)
        reply = answer("Count me in!", f"<r-{slug}@creator.example>").sender(f"{slug}@creator.example")
        room.receive(mia, reply.replying_to(first), thread=slug)
    result = bulk_campaign_refresh.execute_in_process(
        instance=instance, raise_on_error=False,
        run_config={"ops": {"refresh_each": {"config": {"campaigns": ["autumn", "spring", "nope"]}}}},
        resources={"database": database, "blobs": blobs, "classifier": LocalClassifier(), "settings": settings},
    )  # fmt: skip

    assert not result.success, "the one that is not known"
    failures = WorkFailureStore(database).failures()
    assert {unit: found.failure_class for unit, found in failures.items()} == {"campaign:nope": "permanent"}
    for asset in ("email_threads", "thread_classifications", "campaign_metrics", "review_queue"):
        made = instance.get_materialized_partitions(dg.AssetKey(asset))
        assert "spring" in made, asset
    checks, _ = checks_since(instance, None)
    of_spring = {check.key for check in checks if check.key.endswith(" spring") and check.passed}
    assert len(of_spring) == 9
    with database.transaction() as connection:
        replied = connection.execute(
            sa.text("select value from campaign_metric where metric = 'replied' and grain = 'campaign'")
        ).scalars()
        assert 1.0 in set(replied)


# --- Dagster's own daemon -----------------------------------------------------------------------------------------


EIGHT = [f"c{number}" for number in range(8)]


@pytest.fixture
def eight(
    database: Database, database_url: str, blobs: BlobStore, mia: GmailAccount, settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator["RealDaemon"]:  # fmt: skip
    """Eight campaigns behind, on an instance whose runs are executed at once, in this process, by the real jobs."""
    room = Mailroom(database, blobs)
    for slug in EIGHT:
        room.recipients(a_campaign(database, slug=slug), f"{slug}@creator.example")
    resources = {
        "database": Database(database_url), "blobs": blobs, "classifier": LocalClassifier(), "settings": settings,
        "sheets": None,
    }  # fmt: skip
    monkeypatch.setattr(fan_out_location, "RESOURCES", resources)
    launcher = {"module": "dagster._core.launcher.sync_in_memory_run_launcher", "class": "SyncInMemoryRunLauncher"}
    coordinator = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}
    with dg.instance_for_test(overrides={"run_launcher": launcher, "run_coordinator": coordinator}) as found:
        found.add_dynamic_partitions("campaign", EIGHT)
        yield RealDaemon(found, database, monkeypatch)
    resources["database"].close()  # type: ignore[union-attr]


class RealDaemon:
    """Dagster's sensor daemon, which looks when it is told to; our clock is moved, Dagster's is not."""

    def __init__(self, instance: dg.DagsterInstance, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance, self.database, self.at = instance, database, helper.now()
        monkeypatch.setattr(helper, "now", lambda: self.at)
        self._moved: dict[str, timedelta] = {}  # how far our clock ran before Dagster's as a run ended
        monkeypatch.setattr(helper, "_OVERLAP", timedelta(days=1))
        monkeypatch.setattr(helper, "ended_at", self._ended_at)
        monkeypatch.setattr(dagster_sensor_daemon, "is_under_min_interval", lambda *_given: False)

    def look(self, minutes: float = 0.0) -> list[dg.DagsterRun]:
        """The runs that one look launches, so many minutes after the last."""
        self.at = max(self.at, datetime.now(UTC)) + timedelta(minutes=minutes)
        known = {run.run_id for run in self.instance.get_runs()}
        origin = LoadableTargetOrigin(
            executable_path=sys.executable, module_name=fan_out_location.__name__, attribute="defs"
        )
        target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin))
        with create_test_daemon_workspace_context(target, self.instance) as workspace:
            list(execute_sensor_iteration(workspace, logging.getLogger("daemon"), None, None))
        (tick,) = self.instance.get_ticks(*self._sensor(), limit=1)
        assert tick.status.value != "FAILURE", tick.error
        new = [run for run in reversed(self.instance.get_runs()) if run.run_id not in known]
        self._moved |= {run.run_id: self.at - datetime.now(UTC) for run in new}
        return new

    def _ended_at(self, record: dg.RunRecord) -> datetime:
        return min(self.at, ended_at(record) + self._moved[record.dagster_run.run_id])

    def _sensor(self) -> tuple[str, str]:
        (state,) = self.instance.all_instigator_state()
        return state.instigator_origin_id, state.selector_id

    @property
    def behind(self) -> set[str]:
        """Campaigns whose numbers do not show everything."""
        return {one.slug for one in ThreadStore(self.database).pulses() if refresh_sensors.is_behind(one)}


def _campaigns(runs: list[dg.DagsterRun]) -> set[str]:
    return {unit.removeprefix("campaign:") for run in runs for unit in helper.work_of(run)}


def test_a_shared_run_that_fails_is_asked_for_again_for_exactly_the_failed_campaigns(
    eight: RealDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads, *rest = CHAIN

    def rebuild(slug: str, run_id: str, database: Database, blobs: BlobStore, settings: Settings) -> Any:
        if slug in ("c1", "c4"):
            with dagster_failures():
                raise TransientError("The bucket is away.")
        return threads.refresh(slug, run_id, database, blobs, settings)

    monkeypatch.setattr(refresh_module, "CHAIN", (threads._replace(refresh=rebuild), *rest))
    (first,) = eight.look()
    at_once = eight.look()
    monkeypatch.setattr(refresh_module, "CHAIN", CHAIN)
    later = eight.look(minutes=1.1)
    quiet = eight.look(minutes=1.1)

    assert (first.job_name, first.status) == ("bulk_campaign_refresh", dg.DagsterRunStatus.FAILURE)
    assert _campaigns([first]) == set(EIGHT)
    assert at_once == [], "the table says a minute"
    assert _campaigns(later) == {"c1", "c4"}
    assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in later)
    assert (quiet, eight.behind) == ([], set())
    assert WorkFailureStore(eight.database).failures() == {}


def test_a_shared_run_that_failed_before_any_campaign_is_asked_for_again_as_a_whole(eight: RealDaemon) -> None:
    is_away = True

    @dg.resource
    def classifier(_context: dg.InitResourceContext) -> LocalClassifier:
        if is_away:
            raise TransientError("The database cannot be reached.")
        return LocalClassifier()

    fan_out_location.RESOURCES["classifier"] = classifier
    (first,) = eight.look()
    found = [eight.look(minutes=minutes) for minutes in (0.5, 1.0)]
    second_key = found[1][0].tags["dagster/run_key"]
    soon = eight.look(minutes=1.0)
    is_away = False
    (third,) = eight.look(minutes=1.5)

    assert first.status == dg.DagsterRunStatus.FAILURE
    assert [len(runs) for runs in found] == [0, 1]
    assert soon == [], "the second wait is two minutes"
    assert _campaigns([third]) == set(EIGHT)
    assert len({first.tags["dagster/run_key"], second_key, third.tags["dagster/run_key"]}) == 3
    assert (third.status, eight.behind) == (dg.DagsterRunStatus.SUCCESS, set())


def test_a_shared_run_that_was_interrupted_or_lost_is_repeated_too(
    eight: RealDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SyncInMemoryRunLauncher, "launch_run", lambda _self, _context: None)
    (first,) = eight.look()
    waits = eight.look()
    eight.instance.report_run_canceled(first)
    (second,) = eight.look()
    eight.instance.report_run_failed(second, "the worker was lost")
    soon = eight.look(minutes=1)
    (third,) = eight.look(minutes=1.5)

    assert waits == [], "it is under way"
    assert _campaigns([first]) == _campaigns([second]) == _campaigns([third]) == set(EIGHT)
    assert soon == []


# --- what the clock asks for --------------------------------------------------------------------------------------


def test_a_night_that_met_a_restart_is_repeated_once_it_is_over(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    an_account(database)
    a_campaign(database, slug="spring")
    real, cursor = helper.now(), None
    monkeypatch.setattr(schedule_sensors, "_OVERLAP", timedelta(days=1))  # our clock runs before Dagster's here

    @dg.job
    def campaign_count() -> None:
        pass

    def tick(minutes: float) -> list[dg.RunRequest]:
        nonlocal cursor
        monkeypatch.setattr(helper, "now", lambda: real + timedelta(minutes=minutes))
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"database": database})
        found: Any = schedule_sensors.failed_schedules(context)
        cursor = context.cursor
        return found if isinstance(found, list) else []

    tags = {"dagster/partition": "spring", **helper.work_tags("count", {"count:spring": "2026-11-01"})}
    night = instance.create_run_for_job(campaign_count, tags={"cheerful/campaign": "spring", **tags})
    instance.report_run_failed(night, "the worker was lost")
    soon, (again,), cursor_kept = tick(1), tick(3), cursor
    run = instance.create_run_for_job(campaign_count, tags={"dagster/partition": "spring", **again.tags})
    waits = tick(3.1)
    instance.report_dagster_event(dg.DagsterEvent("PIPELINE_SUCCESS", run.job_name, message="done"), run.run_id)
    over = tick(3.2)

    assert soon == waits == over == []
    assert cursor_kept is not None
    assert (again.job_name, again.partition_key) == ("campaign_count", "spring")
    assert again.tags["cheerful/campaign"] == "spring"
    assert night.run_id[:8] in str(again.run_key)
    assert WorkFailureStore(database).failures() == {}
