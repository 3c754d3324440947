"""What carries backfills on, and what tells people that something is wrong. Each looks, decides purely, and acts."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
import psutil
from pydantic import Field

from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.operations.alerts.alert_store import AlertStore
from cheerful_pipelines.operations.alerts.notify import notify
from cheerful_pipelines.operations.alerts.troubles import STATE_KINDS, troubles
from cheerful_pipelines.operations.automation_state import failing_ticks, silent_daemons
from cheerful_pipelines.operations.backfills.backfill_plan import ASSETS_OF
from cheerful_pipelines.operations.backfills.backfill_progress import RunSeen, next_step
from cheerful_pipelines.operations.backfills.backfill_store import BackfillStore
from cheerful_pipelines.operations.backfills.request_backfill import progress_in_words
from cheerful_pipelines.operations.dagster_state import CheckSeen, checks_since
from cheerful_pipelines.operations.failed_work import failed_work
from cheerful_pipelines.operations.health import health_report
from cheerful_pipelines.operations.lost_runs import Here, end_lost_run, lost_runs
from cheerful_pipelines.operations.models import Backfill, BackfillPart, Trouble
from cheerful_pipelines.orchestration.failures import failure_class_of, told
from cheerful_pipelines.orchestration.jobs import ARCHIVE_RECONCILE, HEALTH, SHEET_IMPORT
from cheerful_pipelines.orchestration.retries import may_be_tried
from cheerful_pipelines.orchestration.run_retries import ended_at, is_being_repeated
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.refresh.jobs import CAMPAIGN_REFRESH
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

BACKFILL_TAG, PART_TAG = "cheerful/backfill", "cheerful/backfill_part"
_JOB_OF = {"sheet": "sheet_import", "archive": "archive_reconcile", "campaign": "campaign_refresh"}


class AlertCursor(Cursor):
    """The last event that was looked at; beginning again repeats nothing that was notified."""

    event_id: int | None = Field(default=None, ge=0, lt=2**63)
    knows_old_failures: bool = False
    """Whether all failed runs were looked at once; from then on the open alerts remember them."""


def run_request(backfill: Backfill, part: BackfillPart) -> dg.RunRequest:
    """One part's run: behind everything live in the queue, and of one backfill two at a time."""
    tags = {
        BACKFILL_TAG: str(backfill.id),
        PART_TAG: str(part.number),
        "cheerful/trigger": "backfill",
        "dagster/priority": "-5",
    }
    if part.stage == "archive":
        tags |= {
            "dagster/asset_partition_range_start": part.partition_key,
            "dagster/asset_partition_range_end": part.partition_key,
            "cheerful/account": part.partition_key.partition("|")[0],
        }
    else:
        tags["cheerful/campaign"] = part.partition_key
    return dg.RunRequest(
        run_key=f"backfill:{backfill.id}:{part.number}:{part.attempt}",
        job_name=_JOB_OF[part.stage],
        partition_key=None if part.stage == "archive" else part.partition_key,
        asset_selection=[dg.AssetKey(name) for name in ASSETS_OF[part.stage]],
        tags=tags,
    )


@work_sensor(
    name="campaign_backfills",
    kinds=["backfill"],
    jobs=[SHEET_IMPORT, ARCHIVE_RECONCILE, CAMPAIGN_REFRESH],
    minimum_interval_seconds=10,
    description="Carries the backfills on that `cheerful backfill` or the job `campaign_backfill` asked for: two "
    "partitions at a time, behind the live sync; what is cancelled is ended.",
)
def campaign_backfills(tick: Tick[Cursor], database: dg.ResourceParam[Database]) -> dg.SensorResult | dg.SkipReason:
    """One query where nothing is under way. A backfill that cannot be carried on waits by itself; the others go on."""
    database = database.for_every_client()
    store, failed = BackfillStore(database), WorkFailureStore(database)
    slugs = store.open_backfills()
    failures = tick.failures(database)
    failed.clear([unit for unit in failures if UUID(unit.rpartition(":")[2]) not in slugs])
    if not slugs:
        return dg.SkipReason("No backfill is under way.")
    requests, words = list[dg.RunRequest](), []
    for number, slug in slugs.items():
        unit = f"backfill:{slug}:{number}"
        before = failures.get(unit)
        if before is not None and not may_be_tried(before, tick.now):
            words.append(f"{slug}: waits for its next try after {before.error}")
            continue
        try:
            words.append(_carry_on(tick, store, number, requests))
        except Exception as error:  # whatever it is: this backfill's own
            words.append(f"{slug}: could not be carried on")
            _note_failure(failed, unit, error, tick.now)
            continue
        if before is not None:
            failed.clear([unit])
    return dg.SensorResult(run_requests=requests) if requests else dg.SkipReason("; ".join(words) + ".")


def _carry_on(tick: Tick[Cursor], store: BackfillStore, number: UUID, requests: list[dg.RunRequest]) -> str:
    """One step of one backfill. Runs that it has written down as asked for are in `requests` even if it raises."""
    found = store.backfill(number)
    runs = _runs(tick.instance, found)
    if found.state == "cancelled":
        _end_runs(tick.instance, runs)
    aliases = {part.partition_key.partition("|")[0] for part in found.parts if part.stage == "archive"}
    now = datetime.now(UTC)
    step = next_step(found, runs, store.complete_months(sorted(aliases)), now)
    for part_number, (state, run_id) in step.settled.items():
        store.set_part(found.id, part_number, state=state, run_id=run_id)
    for part in step.to_request:
        request = run_request(found, part)
        store.set_part(found.id, part.number, state="requested", attempt=part.attempt, requested_at=now)
        requests.append(request)
    if step.finished is not None:
        store.finish(found.id, state=step.finished)
        logger.info("backfill_finished", backfill=str(found.id), campaign=found.slug, state=step.finished)
    return f"{found.slug}: {progress_in_words(found)}"


def _note_failure(store: WorkFailureStore, unit: str, error: Exception, now: datetime) -> None:
    """A row of its own, which `status`, the health report and alerts show until it is carried on."""
    logger.warning("backfill_not_carried_on", unit=unit, error=type(error).__name__, exc_info=error)
    summary, what_to_do = told(error)
    store.record(
        unit, failure_class_of(error), at=now, error=type(error).__name__, summary=summary, what_to_do=what_to_do
    )


def _runs(instance: dg.DagsterInstance, found: Backfill) -> dict[int, RunSeen]:
    """The newest run of each part that was asked for."""
    asked = {part.number: part for part in found.parts if part.state == "requested"}
    runs: dict[int, RunSeen] = {}
    if not asked:
        return runs
    for record in instance.get_run_records(dg.RunsFilter(tags={BACKFILL_TAG: str(found.id)})):  # newest first
        number = int(record.dagster_run.tags[PART_TAG])
        part = asked.get(number)
        if part is not None and number not in runs and record.dagster_run.tags.get("dagster/run_key", "").endswith(
            f":{number}:{part.attempt}"
        ):  # fmt: skip
            runs[number] = RunSeen(record.dagster_run.run_id, _state(instance, record))
    return runs


def _state(instance: dg.DagsterInstance, record: dg.RunRecord) -> str:
    """Its status; one that failed and that Dagster repeats by itself waits, and is not asked for once more."""
    run = record.dagster_run
    is_failed = run.status == dg.DagsterRunStatus.FAILURE
    if is_failed and is_being_repeated(instance, run, ended_at(record), datetime.now(UTC)):
        return dg.DagsterRunStatus.QUEUED.value
    return str(run.status.value)


def _end_runs(instance: dg.DagsterInstance, runs: Mapping[int, RunSeen]) -> None:
    """A cancelled backfill frees its slots: queued runs never start, running ones are told to stop."""
    for run in runs.values():
        if run.status not in ("SUCCESS", "FAILURE", "CANCELED", "CANCELING"):
            instance.run_coordinator.cancel_run(run.run_id)
            logger.info("backfill_run_cancelled", run=run.run_id)


@work_sensor(
    name="alerts",
    kinds=["alert_sink"],
    cursor=AlertCursor,
    job=HEALTH,
    minimum_interval_seconds=60,
    description="Notifies once per change of what is wrong: failed work, mailboxes, sheets and campaigns that fail, "
    "sensors whose ticks fail, silent daemons, failing checks, lag, dead letters, budget. To the log, and to what "
    "CHEERFUL_ALERT_URLS names.",
)
def alerts(
    tick: Tick[AlertCursor], database: dg.ResourceParam[Database], settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """A sink that takes nothing fails no tick: the others are told. A new installation gets its first health report."""
    database = database.for_every_client()
    store, now = AlertStore(database), datetime.now(UTC)
    remembered = store.open_run_ids("failed_run") if tick.cursor.knows_old_failures else None
    report = health_report(
        settings,
        database,
        failed_work(tick.instance, now, remembered=remembered),
        failing_ticks=failing_ticks(tick.instance),
        silent_daemons=silent_daemons(tick.instance, now),
    )
    found = troubles(report, lag_minutes=settings.alert_lag_minutes)
    store.bring_up_to_date(found, kinds=STATE_KINDS, now=now)
    seen, cursor = checks_since(tick.instance, tick.cursor.event_id)
    for check in seen:
        if check.passed:
            store.resolve(f"check {check.key}", now=now)
        elif check.is_error:
            store.open(_trouble_of(check), now=now)
    words = notify(settings, database, tick.failures(database), now)
    tick.keep(event_id=cursor, knows_old_failures=True)
    if tick.is_first:
        return dg.RunRequest(run_key="health:first")  # later ones are the schedule's
    standing = len(store.standing())
    words.append(f"{standing} alerts are open" if standing else "nothing is wrong")
    told_so = "; ".join(words)
    return dg.SkipReason(f"{told_so[0].upper()}{told_so[1:]}.")


def _trouble_of(check: CheckSeen) -> Trouble:
    return Trouble(
        key=f"check {check.key}",
        kind="failing_check",
        words=f"The check {check.key} fails.",
        what_to_do="Its metadata says what is wrong.",
        run_id=check.run_id,
    )


@work_sensor(
    name="lost_workers",
    minimum_interval_seconds=10,
    description="Ends runs whose process is gone (the machine or the code location was killed, memory ran out): they "
    "would block their campaign or the live sync for hours. Dagster's run retries then repeat them.",
)
def lost_workers(tick: Tick[Cursor]) -> dg.SkipReason:
    """Workers of the default launcher are processes beside this one."""
    lost = lost_runs(tick.instance, Here(psutil.Process().create_time() - clock_step(), _is_alive))
    for run in lost:
        end_lost_run(tick.instance, run.run_id)
        logger.warning("run_worker_lost", run=run.run_id)
    return dg.SkipReason(
        f"{len(lost)} runs had lost their process." if lost else "Every run under way has its process."
    )


_CLOCK_AT_IMPORT = time.time() - time.monotonic()


def clock_step() -> float:
    """Seconds by which the clock of this machine was set forward since this process began; 0 if it was not.

    The system counts the age of processes from its start, so that after such a step each seems to have begun later,
    and every run under way would look as if its process were gone and its number given to another.
    """
    return max(0.0, time.time() - time.monotonic() - _CLOCK_AT_IMPORT)


def _is_alive(pid: int, noted: float) -> bool:
    """Whether the process lives and is the one of then: numbers are given out again, after a restart at once."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() - clock_step() <= noted + 2
    except psutil.NoSuchProcess:
        return False


SENSORS = [campaign_backfills, alerts, lost_workers]
