"""What Dagster's own record says is wrong: work whose newest run failed, and checks as they were last evaluated."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from cheerful_pipelines.operations.models import FailedWork
from cheerful_pipelines.run_retries import ended_at, is_being_repeated

LOOKED_BACK = timedelta(days=2)
_MOST_FAILURES = 200
_MOST_EVENTS = 2_000
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class CheckSeen(NamedTuple):
    """One evaluation of a check."""

    key: str
    """`asset check partition`."""
    passed: bool
    is_error: bool
    run_id: str


def failed_work(instance: dg.DagsterInstance, now: datetime) -> list[FailedWork]:
    """Work that failed within two days and has not succeeded since, newest first."""
    failures = instance.get_run_records(
        dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=now - LOOKED_BACK), limit=_MOST_FAILURES
    )
    found: dict[tuple[str, str | None], FailedWork] = {}
    settled: set[tuple[str, str | None]] = set()
    for record in failures:
        run = record.dagster_run
        work = _work(run)
        if work in found or work in settled:
            continue
        newest = _newest_finished(instance, run, work)
        if newest is not None and newest.status == dg.DagsterRunStatus.FAILURE and not is_being_repeated(
            instance, newest, ended_at(record), now
        ):  # fmt: skip
            words, at = _words(instance, newest.run_id), record.update_timestamp
            found[work] = FailedWork(
                what=work[0], partition=work[1], run_id=newest.run_id, words=words,
                failed_at=at if at.tzinfo else at.replace(tzinfo=UTC),
            )  # fmt: skip
        else:
            settled.add(work)
    return list(found.values())


def failed_work_here() -> list[FailedWork]:
    """Of the installation that DAGSTER_HOME names."""
    with dg.DagsterInstance.get() as instance:
        return failed_work(instance, datetime.now(UTC))


def automation_here() -> tuple[list[str], list[str]]:
    """(sensors and schedules that somebody switched off, daemons that are not heard of)."""
    with dg.DagsterInstance.get() as instance:
        states, beats = instance.all_instigator_state(), instance.get_daemon_statuses()
    stopped = sorted(state.instigator_name for state in states if state.status.value == "STOPPED")
    return stopped, sorted(name for name, found in beats.items() if found.required and not found.healthy)


def pools_here() -> tuple[dict[str, int], list[str]]:
    """(slots of each pool that was used, pools in which a run that is over holds a slot)."""
    with dg.DagsterInstance.get() as instance:
        storage = instance.event_log_storage
        slots, stuck = dict[str, int](), list[str]()
        for pool in sorted(storage.get_concurrency_keys()):
            info = storage.get_concurrency_info(pool)
            slots[pool] = info.slot_count
            runs = [instance.get_run_by_id(run_id) for run_id in info.active_run_ids]
            if any(run is None or run.is_finished for run in runs):
                stuck.append(pool)
    return slots, stuck


def checks_since(instance: dg.DagsterInstance, cursor: int | None) -> tuple[list[CheckSeen], int | None]:
    """Evaluations after the cursor in their order, and the new cursor."""
    records = instance.get_event_records(
        dg.EventRecordsFilter(event_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION, after_cursor=cursor),
        limit=_MOST_EVENTS, ascending=True,
    )  # fmt: skip
    seen = []
    for record in records:
        event = record.event_log_entry.dagster_event
        if event is None:
            continue
        found = event.asset_check_evaluation_data
        key = " ".join([found.asset_key.to_user_string(), found.check_name, found.partition or ""]).strip()
        is_error = found.severity == dg.AssetCheckSeverity.ERROR
        seen.append(CheckSeen(key, bool(found.passed), is_error, record.run_id))
    return seen, records[-1].storage_id if records else cursor


def _work(run: dg.DagsterRun) -> tuple[str, str | None]:
    """What a run does, and on which partition: runs of the same work follow one another."""
    if "cheerful/sync" in run.tags:
        return "the live sync", None  # over other mailboxes each time
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    of_range = f"{first} to {last}" if first != last else first
    job = run.job_name if not (assets and run.job_name.startswith("__")) else assets
    return (f"{job} ({assets})" if assets and assets != job else job), run.tags.get("dagster/partition") or of_range


def _newest_finished(
    instance: dg.DagsterInstance, run: dg.DagsterRun, work: tuple[str, str | None]
) -> dg.DagsterRun | None:
    names = ("dagster/partition", "dagster/asset_partition_range_start", "cheerful/sync")
    tags = {name: run.tags[name] for name in names if name in run.tags}
    same: Sequence[dg.DagsterRun] = instance.get_runs(
        dg.RunsFilter(job_name=run.job_name, tags=tags, statuses=_FINISHED), limit=30
    )
    return next((one for one in same if _work(one) == work), None)


def _words(instance: dg.DagsterInstance, run_id: str) -> str:
    """What our own failure said, which carries ids only; nothing of an exception that is not ours."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        data = event.step_failure_data.user_failure_data if event is not None else None
        if data is not None and data.description:
            return str(data.description)
    return "It ended without a reason of ours; the run's log has the rest."
