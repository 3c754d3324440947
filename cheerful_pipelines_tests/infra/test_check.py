"""What `dev.sh test` runs before the tests: side by side, and a failure among them is the end."""

import importlib.util
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

INFRA = Path(__file__).resolve().parents[2] / "infra"


@pytest.fixture(scope="module")
def check() -> ModuleType:
    """infra/check.py as a module."""
    spec = importlib.util.spec_from_file_location("check", INFRA / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _python(name: str, code: str) -> tuple[str, list[str]]:
    return name, [sys.executable, "-c", code]


def test_what_each_check_prints_is_shown_together_and_all_are_run(
    check: ModuleType, capfd: pytest.CaptureFixture[str]
) -> None:
    checks = [_python(name, f"import sys; print('{name}'); sys.stderr.write('{name}\\n')") for name in ("a", "b", "c")]

    assert check.side_by_side(checks, os.environ, at_once=2) == 0

    shown = capfd.readouterr().out
    for name in ("a", "b", "c"):
        assert f"--- {name}\n{name}\n{name}\n{name} passed" in shown


def test_the_first_failure_is_the_exit_code_and_ends_the_others(
    check: ModuleType, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    never = tmp_path / "never"
    checks = [
        _python("long", "import time; time.sleep(600)"),
        _python("bad", "import sys; sys.exit('a type is wrong')"),
        _python("after", f"open({str(never)!r}, 'w')"),
    ]
    started = time.monotonic()

    assert check.side_by_side(checks, os.environ, at_once=2) == 1

    assert time.monotonic() - started < 300
    assert "a type is wrong\nbad failed with exit code 1 after" in capfd.readouterr().out
    assert not never.exists()
