"""A campaign's backfill: what it goes through, what it would take and takes, how it goes on, fails and is ended."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.demo.seed import seed_demo
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.operations.backfills.backfill_plan import plan_backfill
from cheerful_pipelines.operations.backfills.backfill_progress import LOST_AFTER, PARTS_AT_ONCE, RunSeen, next_step
from cheerful_pipelines.operations.backfills.backfill_store import BackfillStore
from cheerful_pipelines.operations.backfills.request_backfill import month_of, request_backfill
from cheerful_pipelines.operations.jobs import campaign_backfill
from cheerful_pipelines.operations.models import Backfill, BackfillPart, Stage
from cheerful_pipelines.operations.sensors import campaign_backfills
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import gmail_message
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.pipeline import Pipeline

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)


# --- the plan -----------------------------------------------------------------------------------------------------


def test_a_plan_goes_from_the_sheet_over_the_months_to_the_numbers(database: Database) -> None:
    mia, noa = an_account(database), an_account(database, alias="noa", address="noa@brand.example")
    spring = a_campaign(database, senders=("mia", "noa"))

    plan = plan_backfill(spring, [mia, noa], since=date(2026, 10, 15), until=None, now=NOW)

    assert plan.parts == (
        ("sheet", "spring"),
        ("archive", "mia|2026-11-01"), ("archive", "noa|2026-11-01"),
        ("archive", "mia|2026-10-01"), ("archive", "noa|2026-10-01"),
        ("campaign", "spring"),
    )  # fmt: skip
    assert plan_backfill(spring, [mia], since=None, until=None, only=["campaign_metrics"], now=NOW).parts == (
        ("campaign", "spring"),
    )
    oldest = plan_backfill(spring, [mia], since=date(1, 1, 1), until=None, only=["archive"], now=NOW)
    assert oldest.parts[-1] == ("archive", "mia|2004-04-01")  # there is no older mail


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        ({"since": date(2026, 12, 1)}, "--since before --until"),
        ({"since": date(2026, 10, 1), "until": date(2026, 9, 1)}, "--since before --until"),
        ({"only": ["moon"]}, "gmail_archive"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused_in_words(database: Database, words: dict[str, object], helps: str):
    wanted: dict[str, object] = {"since": None, "until": None} | words
    with pytest.raises(ConfigurationError, match=helps):
        plan_backfill(a_campaign(database, senders=()), [], now=NOW, **wanted)  # type: ignore[arg-type]


def test_months_are_read_in_two_forms() -> None:
    assert month_of("2026-10") == month_of("2026-10-17") == date(2026, 10, 1)
    with pytest.raises(ConfigurationError, match="2026-10"):
        month_of("October")


# --- how it goes on -----------------------------------------------------------------------------------------------


def _backfill(*stages: Stage, state: str = "running") -> Backfill:
    parts = [
        BackfillPart(
            number=n, stage=stage, partition_key=f"mia|2026-{n + 1:02d}-01" if stage == "archive" else "spring",
            state="waiting", attempt=0, requested_at=None, run_id=None,
        )
        for n, stage in enumerate(stages)
    ]  # fmt: skip
    return Backfill(
        id=UUID(int=1), slug="spring", since=date(2026, 1, 1), until=date(2026, 11, 1), state=state,  # type: ignore[arg-type]
        estimate=None, requested_by="kim", created_at=NOW, finished_at=None, parts=tuple(parts),
    )  # fmt: skip


class World:
    """Runs that end as told, and what the store would keep."""

    def __init__(self, backfill: Backfill) -> None:
        self.backfill, self.now = backfill, NOW
        self.runs: dict[int, RunSeen] = {}
        self.complete: dict[str, datetime] = {}
        self.started: list[str] = []

    def tick(self) -> None:
        """What the sensor does."""
        step = next_step(self.backfill, self.runs, self.complete, self.now)
        parts = {part.number: part for part in self.backfill.parts}
        for number, (state, run_id) in step.settled.items():
            parts[number] = parts[number].model_copy(update={"state": state, "run_id": run_id})
        for part in step.to_request:
            parts[part.number] = part.model_copy(update={"state": "requested", "requested_at": self.now})
            self.runs.pop(part.number, None)
            self.started.append(f"{part.stage}:{part.number}")
        state = step.finished or self.backfill.state
        self.backfill = self.backfill.model_copy(
            update={"parts": tuple(parts[n] for n in sorted(parts)), "state": state}
        )
        under_way = [part for part in self.backfill.parts if part.state == "requested"]
        assert len(under_way) <= PARTS_AT_ONCE
        assert len({part.stage for part in under_way}) <= 1, "one stage at a time"

    def ends(self, how: str, *, complete: bool = True) -> None:
        """The oldest run under way ends so."""
        waiting = [part for part in self.backfill.parts if part.state == "requested"]
        if waiting:
            part = waiting[0]
            self.runs[part.number] = RunSeen(f"run-{part.number}-{part.attempt}", how)
            if how == "SUCCESS" and complete:
                self.complete[part.partition_key] = self.now


endings = st.lists(st.sampled_from(["SUCCESS", "SUCCESS", "FAILURE", "CANCELED", "half", "lost"]), max_size=30)


@given(endings)
def test_every_backfill_ends_whatever_its_runs_do(hows: list[str]) -> None:
    world = World(_backfill("sheet", "archive", "archive", "archive", "campaign"))
    for how in [*hows, *["SUCCESS"] * 40]:
        world.now += timedelta(seconds=10)
        world.tick()
        if how == "lost":
            world.now += LOST_AFTER
        elif how == "half":
            world.ends("SUCCESS", complete=False)
        else:
            world.ends(how)
    world.tick()
    world.tick()

    assert world.backfill.state in ("done", "failed")
    assert all(part.state in ("done", "failed", "cancelled") for part in world.backfill.parts)
    assert (world.backfill.state == "done") == all(part.state == "done" for part in world.backfill.parts)
    first = {stage: world.started.index(next(s for s in world.started if s.startswith(stage)))
             for stage in ("sheet", "archive", "campaign")}  # fmt: skip
    assert first["sheet"] < first["archive"] < first["campaign"]


def test_a_cancelled_backfill_begins_nothing_more() -> None:
    world = World(_backfill("archive", "archive", "archive"))
    world.tick()
    world.backfill = world.backfill.model_copy(update={"state": "cancelled"})
    world.ends("CANCELED")
    world.tick()

    assert len(world.started) == 2
    assert [part.state for part in world.backfill.parts] == ["cancelled", "requested", "waiting"]


# --- the store, the sensor and the real thing ---------------------------------------------------------------------


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_the_same_wish_twice_is_one_backfill_and_a_finished_one_begins_anew(database: Database) -> None:
    spring = a_campaign(database, senders=())
    plan = plan_backfill(spring, [], since=date(2026, 10, 1), until=None, now=NOW)
    store = BackfillStore(database)

    first = store.add(plan, None, requested_by="kim")
    assert store.add(plan, None, requested_by="lee") == first
    assert store.finish(first, state="cancelled")
    assert not store.finish(first, state="done"), "cancelled stays cancelled"
    assert store.add(plan, None, requested_by="lee") != first
    assert {part.state for part in store.backfill(first).parts} == {"cancelled"}
    with pytest.raises(NotFoundError, match="backfills list"):
        store.backfill(UUID(int=7))


def test_a_tick_asks_for_the_first_part_behind_everything_live(
    database: Database, instance: dg.DagsterInstance
) -> None:
    spring = a_campaign(database, senders=())
    assert isinstance(
        campaign_backfills(dg.build_sensor_context(instance=instance, resources={"database": database})), dg.SkipReason
    )
    plan = plan_backfill(spring, [], since=date(2026, 11, 1), until=None, now=NOW)
    number = BackfillStore(database).add(plan, None, requested_by="kim")

    found = campaign_backfills(dg.build_sensor_context(instance=instance, resources={"database": database}))
    again = campaign_backfills(dg.build_sensor_context(instance=instance, resources={"database": database}))

    assert isinstance(found, dg.SensorResult)
    (request,) = found.run_requests or []
    assert (request.job_name, request.partition_key) == ("sheet_import", "spring")
    assert request.tags["dagster/priority"] == "-5"
    assert request.tags["cheerful/backfill"] == str(number)
    assert isinstance(again, dg.SkipReason)
    assert "0 of 2 partitions done, 1 under way" in (again.skip_message or "")


def test_one_backfill_that_cannot_be_carried_on_holds_up_no_other(
    database: Database, instance: dg.DagsterInstance
) -> None:
    """Each of three: one is damaged in the database; the two others begin, and it begins once it is repaired."""
    store, numbers = BackfillStore(database), dict[str, UUID]()
    for slug in ("autumn", "spring", "winter"):
        plan = plan_backfill(
            a_campaign(database, slug=slug, senders=()), [], since=date(2026, 11, 1), until=None, now=NOW
        )
        numbers[slug] = store.add(plan, None, requested_by="kim")

    def tick() -> list[str]:
        found = campaign_backfills(dg.build_sensor_context(instance=instance, resources={"database": database}))
        return [] if isinstance(found, dg.SkipReason) else [str(one.partition_key) for one in found.run_requests or []]

    def estimate(value: str) -> None:
        with database.transaction() as connection:
            statement = sa.text("update backfill set estimate = cast(:value as jsonb) where id = :number")
            connection.execute(statement, {"value": value, "number": numbers["spring"]})

    estimate('{"partitions": "many"}')
    assert sorted(tick()) == ["autumn", "winter"]
    (failure,) = WorkFailureStore(database).failures("backfill").values()
    assert failure.unit == f"backfill:spring:{numbers['spring']}"
    assert (failure.failure_class, failure.error, failure.attempts) == ("unknown", "ValidationError", 1)
    assert failure.user_id is not None

    estimate("null")
    assert tick() == [], "it waits as the table of retries says"
    with database.transaction() as connection:
        connection.execute(sa.text("update work_failure set next_try_at = now() - interval '1 minute'"))
    assert tick() == ["spring"]
    assert WorkFailureStore(database).failures("backfill") == {}


def test_what_was_estimated_is_what_it_takes(
    pipeline: Pipeline, google: LocalGoogleAdmin, database: Database, google_settings: Settings, blobs: BlobStore
) -> None:
    """Messages exactly, quota units within five in a hundred: on the demo's mail, two months of it."""
    seed_demo(google, CampaignStore(database), google_settings)
    slug = "glow-serum"
    pipeline.run("sheet_recipients", slug)
    clients = pipeline.resources["gmail_clients"]

    wish = request_backfill(
        google_settings, database, blobs, clients, slug, only=["archive"], estimate_only=True, requested_by="kim"
    )
    again = request_backfill(
        google_settings, database, blobs, clients, slug, only=["archive"], estimate_only=True, requested_by="kim"
    )
    pipeline.register_partitions()
    for _, key in wish.plan.parts:
        alias, _, month = key.partition("|")
        partition = dg.MultiPartitionKey({"gmail_account": alias, "month": month})
        pipeline.run("gmail_archive", partition)
    units = sum(int(pipeline.metadata("gmail_archive", key)["units_spent"]) for _, key in wish.plan.parts)
    with database.transaction() as connection:
        stored = connection.execute(sa.select(sa.func.count()).select_from(gmail_message)).scalar_one()
    over = request_backfill(
        google_settings, database, blobs, clients, slug, only=["archive"], estimate_only=True, requested_by="kim"
    )

    assert wish.number is None
    assert wish.estimate == again.estimate, "an estimate stores nothing"
    assert wish.estimate.messages == pytest.approx(stored, rel=0.05)
    assert wish.estimate.quota_units == pytest.approx(units, rel=0.05)
    assert over.estimate.messages == 0


def test_the_launchpads_job_says_what_it_would_take_and_starts_it(
    pipeline: Pipeline, google: LocalGoogleAdmin, database: Database, google_settings: Settings
) -> None:
    seed_demo(google, CampaignStore(database), google_settings)
    config = {"campaign": "glow-serum", "since": "2026-11"}

    def launch(**more: object) -> dg.ExecuteInProcessResult:
        return campaign_backfill.execute_in_process(
            run_config={"ops": {"ask_for_backfill": {"config": config | more}}},
            resources=pipeline.resources, raise_on_error=False,
        )  # fmt: skip

    only_asked = launch(estimate_only=True)
    assert only_asked.success
    assert BackfillStore(database).backfills() == []
    assert launch().success
    (found,) = BackfillStore(database).backfills()
    assert found.estimate is not None
    assert found.estimate.partitions == len(found.parts) >= 3
    assert not launch(only=["moon"]).success
    assert not launch(campaign="nope").success
