"""Failed runs that nobody has repaired, however long ago they failed.

Only runs that a person, a backfill or a schedule started count here. Runs that a sensor requested for a unit of work
(mailbox, sheet, campaign) are told of by that unit's row in `work_failure`, which knows when it is tried again.

What failed stays failed until one of these:
  - a later run of the same work succeeds;
  - every asset partition that the run was to materialize has been materialized since, by whichever run;
  - its partition no longer exists (deleted in Dagster; a completed campaign is left out by the health report);
  - its run is deleted in Dagster: nothing is known of it any more. That is also how a person dismisses one.
"""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg

from cheerful_pipelines.operations.models import FailedWork
from cheerful_pipelines.orchestration.failures import run_failure
from cheerful_pipelines.orchestration.run_retries import ended_at, is_being_repeated
from cheerful_pipelines.orchestration.work_sensor import WORK_TAG

LOOKED_BACK = timedelta(days=2)
"""With `remembered` only so far: what failed before is remembered, or repaired."""
MOST_FAILURES = 20_000
"""Failed runs that are looked at without it, newest first."""
_PAGE = 500
_MOST_LATER_RUNS = 100
_DYNAMIC_PARTITIONS = ("campaign", "gmail_account")

Work = tuple[str, str | None]


def failed_work(
    instance: dg.DagsterInstance, now: datetime, *, remembered: Collection[str] | None = None
) -> list[FailedWork]:
    """Work whose newest failure is not repaired, newest first.

    `remembered`: run ids of what was unrepaired at the last look (the open alerts). With it two days of runs are read
    instead of all of them.
    """
    found: dict[Work, FailedWork] = {}
    seen: set[Work] = set()
    partitions = _existing_partitions(instance)
    for record in _failures(instance, now, remembered):
        run = record.dagster_run
        work = work_of_run(run)
        if WORK_TAG in run.tags or work in seen:
            continue
        seen.add(work)
        if _is_gone(work[1], partitions) or is_being_repeated(instance, run, ended_at(record), now):
            continue
        if not _is_repaired(instance, record, work):
            found[work] = _described(instance, record, work)
    return list(found.values())


def failed_work_here() -> list[FailedWork]:
    """Of the installation that DAGSTER_HOME names."""
    with dg.DagsterInstance.get() as instance:
        return failed_work(instance, datetime.now(UTC))


def work_of_run(run: dg.DagsterRun) -> Work:
    """What a run does, and on which partition: runs of the same work follow one another."""
    if "cheerful/sync" in run.tags:
        return "the live sync", None  # over other mailboxes each time
    assets = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    of_range = f"{first} to {last}" if first != last else first
    job = run.job_name if not (assets and run.job_name.startswith("__")) else assets
    return (f"{job} ({assets})" if assets and assets != job else job), run.tags.get("dagster/partition") or of_range


def _failures(
    instance: dg.DagsterInstance, now: datetime, remembered: Collection[str] | None
) -> Iterator[dg.RunRecord]:
    """Newest first; what is remembered from before the time that is looked at comes last."""
    failed = [dg.DagsterRunStatus.FAILURE]
    since = None if remembered is None else now - LOOKED_BACK
    cursor, count = None, 0
    while count < MOST_FAILURES:
        page = instance.get_run_records(dg.RunsFilter(statuses=failed, updated_after=since), limit=_PAGE, cursor=cursor)
        yield from page
        count += len(page)
        if len(page) < _PAGE:
            break
        cursor = page[-1].dagster_run.run_id
    if remembered:
        yield from instance.get_run_records(dg.RunsFilter(run_ids=sorted(remembered), statuses=failed))


def _existing_partitions(instance: dg.DagsterInstance) -> set[str]:
    return {key for name in _DYNAMIC_PARTITIONS for key in instance.get_dynamic_partitions(name)}


def _is_gone(partition: str | None, existing: Collection[str]) -> bool:
    """Whether neither the campaign nor the mailbox of a partition (`spring`, `mia|2026-11-01`, a range) is there."""
    if partition is None:
        return False
    first, _, last = partition.partition(" to ")
    return not any(key.partition("|")[0] in existing for key in (first, last or first))


def _is_repaired(instance: dg.DagsterInstance, record: dg.RunRecord, work: Work) -> bool:
    return _has_later_success(instance, record, work) or _was_materialized_since(instance, record)


def _has_later_success(instance: dg.DagsterInstance, record: dg.RunRecord, work: Work) -> bool:
    """By storage ids as well as by times: SQLite keeps whole seconds only."""
    run, ended = record.dagster_run, ended_at(record)
    names = ("dagster/partition", "dagster/asset_partition_range_start", "cheerful/sync")
    which = dg.RunsFilter(
        job_name=run.job_name, tags={name: run.tags[name] for name in names if name in run.tags},
        statuses=[dg.DagsterRunStatus.SUCCESS], updated_after=ended - timedelta(seconds=1),
    )  # fmt: skip
    later = instance.get_run_records(which, limit=_MOST_LATER_RUNS)
    return any(
        work_of_run(one.dagster_run) == work and (one.storage_id > record.storage_id or ended_at(one) > ended)
        for one in later
    )


def _was_materialized_since(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    """Whether all that the run was to materialize exists anew: in parts by the run itself, the rest by others."""
    run_id = record.dagster_run.run_id
    planned = {
        (event.asset_key, event.partition)
        for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        if (event := entry.dagster_event) is not None and event.asset_key is not None
    }
    since = record.start_time or record.create_timestamp.timestamp()
    return bool(planned) and all(
        _is_newer(instance, key, partition, since) for key, partition in sorted(planned, key=str)
    )


def _is_newer(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None, since: float) -> bool:
    which = dg.AssetRecordsFilter(
        asset_key=key, asset_partitions=None if partition is None else [partition], after_timestamp=since
    )
    return bool(instance.fetch_materializations(which, limit=1).records)


def _described(instance: dg.DagsterInstance, record: dg.RunRecord, work: Work) -> FailedWork:
    """What our own failure said, which carries ids only; nothing of an exception that is not ours."""
    run = record.dagster_run
    why = run_failure(instance, run)
    return FailedWork(
        what=work[0],
        partition=work[1],
        run_id=run.run_id,
        words=_description(instance, run.run_id) or why.summary,
        what_to_do=why.what_to_do,
        failed_at=ended_at(record),
        failure_class=why.failure_class,
    )


def _description(instance: dg.DagsterInstance, run_id: str) -> str | None:
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        data = event.step_failure_data.user_failure_data if event is not None else None
        if data is not None and data.description:
            return str(data.description)
    return None
