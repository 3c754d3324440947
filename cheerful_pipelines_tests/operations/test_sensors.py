"""Which processes still live, whatever happens to this machine's clock."""

import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from cheerful_pipelines.operations import sensors


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as found:
        yield found
        found.kill()


@pytest.mark.parametrize("hours", [-1, 0, 1])
def test_a_step_of_the_clock_makes_no_living_process_look_gone(
    process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """psutil counts from the start of the system, which moves with the clock; the run was noted before the step."""
    noted, step, real = time.time(), hours * 3600, psutil.Process.create_time
    real_time = time.time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: real(self) + step)
    monkeypatch.setattr(time, "time", lambda: real_time() + step)

    assert sensors._is_alive(process.pid, noted)


def test_a_number_that_was_given_to_another_process_is_not_the_one_of_then(process: subprocess.Popen[bytes]) -> None:
    assert not sensors._is_alive(process.pid, time.time() - 3600)
    process.kill()
    process.wait()
    assert not sensors._is_alive(process.pid, time.time())
