"""How everything is, and who is told when it is not: real runs, real checks, a real webhook."""

import json
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from alembic import command
from dagster._core.events import DagsterEvent, EngineEventData
from hypothesis import HealthCheck, given
from hypothesis import settings as options
from hypothesis import strategies as st

from cheerful_pipelines import __version__
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.deadlines import Limit, finish_within
from cheerful_pipelines.operations.alerts import notify
from cheerful_pipelines.operations.alerts.alert_store import AlertStore
from cheerful_pipelines.operations.alerts.troubles import STATE_KINDS, troubles
from cheerful_pipelines.operations.assets import health_report_asset
from cheerful_pipelines.operations.dagster_state import checks_since
from cheerful_pipelines.operations.failed_work import failed_work
from cheerful_pipelines.operations.health import headline, health_report
from cheerful_pipelines.operations.models import Trouble
from cheerful_pipelines.operations.sensors import alerts, lost_workers
from cheerful_pipelines.orchestration.side_by_side import SideBySide
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import alembic_config
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.slow_server import IN_MID_HEADERS, slow_server

NOW = datetime.now(UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions("campaign", ["spring"])
        yield found


class Webhook:
    """A server that keeps what it is sent; refuses while told to."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.refuses = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"]))
                if not hook.refuses:
                    hook.messages.append(json.loads(sent)["title"] + "\n" + json.loads(sent)["message"])
                self.send_response(500 if hook.refuses else 200)
                self.end_headers()

            def log_message(self, *_words: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self._server.server_port}/hook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    found = Webhook()
    yield found
    found.close()


class Switch:
    """Whether the asset below fails, and its check."""

    fails = False
    is_wrong = False


@pytest.fixture
def work() -> tuple[dg.AssetsDefinition, dg.AssetChecksDefinition, Switch]:
    switch = Switch()
    partitions = dg.DynamicPartitionsDefinition(name="campaign")

    @dg.asset(partitions_def=partitions)
    def numbers() -> None:
        if switch.fails:
            raise dg.Failure("Google refused the login for account mia.", allow_retries=False)

    @dg.asset_check(asset=numbers, partitions_def=partitions)
    def hold_together() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=not switch.is_wrong, severity=dg.AssetCheckSeverity.ERROR)

    return numbers, hold_together, switch


def tick(instance: dg.DagsterInstance, database: Database, settings: Settings, cursor: str | None) -> str | None:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"database": database, "settings": settings}
    )
    alerts(context)
    return context.cursor


def test_each_change_of_state_is_said_once_with_what_to_do(
    instance: dg.DagsterInstance, database: Database, settings: Settings, webhook: Webhook,
    work: tuple[dg.AssetsDefinition, dg.AssetChecksDefinition, Switch],
) -> None:  # fmt: skip
    numbers, check, switch = work
    settings = settings.model_copy(update={"alert_urls": dg_secret(webhook.url)})

    def run() -> None:
        dg.materialize([numbers, check], partition_key="spring", instance=instance, raise_on_error=False)

    switch.is_wrong = True
    run()
    cursor = tick(instance, database, settings, None)
    assert len(webhook.messages) == 1
    assert "The check numbers hold_together spring fails." in webhook.messages[0]

    for _ in range(3):
        run()
        cursor = tick(instance, database, settings, cursor)
    assert len(webhook.messages) == 1, "it still fails: said already"

    switch.is_wrong, switch.fails = False, True
    run()
    cursor = tick(instance, database, settings, cursor)
    assert len(webhook.messages) == 2
    assert " of spring failed: Google refused the login for account mia." in webhook.messages[1]

    switch.fails = False
    run()
    cursor = tick(instance, database, settings, cursor)
    assert "2 resolved" in webhook.messages[2]
    tick(instance, database, settings, cursor)
    assert tick(instance, database, settings, "a damaged cursor") is not None
    assert len(webhook.messages) == 3


def dg_secret(text: str) -> object:
    """As the environment gives it."""
    from pydantic import SecretStr

    return SecretStr(text)


def next_try_is_due(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(sa.text("update work_failure set next_try_at = now() - interval '1 minute'"))


def a_revoked_login(database: Database) -> None:
    account = an_account(database)
    CampaignStore(database).set_account_status(account.id, status="needs_reauth", reason="revoked")


def test_what_a_sink_did_not_take_it_is_told_when_its_next_try_is_due(
    instance: dg.DagsterInstance, database: Database, settings: Settings, webhook: Webhook
) -> None:
    a_revoked_login(database)
    settings = settings.model_copy(update={"alert_urls": dg_secret(webhook.url)})
    webhook.refuses = True
    cursor = tick(instance, database, settings, None)
    webhook.refuses = False
    cursor = tick(instance, database, settings, cursor)
    assert webhook.messages == [], "its next try is not due"

    next_try_is_due(database)
    tick(instance, database, settings, cursor)

    assert len(webhook.messages) == 1
    assert "mia must be reconnected" in webhook.messages[0]
    assert "cheerful accounts connect mia" in webhook.messages[0]
    assert "mia@brand.example" not in webhook.messages[0]
    assert WorkFailureStore(database).failures() == {}


@pytest.mark.parametrize("broken", ["refuses", "drips", "no address"])
def test_each_sink_is_told_each_change_once_whatever_another_does(
    instance: dg.DagsterInstance, database: Database, settings: Settings, webhook: Webhook,
    monkeypatch: pytest.MonkeyPatch, broken: str,
) -> None:  # fmt: skip
    def limited(_limit: Limit, call: Callable[[], object], *, name: str) -> object:
        is_dripping = broken == "drips" and "number 1 " in name  # the sink that works gets all the time it needs
        return finish_within(Limit(0.5 if is_dripping else 120), call, name=name)

    monkeypatch.setattr(notify, "finish_within", limited)
    monkeypatch.setattr(notify, "_SINKS", SideBySide(at_once=8, seconds=150))
    other = Webhook()
    with slow_server(IN_MID_HEADERS, drip=b" ") as slow:
        addresses = {
            "refuses": f"{other.url}?secret=abc",
            "drips": f"json://127.0.0.1:{slow.port}/abc",
            "no address": "nonsense-abc",
        }
        settings = settings.model_copy(update={"alert_urls": dg_secret(f"{addresses[broken]}, {webhook.url}")})
        other.refuses = True
        a_revoked_login(database)
        cursor, waits = None, list[timedelta]()
        for _ in range(4):
            cursor = tick(instance, database, settings, cursor)
            (failure,) = WorkFailureStore(database).failures("alert_sink").values()
            waits.append(failure.next_try_at - failure.failed_at)
            next_try_is_due(database)
    news = [message for message in webhook.messages if "mia must be reconnected" in message]
    assert len(news) == 1, "the sink that works is told once"
    assert waits == [timedelta(minutes=wait) for wait in (1, 2, 4, 8)]
    assert failure.summary.startswith("The ")
    assert "number 1 of CHEERFUL_ALERT_URLS" in failure.summary

    if broken == "refuses":
        other.refuses = False
        tick(instance, database, settings, cursor)
        tick(instance, database, settings, cursor)
        assert len([message for message in other.messages if "mia must be reconnected" in message]) == 1
        assert WorkFailureStore(database).failures("alert_sink") == {}
    with database.transaction() as connection:
        kept = connection.execute(sa.text("select cast(array_agg(n) as text) from alert_notified n")).scalar_one()
        kept += str(connection.execute(sa.text("select cast(array_agg(f) as text) from work_failure f")).scalar_one())
    assert "abc" not in kept
    assert "127.0.0.1" not in kept
    other.close()


trouble = st.sampled_from(["a", "b", "c"]).map(
    lambda key: Trouble(key=key, kind="lag", words=f"{key} lags", what_to_do="look")
)


@given(st.lists(st.tuples(st.lists(trouble, max_size=3, unique_by=lambda one: one.key), st.booleans()), max_size=8))
@options(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_said_alternates_for_each_trouble_whatever_comes_and_goes(
    database: Database, looks: list[tuple[list[Trouble], bool]]
) -> None:
    """Never `new` twice without an `over` between, and in the end what is said is what is so."""
    with database.transaction() as connection:
        connection.execute(sa.text("delete from alert"))
    store, said = AlertStore(database), dict[str, str]()
    for number, (found, is_heard) in enumerate([*looks, ([], True)]):
        store.bring_up_to_date(found, kinds=STATE_KINDS, now=NOW + timedelta(minutes=number))
        for one in store.changes_for("log"):
            state = "over" if one.resolved_at else "new"
            if is_heard:
                assert said.get(one.key, "over") != state
                said[one.key] = state
                store.note_notified("log", [one])
    assert set(said.values()) <= {"over"}
    assert store.changes_for("log") == []


def test_lag_is_told_from_when_gmail_last_said_that_nothing_is_new(database: Database, settings: Settings) -> None:
    account = an_account(database)
    store = CampaignStore(database)

    def wrong() -> set[str]:
        return {one.kind for one in troubles(health_report(settings, database, ()), lag_minutes=60)}

    with database.transaction() as connection:
        connection.execute(
            sa.text("update account_mark set live_marked_at = now() - interval '3 hours' where gmail_account_id = :id"),
            {"id": account.id},
        )
    assert wrong() == {"lag"}

    store.note_in_step(["mia"])
    assert wrong() == set()

    store.set_account_status(account.id, status="paused", reason="by hand")
    assert wrong() == set()


def test_news_that_waits_and_money_that_is_spent_are_troubles(database: Database, settings: Settings) -> None:
    spring = a_campaign(database, senders=())
    with database.transaction() as connection:
        recipient = connection.execute(
            sa.text(
                "insert into campaign_recipient (campaign_id, email, email_key, content_hash, sheet_row) "
                "values (:id, 'a', 'a', 'h', 2) returning id"
            ),
            {"id": spring.id},
        ).scalar_one()
        connection.execute(
            sa.text(
                "insert into outcome_news (campaign_id, recipient_id, noted_at) "
                "values (:id, :recipient, now() - interval '1 hour')"
            ),
            {"id": spring.id, "recipient": recipient},
        )
        connection.execute(
            sa.text(
                "insert into llm_spend (kind, classifier_version, calls, tokens_in, tokens_out, cost_usd) "
                "values ('live', 'v', 1, 1, 1, 24.9)"
            )
        )

    found = {one.kind: one for one in troubles(health_report(settings, database, ()), lag_minutes=60)}

    assert set(found) == {"backlog", "budget"}
    assert "24.90 of 25.00 dollars" in found["budget"].words


def test_the_report_is_an_asset_with_at_most_twenty_numbers(
    instance: dg.DagsterInstance, database: Database, settings: Settings,
    work: tuple[dg.AssetsDefinition, dg.AssetChecksDefinition, Switch],
) -> None:  # fmt: skip
    numbers, _, switch = work
    an_account(database)
    a_campaign(database)
    switch.fails = True
    dg.materialize([numbers], partition_key="spring", instance=instance, raise_on_error=False)

    result = dg.materialize(
        [health_report_asset], instance=instance, resources={"database": database, "settings": settings}
    )
    (found,) = result.asset_materializations_for_node("health_report")
    said = {name: value.value for name, value in found.metadata.items()}

    assert said["failed_work"] == 1
    assert "| spring |" in str(said["failed"])
    assert "| mia | active | never synced |" in str(said["mailboxes"])
    assert "mia@brand.example" not in str(said)
    assert len(headline(health_report(settings, database, ()))) <= 20


def test_failed_work_is_over_with_its_next_success_and_other_partitions_stay(
    instance: dg.DagsterInstance, work: tuple[dg.AssetsDefinition, dg.AssetChecksDefinition, Switch]
) -> None:
    numbers, _, switch = work
    instance.add_dynamic_partitions("campaign", ["autumn"])

    def run(partition: str, *, fails: bool) -> None:
        switch.fails = fails
        dg.materialize([numbers], partition_key=partition, instance=instance, raise_on_error=False)

    run("spring", fails=True)
    run("autumn", fails=True)
    run("spring", fails=False)

    assert [one.partition for one in failed_work(instance, datetime.now(UTC))] == ["autumn"]
    assert checks_since(instance, None) == ([], None)


def test_the_version_is_told_without_an_installed_package(database: Database, settings: Settings) -> None:
    """`dev.sh` runs the package from its folder: nothing is installed under its name."""
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]

    assert health_report(settings, database, ()).versions["cheerful_pipelines"] == project["version"] == __version__


def test_a_run_whose_process_is_gone_is_ended_and_one_that_lives_is_not(instance: dg.DagsterInstance) -> None:
    @dg.job
    def work() -> None:
        pass

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    runs = {}
    for name, pid in (("gone", gone.pid), ("here", os.getpid())):
        run = instance.create_run_for_job(work, status=dg.DagsterRunStatus.STARTING)
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
        instance.report_dagster_event(DagsterEvent("PIPELINE_START", "work", message=""), run.run_id)
        runs[name] = run.run_id

    lost_workers(dg.build_sensor_context(instance=instance))

    states = {name: instance.get_run_by_id(run_id).status for name, run_id in runs.items()}  # type: ignore[union-attr]
    assert states == {"gone": dg.DagsterRunStatus.FAILURE, "here": dg.DagsterRunStatus.STARTED}


def test_what_the_log_was_told_of_outlives_the_migration_both_ways(owner: Database, database: Database) -> None:
    store = AlertStore(database)
    for key in ("known", "new", "over"):
        store.open(Trouble(key=key, kind="lag", words=key, what_to_do="look"), now=NOW)
    store.note_notified("log", [one for one in store.standing() if one.key != "new"])
    store.resolve("over", now=NOW)

    config = alembic_config()
    with owner.login_transaction() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0016")
        command.upgrade(config, "head")

    assert [one.key for one in store.changes_for("log")] == ["new", "over"]


def test_reconnecting_a_mailbox_opens_no_alert_of_the_failures_that_are_kept(
    database: Database, settings: Settings
) -> None:
    account = an_account(database)
    store, failures, now = CampaignStore(database), WorkFailureStore(database), datetime.now(UTC)
    store.set_account_status(account.id, status="needs_reauth", reason="revoked")
    for kind in ("mailbox", "archive"):
        failures.record(f"{kind}:{account.alias}", "auth", at=now - timedelta(minutes=5), summary="revoked")

    def open_alerts() -> list[str]:
        return [one.key for one in troubles(health_report(settings, database, ()), lag_minutes=60)]

    assert open_alerts() == [f"reauth {account.alias}"]
    store.set_account_status(account.id, status="active", reason=None)
    assert open_alerts() == []


def test_a_sink_that_has_nothing_left_to_be_told_does_not_fail(
    database: Database, settings: Settings, webhook: Webhook
) -> None:
    settings = settings.model_copy(update={"alert_urls": dg_secret(webhook.url)})
    store, failures, now = AlertStore(database), WorkFailureStore(database), datetime.now(UTC)
    store.open(Trouble(key="a", kind="lag", words="w", what_to_do="x"), now=now)
    webhook.refuses = True
    notify.notify(settings, database, {}, now)
    assert len(failures.failures("alert_sink")) == 1
    store.resolve("a", now=now)

    notify.notify(settings, database, failures.failures("alert_sink"), now + timedelta(minutes=5))

    assert failures.failures("alert_sink") == {}
