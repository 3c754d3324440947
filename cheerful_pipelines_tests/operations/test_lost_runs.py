"""Which runs nobody works on any more: by process, by launch, by Celery's workers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.events import DagsterEvent, EngineEventData

from cheerful_pipelines.operations.lost_runs import LEAST_AGE_SECONDS, Here, end_lost_run, lost_runs
from cheerful_pipelines.operations.sensors import _is_alive
from cheerful_pipelines.orchestration.run_retries import WILL_RETRY_TAG


@dg.job
def work() -> None:
    """Nothing."""


class ThisLauncher(dg.DefaultRunLauncher):
    """As the default: it cannot tell by itself."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True, "max_retries": 2}}) as made:
        made._run_launcher = ThisLauncher()
        made._run_launcher.register_instance(made)
        yield made


def _run(instance: dg.DagsterInstance, *, pid: int | None = None, started: bool = False) -> dg.DagsterRun:
    run = instance.create_run_for_job(work)
    instance.report_dagster_event(DagsterEvent("PIPELINE_STARTING", "work", message=""), run.run_id)
    if pid is not None:
        instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(pid))
    if started:
        instance.report_dagster_event(DagsterEvent("PIPELINE_START", "work", message=""), run.run_id)
    return run


def _gone() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def _lost(instance: dg.DagsterInstance, *, began: float = 0.0, after: float = 0.0) -> set[str]:
    found = lost_runs(instance, Here(began, _is_alive), now=time.time() + after)
    return {run.run_id for run in found}


def test_a_start_that_was_asked_of_a_code_server_that_is_gone_is_lost(instance: dg.DagsterInstance) -> None:
    run = _run(instance)

    assert _lost(instance, began=time.time() - 60) == set()
    assert _lost(instance, began=time.time() + 3) == {run.run_id}


def test_a_run_whose_processes_are_gone_is_lost_before_it_began_its_work_too(instance: dg.DagsterInstance) -> None:
    starting, started = _run(instance, pid=_gone()), _run(instance, pid=_gone(), started=True)
    _run(instance, pid=os.getpid())

    assert _lost(instance) == {starting.run_id, started.run_id}


def test_a_run_with_two_processes_lives_while_one_of_them_does(instance: dg.DagsterInstance) -> None:
    """The second one found the run taken, and ended."""
    run = _run(instance, pid=os.getpid(), started=True)
    instance.report_engine_event("Started process for run.", run, EngineEventData.in_process(_gone()))

    assert _lost(instance) == set()


def test_a_run_that_was_put_back_and_starts_again_is_not_judged_by_its_first_process(
    instance: dg.DagsterInstance,
) -> None:
    run = _run(instance, pid=_gone())
    instance.report_dagster_event(DagsterEvent("PIPELINE_STARTING", "work", message=""), run.run_id)

    assert _lost(instance) == set()


def test_a_number_that_was_given_to_another_process_is_not_the_one_of_then() -> None:
    began = psutil.Process().create_time()

    assert _is_alive(os.getpid(), began + 1)
    assert not _is_alive(os.getpid(), began - 3600)


def test_a_lost_run_is_left_to_dagsters_retries_and_a_cancelled_one_is_not_repeated(
    instance: dg.DagsterInstance,
) -> None:
    lost, cancelled = _run(instance, started=True), _run(instance, started=True)
    instance.report_run_canceling(cancelled)
    over = _run(instance, started=True)
    instance.report_dagster_event(DagsterEvent("PIPELINE_SUCCESS", "work", message=""), over.run_id)
    for run in (lost, cancelled, over):
        end_lost_run(instance, run.run_id)

    found = {run.run_id: run for run in instance.get_runs()}
    assert found[lost.run_id].status == dg.DagsterRunStatus.FAILURE
    assert found[lost.run_id].tags[WILL_RETRY_TAG] == "true"
    assert found[cancelled.run_id].status == dg.DagsterRunStatus.CANCELED
    assert found[over.run_id].status == dg.DagsterRunStatus.SUCCESS


class Celery:
    """What a launcher of dagster-celery has: workers that answer, and a queue."""

    def __init__(self, active: dict[str, list[str]] | None, reserved: list[str], waiting: int) -> None:
        self._active, self._reserved, self._waiting = active, reserved, waiting
        self.control = SimpleNamespace(inspect=lambda timeout: self)

    def active(self) -> Any:
        return self._active and {name: [{"id": task} for task in tasks] for name, tasks in self._active.items()}

    def reserved(self) -> Any:
        return {"w": [{"id": task} for task in self._reserved]}

    def connection_for_read(self) -> Any:
        declare = SimpleNamespace(queue_declare=lambda queue, passive: SimpleNamespace(message_count=self._waiting))
        return _closing(SimpleNamespace(default_channel=declare))


class _closing:
    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __enter__(self) -> object:
        return self.thing

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""


@pytest.mark.parametrize(
    ("celery", "lost"),
    [
        (Celery(None, [], 0), set()),  # no worker answers: nothing is judged
        (Celery({"w": []}, [], 0), {"starting", "started"}),
        (Celery({"w": []}, [], 3), {"started"}),  # the start may wait in the queue
        (Celery({"w": ["started"]}, ["starting"], 0), set()),
        (Celery({"w": ["starting"]}, ["started"], 0), {"started"}),
    ],
)
def test_of_celery_the_runs_are_lost_that_no_worker_has_and_no_queue(
    instance: dg.DagsterInstance, celery: Celery, lost: set[str]
) -> None:
    instance._run_launcher.celery = celery  # type: ignore[union-attr]
    names = {}
    for name, started in (("starting", False), ("started", True)):
        run = _run(instance, started=started)
        instance.add_run_tags(run.run_id, {"dagster-celery/task_id": name})
        names[run.run_id] = name

    assert {names[run_id] for run_id in _lost(instance, after=LEAST_AGE_SECONDS + 5)} == lost
    assert _lost(instance) == set()  # they have just begun
