"""infra/run.sh: each role's process sees its own secrets only, files are for their owner, both IP families answer."""

import base64
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cheerful_pipelines_tests.test_system import free_port

INFRA = Path(__file__).resolve().parents[2] / "infra"
ROLES = ("web", "daemon", "worker", "celery", "migrate", "doctor", "cheerful", "dagster")
LISTED = {
    line.split()[0]: line.split()[2].split(",")
    for line in (INFRA / "secrets.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
STUB = """#!/usr/bin/env bash
{ tr '\\0' '\\n' </proc/$$/environ; echo "ARGUMENTS=$0 $*"; } >>"$SEEN"
"""


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """Programs that write down what they see, in place of ours."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "dagster", "celery"):
        (folder / name).write_text(STUB)
        (folder / name).chmod(0o755)
    return folder


def _run(stubs: Path, role: str, **more: str) -> tuple[dict[str, str], str]:
    """(environment of the process that the role became, everything that was said)."""
    home = stubs.parent
    values = {name: f"value-of-{name.lower()}" for name in LISTED}
    environment = {
        **values, "CHEERFUL_SHEETS_CREDENTIALS": '{"type": "service_account"}',
        "PATH": f"{stubs}:{os.environ['PATH']}",
        "CHEERFUL_HOME": str(home / "data"), "DAGSTER_HOME": str(home / "dagster"), "SEEN": str(home / f"seen-{role}"),
        "CHEERFUL_CLASSIFIER": "openai:some-model", **more,
    }  # fmt: skip
    done = subprocess.run(
        [str(INFRA / "run.sh"), role, "api", "grpc"], env=environment, capture_output=True, text=True, check=True
    )
    seen = (home / f"seen-{role}").read_text().splitlines()
    return dict(line.split("=", 1) for line in seen if "=" in line), done.stdout + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_process_sees_the_secrets_of_its_role_only(stubs: Path, role: str) -> None:
    seen, _ = _run(stubs, role)
    sees = "worker" if role in ("celery", "doctor", "cheerful", "dagster") else role
    wanted = {name for name, roles in LISTED.items() if sees in roles} - {"CHEERFUL_SHEETS_CREDENTIALS"}

    assert {name for name in LISTED if name in seen} == wanted
    assert ("CHEERFUL_MIGRATION_DATABASE_URL" in seen) == (role == "migrate")
    assert not [value for value in LISTED if f"value-of-{value.lower()}" in seen["ARGUMENTS"]]  # what `ps` shows
    assert ("CHEERFUL_CLASSIFIER" in seen) == (sees == "worker")


@pytest.mark.parametrize("role", ["web", "daemon", "worker", "migrate", "doctor"])
def test_production_accepts_what_a_role_sees(stubs: Path, role: str) -> None:
    """A process that lacks other roles' secrets must still start."""
    (stubs / "python").write_text(
        f'#!/usr/bin/env bash\nexec "{sys.executable}" -c "from cheerful_pipelines.core.settings import load_settings; '
        'print(load_settings().environment)"\n'
    )
    (stubs / "dagster").write_text("#!/usr/bin/env bash\n")
    keys = {name: secrets.token_hex(32) for name in LISTED if name.endswith("_KEY")}
    given = {
        **keys, "CHEERFUL_ADDRESS_HASH_KEY": secrets.token_hex(16), "CHEERFUL_AUTH_URL": "https://p.example/auth/v1",
        "CHEERFUL_BLOB_URL": "s3://bucket/raw", "CHEERFUL_AUTH_JWT_SECRET": "", "CHEERFUL_ALERT_URLS": "",
        "CHEERFUL_CREDENTIALS_KEY_PREVIOUS": "", "CHEERFUL_ENVIRONMENT": "production", "CHEERFUL_MODE": "live",
        "CHEERFUL_WEB_URL": "https://cheerful.example", "PYTHONPATH": str(INFRA.parent),
    }  # fmt: skip
    (stubs.parent / f"seen-{role}").write_text("")

    _, said = _run(stubs, role, **given)

    assert said.strip() == "production"


def test_nobody_but_migrations_is_listed_for_the_owners_url() -> None:
    assert LISTED["CHEERFUL_MIGRATION_DATABASE_URL"] == ["migrate"]
    assert {role for roles in LISTED.values() for role in roles} == {"web", "daemon", "worker", "migrate"}


@pytest.mark.parametrize("how", ["json", "base64"])
def test_the_sheets_credentials_become_a_file_of_their_owner(stubs: Path, how: str) -> None:
    document = json.dumps({"type": "service_account", "private_key": "-----BEGIN\nx'\"$\n-----"})
    given = document if how == "json" else base64.b64encode(document.encode()).decode()

    seen, _ = _run(stubs, "worker", CHEERFUL_SHEETS_CREDENTIALS=given)

    path = Path(seen["CHEERFUL_SHEETS_CREDENTIALS_FILE"])
    assert json.loads(path.read_text()) == json.loads(document)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "CHEERFUL_SHEETS_CREDENTIALS" not in seen
    assert [one.name for one in path.parent.iterdir()] == ["sheets_credentials.json"]
    readable = [one for one in stubs.parent.rglob("data/**/*") if one.stat().st_mode & 0o077]
    assert readable == []
    assert (stubs.parent / "dagster").stat().st_mode & 0o077 == 0


def test_what_a_platform_passes_on_empty_is_not_set(stubs: Path) -> None:
    seen, _ = _run(stubs, "worker", CHEERFUL_LLM_API_KEY="", AWS_ENDPOINT="", CHEERFUL_ALERT_URLS="json://sink.example")

    assert "CHEERFUL_LLM_API_KEY" not in seen
    assert "AWS_ENDPOINT" not in seen
    assert seen["CHEERFUL_ALERT_URLS"] == "json://sink.example"


def test_the_helm_charts_command_is_dagsters_own(stubs: Path) -> None:
    """The chart gives arguments and keeps the image's entrypoint."""
    seen, _ = _run(stubs, "dagster")

    assert seen["ARGUMENTS"].endswith("dagster api grpc")
    assert not (stubs.parent / "dagster" / "dagster.yaml").exists()


@pytest.mark.parametrize("script", ["run.sh", "celery/worker.sh", "backup.sh", "restore.sh"])
def test_whatever_a_script_starts_writes_for_its_owner_only(script: str) -> None:
    lines = (INFRA / script).read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("umask 077"))

    assert not [line for line in lines[:first] if not line.startswith(("#", "set -"))]


def test_an_unknown_role_is_refused_in_words() -> None:
    done = subprocess.run([str(INFRA / "run.sh"), "wep"], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "unknown role: wep" in done.stderr


def test_the_worker_answers_over_both_ip_families(tmp_path: Path) -> None:
    """Fly's private network is IPv6, Compose's IPv4. The real script, the real code server, a small code location."""
    if not socket.has_ipv6 or not _binds_ipv6():
        pytest.skip("this machine has no IPv6")
    (tmp_path / "small.py").write_text("import dagster as dg\ndefs = dg.Definitions()\n")
    port, tools = free_port(), tmp_path / "bin"
    tools.mkdir()
    # `python -m cheerful_pipelines.runtime.worker` as it is, with another module to serve.
    (tools / "python").write_text(f'#!/usr/bin/env bash\nexec "{sys.executable}" "$@" --module small\n')
    (tools / "python").chmod(0o755)
    environment = {
        "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}", "WORKER_PORT": str(port),
        "PYTHONPATH": f"{INFRA.parent}:{tmp_path}", "CHEERFUL_HOME": str(tmp_path / "data"),
        "DAGSTER_HOME": str(tmp_path / "dagster"), "CHEERFUL_COMPUTE_LOGS": str(tmp_path / "logs"),
    }  # fmt: skip
    process = subprocess.Popen([str(INFRA / "run.sh"), "worker"], env=environment, start_new_session=True)
    try:
        answered = {host: _answers(host, port) for host in ("::1", "127.0.0.1")}
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=60)
    assert answered == {"::1": True, "127.0.0.1": True}


def _binds_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


def _answers(host: str, port: int) -> bool:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with socket.create_connection((host, port), timeout=2):
                return True
        except OSError:
            time.sleep(0.2)
    return False
