"""Everything that must hold before a change lands, in the order from cheap to dear. Stops at the first that fails."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PYTHON_FOLDERS = ("cheerful_pipelines", "cheerful_pipelines_tests", "infra", "benchmarks")

WORKERS = str((os.cpu_count() or 1) + 1)
"""One more than there are cores: the long tests wait for processes of their own most of the time."""

EXAMPLES = ("cheerful_pipelines", "--ignore=cheerful_pipelines/storage/migrations")
"""The examples in docstrings; Alembic's files can only be imported by Alembic."""


def _committed() -> list[str]:
    """Files that are looked through for secrets: text of ours."""
    found = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout
    left_out = (".json", ".jsonl", ".gz", ".png", ".lock", ".secrets.baseline")
    return [name for name in found.splitlines() if not name.endswith(left_out) and (REPOSITORY / name).is_file()]


def checks(pytest_arguments: list[str]) -> list[tuple[str, list[str]]]:
    """(what it is, command) of every check."""
    return [
        ("lint", [str(BIN / "ruff"), "check", *PYTHON_FOLDERS]),
        ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", *PYTHON_FOLDERS]),
        ("types", [str(BIN / "mypy")]),
        ("secrets", [str(BIN / "detect-secrets-hook"), "--baseline", ".secrets.baseline", *_committed()]),
        ("layers", [str(BIN / "lint-imports")]),
        ("definitions", [str(BIN / "dagster"), "definitions", "validate", "-w", "workspace.yaml"]),
        ("examples", [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "--doctest-modules", *EXAMPLES]),
        ("tests", [sys.executable, "-m", "pytest", "-n", WORKERS, "--dist", "worksteal", *pytest_arguments]),
    ]


def main() -> int:
    """Run them; the first exit code that is not 0 is ours."""
    with tempfile.TemporaryDirectory(prefix="cheerful-check-") as home:
        # An instance of its own: `definitions validate` must not need the database that dagster.yaml names.
        environment = {**os.environ, "DAGSTER_HOME": home, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
        for name, command in checks(sys.argv[1:]):
            print(f"--- {name}", flush=True)
            started = time.monotonic()
            code = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
            if code != 0:
                print(f"{name} failed after {time.monotonic() - started:.0f} s", flush=True)
                return code
            print(f"{name} passed in {time.monotonic() - started:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
