"""The code server that starts one process a run: the real server, real processes, asked as the daemon asks."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import psutil
import pytest
import yaml
from dagster._core.launcher.base import LaunchRunContext
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import GrpcServerTarget
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.server import DagsterApiServer
from dagster._grpc.types import ExecuteExternalJobArgs, StartRunResult
from dagster._serdes import deserialize_value

from cheerful_pipelines.operations.lost_runs import Here, lost_runs
from cheerful_pipelines.orchestration.run_retries import WILL_RETRY_TAG
from cheerful_pipelines.runtime.run_launcher import PatientRunLauncher
from cheerful_pipelines.runtime.worker import server_class
from cheerful_pipelines_tests.test_system import free_port

pytestmark = pytest.mark.system

REPOSITORY = Path(__file__).resolve().parents[2]
JOBS = """
import time
from pathlib import Path
import dagster as dg

@dg.op
def wait() -> None:
    while not Path(__file__).with_name("go on").exists():
        time.sleep(0.05)

@dg.job
def waits() -> None:
    wait()

defs = dg.Definitions(jobs=[waits], executor=dg.in_process_executor)
"""


class Location(NamedTuple):
    """A code location that runs, the instance it belongs to, and how the daemon sees both."""

    instance: dg.DagsterInstance
    workspace: Any
    client: DagsterGrpcClient
    worker: "subprocess.Popen[bytes]"
    folder: Path

    def a_run(self, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTING) -> dg.DagsterRun:
        """Of the job that waits."""
        (repository,) = self.workspace.get_code_location("cheerful").get_repositories().values()
        job = repository.get_full_job("waits")
        return create_run_for_test(
            self.instance, "waits", status=status, remote_job_origin=job.get_remote_origin(),
            job_code_origin=job.get_python_origin(), job_snapshot=job.job_snapshot,
        )  # fmt: skip

    def start(self, run: dg.DagsterRun) -> StartRunResult:
        """As the launcher asks for it."""
        assert run.remote_job_origin is not None
        arguments = ExecuteExternalJobArgs(
            job_origin=run.remote_job_origin, run_id=run.run_id, instance_ref=self.instance.get_ref()
        )
        return deserialize_value(self.client.start_run(arguments), StartRunResult)

    def processes(self) -> list[psutil.Process]:
        """Of runs."""
        return [
            process
            for process in psutil.Process(self.worker.pid).children(recursive=True)
            if process.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(process.cmdline())
        ]

    def status(self, run: dg.DagsterRun) -> dg.DagsterRunStatus:
        """As it is now."""
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status

    def says(self, run: dg.DagsterRun) -> list[str]:
        """Messages of its engine events."""
        return [entry.message for entry in self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]


def until(condition: Callable[[], bool], seconds: float = 90) -> None:
    """Poll; a busy machine has its time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Location]:
    folder, home, port = tmp_path_factory.mktemp("code"), tmp_path_factory.mktemp("home"), free_port()
    (folder / "waiting_jobs.py").write_text(JOBS)
    config = {
        "run_launcher": {"module": "cheerful_pipelines.runtime.run_launcher", "class": "PatientRunLauncher"},
        "run_monitoring": {"enabled": True}, "run_retries": {"enabled": True, "max_retries": 2},
        "telemetry": {"enabled": False},
    }  # fmt: skip
    (home / "dagster.yaml").write_text(yaml.safe_dump(config))
    environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{folder}",
                   "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "1"}  # fmt: skip
    command = [sys.executable, "-m", "cheerful_pipelines.runtime.worker", "--port", str(port), "--host", "127.0.0.1"]
    worker = subprocess.Popen(
        [*command, "--module", "waiting_jobs", "--drain-seconds", "1"], env=environment, cwd=folder
    )
    client = DagsterGrpcClient(port=port, host="127.0.0.1")
    try:
        until(lambda: _answers(client))
        target = GrpcServerTarget(host="127.0.0.1", port=port, socket=None, location_name="cheerful")
        with (
            dg.DagsterInstance.from_config(str(home)) as instance,
            WorkspaceProcessContext(instance, target) as context,
        ):
            yield Location(instance, context.create_request_context(), client, worker, folder)
    finally:
        worker.terminate()
        worker.wait(timeout=60)


def _answers(client: DagsterGrpcClient) -> bool:
    try:
        client.get_server_id(timeout=5)
    except dg.DagsterError:
        return False
    return True


def test_a_run_whose_start_is_asked_twice_has_one_process_and_ends_well(location: Location) -> None:
    (location.folder / "go on").unlink(missing_ok=True)
    run = location.a_run()
    first = location.start(run)
    until(lambda: location.status(run) == dg.DagsterRunStatus.STARTED)
    second = location.start(run)

    assert first.success
    assert second.success
    assert len(location.processes()) == 1
    (location.folder / "go on").touch()
    until(lambda: location.status(run) == dg.DagsterRunStatus.SUCCESS)
    assert not [words for words in location.says(run) if "duplicate" in words]


def test_a_process_that_finds_its_run_taken_or_queued_again_does_not_fail_it(location: Location) -> None:
    runs = [location.a_run(status) for status in (dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.QUEUED)]
    for run in runs:
        location.start(run)
    until(lambda: all(any("Ignoring a duplicate run" in words for words in location.says(run)) for run in runs))
    until(lambda: not location.processes())
    time.sleep(1.5)  # the server looks after processes twice a second

    assert [location.status(run) for run in runs] == [run.status for run in runs]


def test_a_start_that_outlives_the_time_out_is_not_asked_for_again(
    location: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process needs seconds to load; the launcher waits for a fraction of one, and asks the server instead."""
    (location.folder / "go on").touch()
    ask = DagsterGrpcClient._query

    def impatient(self: DagsterGrpcClient, method: str, *arguments: Any, **named: Any) -> Any:
        named = {**named, "timeout": 0.2} if method == "StartRun" else named
        return ask(self, method, *arguments, **named)

    monkeypatch.setattr(DagsterGrpcClient, "_query", impatient)
    launcher, run = location.instance.run_launcher, location.a_run()
    assert isinstance(launcher, PatientRunLauncher)
    launcher.launch_run(LaunchRunContext(run, location.workspace))

    assert any("Unexpected error in IPC client" in words for words in location.says(run))  # it did time out
    until(lambda: location.status(run) == dg.DagsterRunStatus.SUCCESS)


def test_a_start_that_no_server_has_is_lost_and_one_that_a_server_has_is_not(location: Location) -> None:
    (location.folder / "go on").unlink(missing_ok=True)
    has, never, not_asked = (location.a_run() for _ in range(3))
    for run in (has, never):
        grpc = f'{{"host": "127.0.0.1", "port": {location.client.port}}}'
        location.instance.add_run_tags(run.run_id, {GRPC_INFO_TAG: grpc})
    location.start(has)
    later = Here(0.0, lambda pid, _: psutil.pid_exists(pid))
    lost = lost_runs(location.instance, later, now=time.time() + 1000)

    assert {run.run_id for run in lost} & {has.run_id, never.run_id, not_asked.run_id} == {
        never.run_id, not_asked.run_id
    }  # fmt: skip
    (location.folder / "go on").touch()
    until(lambda: location.status(has) == dg.DagsterRunStatus.SUCCESS)


def test_looking_after_processes_goes_on_after_the_database_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dagster's thread for it ends with the first exception, and then no killed run was ever noticed."""
    looked = list[int]()

    def fails(_self: Any) -> None:
        looked.append(1)
        raise OSError("the database is away")

    monkeypatch.setattr(DagsterApiServer, "_check_for_orphaned_runs", fails)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    server = object.__new__(server_class())
    server._execution_lock, server._executions = __import__("threading").RLock(), {}
    server._check_for_orphaned_runs()

    assert looked == [1]


def test_a_run_that_is_interrupted_by_the_stop_says_that_dagster_repeats_it(location: Location) -> None:
    """The last test of this server: it is stopped with a run under way that does not end within its grace."""
    (location.folder / "go on").unlink(missing_ok=True)
    run = location.a_run()
    location.start(run)
    until(lambda: location.status(run) == dg.DagsterRunStatus.STARTED)
    location.worker.terminate()
    assert location.worker.wait(timeout=90) == 0

    found = location.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert (found.status, found.tags[WILL_RETRY_TAG]) == (dg.DagsterRunStatus.FAILURE, "true")
