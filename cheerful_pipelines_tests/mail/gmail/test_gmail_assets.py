"""One run over many mailboxes: each tells its own story, and one in trouble keeps its trouble to itself."""

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import AuthError, ConfigurationError, PermanentError, ThrottledError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail import assets as assets_module
from cheerful_pipelines.mail.gmail import gmail_client as gmail_client_module
from cheerful_pipelines.mail.gmail import sensors as gmail_sensors
from cheerful_pipelines.mail.gmail.assets import gmail_archive, gmail_messages
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.mailbox_failures import settle_account
from cheerful_pipelines.mail.gmail.sensors import archive_months, gmail_changes, missing_months
from cheerful_pipelines.mail.gmail.turns import MAILBOXES_A_RUN, MOST_RUNS, SyncKind, askable, share_out
from cheerful_pipelines.mail.models import SyncTarget
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.operations.schedule_sensors import failed_schedules
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.orchestration.retries import FailureClass, WorkFailure
from cheerful_pipelines.orchestration.side_by_side import SideBySide
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import work_tags
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
        self.cursor: str | None = None
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

    def sync(
        self, *, accounts: list[str] | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """A run over all mailboxes, as the sensor asks for it; or as a person does (`accounts` None)."""
        job = dg.define_asset_job("sync", selection="gmail_messages")
        definitions = dg.Definitions(assets=[gmail_messages], jobs=[job], resources=self.resources)
        return definitions.resolve_job_def("sync").execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            run_config={"ops": {"gmail_messages": {"config": {"accounts": accounts or []}}}},
            tags={
                "dagster/asset_partition_range_start": "mia",
                "dagster/asset_partition_range_end": "zoe",
                **(work_tags("mailbox", {f"mailbox:{alias}": "1:0" for alias in accounts}) if accounts else {}),
                **(tags or {}),
            },
        )

    def told(self, result: dg.ExecuteInProcessResult, node: str = "gmail_messages") -> dict[str, dict[str, Any]]:
        """Metadata by partition."""
        return {
            str(event.partition): {name: value.value for name, value in event.metadata.items()}
            for event in result.asset_materializations_for_node(node)
        }

    def tick(self) -> list[Any]:
        """What a tick asks for, or why nothing."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={**self.resources})
        found: Any = gmail_changes(context)
        self.cursor = context.cursor
        return found if isinstance(found, list) else [found]

    @property
    def failures(self) -> dict[str, WorkFailure]:
        """By unit."""
        return WorkFailureStore(self.database).failures()


@pytest.fixture
def installation(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:  # fmt: skip
    monkeypatch.setattr(gmail_client_module, "POLL_SECONDS", 60.0)  # a busy machine must not look like a slow mailbox
    monkeypatch.setattr(gmail_sensors, "_POLLS", SideBySide(at_once=4, seconds=120.0))
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
    monkeypatch.setattr("cheerful_pipelines.google.quota.allowance.BURST_PAUSE_SECONDS", 0.0)
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


def test_accounts_that_wait_for_a_person_or_a_moment_are_not_asked() -> None:
    targets = [
        _target("mia"),
        _target("max", status="needs_reauth"),
        _target("zoe", not_before=NOW + timedelta(minutes=1)),
        _target("ada", not_before=NOW - timedelta(minutes=1)),
    ]

    def asked(now: datetime = NOW, **failures: WorkFailure) -> list[str]:
        known = {f"mailbox:{alias}": failure for alias, failure in failures.items()}
        return [target.alias for target in askable(targets, known, partitions={"zoe", "ada", "mia", "max"}, now=now)]

    assert asked() == ["mia", "max", "ada"], "one that must be reconnected is asked by one call"
    assert asked(max=_failed("auth")) == ["mia", "ada"]
    assert asked(NOW + timedelta(hours=1), max=_failed("auth")) == ["mia", "max", "zoe", "ada"]
    assert asked(mia=_failed("transient"), max=_failed("auth")) == ["ada"]
    assert asked(mia=_failed("unknown"), max=_failed("auth")) == ["mia", "ada"], "new mail is a reason to try again"


def _failed(kind: FailureClass, at: datetime = NOW) -> WorkFailure:
    return WorkFailure(
        unit="mailbox:x", user_id=None, failure_class=kind, error="E", attempts=1, first_failed_at=at, failed_at=at,
        next_try_at=at + timedelta(hours=1), run_id="r", watermark="1", summary="", what_to_do="",
    )  # fmt: skip


def test_months_are_asked_for_newest_first() -> None:
    missing = missing_months(
        first_needed=datetime(2026, 8, 9, tzinfo=UTC), complete={date(2026, 10, 1)}, today=date(2026, 11, 3)
    )
    assert missing == [date(2026, 11, 1), date(2026, 9, 1), date(2026, 8, 1)]


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


@given(
    st.dictionaries(st.integers(0, 150).map(lambda n: f"m{n:03d}"), st.sampled_from(get_args(SyncKind))),
    st.dictionaries(st.sampled_from(get_args(SyncKind)), st.integers(0, 3)),
)
@hypothesis_settings(deadline=None)
def test_every_mailbox_that_waits_gets_a_run_in_few_rounds_whatever_else_runs(
    waiting: dict[str, SyncKind], unfinished: dict[SyncKind, int]
) -> None:
    got, after = set[str](), dict[str, str]()
    progress = dict.fromkeys(waiting, 0)
    first = share_out(waiting, progress=progress, unfinished=unfinished, go_on_after={})
    for kind in MOST_RUNS:
        assert sum(part.kind == kind for part in first) <= max(0, MOST_RUNS[kind] - unfinished.get(kind, 0))
    for _ in range(40):
        parts = share_out(waiting, progress=progress, unfinished={}, go_on_after=after)
        for part in parts:
            assert len(part.aliases) <= MAILBOXES_A_RUN[part.kind]
            assert all(waiting[alias] == part.kind for alias in part.aliases), "live news never wait for a listing"
            got |= set(part.aliases)
            after[part.kind] = part.aliases[-1]
            progress |= {alias: progress[alias] + 1 for alias in part.aliases if part.kind == "listing"}
        assert len({alias for part in parts for alias in part.aliases}) == sum(len(part.aliases) for part in parts)

    assert got == set(waiting), "all go on having news, and none is starved"


# --- one mailbox in trouble ---------------------------------------------------------------------------------------


def _break(installation: Installation, monkeypatch: pytest.MonkeyPatch, alias: str, error: BaseException) -> None:
    """Every call of one mailbox raises."""
    target = installation.campaigns.account(alias)
    original = installation.clients.client

    def client(account: Any, **options: Any) -> Any:
        if account.id == target.id:
            raise error
        return original(account, **options)

    monkeypatch.setattr(installation.clients, "client", client)


class Panic(BaseException):
    """As a library in Rust raises it."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("a bug"), "unknown"), (Panic("index out of bounds"), "unknown"), (PermanentError("400"), "permanent"),
        (ConfigurationError("another key"), "permanent"), (RecursionError("too deep"), "unknown"),
    ],
    ids=repr,
)  # fmt: skip
def test_whatever_one_mailbox_raises_the_others_are_synced_and_go_on(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, error: BaseException, kind: FailureClass
) -> None:
    _break(installation, monkeypatch, "max", error)

    result = installation.sync(accounts=list(ALIASES), tags={"cheerful/sync": "live"})
    installation.deliver("mia", 7)
    asked = [one for one in installation.tick() if isinstance(one, dg.RunRequest)]

    assert installation.instance.get_materialized_partitions(dg.AssetKey("gmail_messages")) == {"mia", "zoe"}
    assert not result.success, "a bug is shown in Dagster"
    assert {unit: found.failure_class for unit, found in installation.failures.items()} == {"mailbox:max": kind}
    assert installation.campaigns.account("max").status == "active", "reconnecting would not help"
    runs = {one.tags["cheerful/sync"]: one.run_config["ops"]["gmail_messages"]["config"]["accounts"] for one in asked}
    assert runs.pop("live") == ["mia"], "the others are asked for at once"
    assert runs in ({}, {"slow": ["max"]}), "what changed since it failed may be tried, in a run of its own"
    monkeypatch.undo()
    later = helper.now() + timedelta(days=1, minutes=1)
    monkeypatch.setattr(helper, "now", lambda: later)
    asked = [one for one in installation.tick() if isinstance(one, dg.RunRequest)]
    assert any(one.tags["cheerful/sync"] == "slow" for one in asked), "repaired, it is tried by itself"
    assert installation.sync(accounts=["max"]).success
    assert installation.failures == {}


def test_a_wait_of_ages_that_one_mailbox_names_stops_no_tick_and_no_run(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However such a number came there: no date can be made of it."""
    error = ThrottledError("later", retry_after_seconds=1e15)
    _break(installation, monkeypatch, "max", error)
    installation.sync(accounts=list(ALIASES), tags={"cheerful/sync": "live"})
    target, original = installation.campaigns.account("max"), installation.clients.polling_client

    def polling_client(account: Any) -> Any:
        if account.id == target.id:
            raise error
        return original(account)

    monkeypatch.setattr(installation.clients, "polling_client", polling_client)
    for alias in ALIASES:
        installation.deliver(alias, 7)
    (request,) = installation.tick()

    assert installation.instance.get_materialized_partitions(dg.AssetKey("gmail_messages")) == {"mia", "zoe"}
    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia", "zoe"]


def test_after_a_wrong_key_was_corrected_mailboxes_are_synced_within_minutes(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A day would be the table's wait; nothing but a poll can show that the setting is right again."""
    installation.sync(accounts=list(ALIASES))
    for alias in ALIASES:
        installation.deliver(alias, 7)
    right = installation.clients
    wrong = installation.settings.model_copy(update={"credentials_key": SecretStr("12" * 32)})
    installation.clients = GmailClients(wrong, installation.database)
    installation.sync(accounts=["mia"], tags={"cheerful/sync": "live"})
    installation.tick()
    kinds = {unit: found.failure_class for unit, found in installation.failures.items()}
    installation.clients = right
    later = helper.now() + timedelta(minutes=11)  # from here: the ticks before may take a minute on a busy machine
    monkeypatch.setattr(helper, "now", lambda: later)
    asked = [one for one in installation.tick() if isinstance(one, dg.RunRequest)]

    assert kinds == {f"mailbox:{alias}": "permanent" for alias in ALIASES}
    accounts = [one.run_config["ops"]["gmail_messages"]["config"]["accounts"] for one in asked]
    assert sorted(alias for part in accounts for alias in part) == sorted(ALIASES)


def test_a_mailbox_without_its_mark_row_fails_alone_and_says_what_to_do(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.sync(accounts=list(ALIASES))
    with installation.database.transaction() as connection:
        account = {"id": installation.campaigns.account("max").id}
        connection.execute(sa.text("delete from account_mark where gmail_account_id = :id"), account)
    for alias in ALIASES:
        installation.deliver(alias, 7)
    (request,) = installation.tick()
    by_poll = installation.failures
    run = installation.sync(accounts=list(ALIASES), tags={"cheerful/sync": "live"})
    month = dg.materialize(
        [gmail_archive], partition_key="max|2026-10-01", instance=installation.instance,
        resources=installation.resources, raise_on_error=False,
    )  # fmt: skip
    by_run = installation.failures
    with installation.database.transaction() as connection:
        counted = "select a.alias, count(*) from gmail_message m join gmail_account a on a.id = m.gmail_account_id"
        stored = {alias: count for alias, count in connection.execute(sa.text(f"{counted} group by a.alias"))}
    an_account(
        installation.database, alias="max", address="max@brand.example",
        credentials_json=installation.google.credentials_json("max@brand.example"),
    )  # fmt: skip
    real = helper.now()
    monkeypatch.setattr(helper, "now", lambda: real + timedelta(days=1, minutes=1))
    asked = [one.run_config["ops"]["gmail_messages"]["config"]["accounts"] for one in installation.tick()]

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia", "zoe"]
    assert list(by_poll) == ["mailbox:max"]
    for failure in (by_poll["mailbox:max"], by_run["mailbox:max"], by_run["archive:max"]):
        assert (failure.failure_class, failure.error) == ("permanent", "PermanentError")
        assert "account_mark" in failure.summary
        assert "accounts add" in failure.what_to_do
    assert stored == {"mia": 2, "max": 1, "zoe": 2}
    assert (run.success, month.success) == (False, False), "it is shown in Dagster"
    assert asked == [["max"]], "with a new row it is listed again"


def test_a_mark_that_is_not_there_is_never_moved_in_silence(installation: Installation) -> None:
    store, account = MailStore(installation.database, installation.blobs), installation.campaigns.account("max")
    with installation.database.transaction() as connection:
        connection.execute(sa.text("delete from account_mark where gmail_account_id = :id"), {"id": account.id})
    moves: list[Any] = [
        lambda: store.advance_live_mark(account.id, 7),
        lambda: store.apply(account, live_mark=7, run_id="r"),
        lambda: store.begin_listing(account.id, history_id=7, start=START),
        lambda: store.end_listing(account.id, history_id=7, start=START),
        lambda: store.note_listed(account.id, ["m"]),
        lambda: store.begin_gap(account.id),
        lambda: store.end_gap(account.id, history_id=7, start=START),
        lambda: store.note_progress(account.id),
        lambda: store.complete_month(account.id, date(2026, 10, 1), listed=0, fetched=0, vanished=0, run_id="r"),
    ]

    for move in moves:
        with pytest.raises(PermanentError, match="account_mark"):
            move()
    assert store.complete_months() == {}


def test_a_revoked_mailbox_comes_back_by_itself_within_the_hour(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.sync(accounts=list(ALIASES))
    installation.google.revoke_token("max@brand.example")
    installation.clients = GmailClients(installation.settings, installation.database)  # tokens are not remembered
    installation.tick()
    now = helper.now()
    status, failure = installation.campaigns.account("max").status, installation.failures["mailbox:max"]
    installation.google.reset_counters()
    installation.tick()
    polls = installation.google.counters()["calls"]["gmail.users.getProfile"]
    monkeypatch.setattr(helper, "now", lambda: now + timedelta(minutes=61))
    installation.tick()
    still = installation.failures["mailbox:max"]
    installation.google.restore_token("max@brand.example")
    monkeypatch.setattr(helper, "now", lambda: now + timedelta(minutes=123))
    (request,) = installation.tick()
    proven_by_poll = installation.campaigns.account("max").status
    assert installation.sync(accounts=["max"], tags={"cheerful/sync": "slow"}).success

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["max"]
    assert proven_by_poll == "needs_reauth"
    assert (status, failure.failure_class) == ("needs_reauth", "auth")
    assert polls == 2, "it is left alone for an hour"
    assert (still.attempts, still.first_failed_at) == (2, failure.first_failed_at)
    account = installation.campaigns.account("max")
    assert (account.status, account.status_reason) == ("active", None)
    assert installation.failures == {}


def test_a_mailbox_that_answers_polls_and_refuses_reading_does_not_flap(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The profile can be had with gmail.metadata; a sync needs gmail.readonly."""
    installation.sync(accounts=list(ALIASES))
    installation.deliver("max", 7)
    refused = AuthError("The login does not include the permission to read mail.")
    now, states, asked = helper.now(), set[str](), 0
    _break(installation, monkeypatch, "max", refused)
    installation.sync(accounts=["max"], tags={"cheerful/sync": "live"})
    for hour in range(1, 4):
        moment = now + timedelta(minutes=61 * hour)
        monkeypatch.setattr(helper, "now", lambda moment=moment: moment)
        asked += sum(isinstance(one, dg.RunRequest) for one in installation.tick())
        states.add(installation.campaigns.account("max").status)
        WorkFailureStore(installation.database).record("mailbox:max", "auth", at=moment, run_id=f"run-{hour}")
    monkeypatch.undo()
    still = installation.failures["mailbox:max"]
    installation.sync(accounts=["max"], tags={"cheerful/sync": "slow"})

    assert (states, asked) == ({"needs_reauth"}, 3), "one try an hour, and the state stays"
    assert (still.attempts, still.failure_class) == (4, "auth")
    assert (installation.campaigns.account("max").status, installation.failures) == ("active", {})


def test_a_mailbox_that_a_person_reconnected_is_synced_with_the_next_tick(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    installation.deliver("max", 7)
    WorkFailureStore(installation.database).record(
        "mailbox:max", "auth", at=helper.now(), run_id="run-1", watermark=None
    )
    (request,) = installation.tick()

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["max"]
    assert request.tags["cheerful/sync"] == "slow", "its failure is kept until a sync succeeds"


def test_a_mailbox_that_is_resumed_begins_without_its_old_failure(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    installation.deliver("max", 7)
    account, store = installation.campaigns.account("max"), WorkFailureStore(installation.database)
    store.record("mailbox:max", "permanent", at=helper.now(), run_id="run-1")
    installation.campaigns.set_account_status(account.id, status="paused", reason="by hand")
    context = dg.build_sensor_context(instance=installation.instance, resources={"database": installation.database})
    failed_schedules(context)
    assert installation.failures == {}

    installation.campaigns.set_account_status(account.id, status="active", reason=None)
    (request,) = installation.tick()

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["max"]
    assert request.tags["cheerful/sync"] == "live"


def test_a_sync_that_ends_does_not_resume_a_mailbox_that_was_paused_meanwhile(installation: Installation) -> None:
    account = installation.campaigns.account("max")
    installation.campaigns.set_account_status(account.id, status="paused", reason="by hand")

    assert not installation.campaigns.restore_account(account.id)
    assert installation.campaigns.account("max").status == "paused"


def test_a_poll_that_hangs_delays_its_mailbox_only(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    installation.sync(accounts=list(ALIASES))
    gate, target = threading.Event(), installation.campaigns.account("max")
    original = installation.clients.polling_client

    def polling_client(account: Any) -> Any:
        if account.id == target.id:
            gate.wait(60)
        return original(account)

    monkeypatch.setattr(installation.clients, "polling_client", polling_client)
    monkeypatch.setattr(gmail_sensors, "_POLLS", SideBySide(at_once=4, seconds=5.0))
    for alias in ALIASES:
        installation.deliver(alias, 7)
    asked = [installation.tick() for _ in range(3)]
    gate.set()

    for (request,) in asked:
        assert isinstance(request, dg.RunRequest)
        assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia", "zoe"]
    failure = installation.failures["mailbox:max"]
    assert (failure.failure_class, failure.error) == ("transient", "SlowCallError")


def test_first_listings_have_runs_of_their_own(installation: Installation) -> None:
    installation.sync(accounts=["mia"])
    installation.deliver("mia", 7)

    requests = {one.tags["cheerful/sync"]: one for one in installation.tick()}

    accounts = {kind: one.run_config["ops"]["gmail_messages"]["config"]["accounts"] for kind, one in requests.items()}
    assert accounts == {"live": ["mia"], "listing": ["max", "zoe"]}
    assert requests["live"].tags["cheerful/kind"] == "mailbox"


def test_news_of_others_get_a_run_beside_one_that_is_under_way(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    for alias in ALIASES:
        installation.deliver(alias, 7)

    @dg.job
    def sync() -> None:
        pass

    tags = {"cheerful/sync": "live", **work_tags("mailbox", {"mailbox:mia": "1:0"})}
    installation.instance.create_run_for_job(sync, tags=tags, status=dg.DagsterRunStatus.STARTED)
    (request,) = installation.tick()

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["max", "zoe"]


def test_months_of_a_mailbox_that_fail_wait_alone_and_are_asked_for_again(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.sync(accounts=list(ALIASES))

    def months() -> list[str]:
        context = dg.build_sensor_context(
            instance=installation.instance,
            resources={"database": installation.database, "blobs": installation.blobs},
        )
        found: Any = archive_months(context)
        return sorted(one.tags["cheerful/account"] for one in found) if isinstance(found, list) else []

    everybody = months()
    WorkFailureStore(installation.database).record("archive:max", "transient", at=helper.now(), run_id="r")
    without = months()
    later = helper.now() + timedelta(minutes=2)
    monkeypatch.setattr(helper, "now", lambda: later)

    assert everybody == sorted(ALIASES)
    assert without == ["mia", "zoe"]
    assert months() == sorted(ALIASES)


def test_a_login_that_is_revoked_while_the_mailbox_waits_after_a_bug_is_noticed(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    store, later = WorkFailureStore(installation.database), helper.now() + timedelta(hours=20)
    store.record("mailbox:max", "unknown", at=helper.now(), run_id="r", watermark="1:1", not_before=later)
    installation.google.revoke_token("max@brand.example")
    installation.clients = GmailClients(installation.settings, installation.database)

    installation.tick()

    assert installation.campaigns.account("max").status == "needs_reauth"
    assert installation.failures["mailbox:max"].failure_class == "auth"


def test_a_mailbox_that_was_paused_while_its_sync_failed_stays_paused(installation: Installation) -> None:
    account = installation.campaigns.account("max")
    installation.campaigns.set_account_status(account.id, status="paused", reason="by hand")

    settle_account(installation.campaigns, account, AuthError("revoked"), now=helper.now())

    assert installation.campaigns.account("max").status == "paused"
