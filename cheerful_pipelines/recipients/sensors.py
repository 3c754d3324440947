"""The sensor `sheet_changes`: a changed sheet starts its import, an unchanged one costs one cheap call."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime

import dagster as dg

from cheerful_pipelines.errors import CheerfulError, TransientError
from cheerful_pipelines.failures import newest_failure
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.recipients.models import SheetWatch
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.sheets.sheets_client import SheetsClient
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

TICK_BUDGET_SECONDS = 40.0
"""Dagster ends a tick after 60 s; the next one goes on where this one stopped."""

SHEETS_A_TICK = 50
"""300 sheets are looked at within 90 s; asking all of them each time would cost a fifth of a core."""

SheetState = str | CheerfulError
"""Drive's version of a sheet, or why it could not be asked."""


def decide(
    watched: Sequence[SheetWatch],
    states: Mapping[str, SheetState],
    *,
    today: date,
    failures: Callable[[str], str] = lambda _slug: "",
) -> list[tuple[str, str]]:
    """(slug, run_key) of the imports to request. Pure.

    A sheet that is gone or closed to us gets one run a day: it fails at once and says in the UI what to do; so does
    a version whose import failed; one that failed for a passing reason is asked for again sooner (`failures`: what the
    run key ends with then). Passing trouble gets none: the next tick asks again. A spreadsheet that we write
    into ourselves waits until we are done.
    """
    wanted = []
    for sheet in watched:
        state = states.get(sheet.slug)
        if state is None or isinstance(state, TransientError) or sheet.is_being_written:
            continue
        if isinstance(state, CheerfulError):
            wanted.append((sheet.slug, f"{sheet.slug}:missing:{today.isoformat()}"))
        elif state != sheet.drive_version:
            wanted.append(
                (sheet.slug, f"{sheet.slug}:{state}:{sheet.source_revision}:{today.isoformat()}{failures(sheet.slug)}")
            )
    return wanted


def from_slug_on(watched: Sequence[SheetWatch], slug: str | None) -> list[SheetWatch]:
    """The sheets in a circle, from the one where the last tick stopped."""
    start = next((i for i, sheet in enumerate(watched) if slug is not None and sheet.slug >= slug), 0)
    return [*watched[start:], *watched[:start]]


def look(
    watched: Sequence[SheetWatch],
    ask: Callable[[str], str],
    *,
    budget_seconds: float = TICK_BUDGET_SECONDS,
    most: int = SHEETS_A_TICK,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[dict[str, SheetState], str | None]:
    """Ask Drive for each version until the time is up or enough were asked: states by slug, and where the next tick
    goes on.

    One failing sheet never keeps the others from being asked.
    """
    ends_at = clock() + budget_seconds
    states: dict[str, SheetState] = {}
    for sheet in watched:
        if clock() >= ends_at or len(states) >= most:
            return states, sheet.slug
        try:
            states[sheet.slug] = ask(sheet.spreadsheet_id)
        except CheerfulError as error:
            logger.warning("sheet_not_readable", campaign=sheet.slug, error=type(error).__name__)
            states[sheet.slug] = error
    return states, None


@dg.sensor(
    name="sheet_changes",
    target=dg.AssetSelection.assets("sheet_recipients"),
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks Drive for the version of each active campaign's sheet and imports those that changed.",
)
def sheet_changes(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    sheets: dg.ResourceParam[SheetsClient],
) -> dg.SensorResult | dg.SkipReason:
    """Look, decide, request."""
    watched = from_slug_on(RecipientStore(database.for_every_client()).sheets_to_watch(), context.cursor)
    states, go_on_at = look(watched, lambda spreadsheet_id: sheets.drive_version(spreadsheet_id, tries=1))
    now = datetime.now(UTC)

    def failures(slug: str) -> str:
        tags = {"cheerful/campaign": slug, "cheerful/trigger": "sheet"}
        failure = newest_failure(context.instance, tags=tags)
        return failure.key_suffix(now) if failure else ""

    wanted = decide(watched, states, today=now.date(), failures=failures)
    if not wanted:
        return dg.SensorResult(skip_reason=_why_nothing(watched, states), cursor=go_on_at)
    known = context.instance.get_dynamic_partitions(CAMPAIGN_PARTITIONS.name or "campaign")
    new = [slug for slug, _ in wanted if slug not in known]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                partition_key=slug,
                run_key=run_key,
                tags={"cheerful/campaign": slug, "cheerful/trigger": "sheet"},
            )
            for slug, run_key in wanted
        ],
        # The registry sensor adds them too; here it saves a new campaign's first import one tick.
        dynamic_partitions_requests=[CAMPAIGN_PARTITIONS.build_add_request(new)] if new else [],
        cursor=go_on_at,
    )


def _why_nothing(watched: Sequence[SheetWatch], states: Mapping[str, SheetState]) -> str:
    failed = {slug: state for slug, state in states.items() if isinstance(state, CheerfulError)}
    if failed:
        return "; ".join(f"{slug}: {error}" for slug, error in sorted(failed.items()))[:1000]
    return (
        f"{len(states)} of {len(watched)} sheets were asked and are as imported."
        if watched
        else "There is no active campaign yet."
    )


SENSORS = [sheet_changes]
