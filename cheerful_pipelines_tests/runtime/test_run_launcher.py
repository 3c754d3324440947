"""Starts that fail for a while: the run waits in the queue, and none that is under way is started again."""

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.errors import DagsterLaunchFailedError, DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._grpc import impl, server

from cheerful_pipelines.runtime import run_launcher
from cheerful_pipelines.runtime.celery_launcher import PatientCeleryRunLauncher
from cheerful_pipelines.runtime.run_launcher import PatientRunLauncher
from cheerful_pipelines_tests.test_system import free_port


class TimedOut(Exception):
    """As gRPC's, whose class has no types."""

    def code(self) -> SimpleNamespace:
        return SimpleNamespace(name="DEADLINE_EXCEEDED")


def _timed_out(*_: object) -> None:
    raise DagsterUserCodeUnreachableError("timed out") from TimedOut()


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(run_launcher, "_ASK_EVERY_SECONDS", 0.0)
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = PatientRunLauncher()
        launcher.register_instance(instance)
        yield launcher


@dg.job
def work() -> None:
    """Nothing."""


def _launch(launcher: PatientRunLauncher, run: dg.DagsterRun) -> None:
    launcher.launch_run(SimpleNamespace(dagster_run=run))  # type: ignore[arg-type]


def _starting(launcher: PatientRunLauncher) -> dg.DagsterRun:
    return launcher._instance.create_run_for_job(work, status=dg.DagsterRunStatus.STARTING)


def test_a_run_that_is_not_under_way_goes_back_to_the_queue(launcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", _timed_out)
    monkeypatch.setattr(launcher, "runs_of_server", lambda _: ["another run"])

    with pytest.raises(DagsterUserCodeUnreachableError):
        _launch(launcher, _starting(launcher))


def test_a_server_that_is_too_busy_to_answer_is_asked_again(launcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run, answers = _starting(launcher), [None, None]
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", _timed_out)
    monkeypatch.setattr(launcher, "runs_of_server", lambda _: answers.pop() if answers else [run.run_id])

    _launch(launcher, run)

    assert answers == []


def test_a_server_that_refuses_connections_is_asked_once(launcher: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue waits meanwhile: after a restart that would cost a minute."""
    asked = list[str]()

    def refused(*_: object) -> None:
        raise DagsterUserCodeUnreachableError("refused")

    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", refused)
    monkeypatch.setattr(launcher, "runs_of_server", asked.append)

    with pytest.raises(DagsterUserCodeUnreachableError):
        _launch(launcher, _starting(launcher))
    assert len(asked) == 1


@pytest.mark.parametrize("is_started", [True, False])
def test_a_run_whose_process_wrote_its_number_is_under_way(
    launcher: Any, monkeypatch: pytest.MonkeyPatch, is_started: bool
) -> None:
    run = _starting(launcher)
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", _timed_out)
    monkeypatch.setattr(launcher, "runs_of_server", lambda _: None)
    if is_started:
        launcher._instance.report_dagster_event(DagsterEvent("PIPELINE_START", "work", message=""), run.run_id)
    else:
        launcher._instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(1))

    _launch(launcher, run)


def test_a_start_that_failed_for_a_passing_reason_waits_and_another_fails(
    launcher: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(words: str) -> Any:
        def launch(*_: object) -> None:
            raise DagsterLaunchFailedError(words, serializable_error_info=None)

        return launch

    for words in run_launcher._PASSING:
        monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", fails(f"... {words} ..."))
        with pytest.raises(DagsterUserCodeUnreachableError):
            _launch(launcher, _starting(launcher))
    monkeypatch.setattr(dg.DefaultRunLauncher, "launch_run", fails("no such job"))
    with pytest.raises(DagsterLaunchFailedError):
        _launch(launcher, _starting(launcher))


def test_a_broker_that_is_away_holds_a_run_up_and_fails_none(
    launcher: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens there; the launcher of dagster-celery itself raises what Dagster takes for a failure."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    broker = f"redis://127.0.0.1:{free_port()}/0"
    with dg.DagsterInstance.get() as instance:
        celery = PatientCeleryRunLauncher(default_queue="dagster", broker=broker, backend="cache+memory://")
        celery.register_instance(instance)
        repository = RepositoryPythonOrigin("python", ModuleCodePointer("jobs", "work"))
        run = create_run_for_test(instance, "work", job_code_origin=JobPythonOrigin("work", repository))

        with pytest.raises(DagsterUserCodeUnreachableError, match="The broker does not answer"):
            celery.launch_run(SimpleNamespace(dagster_run=run))


def test_dagsters_code_server_still_says_so() -> None:
    """Its sentences are no interface: when they change, this fails, and the launcher must learn the new ones."""
    sources = inspect.getsource(server.DagsterApiServer) + inspect.getsource(impl)
    joined = sources.replace('"\n                        f"', "")

    assert "after telling it to shut down" in joined
    assert "Error during RPC setup for executing run" in joined
    assert "terminated unexpectedly with " in joined
    assert "exit code {execution_process.exitcode}" in joined
