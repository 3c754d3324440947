"""`python -m cheerful_pipelines.runtime.worker --port 4000`: the code location and its runs, stopped gracefully.

Told to stop (SIGTERM, as platforms do before they kill), it starts nothing new, lets runs end, asks long ones to stop
at their next checkpoint, interrupts what is left after DRAIN_SECONDS, and is gone after STOP_SECONDS at the latest.
Platforms must wait longer than that: kill_timeout in infra/stg and infra/prd, and the like. An interrupted run fails
with the tag `dagster/will_retry`: Dagster's run retries repeat it when the daemon sees a worker again.

The code server (`--serve`) is Dagster's with one difference: it starts one process a run, however often it is asked.
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
from typing import Any

import psutil

from cheerful_pipelines.core.logs import configure_logging, get_logger

DRAIN_SECONDS = 240.0
"""So long runs may go on by themselves."""
INTERRUPT_SECONDS = 20.0
"""So long an interrupted run may say so, and free what it holds."""
STOP_SECONDS = 270.0
"""4 min 30 s: all of it, Dagster's own goodbye included."""
REQUESTS_SIDE_BY_SIDE = 24
"""A start holds one until its process has loaded the code; sensors and the web UI must not wait for that."""
_RUNS = "spawn_main"
"""What stands in the command line of a run's process."""

logger = get_logger(__name__)


class Worker:
    """The code server as a child in a session of its own: a signal to us reaches it only by us."""

    def __init__(
        self,
        port: int,
        *,
        host: str = "0.0.0.0",
        module: str = "cheerful_pipelines.definitions",
        drain_seconds: float = DRAIN_SECONDS,
    ) -> None:
        self._port, self._drain_seconds = port, drain_seconds
        self._stop = threading.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="cheerful-worker-")
        self._stop_file = Path(self._folder.name) / "stopping"
        self._command = [
            sys.executable, "-m", "cheerful_pipelines.runtime.worker", "--serve", "--host", host, "--port", str(port),
            "--module", module,
        ]  # fmt: skip

    def serve(self) -> int:
        """Until told to stop; 0 then, else the server's own exit code, with nothing of it left behind."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        environment = {**os.environ, "CHEERFUL_STOP_FILE": str(self._stop_file)}
        server = subprocess.Popen(self._command, env=environment, start_new_session=True)
        while not self._stop.wait(0.2):
            if server.poll() is not None:
                _kill_session(server.pid)  # its runs are found and repeated; left alone, they would run beside those
                self._folder.cleanup()
                return server.returncode or 1
        return self._drain(server)

    def _drain(self, server: "subprocess.Popen[bytes]") -> int:
        began = time.monotonic()
        self._stop_file.touch()
        logger.info("stopping", runs=len(_runs_of(server.pid)))
        self._refuse_new_runs(server)
        left = _wait_for_runs(server.pid, self._drain_seconds)
        for run in left:
            _signal(run, signal.SIGTERM)
        _, hung = psutil.wait_procs(left, timeout=INTERRUPT_SECONDS)
        try:
            server.wait(timeout=min(5.0, max(0.0, STOP_SECONDS - 2 - (time.monotonic() - began))))
        except subprocess.TimeoutExpired:
            for process in [*hung, *_family(server.pid)]:
                _signal(process, signal.SIGKILL)
            server.wait(timeout=2)
        logger.info("stopped", interrupted=len(left), killed=len(hung), seconds=round(time.monotonic() - began, 1))
        self._folder.cleanup()
        return 0

    def _refuse_new_runs(self, server: "subprocess.Popen[bytes]") -> None:
        from dagster._grpc.client import DagsterGrpcClient  # late: 100 MB that only the end of this process needs

        try:
            DagsterGrpcClient(port=self._port, host="127.0.0.1").shutdown_server()
        except Exception as error:  # it may be starting, or hang: its runs are what matters
            logger.warning("server_did_not_answer", error=type(error).__name__)
            server.terminate()


def _wait_for_runs(pid: int, seconds: float) -> list[psutil.Process]:
    """Those that are left after the time. Asked again and again: a start that was under way may still bring one."""
    deadline = time.monotonic() + seconds
    while (runs := _runs_of(pid)) and time.monotonic() < deadline:
        psutil.wait_procs(runs, timeout=0.5)
    return runs


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
            if _RUNS in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _kill_session(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


# --- the code server: the only place that knows Dagster's own, private, class of it ---------------------------------


def server_class() -> type[Any]:
    """Dagster's gRPC service, made safe against starts that are slow or come twice.

    Private: there is no public way in. `test_worker.py` holds the three things that this stands on, with a real server:
    a start asked twice makes one process, a process that ignores its run does not fail it, and looking after processes
    goes on after the database was away.
    """
    from dagster import DagsterEventType, DagsterInstance
    from dagster._grpc.__generated__ import dagster_api_pb2
    from dagster._grpc.server import DagsterApiServer
    from dagster._grpc.types import ExecuteExternalJobArgs, StartRunResult
    from dagster._serdes import deserialize_value, serialize_value

    lock, starting = threading.Lock(), set[str]()

    class OneProcessARun(DagsterApiServer):
        """See `server_class`."""

        def StartRun(self, request: Any, context: Any) -> Any:
            run_id = deserialize_value(request.serialized_execute_run_args, ExecuteExternalJobArgs).run_id
            with lock:
                if run_id in starting or self._is_running(run_id):
                    result = StartRunResult(success=True, message=None, serializable_error_info=None)
                    return dagster_api_pb2.StartRunReply(serialized_start_run_result=serialize_value(result))
                starting.add(run_id)
            try:
                return super().StartRun(request, context)
            finally:
                with lock:
                    starting.discard(run_id)

        def _is_running(self, run_id: str) -> bool:
            with self._execution_lock:
                found = self._executions.get(run_id)
            return found is not None and bool(found[0].is_alive())

        def _check_for_orphaned_runs(self) -> None:
            """Called twice a second by a thread that Dagster never starts again: nothing may come out of it."""
            try:
                self._forget_duplicates()
                super()._check_for_orphaned_runs()
            except Exception as error:  # the database is away: the same processes are looked at again
                logger.warning("runs_not_looked_after", error=type(error).__name__)
                time.sleep(2)

        def _forget_duplicates(self) -> None:
            with self._execution_lock:
                ended = [(run_id, ref) for run_id, (process, ref) in self._executions.items() if process.exitcode == 0]
            for run_id, ref in ended:
                with DagsterInstance.from_ref(ref) as instance:
                    run = instance.get_run_by_id(run_id)
                    if run is None or run.is_finished:
                        continue
                    events = instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT)
                if any("Ignoring a duplicate run" in entry.message for entry in events):
                    logger.info("duplicate_start_ignored", run=run_id)
                    with self._execution_lock:
                        self._clear_run(run_id)

    return OneProcessARun


def serve_code(port: int, host: str, module: str) -> None:
    """This process becomes the code server; it ends, with its runs, when its parent is gone."""
    from dagster._cli import main as dagster
    from dagster._grpc import server

    server.DagsterApiServer = server_class()  # type: ignore[misc]
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    sys.argv = [
        "dagster", "api", "grpc", "--host", host, "--port", str(port), "-m", module, "--location-name", "cheerful",
        "--max-workers", str(REQUESTS_SIDE_BY_SIDE),
    ]  # fmt: skip
    dagster()  # type: ignore[no-untyped-call]


def _end_with_parent(parent: int) -> None:
    """A killed parent cannot drain us; left alone we would hold its port, and runs would have two servers."""
    while os.getppid() == parent:
        time.sleep(1)
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(INTERRUPT_SECONDS)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--module", default="cheerful_pipelines.definitions")
    parser.add_argument("--drain-seconds", type=float, default=DRAIN_SECONDS)
    parser.add_argument("--serve", action="store_true", help="be the code server itself (what the worker starts)")
    chosen = parser.parse_args()
    configure_logging()
    if chosen.serve:
        serve_code(chosen.port, chosen.host, chosen.module)
        return
    worker = Worker(chosen.port, host=chosen.host, module=chosen.module, drain_seconds=chosen.drain_seconds)
    sys.exit(worker.serve())


if __name__ == "__main__":
    main()
