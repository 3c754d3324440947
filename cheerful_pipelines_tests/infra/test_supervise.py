"""Starting, stopping and being killed: the supervisor's own rules, with real processes."""

import argparse
import importlib.util
import json
import os
import shlex
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines_tests.infra.secrets_seen import LISTED, MADE_UP, NEEDED

REPOSITORY = Path(__file__).resolve().parents[2]
SLEEPS = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(scope="module")
def supervise() -> ModuleType:
    """infra/supervise.py as a module of its own."""
    spec = importlib.util.spec_from_file_location("supervise_here", REPOSITORY / "infra" / "supervise.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["supervise_here"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a shell: what the supervisor adds to it is gone afterwards."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CHEERFUL_", "DAGSTER_"))}
    variables = {**kept, "CHEERFUL_HOME": str(tmp_path)}
    monkeypatch.setattr(os, "environ", variables)
    yield variables
    load_settings.cache_clear()


def _installation(supervise: ModuleType, home: Path, port: int) -> Any:
    environment, derived = supervise.base_environment(home, port)
    return supervise.Installation(home, port, environment, derived=derived)


def test_a_start_after_eval_of_env_finds_its_own_server_again(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exported addresses are of a server that was stopped, and of another port; the user's own settings stay."""
    shell["CHEERFUL_GMAIL_UNITS_PER_MINUTE"] = "777"
    first = _installation(supervise, tmp_path, 4460)
    socket = f"postgresql+psycopg2://cheerful_pipeline:@/cheerful?host={tmp_path}/postgres"
    for name in ("CHEERFUL_DATABASE_URL", "CHEERFUL_MIGRATION_DATABASE_URL", "CHEERFUL_DAGSTER_DATABASE_URL"):
        first.environment[name] = socket
        first.derived |= {name}
    first.state = "ready"
    supervise.write_record(first)
    assert supervise.env(argparse.Namespace()) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("export PATH=")]
    (tmp_path / "supervisor.json").unlink()
    shell.update(dict(shlex.split(line)[1].split("=", 1) for line in lines))

    second = _installation(supervise, tmp_path, 4461).environment

    assert not [name for name in second if name.endswith("DATABASE_URL")]
    assert second["CHEERFUL_WEB_URL"] == "http://127.0.0.1:4461"
    assert second["CHEERFUL_GMAIL_UNITS_PER_MINUTE"] == "777"
    assert second["CHEERFUL_CREDENTIALS_KEY"] == first.environment["CHEERFUL_CREDENTIALS_KEY"]


def test_a_child_gets_the_secrets_of_its_role_and_a_librarys_child_none(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path
) -> None:
    """What the living system shows in test_system.py, for those that end soon and those of other options as well."""
    urls = {
        f"CHEERFUL_{name}DATABASE_URL": f"postgresql://{name}@db.example/x" for name in ("", "MIGRATION_", "DAGSTER_")
    }
    shell |= {**MADE_UP, **urls, "CHEERFUL_CLASSIFIER": "openai:some-model"}
    made = _installation(supervise, tmp_path, 4460)
    made.environment["CHEERFUL_CELERY_BROKER"] = "redis://127.0.0.1:1/0"

    def held(name: str) -> set[str]:
        return set(LISTED) & supervise.child_environment(made, name).keys()

    broker, dagsters = {"CHEERFUL_CELERY_BROKER"}, {"CHEERFUL_DAGSTER_DATABASE_URL"}
    for name, needed in NEEDED.items():
        assert held(name) == needed | (broker if needed else set()), name
    assert held("celery") == held("code")
    assert (held("redis"), held("dagster-tables")) == (set(), dagsters | broker)
    assert held("demo") == {"CHEERFUL_DATABASE_URL", "CHEERFUL_CREDENTIALS_KEY"}
    assert held("migrate") == {"CHEERFUL_MIGRATION_DATABASE_URL"}
    del made.environment["CHEERFUL_MIGRATION_DATABASE_URL"], shell["CHEERFUL_MIGRATION_DATABASE_URL"]
    assert held("migrate") == {"CHEERFUL_DATABASE_URL"}
    named = [
        name for name in ("code", "web", "google") if "CHEERFUL_CLASSIFIER" in supervise.child_environment(made, name)
    ]
    assert named == ["code"], "the others do not have the key of the model, and would refuse to start"
    before = dict(os.environ)
    with supervise.without_secrets():
        assert not set(LISTED) & os.environ.keys()
    assert before == dict(os.environ)


def test_addresses_of_the_embedded_server_alone_are_enough_and_others_are_left(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path
) -> None:
    """Where only some of the exported lines were taken over."""
    shell["CHEERFUL_DATABASE_URL"] = f"postgresql+psycopg2://p:@/cheerful?host={tmp_path}/postgres"
    shell["CHEERFUL_DAGSTER_DATABASE_URL"] = "postgresql://me@db.example/dagster"
    environment = _installation(supervise, tmp_path, 4460).environment

    assert "CHEERFUL_DATABASE_URL" not in environment
    assert environment["CHEERFUL_DAGSTER_DATABASE_URL"] == "postgresql://me@db.example/dagster"


def test_a_database_that_is_named_is_the_one_that_is_migrated(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's may be ours all the same: CHEERFUL_DATABASE_URL alone is enough."""

    class Server:
        def __init__(self, folder: Path) -> None:
            assert folder == tmp_path / "postgres"

        def url(self, database: str, *, as_pipeline: bool = False) -> str:
            return f"embedded {database} {'pipeline' if as_pipeline else 'owner'}"

    monkeypatch.setattr(supervise, "EmbeddedPostgres", Server)
    shell["CHEERFUL_DATABASE_URL"] = "postgresql://me@db.example/cheerful"
    named = _installation(supervise, tmp_path, 4460)
    supervise.connect_databases(named)
    assert named.environment["CHEERFUL_DATABASE_URL"] == "postgresql://me@db.example/cheerful"
    assert "CHEERFUL_MIGRATION_DATABASE_URL" not in named.environment  # the default is the one above
    assert named.environment["CHEERFUL_DAGSTER_DATABASE_URL"] == "embedded dagster owner"

    del shell["CHEERFUL_DATABASE_URL"]
    ours = _installation(supervise, tmp_path, 4460)
    supervise.connect_databases(ours)
    assert ours.environment["CHEERFUL_DATABASE_URL"] == "embedded cheerful pipeline"
    assert ours.environment["CHEERFUL_MIGRATION_DATABASE_URL"] == "embedded cheerful owner"

    shell["CHEERFUL_MIGRATION_DATABASE_URL"] = "postgresql://owner@db.example/cheerful"
    with pytest.raises(supervise.CannotStart, match="Set both, or neither"):
        supervise.connect_databases(_installation(supervise, tmp_path, 4460))


def _record(supervise: ModuleType, home: Path, pid: int, state: str, **processes: subprocess.Popen[bytes]) -> None:
    record = {
        "pid": pid, "pid_began": psutil.Process(pid).create_time(), "state": state, "web_url": "", "ready_at": None,
        "environment": {}, "derived": [], "processes": {name: one.pid for name, one in processes.items()},
        "began": {name: psutil.Process(one.pid).create_time() for name, one in processes.items()},
    }  # fmt: skip
    (home / "supervisor.json").write_text(json.dumps(record))
    assert supervise.read_file(home) == record


def test_a_second_stop_says_so_and_waits(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1.5)"])
    _record(supervise, tmp_path, stopping.pid, "stopping")

    assert supervise.stop(argparse.Namespace()) == 0
    assert "it is stopping already; waiting for it\nstopped" in capsys.readouterr().out
    assert stopping.wait() == 0  # it ended by itself: no second signal


def test_a_start_while_it_stops_is_refused_in_words(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path
) -> None:
    _record(supervise, tmp_path, os.getpid(), "stopping")
    with (
        supervise.lock(tmp_path),
        pytest.raises(supervise.CannotStart, match="it is stopping already"),
        supervise.lock(tmp_path),
    ):
        pass


def test_a_number_that_was_given_out_again_is_not_the_supervisor(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a restart of the machine `stop` must not end somebody else's process."""
    other = subprocess.Popen(SLEEPS)
    try:
        _record(supervise, tmp_path, other.pid, "ready")
        record = json.loads((tmp_path / "supervisor.json").read_text())
        (tmp_path / "supervisor.json").write_text(json.dumps({**record, "pid_began": record["pid_began"] - 500}))

        assert supervise.stop(argparse.Namespace()) == 0
        assert "nothing is running" in capsys.readouterr().out
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_what_a_killed_supervisor_left_behind_is_ended_and_nobody_else(supervise: ModuleType, tmp_path: Path) -> None:
    orphan, reused = (subprocess.Popen(SLEEPS, start_new_session=True) for _ in range(2))
    try:
        _record(supervise, tmp_path, os.getpid(), "ready", code=orphan, web=reused)
        record = json.loads((tmp_path / "supervisor.json").read_text())
        record["began"]["web"] -= 500
        (tmp_path / "supervisor.json").write_text(json.dumps(record))
        supervise.end_orphans(tmp_path)

        assert orphan.poll() is not None
        assert reused.poll() is None
        assert not (tmp_path / "supervisor.json").exists()
    finally:
        for process in (orphan, reused):
            process.kill()
            process.wait()


SAYS_WHEN_IT_ENDS = """
import pathlib, signal, sys, time
def end(*_):
    time.sleep(0.3)
    with pathlib.Path({log!r}).open("a") as log:
        log.write({name!r} + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path({log!r} + "." + {name!r}).touch()
time.sleep(600)
"""


def test_a_stop_ends_first_what_begins_runs_then_runs_then_the_rest(
    supervise: ModuleType, shell: dict[str, str], tmp_path: Path
) -> None:
    """A daemon that outlives the code server takes its one chance to repeat interrupted runs, and fails."""
    installation, log = _installation(supervise, tmp_path, 4460), tmp_path / "ended"
    for name in ("google", "code", "web", "daemon"):
        supervise.spawn(installation, name, [sys.executable, "-c", SAYS_WHEN_IT_ENDS.format(log=str(log), name=name)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("ended.*"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert supervise.read_record(tmp_path)["state"] == "starting"
    supervise.bring_down(installation)

    ended = log.read_text().split()
    assert ended[:2] == ["daemon", "code"]
    assert sorted(ended[2:]) == ["google", "web"]
    assert (tmp_path / "stopping").exists()  # Celery's long work looks for it
    assert not (tmp_path / "supervisor.json").exists()


def test_the_grace_of_a_stop_covers_what_the_worker_takes(supervise: ModuleType) -> None:
    from cheerful_pipelines.runtime import worker

    assert supervise.INTERRUPT_SECONDS >= worker.INTERRUPT_SECONDS
    whole = supervise.RUN_GRACE_SECONDS + supervise.INTERRUPT_SECONDS + 2 * supervise.GRACE_SECONDS
    assert supervise.DAEMON_SECONDS + whole + 10 < supervise.STOP_SECONDS  # and Postgres


def test_whatever_a_start_writes_is_its_owners_only(tmp_path: Path) -> None:
    """It stops at a database that is not there; by then there are keys, logs and the record."""
    url = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    home = tmp_path / "home"
    environment = {
        "CHEERFUL_HOME": str(home), "CHEERFUL_DATABASE_URL": url, "CHEERFUL_DAGSTER_DATABASE_URL": url,
        "CHEERFUL_LOCAL_GOOGLE_URL": "http://127.0.0.1:4462", "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY),
    }  # fmt: skip
    command = ["bash", "-c", 'umask 022 && exec "$@"', "-", sys.executable, "infra/supervise.py", "start"]
    done = subprocess.run([*command, "--port", "4463"], cwd=REPOSITORY, env=environment, capture_output=True, text=True)

    assert done.returncode == 1
    written = [home, *home.rglob("*")]
    assert len(written) > 3
    assert [path for path in written if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)] == []


@pytest.mark.parametrize(
    ("arguments", "changed", "said"),
    [
        (("--port", "99999"), {}, "99999 is not a port"),
        ((), {"CHEERFUL_HOME": "{file}"}, "file cannot be used"),
        ((), {"CHEERFUL_HOME": "{file}/home"}, "home cannot be used"),
        ((), {"CHEERFUL_LOCAL_GOOGLE_URL": "nonsense"}, "CHEERFUL_LOCAL_GOOGLE_URL is not an address"),
        ((), {"CHEERFUL_LOCAL_GOOGLE_URL": "http://127.0.0.1:99999"}, "CHEERFUL_LOCAL_GOOGLE_URL is not an address"),
    ],
)
def test_a_start_that_cannot_be_is_a_sentence(
    tmp_path: Path, arguments: tuple[str, ...], changed: dict[str, str], said: str
) -> None:
    (tmp_path / "file").touch()
    paths = {name: value.format(file=tmp_path / "file") for name, value in changed.items()}
    environment = {"CHEERFUL_HOME": str(tmp_path / "home"), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "infra/supervise.py", "start", "--no-demo", *arguments]

    # A start that is not refused would go on for ever.
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**environment, **paths}, capture_output=True, text=True, timeout=300
    )

    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home" / "postgres").exists()


def test_no_password_stands_in_the_command_line_of_a_celery_worker(tmp_path: Path) -> None:
    (tmp_path / "celery").write_text('#!/bin/sh\necho "$@"; echo "broker $CELERY_BROKER_URL $CELERY_RESULT_BACKEND"\n')
    (tmp_path / "celery").chmod(0o755)
    broker = "redis://:hunter2@redis.example/0"
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CHEERFUL_CELERY_BROKER": broker}
    words, seen = subprocess.run(
        [str(REPOSITORY / "infra" / "celery" / "worker.sh")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()

    assert "hunter2" not in words
    assert seen == f"broker {broker} {broker}"
