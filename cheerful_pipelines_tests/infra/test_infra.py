"""The scripts that a newcomer meets first, and the instance's settings that are easy to lose."""

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def supervise() -> ModuleType:
    """infra/supervise.py as a module."""
    spec = importlib.util.spec_from_file_location("supervise", REPOSITORY / "infra" / "supervise.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["supervise"] = module
    spec.loader.exec_module(module)
    return module


def test_help_lists_every_command_and_an_unknown_one_fails() -> None:
    shown = subprocess.run(["bash", "infra/dev.sh", "help"], cwd=REPOSITORY, capture_output=True, text=True)
    unknown = subprocess.run(["bash", "infra/dev.sh", "fly"], cwd=REPOSITORY, capture_output=True, text=True)

    assert all(f"\n  {word}" in shown.stdout for word in ("start", "stop", "status", "logs", "env", "test", "lock"))
    assert unknown.returncode == 2
    assert "unknown command: fly" in unknown.stderr


def test_ci_runs_the_readmes_test_command_and_nothing_else() -> None:
    lines = (REPOSITORY / ".ci" / "run").read_text().splitlines()

    assert lines[-1] == "exec ./infra/dev.sh test"
    assert "./infra/dev.sh test" in (REPOSITORY / "README.md").read_text()


def test_the_lock_pins_everything_by_hash_and_names_no_index() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text()
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==", lock, flags=re.MULTILINE | re.IGNORECASE)
    blocks = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]

    assert {"dagster", "dagster-postgres", "sqlalchemy", "gspread", "pytest"} <= {pin.lower() for pin in pins}
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in lock


UV = """#!/usr/bin/env bash
[ "$2" = uv ] || exit 0
echo "$*" >>asked
out="${@: -1}"
{ cat "$out"; printf '%s' "$EMITTED"; } >"$out.made" && mv "$out.made" "$out"
"""


@pytest.mark.parametrize(
    ("emitted", "is_renewed"),
    [
        ("new==2 \\\n    --hash=sha256:cd\n", True),
        ("# from https://somebody:secret@mirror.example/simple\n", False),  # pragma: allowlist secret
        ("--extra-index-url mirror.example\n", False),
        ("--find-links /srv/wheels\n", False),
    ],
)
def test_lock_renews_both_files_or_neither_and_names_no_index(tmp_path: Path, emitted: str, is_renewed: bool) -> None:
    """With a uv that emits what a person's own settings ask for."""
    (tmp_path / "infra").mkdir()
    shutil.copy(REPOSITORY / "infra" / "dev.sh", tmp_path / "infra")
    locks = [tmp_path / name for name in ("requirements.lock", "requirements-production.lock")]
    for path in (*locks, tmp_path / "pyproject.toml"):
        path.write_text("old==1 \\\n    --hash=sha256:ab\n")
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").write_text(UV)
    (tools / "python").chmod(0o755)
    stamp = "cat requirements.lock pyproject.toml >/dev/null; cksum requirements.lock pyproject.toml | cksum"
    known = subprocess.run(["bash", "-c", stamp], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (tmp_path / ".venv" / "installed").write_text(known.strip())
    environment = {**os.environ, "EMITTED": emitted}

    done = subprocess.run(
        ["bash", "infra/dev.sh", "lock"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert (done.returncode == 0) is is_renewed, done.stderr
    assert [emitted in path.read_text() for path in locks] == [is_renewed] * 2
    assert "secret" not in done.stdout + done.stderr
    asked = (tmp_path / "asked").read_text().splitlines()
    wanted = ("--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation", "--generate-hashes")
    assert [all(option in line for option in wanted) for line in asked] == [True, True]


def test_a_taken_port_is_named(supervise: ModuleType) -> None:
    with socket.socket() as owner:
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]

        with pytest.raises(supervise.CannotStart, match=f"port {port} for the web UI is taken"):
            supervise.require_free(port, "the web UI", "--port N")


def test_a_second_start_beside_a_running_one_is_refused(supervise: ModuleType, tmp_path: Path) -> None:
    with (
        supervise.lock(tmp_path),
        pytest.raises(supervise.CannotStart, match="already running"),
        supervise.lock(tmp_path),
    ):
        pass


def test_fresh_wipes_all_but_the_lock(supervise: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "keys.env").touch()
    with supervise.lock(tmp_path):
        supervise.wipe(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_keys_are_made_once_and_only_their_owner_may_read_them(supervise: ModuleType, tmp_path: Path) -> None:
    first, second = supervise.kept_keys(tmp_path), supervise.kept_keys(tmp_path)

    assert first == second
    assert {name: len(value) for name, value in first.items()} == {
        "CHEERFUL_CREDENTIALS_KEY": 64,
        "CHEERFUL_ADDRESS_HASH_KEY": 32,
    }
    assert (tmp_path / "keys.env").stat().st_mode & 0o777 == 0o600


def test_a_wrong_key_stops_the_start_in_words(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "infra/supervise.py", "start"],
        cwd=REPOSITORY,
        env={"CHEERFUL_HOME": str(tmp_path / "home"), "CHEERFUL_CREDENTIALS_KEY": "abcd", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert "exactly 64 hexadecimal characters, this one has 4" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_database_that_is_down_stops_the_start_in_words(tmp_path: Path, supervise: ModuleType) -> None:
    url = "postgresql+psycopg2://nobody@127.0.0.1:1/none"
    environment = {
        "CHEERFUL_HOME": str(tmp_path / "home"),
        "CHEERFUL_DATABASE_URL": url,
        "CHEERFUL_DAGSTER_DATABASE_URL": url,
        "CHEERFUL_LOCAL_GOOGLE_URL": f"http://127.0.0.1:{supervise.free_port()}",
        "PATH": "/usr/bin:/bin",
    }
    done = subprocess.run(
        [sys.executable, "infra/supervise.py", "start", "--port", str(supervise.free_port())],
        cwd=REPOSITORY, env=environment, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 1
    assert "The database cannot be reached" in done.stderr


def test_the_instance_keeps_the_settings_that_protect_it() -> None:
    instance = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())

    assert instance["run_retries"]["retry_on_asset_or_op_failure"] is False
    assert instance["run_monitoring"]["enabled"] is True
    assert instance["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    assert instance["run_queue"]["dequeue_interval_seconds"] == 1
    assert instance["freshness"]["enabled"] is True
    assert instance["telemetry"]["enabled"] is False
    assert instance["nux"]["enabled"] is False
    assert instance["retention"]["sensor"]["purge_after_days"]["skipped"] > 0
