"""The asset, the fan-out and the checks, on a real database and an ephemeral Dagster."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.orchestration.retries import DueWork
from cheerful_pipelines.refresh.sensors import campaign_fanout, decide, work_of_campaigns
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.threads import thread_attribution
from cheerful_pipelines.threads.assets import ASSETS
from cheerful_pipelines.threads.checks import CHECKS
from cheerful_pipelines.threads.store import CampaignPulse, ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        found.add_dynamic_partitions("campaign", ["spring", "summer"])
        yield found


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    return Mailroom(database, blobs)


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


@pytest.fixture
def spring(room: Mailroom, mia: GmailAccount) -> Campaign:
    """A campaign with one pitch that was answered."""
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer(), thread="t1")
    return campaign


def materialize(room: Mailroom, settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*ASSETS, *CHECKS], partition_key="spring", instance=instance,
        resources={"database": room.database, "blobs": room.blobs, "settings": settings},
    )  # fmt: skip


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("email_threads")
    return {name: value.value for name, value in event.metadata.items()}


def test_a_materialization_tells_what_it_did_and_the_second_that_nothing_was_left(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    first = metadata(materialize(room, settings, instance))
    second = metadata(materialize(room, settings, instance))

    assert (first["states_inserted"], first["humans"], first["mode"]) == (2, 1, "local")
    assert (second["states_inserted"], second["messages_read"]) == (0, 0)
    assert second["processed_seq_before"] == first["processed_seq_after"]


def test_all_checks_pass_on_a_sound_campaign(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    evaluations = materialize(room, settings, instance).get_asset_check_evaluations()

    assert {item.check_name for item in evaluations} == {
        "threads_are_whole", "replayed_sample_is_equal", "attributions_are_sure",
    }  # fmt: skip
    assert all(item.passed for item in evaluations)


def test_a_doubtful_thread_is_named_by_a_warning(
    room: Mailroom, mia: GmailAccount, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    room.recipients(a_campaign(room.database, slug="summer"), "ana@creator.example")
    evaluations = materialize(room, settings, instance).get_asset_check_evaluations()

    (warned,) = [item for item in evaluations if not item.passed]
    assert warned.check_name == "attributions_are_sure"
    assert warned.metadata["threads"].value == [f"{mia.id}/t1"]


def test_every_api_of_the_asset_is_as_designed() -> None:
    (asset,) = ASSETS
    spec = next(iter(asset.specs))
    mappings = {dep.asset_key.to_user_string(): type(dep.partition_mapping).__name__ for dep in spec.deps}

    assert mappings == {
        "sheet_recipients": "IdentityPartitionMapping",
        "gmail_messages": "AllPartitionMapping",
        "gmail_archive": "AllPartitionMapping",
    }
    assert asset.op.pool == "database"
    assert asset.op.retry_policy is not None


# --- the fan-out --------------------------------------------------------------------------------------------------


def pulse(**changes: Any) -> CampaignPulse:
    values = {
        "slug": "spring", "newest_relevant_seq": 7, "processed_seq": 7, "recipients_revision": 1,
        "processed_revision": 1, "new_senders": 0, "was_computed": True, "was_exported": True, "wants_export": True,
    }  # fmt: skip
    return CampaignPulse.model_validate(values | changes)


def test_a_campaign_that_is_up_to_date_gets_no_run() -> None:
    assert work_of_campaigns([pulse()]) == []


def asked(**changes: Any) -> dg.RunRequest:
    """What one campaign that is behind gets."""
    found = pulse(**changes)
    (work,) = work_of_campaigns([found])
    (request,) = decide([DueWork(*work)], {found.slug: found}, lambda *_work: {})
    return request


@pytest.mark.parametrize(
    "change", [{"newest_relevant_seq": 8}, {"recipients_revision": 2}, {"was_computed": False}], ids=str
)
def test_a_campaign_that_is_behind_gets_one_run(change: dict[str, Any]) -> None:
    request = asked(**change)

    assert request.partition_key == "spring"
    assert request.tags["cheerful/campaign"] == "spring"
    assert [key.to_user_string() for key in request.asset_selection or ()] == [
        "email_threads", "thread_classifications", "campaign_metrics", "review_queue",
    ]  # fmt: skip


def test_the_run_key_carries_the_watermark() -> None:
    keys = {asked(newest_relevant_seq=8).run_key, asked(newest_relevant_seq=8, new_senders=1).run_key}

    assert keys == {"campaign:spring:8:1", "campaign:spring:8:1:senders+1"}


def test_the_first_run_exports_too_where_a_sheet_waits() -> None:
    request = asked(was_computed=False, was_exported=False)

    assert dg.AssetKey("metrics_sheet") in (request.asset_selection or ())


def tick(
    room: Mailroom, instance: dg.DagsterInstance, cursor: str | None = None
) -> tuple[list[dg.RunRequest], str | None]:
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    result = campaign_fanout(context, database=room.database)
    return (result if isinstance(result, list) else []), context.cursor


def test_a_new_answer_asks_for_its_campaign_and_an_idle_tick_for_nothing(
    room: Mailroom, mia: GmailAccount, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    materialize(room, settings, instance)
    room.counted(spring)
    requests, cursor = tick(room, instance)
    assert requests == []

    room.receive(mia, answer("Hello?", "<r9@creator.example>"), thread="t1")

    requests, cursor = tick(room, instance, cursor)
    assert [request.partition_key for request in requests] == ["spring"]

    @dg.job
    def refresh() -> None:
        pass

    instance.create_run_for_job(refresh, tags=dict(requests[0].tags), status=dg.DagsterRunStatus.STARTED)
    assert tick(room, instance, cursor)[0] == [], "it waits for the end of the run"


def test_private_mail_starts_no_run(
    room: Mailroom, mia: GmailAccount, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    materialize(room, settings, instance)
    room.counted(spring)
    room.receive(mia, a_message().sender("mum@family.example").message_id("<x@family.example>"), thread="t9")

    assert tick(room, instance)[0] == []


def test_a_managers_answer_from_an_unknown_address_starts_a_run(
    room: Mailroom, mia: GmailAccount, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    materialize(room, settings, instance)
    room.counted(spring)
    room.receive(mia, answer(message_id="<r2@agency.example>").sender("max@agency.example"), thread="t2")

    assert [request.partition_key for request in tick(room, instance)[0]] == ["spring"]


def test_a_draft_campaign_and_one_whose_sheet_was_never_read_are_left_alone(
    room: Mailroom, mia: GmailAccount, instance: dg.DagsterInstance
) -> None:
    room.recipients(a_campaign(room.database, slug="spring", status="DRAFT"), "ana@creator.example")
    a_campaign(room.database, slug="summer")

    assert ThreadStore(room.database).pulses() == []
    assert tick(room, instance)[0] == []


def test_a_thread_of_nobody_is_found_by_the_check(
    room: Mailroom, mia: GmailAccount, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
) -> None:
    materialize(room, settings, instance)
    with room.database.transaction() as connection:
        connection.execute(thread_attribution.update().values(gmail_thread_id="gone"))

    assert ThreadStore(room.database).consistency(spring.id)["threads_without_messages"] == 1
