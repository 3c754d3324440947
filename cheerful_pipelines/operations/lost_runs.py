"""Runs that count as under way though nothing does their work any more, and nobody would ever say so.

Dagster's run monitoring asks a launcher that can tell; the default launcher cannot, and such a run would hold its tags
and slots until its longest time is over. Celery's launcher calls a run RUNNING for as long as nobody says otherwise:
there the workers are asked themselves.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import dagster as dg

LEAST_AGE_SECONDS = 10.0
"""A run that has just begun may have ended between two questions."""
START_SECONDS = 120.0
"""So long a run may be on its way to a code server before the server is asked; a busy machine needs a minute."""
_CLOCK_SECONDS = 2.0
"""The system tells when a process began in hundredths of a second since the start of the machine, which it rounds."""
_WORKERS_ANSWER_WITHIN_SECONDS = 3.0
_UNDER_WAY = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
_TASK = "dagster-celery/task_id"


class Here(NamedTuple):
    """What the code server that asks knows of this machine."""

    began: float
    """When this code server began (Unix seconds)."""
    is_alive: Callable[[int, float], bool]
    """Of a process id, and of when it was noted (Unix seconds)."""


def lost_runs(instance: dg.DagsterInstance, here: Here, *, now: float | None = None) -> list[dg.DagsterRun]:
    """Runs of the instance's launcher that are lost; `now` in Unix seconds."""
    records = instance.get_run_records(dg.RunsFilter(statuses=_UNDER_WAY))
    now = datetime.now(UTC).timestamp() if now is None else now
    if not records:
        return []
    if (celery := getattr(instance.run_launcher, "celery", None)) is not None:
        return _lost_in_celery(instance, records, celery, now)
    if instance.run_launcher.supports_check_run_worker_health:
        return []
    return [record.dagster_run for record in records if _is_lost(instance, record, here, now)]


def end_lost_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """End it as its status asks (one that somebody cancelled is not repeated), and free the pool slots it held."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return  # it ended by itself while we looked
    words = "The process that did the work of this run is gone."
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, words)
    else:
        instance.report_run_failed(run, words)
    instance.event_log_storage.free_concurrency_slots_for_run(run_id)


def _is_lost(instance: dg.DagsterInstance, record: dg.RunRecord, here: Here, now: float) -> bool:
    """Where processes said that they have the run: whether all are gone. Else whether its start came to nothing."""
    run = record.dagster_run
    launched = _last(instance, run.run_id, dg.DagsterEventType.RUN_STARTING) or record.create_timestamp.timestamp()
    is_starting = run.status == dg.DagsterRunStatus.STARTING
    noted = [(pid, at) for pid, at in _processes(instance, run.run_id) if not is_starting or at >= launched]
    if noted:
        return not any(here.is_alive(pid, at) for pid, at in noted)
    if not is_starting:
        return False
    if launched < here.began - _CLOCK_SECONDS:
        return True  # asked of a code server that is gone; a process of it that still comes finds its run over
    asks = getattr(instance.run_launcher, "runs_of_server", None)
    if asks is None or now - launched < START_SECONDS:
        return False
    current = asks(run.run_id)
    return current is not None and run.run_id not in current


def _processes(instance: dg.DagsterInstance, run_id: str) -> list[tuple[int, float]]:
    """(process id, when it was noted) of each process that said it has the run: a start that came twice has two."""
    return [
        (int(str(data.metadata["pid"].value)), entry.timestamp)
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
        if (event := entry.dagster_event) is not None and "pid" in (data := event.engine_event_data).metadata
    ]


def _last(instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType) -> float | None:
    return max((entry.timestamp for entry in instance.all_logs(run_id, of_type=kind)), default=None)


def _lost_in_celery(
    instance: dg.DagsterInstance, records: Sequence[dg.RunRecord], celery: Any, now: float
) -> list[dg.DagsterRun]:
    """Runs whose task no worker has. Where no worker answers at all, nothing is judged."""
    inspect = celery.control.inspect(timeout=_WORKERS_ANSWER_WITHIN_SECONDS)
    active = inspect.active()
    if not active:
        return []
    had = {task["id"] for tasks in active.values() for task in tasks}
    taken = had | {task["id"] for tasks in (inspect.reserved() or {}).values() for task in tasks}
    is_queue_empty: bool | None = None
    lost = []
    for record in records:
        run = record.dagster_run
        if run.status != dg.DagsterRunStatus.STARTING:
            began, has = record.start_time or 0.0, had
        else:
            began, has = _last(instance, run.run_id, dg.DagsterEventType.RUN_STARTING) or 0.0, taken
            if is_queue_empty is None:
                is_queue_empty = _waiting(celery, instance) == 0
            if not is_queue_empty:
                continue  # it may be one of those that wait; they do not wait for ever
        if began < now - LEAST_AGE_SECONDS and run.tags.get(_TASK) not in has:
            lost.append(run)
    return lost


def _waiting(celery: Any, instance: dg.DagsterInstance) -> int:
    """Tasks in the broker that no worker has taken yet."""
    queue = str(getattr(instance.run_launcher, "default_queue", "dagster"))
    with celery.connection_for_read() as connection:
        return int(connection.default_channel.queue_declare(queue=queue, passive=True).message_count)
