"""The real thing once: `dev.sh start` as a user runs it, the demo filling itself, a reply counted, nothing left behind.

One test on purpose: starting takes the better part of a minute, and each step stands on the one before.
"""

import os
import shlex
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests import browser
from cheerful_pipelines_tests.infra.secrets_seen import MADE_UP, NEEDED, secrets_seen
from cheerful_pipelines_tests.private_words import private_words_written

REPOSITORY = Path(__file__).resolve().parents[1]
ASSETS_OF_A_CAMPAIGN = {
    "sheet_recipients", "email_threads", "thread_classifications", "campaign_metrics", "metrics_sheet",
}  # fmt: skip


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll; fail in words."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.5)


@pytest.mark.system
def test_start_fills_the_demo_counts_a_reply_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """No click: sensors fill every asset of every active campaign; a delivered reply reaches the numbers."""
    web_port, google_port = free_port(), free_port()
    home = tmp_path / "home"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("CHEERFUL_", "DAGSTER_"))},
        **MADE_UP,
        "CHEERFUL_HOME": str(home),
        "CHEERFUL_LOCAL_GOOGLE_URL": f"http://127.0.0.1:{google_port}",
    }
    command = [sys.executable, "infra/supervise.py"]
    log = (tmp_path / "start.log").open("w")
    started = subprocess.Popen(
        [*command, "start", "--port", str(web_port), "--play-per-minute", "0.01"],
        cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT,
    )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        wait_until(
            lambda: started.poll() is not None or "ready" in (tmp_path / "start.log").read_text().lower(),
            seconds=120,
            what="ready",
        )
        assert started.poll() is None, (tmp_path / "start.log").read_text()
        family = psutil.Process(started.pid).children(recursive=True)

        again = subprocess.run([*command, "start"], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        assert again.returncode != 0
        assert "already" in again.stdout + again.stderr

        exports = subprocess.run([*command, "env"], cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        words = shlex.split(exports.stdout.replace("export ", ""))
        variables = dict(word.split("=", 1) for word in words if word.startswith(("CHEERFUL_", "DAGSTER_")))
        database = Database(variables["CHEERFUL_DATABASE_URL"]).for_every_client()
        dagster = Database(variables["CHEERFUL_DAGSTER_DATABASE_URL"])
        active = _column(database, "select slug from campaign where status = 'ACTIVE'")
        assert len(active) >= 2
        held = secrets_seen(home)

        def is_filled() -> bool:
            for kind, names in secrets_seen(home).items():  # runs come and go
                held.setdefault(kind, set()).update(names)
            return _filled(dagster, active)

        wait_until(is_filled, seconds=240, what="every asset of every active campaign")
        assert held == {**NEEDED, "ps": set()}

        replied = "select sum(value) from campaign_metric where metric = 'replied' and grain = 'campaign'"
        # What was asked of the archive, and what that brings, must have settled before a reply can be counted apart.
        wait_until(lambda: _is_quiet(dagster), seconds=180, what="no run is under way for ten seconds")
        before = _column(database, replied)[0]
        _deliver_a_reply(database, environment, variables)
        wait_until(lambda: _column(database, replied)[0] == before + 1, seconds=90, what="the reply is counted")
        executable = browser.browser()
        if executable is None:
            warnings.warn("no Chromium on the path: what people do in the UI was not tried", stacklevel=1)
        else:
            _do_what_people_do(
                executable, f"http://127.0.0.1:{web_port}", database, dagster, {**environment, **variables}
            )
        secrets = {name: value for name, value in variables.items() if name.endswith("_KEY")}
        assert private_words_written(Path(variables["CHEERFUL_HOME"]), database, dagster, secrets) == []
        database.close()
        dagster.close()
    finally:
        subprocess.run([*command, "stop"], cwd=REPOSITORY, env=environment, check=False, timeout=150)
        started.wait(timeout=60)
        log.close()
    _, alive = psutil.wait_procs(family, timeout=15)
    assert [process.cmdline() for process in alive] == []


def _do_what_people_do(
    executable: str, url: str, database: Database, dagster: Database, environment: dict[str, str]
) -> None:
    """Analysts follow a number, look at the funnel, rematerialize; engineers backfill and find a failure."""
    slug, alias = "glow-serum", "lumen-mia"
    made = (
        "select count(*) from event_logs where dagster_event_type = 'ASSET_MATERIALIZATION' "
        "and asset_key = '[\"campaign_metrics\"]' and partition = 'glow-serum'"
    )
    with browser.page_of(executable) as page:
        browser.follow_a_number_to_where_it_comes_from(page, url)
        browser.look_at_the_funnel(page, url, slug)
        before = _column(dagster, made)[0]
        browser.rematerialize(page, url, "campaign_metrics", slug)
        wait_until(lambda: _column(dagster, made)[0] > before, seconds=90, what="rematerialized")

        browser.launch_a_backfill(page, url, slug, since="2026-11")
        wait_until(
            lambda: _column(database, "select state from backfill") == ["done"],
            seconds=240,
            what="the backfill is done",
        )
        states = "select distinct state from backfill_part"
        assert _column(database, states) == ["done"]

        subprocess.run(
            [sys.executable, "-m", "cheerful_pipelines.cli", "local", "revoke", alias],
            cwd=REPOSITORY, env=environment, check=True,
        )  # fmt: skip
        browser.rematerialize(page, url, "gmail_messages", alias)
        failed = "select run_id from runs where status = 'FAILURE'"
        wait_until(lambda: len(_column(dagster, failed)) > 0, seconds=120, what="the run over a revoked mailbox failed")
        browser.find_the_failure(page, url, str(_column(dagster, failed)[0]), "reconnect|refused|revoked")


def _column(database: Database, query: str, **values: object) -> list[object]:
    """Values of ours, or of Dagster's database, which knows no clients."""
    opened = database.login_transaction() if database.scope is None else database.transaction()
    with opened as connection:
        return [row[0] for row in connection.execute(text(query), values)]


def _is_quiet(dagster: Database) -> bool:
    """Whether Dagster has had nothing to do for ten seconds: two turns of its fast sensors."""
    unfinished = "select count(*) from runs where status in ('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED')"
    for _ in range(20):
        if _column(dagster, unfinished) != [0]:
            return False
        time.sleep(0.5)
    return True


def _filled(dagster: Database, active: list[object]) -> bool:
    """Whether Dagster's own event log holds a materialization of each asset and partition."""
    with dagster.login_transaction() as connection:
        rows = connection.execute(
            text(
                "select distinct asset_key, partition from event_logs "
                "where dagster_event_type = 'ASSET_MATERIALIZATION'"
            )
        ).all()
    found = {(key.strip('[]"'), partition) for key, partition in rows}
    accounts = [partition for key, partition in found if key == "gmail_messages"]
    return (
        all((asset, slug) in found for asset in ASSETS_OF_A_CAMPAIGN for slug in active)
        and len(accounts) >= 4
        and any(key == "gmail_archive" for key, _ in found)
        and ("portfolio_metrics", None) in found
    )


def _deliver_a_reply(database: Database, environment: dict[str, str], variables: dict[str, str]) -> None:
    """Answer the first thread that nobody answered, through the command-line tool as a user would."""
    with database.transaction() as connection:
        alias, creator, subject, message_id = connection.execute(
            text(
                "select a.alias, r.email_key, m.subject, m.rfc822_message_id from thread_attribution t "
                "join campaign c on c.id = t.campaign_id and c.status = 'ACTIVE' "
                "join campaign_recipient r on r.id = t.recipient_id "
                "join gmail_account a on a.id = t.gmail_account_id "
                "join gmail_message m on m.gmail_account_id = a.id and m.gmail_thread_id = t.gmail_thread_id "
                "where not t.is_ambiguous and 'SENT' = any(m.label_ids) "
                "and not exists (select 1 from thread_attribution o "
                "join gmail_message x on x.gmail_account_id = o.gmail_account_id "
                "and x.gmail_thread_id = o.gmail_thread_id where o.campaign_id = t.campaign_id "
                "and o.recipient_id = t.recipient_id and not 'SENT' = any(x.label_ids)) "
                # a reply of somebody whose every mail bounced is not counted
                "and not exists (select 1 from message_reading b, jsonb_array_elements(b.bounces) f "
                "where f->>'address_key' = r.email_key) order by t.recipient_id, m.id limit 1"
            )
        ).one()
    done = subprocess.run(
        [
            sys.executable, "-m", "cheerful_pipelines.cli", "local", "deliver", "--account", alias, "--from", creator,
            "--subject", f"Re: {subject}", "--in-reply-to", message_id, "--text", "Yes, count me in!",
        ],
        cwd=REPOSITORY, env={**environment, **variables}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
