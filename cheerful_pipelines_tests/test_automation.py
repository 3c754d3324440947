"""Automation under a simulated clock: nothing is lost, nothing runs away, nothing is done twice.

The sensors are the real ones on a real database and a real Dagster instance; time, the daemon's run-key memory and
the outcome of runs are played.
"""

import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._utils.schedules import schedule_execution_time_iterator

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.campaigns_refresh import campaigns_refresh
from cheerful_pipelines.classification.local_classifier import LocalClassifier
from cheerful_pipelines.errors import AuthError, CheerfulError, PermanentError, TransientError
from cheerful_pipelines.failures import RETRIES, FailedRun, FailureClass, dagster_failures, newest_failure
from cheerful_pipelines.metrics.count_campaign import count_campaign
from cheerful_pipelines.operations.dagster_state import checks_since
from cheerful_pipelines.schedules import SCHEDULES, months_to_reconcile
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import campaign_mark
from cheerful_pipelines.threads import sensors as thread_sensors
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
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
        found = thread_sensors.campaign_fanout(context)
        requests = found.run_requests if isinstance(found, dg.SensorResult) else []
        self.cursor = found.cursor if isinstance(found, dg.SensorResult) else context.cursor
        for request in requests or []:
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
        return all(not thread_sensors.is_behind(pulse) for pulse in ThreadStore(self.room.database).pulses())


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


@pytest.fixture
def daemon(
    database: Database, blobs: BlobStore, instance: dg.DagsterInstance, mia: GmailAccount,
    monkeypatch: pytest.MonkeyPatch,
) -> Daemon:  # fmt: skip
    clock = Clock()
    monkeypatch.setattr(thread_sensors, "datetime", clock)

    def failed_by_this_clock(instance: dg.DagsterInstance, **which: object) -> FailedRun | None:
        found = newest_failure(instance, **which)
        return found and found._replace(at=ended[0])

    monkeypatch.setattr(thread_sensors, "newest_failure", failed_by_this_clock)
    ended = [MIDNIGHT]
    room = Mailroom(database, blobs)
    spring = a_campaign(database)
    room.recipients(spring, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    return Daemon(instance, room, spring, clock, Outcome(), ended)


def _a_reply(daemon: Daemon, mia: GmailAccount, number: int) -> None:
    mail = answer("Hello again.", f"<r{number}@creator.example>").replying_to("<p1@brand.example>")
    daemon.room.receive(mia, mail, thread="t1")


@pytest.mark.parametrize(
    "error", [PermanentError("The sheet is gone."), AuthError("Revoked."), RuntimeError("a mistake of ours")], ids=repr
)
def test_a_day_of_a_lasting_failure_costs_two_runs_at_most(daemon: Daemon, error: Exception) -> None:
    daemon.outcome.error = error

    daemon.wait(timedelta(days=1), step=timedelta(minutes=4))

    assert 1 <= len(daemon.runs) <= 2
    assert not daemon.is_in_step
    daemon.outcome.error = None
    daemon.wait(timedelta(days=1), step=timedelta(minutes=4))
    assert daemon.is_in_step, "mended, it is done by itself within a day"


def test_a_day_of_passing_trouble_is_tried_every_ten_minutes_and_over_with_it(daemon: Daemon) -> None:
    daemon.outcome.error = TransientError("The connection was reset.")
    daemon.wait(timedelta(hours=3))

    assert 15 <= len(daemon.runs) <= 20

    daemon.outcome.error = None
    daemon.wait(timedelta(minutes=11))
    assert daemon.is_in_step
    quiet = len(daemon.runs)
    daemon.wait(timedelta(hours=2))
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
    daemon.wait(timedelta(minutes=25))

    assert daemon.is_in_step
    assert news > 30
    with daemon.room.database.transaction() as connection:
        mark = connection.execute(sa.select(campaign_mark.c.processed_ingest_seq)).scalar_one()
    assert mark == news + 1
    assert len(daemon.runs) <= 2.2 * news + 10, "a run for each news, and one for each that failed"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("transient", TransientError("x")), ("auth", AuthError("x")), ("permanent", PermanentError("x")),
        ("unknown", KeyError("x")),
    ],
)  # fmt: skip
def test_the_table_of_retries_is_read_from_the_newest_run(
    instance: dg.DagsterInstance, kind: FailureClass, error: Exception
) -> None:
    @dg.op
    def fail() -> None:
        with dagster_failures():
            raise error

    @dg.job
    def work() -> None:
        fail()

    assert newest_failure(instance, job_name="work") is None
    work.execute_in_process(instance=instance, raise_on_error=False)
    found = newest_failure(instance, job_name="work")

    assert found is not None
    assert found.kind == kind
    soon, later = found.at + timedelta(minutes=9), found.at + RETRIES[kind].next_run_after
    assert found.key_suffix(soon) == ""
    assert found.key_suffix(later) == f":after-{found.run_id[:8]}"
    assert found.is_to_be_left_alone(soon) == (kind != "transient")
    assert not found.is_to_be_left_alone(later)


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


def test_a_lost_worker_is_no_lasting_failure(instance: dg.DagsterInstance) -> None:
    @dg.job
    def work() -> None:
        pass

    run = instance.create_run_for_job(work)
    instance.report_run_failed(run, "the worker was lost")
    found = newest_failure(instance, job_name="work")

    assert found is not None
    assert found.kind == "crashed"
    assert not found.is_to_be_left_alone(found.at)


def test_few_campaigns_run_alone_and_many_together() -> None:
    def asked(count: int) -> list[dg.RunRequest]:
        return thread_sensors.in_few_runs(
            [dg.RunRequest(run_key=f"c{n}:1", partition_key=f"c{n}", job_name="campaign_refresh") for n in range(count)]
        )

    assert [one.partition_key for one in asked(3)] == ["c0", "c1", "c2"]
    together = asked(100)
    assert len(together) == 5
    assert {one.job_name for one in together} == {"campaigns_refresh"}
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
    result = campaigns_refresh.execute_in_process(
        instance=instance, raise_on_error=False,
        run_config={"ops": {"refresh_each": {"config": {"campaigns": ["autumn", "spring", "nope"]}}}},
        resources={"database": database, "blobs": blobs, "classifier": LocalClassifier(), "settings": settings},
    )  # fmt: skip

    assert not result.success, "the one that is not known"
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
