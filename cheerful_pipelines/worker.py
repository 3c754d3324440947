"""`python -m cheerful_pipelines.worker --port 4000`: the code location and its runs, stopped gracefully.

Told to stop (SIGTERM, as platforms do before they kill), it starts nothing new, lets runs end, asks long ones to stop
at their next checkpoint, interrupts what is left after DRAIN_SECONDS, and is gone after STOP_SECONDS at the latest.
Platforms must wait longer than that: kill_timeout in infra/stg and infra/prd, and the like.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from dagster._grpc.client import DagsterGrpcClient

from cheerful_pipelines.logs import configure_logging, get_logger

DRAIN_SECONDS = 240.0
"""So long runs may go on by themselves."""
INTERRUPT_SECONDS = 20.0
"""So long an interrupted run may say so, and free what it holds."""
STOP_SECONDS = 270.0
"""4 min 30 s: all of it, Dagster's own goodbye included."""
_RUNS = "spawn_main"
"""What stands in the command line of a run's process."""

logger = get_logger(__name__)


class Worker:
    """The code server as a child in a session of its own: a signal to us reaches it only by us."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="cheerful-worker-")
        self._stop_file = Path(self._folder.name) / "stopping"

    def serve(self) -> int:
        """Until told to stop; 0 then, else the server's own exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        command = [
            str(Path(sys.executable).parent / "dagster"), "api", "grpc", "--host", "0.0.0.0", "--port", str(self._port),
            "-m", "cheerful_pipelines.definitions", "--location-name", "cheerful",
        ]  # fmt: skip
        environment = {**os.environ, "CHEERFUL_STOP_FILE": str(self._stop_file)}
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        while not self._stop.wait(0.2):
            if server.poll() is not None:
                return server.returncode or 1
        return self._drain(server)

    def _drain(self, server: "subprocess.Popen[bytes]") -> int:
        began = time.monotonic()
        self._stop_file.touch()
        runs = _runs_of(server.pid)
        logger.info("stopping", runs=len(runs))
        try:
            DagsterGrpcClient(port=self._port, host="127.0.0.1").shutdown_server()  # nothing new is started
        except Exception as error:  # it may be starting, or hang: its runs are what matters
            logger.warning("server_did_not_answer", error=type(error).__name__)
            server.terminate()
        _, left = psutil.wait_procs(runs, timeout=DRAIN_SECONDS)
        for run in left:
            run.terminate()
        _, hung = psutil.wait_procs(left, timeout=INTERRUPT_SECONDS)
        try:
            server.wait(timeout=min(5.0, max(0.0, STOP_SECONDS - 2 - (time.monotonic() - began))))
        except subprocess.TimeoutExpired:
            for process in [*hung, *_family(server.pid)]:
                process.kill()
            server.wait(timeout=2)
        logger.info("stopped", interrupted=len(left), killed=len(hung), seconds=round(time.monotonic() - began, 1))
        self._folder.cleanup()
        return 0


def _family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _runs_of(pid: int) -> list[psutil.Process]:
    """Processes of runs: the server starts each as a child of its own."""
    found = []
    for process in _family(pid)[1:]:
        try:
            if _RUNS in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=4000)
    configure_logging()
    sys.exit(Worker(parser.parse_args().port).serve())


if __name__ == "__main__":
    main()
