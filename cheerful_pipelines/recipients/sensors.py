"""The sensor `sheet_changes`: a changed sheet starts its import, an unchanged one costs one cheap call."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import dagster as dg

from cheerful_pipelines.core.errors import CheerfulError, SlowCallError, TransientError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.orchestration.failures import failure_class_of, told
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.retries import RETRIES, Work, WorkFailure, may_be_tried
from cheerful_pipelines.orchestration.side_by_side import SideBySide, whom_to_poll
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.recipients.models import SheetWatch
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

SHEETS_A_TICK = 30
"""300 sheets are looked at within 100 s; asking all of them each time would cost a fifth of a core."""
POLLS_AT_ONCE = 4
POLL_SECONDS_A_TICK = 8.0
"""Dagster ends a tick after 60 s. A call of Drive ends by itself (sheets_session.py)."""
SILENT_POLLS = 3
"""A sheet that did not answer so often in a row waits by the table; before that it is asked last in each tick."""
UNKNOWN_SILENCE_AGAIN_AFTER = timedelta(minutes=10)

_POLLS = SideBySide(at_once=POLLS_AT_ONCE, seconds=POLL_SECONDS_A_TICK)

SheetState = str | BaseException
"""Drive's version of a sheet, or why it could not be asked."""


class SheetCursor(Cursor):
    """Where the polls stopped."""

    go_on_at: str = ""
    not_reached: tuple[str, ...] = ()
    silent: dict[str, int] = {}  # noqa: RUF012  # a field of a frozen model, which pydantic copies
    """Polls in a row that were not answered, by slug."""


def decide(watched: Sequence[SheetWatch], states: Mapping[str, SheetState]) -> tuple[list[Work], list[str]]:
    """(imports that are to be done, units that are up to date). Pure.

    A sheet that is gone or closed to us is imported, too: the import fails at once and says in the UI what to do.
    One that gave no answer is asked again. A spreadsheet that we write into ourselves waits until we are done.
    """
    work, up_to_date = [], []
    for sheet in watched:
        state, unit = states.get(sheet.slug), f"sheet:{sheet.slug}"
        if state is None or sheet.is_being_written:
            continue
        if isinstance(state, BaseException) and _is_lasting(state):
            work.append(Work(unit, f"missing:{sheet.source_revision}"))
        elif isinstance(state, BaseException):
            continue
        elif state != sheet.drive_version:
            work.append(Work(unit, f"{state}:{sheet.source_revision}"))
        else:
            up_to_date.append(unit)
    return work, up_to_date


def _is_lasting(error: BaseException) -> bool:
    """Drive has answered, and said that the sheet cannot be read."""
    return isinstance(error, CheerfulError) and not isinstance(error, TransientError)


def may_be_polled(sheet: SheetWatch, failures: Mapping[str, WorkFailure], tick: Tick[SheetCursor]) -> bool:
    """One whose import failed for a lasting reason is polled all the same: a new version is a reason to try again."""
    failure = failures.get(f"sheet:{sheet.slug}")
    if failure is None or may_be_tried(failure, tick.now):
        return True
    return RETRIES[failure.failure_class].changes_count and failure.watermark is not None


@work_sensor(
    name="sheet_changes",
    kinds=["sheet"],
    cursor=SheetCursor,
    target=dg.AssetSelection.assets("sheet_recipients", "sheet_overrides"),
    minimum_interval_seconds=8,  # the daemon looks every 5 s: every ten seconds in practice
    description="Asks Drive for the version of each active campaign's sheet and imports those that changed.",
)
def sheet_changes(
    tick: Tick[SheetCursor], database: dg.ResourceParam[Database], sheets: dg.ResourceParam[SheetsClient]
) -> dg.SensorResult | dg.SkipReason:
    """Request an import of each sheet whose file version in Drive, or whose settings, differ from the last import."""
    database = database.for_every_client()
    failures = tick.failures(database)
    watched = [sheet for sheet in RecipientStore(database).sheets_to_watch() if may_be_polled(sheet, failures, tick)]
    states = _look(tick, {sheet.slug: sheet.spreadsheet_id for sheet in watched}, sheets, database)
    work, up_to_date = decide(watched, states)
    due = tick.work(database, work, up_to_date=up_to_date)
    if not due:
        return dg.SkipReason(_why_nothing(watched, states, len(work)))
    known = tick.instance.get_dynamic_partitions(CAMPAIGN_PARTITIONS.name or "campaign")
    new = [one.name for one in due if one.name not in known]
    return dg.SensorResult(
        run_requests=[
            request
            for one in due
            for request in tick.requests([one], tags={"cheerful/campaign": one.name, "cheerful/trigger": "sheet"})
        ],
        # The registry sensor adds them too; here it saves a new campaign's first import one tick.
        dynamic_partitions_requests=[CAMPAIGN_PARTITIONS.build_add_request(new)] if new else [],
    )


def _look(
    tick: Tick[SheetCursor], watched: Mapping[str, str], sheets: SheetsClient, database: Database
) -> dict[str, SheetState]:
    """Drive's version of each sheet whose turn it is, or why there is none; and where the next tick goes on."""
    cursor = tick.cursor
    turn = whom_to_poll(
        list(watched), go_on_at=cursor.go_on_at, not_reached=cursor.not_reached, slow=cursor.silent, most=SHEETS_A_TICK
    )
    answers = _POLLS.ask(turn.names, lambda slug: sheets.drive_version(watched[slug], tries=1), slow=cursor.silent)
    states: dict[str, SheetState] = dict(answers.answered)
    for slug in (*answers.late, *answers.hanging):
        states[slug] = SlowCallError(f"Drive did not answer in time for the sheet of {slug}.")
    silent = dict[str, int]()
    for slug, state in states.items():
        if isinstance(state, BaseException) and not _is_lasting(state):
            silent[slug] = cursor.silent.get(slug, 0) + 1
            _note_silence(tick, slug, state, silent[slug], database)
    others = {slug: count for slug, count in cursor.silent.items() if slug not in turn.names and slug in watched}
    tick.keep(go_on_at=turn.go_on_at, not_reached=tuple(answers.not_asked), silent={**others, **silent})
    return states


def _note_silence(tick: Tick[SheetCursor], slug: str, error: BaseException, times: int, database: Database) -> None:
    """What an unanswered poll means for its sheet. A passing one counts only after some in a row.

    The next poll is one cheap call: a bug in it does not wait for a day, as a run that fails by one does.
    """
    kind = failure_class_of(error)
    logger.warning("sheet_not_readable", campaign=slug, error=type(error).__name__)
    before = tick.failures(database).get(f"sheet:{slug}")
    if (kind in ("transient", "unclear") and times < SILENT_POLLS) or (before and not may_be_tried(before, tick.now)):
        return
    summary, what_to_do = told(error)
    tick.failures(database)[f"sheet:{slug}"] = WorkFailureStore(database).record(
        f"sheet:{slug}", kind, at=tick.now, error=type(error).__name__, summary=summary, what_to_do=what_to_do,
        not_before=tick.now + UNKNOWN_SILENCE_AGAIN_AFTER if kind == "unknown" else None,
    )  # fmt: skip


def _why_nothing(watched: Collection[SheetWatch], states: Mapping[str, SheetState], behind: int) -> str:
    failed = {slug: state for slug, state in states.items() if isinstance(state, BaseException)}
    if failed:
        return "; ".join(f"{slug}: {told(error)[0]}" for slug, error in sorted(failed.items()))[:1000]
    if behind:
        return f"{behind} changed sheets are being imported or wait for their next try."
    return (
        f"{len(states)} of {len(watched)} sheets were asked and are as imported."
        if watched
        else "There is no active campaign yet."
    )


SENSORS = [sheet_changes]
