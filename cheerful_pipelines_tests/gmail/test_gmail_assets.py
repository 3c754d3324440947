"""One run over many mailboxes: each tells its own story, and one in trouble keeps its trouble to itself."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.gmail import assets as assets_module
from cheerful_pipelines.gmail.assets import gmail_archive, gmail_messages
from cheerful_pipelines.gmail.gmail_client import GmailClients
from cheerful_pipelines.gmail.models import SyncTarget
from cheerful_pipelines.gmail.sensors import (
    archive_request,
    askable,
    gmail_changes,
    in_turn,
    missing_months,
    sync_request,
)
from cheerful_pipelines.gmail.store import MailStore
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account

ALIASES = ("mia", "max", "zoe")
NOW = datetime(2026, 11, 1, 12, 3, tzinfo=UTC)


class Installation:
    """Three mailboxes with a message each, and a Dagster instance."""

    def __init__(self, google: LocalGoogleAdmin, settings: Settings, database: Database, blobs: BlobStore) -> None:
        self.google, self.settings, self.database, self.blobs = google, settings, database, blobs
        self.campaigns = CampaignStore(database)
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions("gmail_account", list(ALIASES))
        for alias in ALIASES:
            address = f"{alias}@brand.example"
            google.add_mailbox(address)
            an_account(database, alias=alias, address=address, credentials_json=google.credentials_json(address))
            self.deliver(alias)
        a_campaign(database, senders=ALIASES)
        self.clients = GmailClients(settings, database)

    def deliver(self, alias: str, number: int = 1) -> None:
        raw = a_message().message_id(f"<{alias}{number}@creator.example>").bytes()
        self.google.deliver(f"{alias}@brand.example", raw, internal_date=START + timedelta(hours=number))

    @property
    def resources(self) -> dict[str, Any]:
        return {
            "settings": self.settings,
            "database": self.database,
            "blobs": self.blobs,
            "gmail_clients": self.clients,
        }

    def sync(self, *, accounts: list[str] | None = None) -> dg.ExecuteInProcessResult:
        """A run over all mailboxes, as the sensor asks for it; or as a person does (`accounts` None)."""
        job = dg.define_asset_job("sync", selection="gmail_messages")
        definitions = dg.Definitions(assets=[gmail_messages], jobs=[job], resources=self.resources)
        return definitions.resolve_job_def("sync").execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {"gmail_messages": {"config": {"accounts": accounts or []}}}},
            tags={"dagster/asset_partition_range_start": "mia", "dagster/asset_partition_range_end": "zoe"},
        )

    def told(self, result: dg.ExecuteInProcessResult, node: str = "gmail_messages") -> dict[str, dict[str, Any]]:
        """Metadata by partition."""
        return {
            str(event.partition): {name: value.value for name, value in event.metadata.items()}
            for event in result.asset_materializations_for_node(node)
        }

    def tick(self) -> dg.SensorResult | dg.SkipReason | list[Any]:
        context = dg.build_sensor_context(instance=self.instance, resources={**self.resources})
        return list(gmail_changes(context))  # type: ignore[arg-type, call-overload]


@pytest.fixture
def installation(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Any:
    made = Installation(google, google_settings, database, blobs)
    yield made
    google.clear_faults()
    made.instance.dispose()


def test_each_mailbox_of_a_run_gets_its_own_materialization(installation: Installation) -> None:
    told = installation.told(installation.sync(accounts=list(ALIASES)))

    assert sorted(told) == sorted(ALIASES)
    for metadata in told.values():
        assert (metadata["inserted"], metadata["fetched"], metadata["dead"], metadata["is_partial"]) == (1, 1, 0, False)
        assert metadata["units_spent"] >= 20
        assert metadata["mark_before"] == "None"
        assert int(metadata["mark_after"]) > 0


def test_a_revoked_mailbox_is_set_aside_without_a_red_run_and_comes_back(installation: Installation) -> None:
    installation.google.revoke_token("max@brand.example")
    asked_by_sensor = installation.sync(accounts=list(ALIASES))
    account = installation.campaigns.account("max")
    asked_by_person = installation.sync()
    installation.google.restore_token("max@brand.example")
    an_account(
        installation.database, alias="max", address="max@brand.example",
        credentials_json=installation.google.credentials_json("max@brand.example"),
    )  # fmt: skip
    again = installation.told(installation.sync(accounts=["max"]))

    assert asked_by_sensor.success
    assert sorted(installation.told(asked_by_sensor)) == ["mia", "zoe"]
    assert (account.status, "invalid_grant" in str(account.status_reason)) == ("needs_reauth", True)
    assert not asked_by_person.success
    assert again["max"]["inserted"] == 1


def test_a_mailbox_that_answers_five_hundred_fails_the_run_and_not_the_others(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cheerful_pipelines.google.patience._wait", lambda _state: 0.0)
    monkeypatch.setattr("cheerful_pipelines.quota.allowance.BURST_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(dg.RetryPolicy, "calculate_delay", lambda _self, _attempt: 0.0)
    target = installation.campaigns.account("max")
    original = installation.clients.client

    def client(account: Any, **options: Any) -> Any:
        found = original(account, **options)
        if account.id == target.id:
            found._root = "http://127.0.0.1:9"  # nobody listens there
        return found

    monkeypatch.setattr(installation.clients, "client", client)

    result = installation.sync(accounts=list(ALIASES))

    stored = installation.instance.get_materialized_partitions(dg.AssetKey("gmail_messages"))
    assert stored == {"mia", "zoe"}
    assert not result.success
    assert installation.campaigns.account("max").status == "active"


def test_a_month_that_is_not_done_is_no_materialization_and_is_asked_for_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def archive() -> dg.ExecuteInProcessResult:
        return dg.materialize(
            [gmail_archive], partition_key="mia|2026-10-01", instance=installation.instance,
            resources=installation.resources, raise_on_error=False,
        )  # fmt: skip

    installation.deliver("mia", 5)
    monkeypatch.setattr(assets_module, "ARCHIVE_SECONDS", -1.0)
    early = archive()
    progress = MailStore(installation.database, installation.blobs).sync_targets()
    monkeypatch.setattr(assets_module, "ARCHIVE_SECONDS", 60.0)
    done = archive()

    assert early.success
    assert installation.told(early, "gmail_archive") == {}
    assert {target.alias: target.progress for target in progress} == {"mia": 1, "max": 0, "zoe": 0}
    ((_, metadata),) = installation.told(done, "gmail_archive").items()
    assert (metadata["inserted"], metadata["is_complete"]) == (2, True)


def test_news_start_one_run_for_the_mailboxes_that_have_some_and_silence_none(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    installation.tick()  # signs in
    installation.google.reset_counters()
    (quiet,) = installation.tick()
    calls = dict(installation.google.counters()["calls"])
    installation.deliver("zoe", 2)
    installation.deliver("mia", 2)
    (request,) = installation.tick()

    assert isinstance(quiet, dg.SkipReason)
    assert calls == {"gmail.users.getProfile": 3}
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia", "zoe"]


def _target(alias: str = "mia", **changes: Any) -> SyncTarget:
    made = SyncTarget(alias=alias, status="active", not_before=None, live_history_id=5, first_needed=None)
    return made.model_copy(update=changes)


def test_the_same_news_is_asked_for_once_in_ten_minutes_and_after_progress_at_once() -> None:
    def key(state: str, minutes: int) -> str | None:
        return sync_request({"mia": state}, ["mia"], now=NOW + timedelta(minutes=minutes)).run_key

    assert key("7:0", 0) == key("7:0", 5)
    assert key("7:0", 0) != key("7:0", 10), "a run that failed for a passing reason is followed by another"
    assert len({key("7:0", 0), key("8:0", 0), key("7:1", 0)}) == 3


def test_accounts_that_wait_for_a_person_or_a_moment_are_not_asked() -> None:
    targets = [
        _target("mia"),
        _target("max", status="needs_reauth"),
        _target("zoe", not_before=NOW + timedelta(minutes=1)),
        _target("ada", not_before=NOW - timedelta(minutes=1)),
    ]

    found = askable(targets, partitions=["zoe", "ada", "mia", "max", "new"], now=NOW)

    assert [target.alias for target in found] == ["ada", "mia"]


def test_months_are_asked_for_newest_first_and_anew_after_progress() -> None:
    missing = missing_months(
        first_needed=datetime(2026, 8, 9, tzinfo=UTC), complete={date(2026, 10, 1)}, today=date(2026, 11, 3)
    )
    keys = {
        archive_request("mia", oldest=missing[-1], newest=missing[0], today=date(2026, 11, 3), progress=n).run_key
        for n in (0, 0, 1)
    }

    assert missing == [date(2026, 11, 1), date(2026, 9, 1), date(2026, 8, 1)]
    assert len(keys) == 2


def test_a_run_over_several_mailboxes_evaluates_the_checks_of_each(installation: Installation) -> None:
    """Dagster skips the check steps of such a run."""
    installation.google.revoke_token("max@brand.example")

    result = installation.sync(accounts=list(ALIASES))

    found = {(item.partition, item.check_name): item.passed for item in result.get_asset_check_evaluations()}
    assert found == {
        (alias, name): alias != "max" or name == "no_dead_letters"
        for alias in ALIASES
        for name in ("no_dead_letters", "live_mark_stands")
    }


def test_a_month_is_checked_against_its_own_raw_bytes(installation: Installation, tmp_path: Path) -> None:
    installation.blobs = BlobStore.from_url(tmp_path.as_uri())

    def check() -> dg.AssetCheckEvaluation:
        result = dg.materialize(
            [gmail_archive], partition_key="mia|2026-10-01", instance=installation.instance,
            resources=installation.resources,
        )  # fmt: skip
        (found,) = result.get_asset_check_evaluations()
        return found

    sound = check()
    with installation.database.transaction() as connection:
        connection.execute(sa.text("update gmail_message set subject = 'another'"))
    different = check()
    (blob,) = tmp_path.rglob("*.zst")
    kept = blob.read_bytes()
    blob.write_bytes(kept[:-5])
    damaged = check()
    blob.unlink()
    missing = check()

    assert (sound.passed, sound.partition) == (True, "mia|2026-10-01")
    told = {name: value.value for name, value in sound.metadata.items()}
    assert (told["sampled"], told["stored"], told["passed_over"], told["in_gmail"]) == (1, 1, 0, 1)
    assert (different.passed, len(different.metadata["different"].value)) == (False, 1)
    assert (damaged.passed, len(damaged.metadata["damaged"].value)) == (False, 1)
    assert (missing.passed, len(missing.metadata["missing"].value)) == (False, 1)
    assert missing.severity == dg.AssetCheckSeverity.ERROR


@given(st.integers(0, 40), st.integers(1, 12))
def test_more_mailboxes_than_a_tick_asks_take_turns_and_none_is_left_out(count: int, most: int) -> None:
    ready = [
        SyncTarget(
            alias=f"s{n:02d}", status="active", not_before=None, live_history_id=1, progress=0, first_needed=None,
            has_new_recipients=False,
        )
        for n in range(count)
    ]  # fmt: skip
    seen: list[str] = []
    position = ""
    for _ in range(-(-count // most) if count else 1):
        asked, position = in_turn(ready, position, most)
        assert len(asked) <= most
        seen += [target.alias for target in asked]

    assert set(seen) == {target.alias for target in ready}
    assert len(seen) < count + most
