"""What the daemon repeats, and when: Dagster's own function, with a code location that comes back."""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import psutil
import psycopg2
import pytest
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteInstigatorOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._daemon.auto_run_reexecution import auto_run_reexecution as dagsters
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon

from cheerful_pipelines.orchestration.run_retries import WILL_RETRY_TAG
from cheerful_pipelines.runtime import daemon as daemon_module
from cheerful_pipelines.runtime.daemon import (
    CLOCK_WENT_BACK,
    OnlyDaemon,
    forget_ticks_of_the_future,
    wait_for_the_code_location_before_a_retry,
)
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres


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


def test_a_tick_of_the_future_does_not_silence_its_sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock was an hour ahead for a minute; Dagster would not ask the sensor again for an hour."""

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    now = time.time()
    origin = RemoteInstigatorOrigin(
        RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("127.0.0.1", 1, location_name="cheerful"), "repo"), "looks"
    )
    for name, at in (("ahead", now + 3600), ("right", now - 5)):
        data = SensorInstigatorData(last_tick_timestamp=at, last_tick_start_timestamp=at, cursor="kept")
        with dg.DagsterInstance.get() as instance:
            state = InstigatorState(
                origin._replace(instigator_name=name), InstigatorType.SENSOR, InstigatorStatus.RUNNING, data
            )
            instance.add_instigator_state(state)
    forget_ticks_of_the_future()

    with dg.DagsterInstance.get() as instance:
        found = {state.instigator_name: state.instigator_data for state in instance.all_instigator_state()}
    ahead, right = found["ahead"], found["right"]
    assert isinstance(ahead, SensorInstigatorData)
    assert now <= (ahead.last_tick_timestamp or 0) <= time.time()
    assert now <= (ahead.last_tick_start_timestamp or 0) <= time.time()
    assert ahead.cursor == "kept"
    assert isinstance(right, SensorInstigatorData)
    assert right.last_tick_timestamp == now - 5


def test_a_daemon_that_ends_because_the_clock_went_back_is_started_again(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", f"open('{tmp_path}/began', 'a').write('x'); raise SystemExit({CLOCK_WENT_BACK})"]
    daemon = OnlyDaemon(postgres.url("daemon_clock"), command, look_seconds=0.05)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    _until(lambda: (tmp_path / "began").exists() and len((tmp_path / "began").read_text()) >= 2)
    daemon.stop.set()
    thread.join(timeout=20)


def test_a_daemon_whose_connection_is_killed_stops_and_goes_on_with_a_new_one(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """As when Postgres is restarted: it must neither run without the lock nor be gone for good."""
    url = postgres.url("daemon_away")
    command = [sys.executable, "-c", f"import os, time; open('{tmp_path}/' + str(os.getpid()), 'w'); time.sleep(600)"]
    daemon = OnlyDaemon(url, command, look_seconds=0.1)
    thread = threading.Thread(target=daemon.run)
    thread.start()
    try:
        _until(lambda: len(list(tmp_path.iterdir())) == 1)
        (first,) = list(tmp_path.iterdir())
        killer = psycopg2.connect(url.replace("+psycopg2", ""))
        with killer.cursor() as cursor:
            cursor.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cheerful daemon' "
                "and datname = current_database()"
            )
        killer.close()
        _until(lambda: len(list(tmp_path.iterdir())) == 2)
        assert not psutil.pid_exists(int(first.name))
    finally:
        daemon.stop.set()
        thread.join(timeout=30)
    assert not thread.is_alive()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_clock_that_goes_back_ends_the_daemon_and_one_that_goes_on_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    days, ended = iter([1000.0, 1001.0, 4600.0, 4601.0, 1002.0]), list[int]()

    def end(code: int) -> None:
        ended.append(code)
        raise SystemExit(code)

    # Its own `time` module, since a log line asks for the time, too.
    clock = SimpleNamespace(time=lambda: next(days), monotonic=lambda: 0.0, sleep=lambda _: None)
    monkeypatch.setattr(daemon_module, "time", clock)
    monkeypatch.setattr(os, "_exit", end)
    with pytest.raises(SystemExit):
        daemon_module._end_when_the_clock_goes_back()

    assert ended == [CLOCK_WENT_BACK]
    assert list(days) == []  # not before the step back


def test_dagsters_daemon_still_repeats_runs_through_the_function_that_waits() -> None:
    """The wait is put in the way of `retry_run`; when Dagster calls something else, this fails."""
    (function,) = EventLogConsumerDaemon().handle_updated_runs_fns

    assert function is dagsters.consume_new_runs_for_automatic_reexecution
    assert "retry_run" in function.__code__.co_names
    assert dagsters.retry_run.__code__.co_varnames[:2] == ("failed_run", "workspace_context")
