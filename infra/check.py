"""Everything that must hold before a change lands. Stops at the first check that fails.

The checks before the tests each use one core, so as many of them run at once as there are cores.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
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


Check = tuple[str, list[str]]
"""(what it is, command)"""


def checks_before_the_tests() -> list[Check]:
    """The cheap ones first, then the long ones first: so all cores end together."""
    return [
        ("lint", [str(BIN / "ruff"), "check", *PYTHON_FOLDERS]),
        ("format", [str(BIN / "ruff"), "format", "--check", "--quiet", *PYTHON_FOLDERS]),
        ("layers", [str(BIN / "lint-imports")]),
        ("types", [str(BIN / "mypy")]),
        ("secrets", [str(BIN / "detect-secrets-hook"), "--baseline", ".secrets.baseline", *_committed()]),
        ("examples", [sys.executable, "-m", "pytest", "-q", "-W", "ignore", "--doctest-modules", *EXAMPLES]),
        ("definitions", [str(BIN / "dagster"), "definitions", "validate", "-w", "workspace.yaml"]),
    ]


class Running:
    """A check under way. What it prints is kept until it ends: lines of two checks would mix."""

    def __init__(self, check: Check, environment: Mapping[str, str]) -> None:
        self.name, command = check
        self._started = time.monotonic()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `report` or with the object
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=self._output, stderr=subprocess.STDOUT
        )

    @property
    def is_over(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def report(self) -> int:
        """Print what it printed and how it ended; the exit code."""
        code = self._process.wait()
        self._output.seek(0)
        print(f"--- {self.name}", flush=True)
        sys.stdout.write(self._output.read().decode(errors="replace"))
        self._output.close()
        _print_end(self.name, code, self._started)
        return code

    def stop(self) -> None:
        """End it; another check failed."""
        self._process.terminate()
        self._process.wait()


def side_by_side(checks: Sequence[Check], environment: Mapping[str, str], at_once: int) -> int:
    """Run them in their order, `at_once` at a time; the first exit code that is not 0, when the others are stopped."""
    waiting, running = list(checks), list[Running]()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(Running(waiting.pop(0), environment))
            over = [one for one in running if one.is_over]
            for one in over:
                running.remove(one)
                if (code := one.report()) != 0:
                    return code
            if not over:
                time.sleep(0.05)
    finally:
        for one in running:
            one.stop()
    return 0


def tests(pytest_arguments: list[str], environment: Mapping[str, str]) -> int:
    """The test suite, on all cores, its progress shown as it goes."""
    print("--- tests", flush=True)
    started = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-n", WORKERS, "--dist", "worksteal", *pytest_arguments]
    code = subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode
    _print_end("tests", code, started)
    return code


def _print_end(name: str, code: int, started: float) -> None:
    how = "passed in" if code == 0 else f"failed with exit code {code} after"  # negative: the signal that ended it
    print(f"{name} {how} {time.monotonic() - started:.0f} s", flush=True)


def main() -> int:
    """Run them; the first exit code that is not 0 is ours."""
    with tempfile.TemporaryDirectory(prefix="cheerful-check-") as home:
        # An instance of its own: `definitions validate` must not need the database that dagster.yaml names.
        environment = {**os.environ, "DAGSTER_HOME": home, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
        code = side_by_side(checks_before_the_tests(), environment, at_once=os.cpu_count() or 1)
        return code or tests(sys.argv[1:], environment)


if __name__ == "__main__":
    sys.exit(main())
