"""Which secrets the processes of a living system hold: in their environment, and in what `ps` shows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

INFRA = Path(__file__).resolve().parents[2] / "infra"
LISTED = tuple(
    line.split()[0] for line in (INFRA / "secrets.txt").read_text().splitlines() if line and not line.startswith("#")
)
MADE_UP = {
    "CHEERFUL_SESSION_KEY": "5e551011" * 8, "CHEERFUL_CREDENTIALS_KEY_PREVIOUS": "9e1f0c3a" * 8,
    "CHEERFUL_LLM_API_KEY": "invented-llm-key",  # pragma: allowlist secret
    "CHEERFUL_AUTH_API_KEY": "invented-auth-key",  # pragma: allowlist secret
    "CHEERFUL_AUTH_JWT_SECRET": "invented-secret-of-supabase-auth-0123",  # pragma: allowlist secret
    "AWS_SECRET_ACCESS_KEY": "invented-aws-key",  # pragma: allowlist secret
    "CHEERFUL_SHEETS_CREDENTIALS": '{"invented": "sheets"}',
    "AWS_ACCESS_KEY_ID": "invented-aws-id",
}  # fmt: skip
"""What a person's shell may hold besides: a start here hands it to those that need it."""
NEEDED: Mapping[str, frozenset[str]] = {
    "google": frozenset(), "player": frozenset(), "postgres": frozenset(),
    "web": frozenset({"CHEERFUL_DAGSTER_DATABASE_URL"}), "daemon": frozenset({"CHEERFUL_DAGSTER_DATABASE_URL"}),
    "code": frozenset({
        "CHEERFUL_DATABASE_URL", "CHEERFUL_DAGSTER_DATABASE_URL", "CHEERFUL_CREDENTIALS_KEY",
        "CHEERFUL_CREDENTIALS_KEY_PREVIOUS", "CHEERFUL_ADDRESS_HASH_KEY", "CHEERFUL_LLM_API_KEY",
        "CHEERFUL_SHEETS_CREDENTIALS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
    }),
}  # fmt: skip
"""By what `./infra/dev.sh start` starts; whatever it starts itself may hold the same. Written down apart from
secrets.txt, so that a line there that hands out too much is seen."""


def secrets_seen(home: Path) -> dict[str, set[str]]:
    """What each kind of process of the installation holds now. `ps`: names of secrets that are in command lines."""
    record = json.loads((home / "supervisor.json").read_text())
    values = {name: value for name, value in {**MADE_UP, **record["environment"]}.items() if name in LISTED}
    found: dict[str, set[str]] = {"ps": set()}
    for kind, process in _processes(record, home):
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode(errors="replace").split("\0")
            command = " ".join(process.cmdline())
        except (OSError, psutil.Error):
            continue  # it has ended
        mine = {text.partition("=")[0] for text in environment}
        held = {name for name, value in values.items() if any(value in text for text in environment)}
        found.setdefault(kind, set()).update((mine & set(LISTED)) | held)
        found["ps"] |= {name for name, value in values.items() if value in command}
    return found


def _processes(record: dict[str, object], home: Path) -> Iterator[tuple[str, psutil.Process]]:
    """(what it is, process): children of the supervisor with all below them, and the server of Postgres."""
    children = record["processes"]
    assert isinstance(children, dict)
    for name, pid in children.items():
        if psutil.pid_exists(pid):
            root = psutil.Process(pid)
            yield from ((name, process) for process in [root, *root.children(recursive=True)])
    server = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().split()[0]))
    yield from (("postgres", process) for process in [server, *server.children(recursive=True)])
