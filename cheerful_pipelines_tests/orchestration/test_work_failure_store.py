"""Failed work per unit: counted once per run, owned by the right client, gone with the success."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.orchestration.retries import MAILBOX_KINDS
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(database: Database) -> WorkFailureStore:
    return WorkFailureStore(database)


def test_a_failure_recorded_twice_for_one_run_counts_once(store: WorkFailureStore) -> None:
    first = store.record("portfolio", "transient", at=NOW, run_id="r1")
    again = store.record("portfolio", "transient", at=NOW + timedelta(minutes=5), run_id="r1")
    next_run = store.record("portfolio", "transient", at=NOW + timedelta(minutes=1), run_id="r2")

    assert first == again
    assert next_run.attempts == 2
    assert next_run.first_failed_at == NOW
    assert next_run.next_try_at == NOW + timedelta(minutes=3)


def test_another_class_counts_from_the_beginning_but_fails_since_the_first(store: WorkFailureStore) -> None:
    for minute in range(3):
        store.record("portfolio", "unknown", at=NOW + timedelta(minutes=minute))
    found = store.record("portfolio", "interrupted", at=NOW + timedelta(minutes=9))

    assert found.attempts == 1
    assert found.next_try_at == found.failed_at
    assert found.first_failed_at == NOW


def test_only_changed_work_that_fails_in_a_row_is_counted_as_such(store: WorkFailureStore) -> None:
    marks = ["8:0", "8:0", "9:0", None, "9:1", "9:1", "10:1"]
    counted = [
        store.record("sheet:spring", "permanent", at=NOW, run_id=f"r{number}", watermark=mark).changes_failed
        for number, mark in enumerate(marks)
    ]

    assert counted == [0, 0, 1, 1, 2, 0, 1]


def test_a_time_that_google_named_goes_first(store: WorkFailureStore) -> None:
    found = store.record("mailbox:mia", "throttled", at=NOW, not_before=NOW + timedelta(hours=5))
    soon = store.record("mailbox:bea", "throttled", at=NOW, not_before=NOW)

    assert found.next_try_at == NOW + timedelta(hours=5)
    assert soon.next_try_at == NOW + timedelta(seconds=30), "never a busy loop"


def test_what_is_repaired_is_due_and_stays_on_record_until_it_succeeds(store: WorkFailureStore) -> None:
    for unit, kind in (("mailbox:mia", "auth"), ("sheet:spring", "permanent"), ("mailbox:bea", "throttled")):
        store.record(unit, kind, at=NOW, run_id="r1", watermark="7")  # type: ignore[arg-type]
    before = store.failures()
    repaired_at = NOW + timedelta(minutes=1)
    store.make_due(["mailbox:mia", "sheet:spring", "mailbox:bea", "mailbox:new"], at=repaired_at)
    store.make_due([], at=repaired_at)
    after = store.failures()

    assert after.keys() == before.keys()
    assert {unit: one.next_try_at for unit, one in after.items()} == {
        "mailbox:mia": repaired_at, "sheet:spring": repaired_at, "mailbox:bea": before["mailbox:bea"].next_try_at,
    }  # fmt: skip
    assert {unit: one.run_id for unit, one in after.items()} == dict.fromkeys(before, "r1")


def test_each_failure_belongs_to_its_client_and_is_gone_when_cleared(
    store: WorkFailureStore, database: Database
) -> None:
    account = an_account(database, alias="mia")
    campaign = a_campaign(database, slug="spring")
    for unit in ("mailbox:mia", "archive:mia", "sheet:spring", "campaign:spring", "batch:spring:7", "portfolio"):
        store.record(unit, "unknown", at=NOW)
    owners = {unit: failure.user_id for unit, failure in store.failures().items()}

    assert owners.pop("portfolio") is None
    assert set(owners.values()) == {account.user_id} == {campaign.user_id}
    assert set(store.failures("mailbox", "sheet")) == {"mailbox:mia", "sheet:spring"}
    theirs = WorkFailureStore(
        Database(str(database.engine.url.render_as_string(hide_password=False))).for_client(account.user_id)
    )
    assert "portfolio" not in theirs.failures()
    assert "mailbox:mia" in theirs.failures()
    assert store.clear(["mailbox:mia", "sheet:other"]) == 1
    assert "mailbox:mia" not in store.failures()


def test_failures_of_what_nobody_works_on_are_forgotten_and_no_others(
    store: WorkFailureStore, database: Database
) -> None:
    for alias in ("mia", "max"):
        an_account(database, alias=alias, address=f"{alias}@brand.example")
    for slug in ("spring", "summer", "autumn"):
        a_campaign(database, slug=slug)
    campaigns = CampaignStore(database)
    campaigns.set_account_status(campaigns.account("max").id, status="paused", reason="by hand")
    campaigns.set_account_status(campaigns.account("mia").id, status="needs_reauth", reason="revoked")
    with database.transaction() as connection:
        connection.execute(sa.text("update campaign set status = 'COMPLETED' where slug in ('summer', 'autumn')"))
        connection.execute(
            sa.text(
                "update campaign_mark set sheet_imported_at = now() "
                "where campaign_id in (select id from campaign where slug = 'summer')"
            )
        )
    for kind in ("mailbox", "archive", "dead_letters", "reconcile"):
        for alias in ("mia", "max", "gone"):
            store.record(f"{kind}:{alias}", "unknown", at=NOW)
    for unit in ("sheet", "count", "campaign", "export", "report"):
        for slug in ("spring", "summer", "autumn", "gone"):
            store.record(f"{unit}:{slug}", "unknown", at=NOW)
    for unit in ("batch:summer:7", "batch:gone:8", "portfolio", "proof", "evaluation"):
        store.record(unit, "unknown", at=NOW)
    gone = store.forget_abandoned()

    assert gone == sorted(
        [f"{kind}:{alias}" for kind in ("mailbox", "archive", "dead_letters", "reconcile") for alias in ("max", "gone")]
        + [f"{kind}:gone" for kind in ("sheet", "count", "campaign", "export", "report")]
        + ["sheet:summer", "count:summer", "count:autumn", "batch:gone:8"]
    )
    assert not set(gone) & set(store.failures())
    assert store.forget_abandoned() == []


def test_a_mailbox_that_was_connected_again_has_all_kinds_of_its_work_due(store: WorkFailureStore) -> None:
    for kind in MAILBOX_KINDS:
        store.record(f"{kind}:mia", "auth", at=NOW)
    store.record("mailbox:max", "auth", at=NOW)

    store.make_mailbox_due("mia", at=NOW)

    due = {unit for unit, failure in store.failures().items() if failure.next_try_at <= NOW}
    assert due == {f"{kind}:mia" for kind in MAILBOX_KINDS}
