"""What the daemon repeats, and when: Dagster's own function, with a code location that comes back."""

import logging
import time
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.auto_run_reexecution import auto_run_reexecution as dagsters
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from cheerful_pipelines.daemon import wait_for_the_code_location_before_a_retry
from cheerful_pipelines.run_retries import WILL_RETRY_TAG


class Workspace:
    """As the daemon sees it: the location does not load, then does not answer, then is there."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.steps = instance, ["load error", "load error", "no answer", "there"]
        self.reloaded = list[str]()

    def create_request_context(self) -> "Workspace":
        return self

    def get_code_location(self, _name: str) -> Any:
        step = self.steps[0] if len(self.steps) == 1 else self.steps.pop(0)
        if step == "load error":
            raise RuntimeError("Failure loading cheerful")
        return SimpleNamespace(client=SimpleNamespace(get_server_id=lambda timeout: self._answer(step)))

    @staticmethod
    def _answer(step: str) -> str:
        if step == "no answer":
            raise RuntimeError("Could not reach user code server")
        return "server"

    def reload_code_location(self, name: str) -> None:
        self.reloaded.append(name)


def test_a_run_is_repeated_only_when_the_code_location_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it Dagster tries at once, says "Failed to retry run", and never tries again."""
    repeated = list[tuple[str, bool]]()

    def retry_run(failed_run: dg.DagsterRun, workspace: Any) -> None:
        repeated.append((failed_run.run_id, workspace.steps == ["there"]))

    monkeypatch.setattr(dagsters, "retry_run", retry_run)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    with dg.DagsterInstance.ephemeral() as instance:

        @dg.job
        def work() -> None:
            pass

        run = instance.create_run_for_job(work, status=dg.DagsterRunStatus.FAILURE, tags={WILL_RETRY_TAG: "true"})
        workspace = Workspace(instance)
        wait_for_the_code_location_before_a_retry()
        record = SimpleNamespace(dagster_run=_of_location(run))
        list(dagsters.consume_new_runs_for_automatic_reexecution(workspace, [record], logging.getLogger("x")))  # type: ignore[arg-type, list-item]

    assert repeated == [(run.run_id, True)]
    assert workspace.reloaded == ["cheerful", "cheerful"]


def _of_location(run: dg.DagsterRun) -> Any:
    return SimpleNamespace(
        run_id=run.run_id, tags=run.tags, status=run.status, remote_job_origin=SimpleNamespace(location_name="cheerful")
    )


def test_dagsters_daemon_still_repeats_runs_through_the_function_that_waits() -> None:
    """The wait is put in the way of `retry_run`; when Dagster calls something else, this fails."""
    (function,) = EventLogConsumerDaemon().handle_updated_runs_fns

    assert function is dagsters.consume_new_runs_for_automatic_reexecution
    assert "retry_run" in function.__code__.co_names
    assert dagsters.retry_run.__code__.co_varnames[:2] == ("failed_run", "workspace_context")
