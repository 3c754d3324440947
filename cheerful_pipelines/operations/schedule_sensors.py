"""The sensor `failed_schedules`: a run that the clock asked for, and that failed, is repeated by the retry table.

Without it a night's reconcile, proof or count that met a restart would be lost for the day. The hourly health report
is left out: the next one says the same.
"""

from datetime import datetime, timedelta

import dagster as dg

from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.operations.jobs import blob_sweep, retention
from cheerful_pipelines.orchestration.failures import run_failure
from cheerful_pipelines.orchestration.jobs import ARCHIVE_RECONCILE, CAMPAIGN_COUNT, CAMPAIGN_EXPORT, CAMPAIGN_REPORT
from cheerful_pipelines.orchestration.retries import WorkFailure, is_from_the_future, key_suffix, may_be_tried
from cheerful_pipelines.orchestration.run_retries import ended_at, is_being_repeated
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import (
    FINISHED,
    Cursor,
    Moment,
    Tick,
    unfinished_runs,
    work_of,
    work_sensor,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.checks import thread_proof

logger = get_logger(__name__)

KINDS = ("export", "report", "reconcile", "count", "proof", "retention", "blob_sweep")
_LOOKED_BACK = timedelta(days=2)
_OVERLAP = timedelta(minutes=2)
_MOST_RUNS = 1_000


class ScheduleCursor(Cursor):
    """Up to when ended runs were looked at."""

    seen_until: Moment | None = None


@work_sensor(
    name="failed_schedules",
    kinds=KINDS,
    cursor=ScheduleCursor,
    jobs=[ARCHIVE_RECONCILE, CAMPAIGN_COUNT, CAMPAIGN_EXPORT, CAMPAIGN_REPORT, blob_sweep, retention, thread_proof],
    minimum_interval_seconds=30,
    description="Repeats runs of schedules that failed, when the table of retries says so, and forgets failures of "
    "what nobody works on any more.",
)
def failed_schedules(
    tick: Tick[ScheduleCursor], database: dg.ResourceParam[Database]
) -> list[dg.RunRequest] | dg.SkipReason:
    """Three queries per tick. Whatever ran later and well for the same unit settles it."""
    database = database.for_every_client()
    store = WorkFailureStore(database)
    failures = _brought_up_to_date(tick, store)
    for unit in store.forget_abandoned():  # all kinds: their own sensors no longer look at them
        logger.info("failure_forgotten", unit=unit)
        failures.pop(unit, None)
    if not failures:
        return dg.SkipReason("No run of a schedule has failed.")
    covered = {unit for run in unfinished_runs(tick.instance, KINDS) for unit in work_of(run)}
    due = [found for unit, found in failures.items() if unit not in covered and may_be_tried(found, tick.now)]
    requests = [request for found in due if (request := _again(tick.instance, found, tick.now)) is not None]
    return requests or dg.SkipReason(f"{len(failures)} runs of schedules have failed and wait for their next try.")


def _brought_up_to_date(tick: Tick[ScheduleCursor], store: WorkFailureStore) -> dict[str, WorkFailure]:
    """Failures by unit, after the runs that have ended since the last look."""
    since = min(tick.cursor.seen_until or tick.now - _LOOKED_BACK, tick.now) - _OVERLAP
    which = dg.RunsFilter(statuses=FINISHED, tags={"cheerful/kind": list(KINDS)}, updated_after=since)
    records = tick.instance.get_run_records(which, limit=_MOST_RUNS)
    failures = store.failures(*KINDS)
    looked_at, repeated = set[str](), list[datetime]()
    for record in records:  # newest first; of a unit the newest run alone counts, whatever the clock said
        run, ended = record.dagster_run, ended_at(record)
        mine = {unit: watermark for unit, watermark in work_of(run).items() if unit not in looked_at}
        looked_at |= mine.keys()
        if mine and is_being_repeated(tick.instance, run, ended, tick.now):
            repeated.append(ended)  # by Dagster's run retries: its retry is the newest run in a moment
            continue
        for unit, watermark in mine.items():
            known = failures.get(unit)
            is_later = known is None or known.failed_at < ended or is_from_the_future(known, tick.now)
            if run.status == dg.DagsterRunStatus.SUCCESS:
                if known is not None and (is_later or known.failed_at == ended):
                    store.clear([unit])
                    del failures[unit]
            elif known is None or (known.run_id != run.run_id and is_later):
                why = run_failure(tick.instance, run)
                failures[unit] = store.record(
                    unit, why.failure_class, at=min(ended, tick.now), error=why.error, summary=why.summary,
                    what_to_do=why.what_to_do, run_id=run.run_id, watermark=watermark,
                )  # fmt: skip
    tick.keep(seen_until=min([tick.now, *repeated]))
    return failures


def _again(instance: dg.DagsterInstance, failure: WorkFailure, now: datetime) -> dg.RunRequest | None:
    """The same run once more; None if Dagster no longer knows it."""
    run = instance.get_run_by_id(failure.run_id) if failure.run_id else None
    if run is None:
        return None
    own = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end", "dagster/priority")
    tags = {name: value for name, value in run.tags.items() if name in own or name.startswith("cheerful/")}
    return dg.RunRequest(
        run_key=f"{failure.unit}:{failure.watermark}{key_suffix(failure, now)}",
        job_name=run.job_name,
        partition_key=run.tags.get("dagster/partition"),
        asset_selection=sorted(run.asset_selection, key=str) if run.asset_selection else None,
        tags=tags,
    )


SENSORS = [failed_schedules]
