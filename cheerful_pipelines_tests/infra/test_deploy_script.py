"""infra/deploy.sh from zero, a second time and back, against a stand-in for Fly that keeps state and refuses alike.

What the stand-in knows is read from flyctl's own source (internal/command/deploy, scale, ssh): a deploy makes machines
for every process group that it is not told to leave alone, releases nothing if its check fails, and scaling refuses
before the first release. The doctor that it runs is ours.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cheerful_pipelines.core.settings import load_settings

REPOSITORY = Path(__file__).resolve().parents[2]
INFRA = REPOSITORY / "infra"
LINES = [line.split() for line in (INFRA / "secrets.txt").read_text().splitlines() if line and not line.startswith("#")]
REQUIRED = [line[0] for line in LINES if line[1] == "required"]

FLY = """#!{python}
import json, os, subprocess, sys, tomllib
from pathlib import Path
where = Path(os.environ["FLY"])
state = json.loads(where.read_text())
words = sys.argv[1:]
state["calls"].append(words)
def end(code=0, said=""):
    where.write_text(json.dumps(state))
    (print(said) if code == 0 else print(said, file=sys.stderr)) if said else None
    sys.exit(code)
def value(name):
    return words[words.index(name) + 1] if name in words else None
if value("--app") != state["app"]:
    end(1, "Error: could not find App")
if words[:2] == ["secrets", "list"]:
    end(0, json.dumps([{{"name": name}} for name in state["secrets"]]))
if words[:2] == ["machine", "list"]:
    end(0, json.dumps([{{"config": {{"metadata": {{"fly_process_group": g}}}}}} for g in state["machines"]]))
if words[:2] == ["scale", "count"]:
    if not state["releases"]:
        end(1, "Error: this app has no complete releases. Run `fly deploy` to create one and rerun this command")
    group, count = words[2].split("=")
    state["machines"] = [g for g in state["machines"] if g != group] + [group] * int(count)
    end()
if words[0] == "deploy":
    if state.get("is_broken"):
        end(1, "Error: release command failed - aborting deployment")
    config = tomllib.loads(Path(value("--config")).read_text())
    if not (Path(words[1]) / "requirements-production.lock").exists():
        end(1, "Error: failed to compute cache key: requirements-production.lock not found")
    if "--skip-release-command" not in words:
        state["migrated"] += 1
    groups = (value("--process-groups") or ",".join(config["processes"])).split(",")
    for group in groups:
        if group not in state["machines"]:
            state["machines"] += [group] * (1 if "--ha=false" in words else 2)
    path = config["http_service"]["checks"][0]["path"]
    if path != "/sign-in" and not (path == "/health" and "daemon" in state["machines"]):
        end(1, "Error: failed to update machine: health checks failed")
    state["releases"].append(value("--image") or f"image-{{len(state['releases']) + 1}}")
    end()
if words[:2] == ["ssh", "console"]:
    state["daemons_at_doctor"].append(state["machines"].count("daemon"))
    where.write_text(json.dumps(state))
    command = words[words.index("--command") + 1].replace("/app/infra/run.sh", "").split()
    if "--before-start" not in command:
        sys.exit(1)  # a daemon that began a second ago is not heard of yet: the doctor of everything says FAIL
    sys.exit(subprocess.run([os.environ["PYTHON"], "-m", "cheerful_pipelines.cli", *command]).returncode)
end(1, f"unknown: {{words}}")
"""


class Fly:
    """The stand-in's state, and the deploy script run against it."""

    def __init__(self, folder: Path, doctor: dict[str, str]) -> None:
        self._path, self._folder, self._doctor = folder / "fly.json", folder, doctor
        (folder / "bin").mkdir()
        (folder / "bin" / "flyctl").write_text(FLY.format(python=sys.executable))
        (folder / "bin" / "flyctl").chmod(0o755)
        self.write(
            app="cheerful-pipelines-stg", secrets=REQUIRED, machines=[], releases=[], calls=[], migrated=0,
            daemons_at_doctor=[],
        )  # fmt: skip

    def write(self, **values: Any) -> None:
        self._path.write_text(json.dumps({**(self.state if self._path.exists() else {}), **values}))

    @property
    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._path.read_text())
        return found

    def deploy(self, *arguments: str, **doctor: str) -> tuple[int, str]:
        environment = {
            **self._doctor, **doctor, "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}", "FLY": str(self._path),
            "PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY),
        }  # fmt: skip
        done = subprocess.run(
            [str(INFRA / "stg" / "deploy.sh"), *arguments],
            env=environment, capture_output=True, text=True, check=False, cwd=self._folder,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def fly(tmp_path: Path, database_url: str) -> Fly:
    """An app that was created, with its secrets, and never deployed. The doctor sees a migrated database."""
    load_settings.cache_clear()
    credentials = tmp_path / "sheets.json"
    credentials.write_text('{"type": "service_account", "private_key": "k"}')
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return Fly(tmp_path, {
        "CHEERFUL_ENVIRONMENT": "staging", "CHEERFUL_MODE": "live", "CHEERFUL_DATABASE_URL": database_url,
        "CHEERFUL_HOME": str(tmp_path / "data"), "DAGSTER_HOME": str(home), "CHEERFUL_CREDENTIALS_KEY": "ab" * 32,
        "CHEERFUL_ADDRESS_HASH_KEY": "cd" * 16, "CHEERFUL_SHEETS_CREDENTIALS_FILE": str(credentials),
    })  # fmt: skip


def test_the_first_deploy_the_second_and_the_way_back_pass_their_own_gate(fly: Fly) -> None:
    """The doctor is the real one: before the daemon has ever run, nothing is heard of it."""
    code, words = fly.deploy()
    assert code == 0, words
    assert sorted(fly.state["machines"]) == ["daemon", "web", "worker"]
    assert fly.state["daemons_at_doctor"] == [0, 1]  # none before the gate
    assert fly.state["migrated"] == 1

    code, words = fly.deploy()
    assert code == 0, words
    assert fly.state["daemons_at_doctor"] == [0, 1, 0, 1]
    assert fly.state["releases"] == ["image-1", "image-2"]

    code, words = fly.deploy("--rollback", "image-1")
    assert code == 0, words
    assert fly.state["releases"][-1] == "image-1"
    assert fly.state["migrated"] == 2  # older code knows no newer migration
    assert sorted(fly.state["machines"]) == ["daemon", "web", "worker"]
    shown = json.dumps(fly.state["calls"])
    assert not [name for name in REQUIRED if f"{name}=" in shown]


def test_a_missing_secret_or_app_stops_before_anything_is_touched(fly: Fly) -> None:
    fly.write(secrets=REQUIRED[1:])
    code, words = fly.deploy()
    assert code == 1
    assert "1 required secrets are missing" in words
    assert [call[0] for call in fly.state["calls"]] == ["secrets"]

    fly.write(secrets=REQUIRED, calls=[])
    assert fly.deploy("--preview")[0] == 0
    assert [call[0] for call in fly.state["calls"]] == ["secrets"]

    fly.write(app="another")
    code, words = fly.deploy()
    assert code == 1
    assert "apps create" in words


def test_a_doctor_who_is_not_content_keeps_the_daemon_stopped(fly: Fly) -> None:
    code, words = fly.deploy(CHEERFUL_SHEETS_CREDENTIALS_FILE="/nowhere.json")

    assert code == 1
    assert "FAIL  Sheets credentials" in words
    assert "the daemon stays stopped" in words
    assert sorted(fly.state["machines"]) == ["web", "worker"]


def test_a_deploy_that_fails_says_that_the_daemon_is_stopped(fly: Fly) -> None:
    assert fly.deploy()[0] == 0
    fly.write(is_broken=True)

    code, words = fly.deploy()

    assert code == 1
    assert "release command failed" in words
    assert "the deploy failed: the daemon stays stopped" in words
    assert sorted(fly.state["machines"]) == ["web", "worker"]
    assert fly.state["daemons_at_doctor"] == [0, 1]  # nobody asked a doctor of the old release

    fly.write(is_broken=False, calls=[])
    for option in ("--preview", "--rollback"):
        code, said = fly.deploy("--ha=false", option, "image-1")
        assert (code, "come first" in said, fly.state["calls"]) == (2, True, [])
    assert fly.deploy()[0] == 0
    assert sorted(fly.state["machines"]) == ["daemon", "web", "worker"]
