"""From a sheet to what an import would do: read, parse, compare, judge. Writes nothing, so it is the preview too."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.google.sheets.models import Cell, SheetWindow
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.recipients.columns import header_drift
from cheerful_pipelines.recipients.diff import RemovalVerdict, compare, judge_removals
from cheerful_pipelines.recipients.models import (
    ImportCounts,
    ImportRecord,
    ParsedSheet,
    RecipientDiff,
    RowProblem,
)
from cheerful_pipelines.recipients.parse_rows import parse_rows
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.erased_people import ErasedPeople

READS_OF_AN_EDITED_SHEET = 3


class ReadSheet(BaseModel):
    """One moment of a sheet. `drive_version` was current before the first cell was read."""

    model_config = ConfigDict(frozen=True)
    window: SheetWindow
    drive_version: str
    values_hash: str
    hidden: int
    parsed: ParsedSheet


class ImportPlan(BaseModel):
    """Everything that an import would do, and on which stored revision that rests."""

    model_config = ConfigDict(frozen=True)
    sheet: ReadSheet
    diff: RecipientDiff
    verdict: RemovalVerdict
    problems: tuple[RowProblem, ...]
    drift: tuple[str, ...]
    counts: ImportCounts
    expected_revision: int

    def record(self, run_id: str) -> ImportRecord:
        """The import as the log will keep it."""
        sheet = self.sheet
        return ImportRecord(
            run_id=run_id,
            spreadsheet_id=sheet.window.spreadsheet_id,
            sheet_gid=sheet.window.sheet_id,
            tab=sheet.window.tab,
            drive_version=sheet.drive_version,
            values_hash=sheet.values_hash,
            content_hash=sheet.parsed.content_hash,
            counts=self.counts,
            layout=sheet.parsed.columns.layout,
            drift=self.drift,
        )


def plan_import(
    sheets: SheetsClient,
    store: RecipientStore,
    campaign: Campaign,
    *,
    share: float,
    hash_key: str | None,
    allow_removals: bool = False,
) -> ImportPlan:
    """Read the sheet, then the database, and say what would happen."""
    sheet, erased = read_sheet(sheets, campaign), store.erased_people(campaign.user_id, hash_key)
    sheet = sheet.model_copy(update={"parsed": without_erased(sheet.parsed, erased)})
    parsed = sheet.parsed
    stored = store.current(campaign.id)
    # One whose erasure is under way is not removed from the campaign: the numbers stay.
    known = tuple(one for one in stored.recipients if not erased.has(one.email_key))
    diff = compare(known, parsed.recipients, store.suppressions(campaign.user_id))
    before = store.newest_import(campaign.id)
    elsewhere = store.elsewhere(campaign.id, campaign.user_id, [found.email_key for found in parsed.recipients])
    also = [
        RowProblem(
            sheet_row=found.sheet_row,
            kind="other_campaign",
            other_row=elsewhere[found.email_key][1],
            reason=f"The same person stands in row {elsewhere[found.email_key][1]} of campaign "
            f"{elsewhere[found.email_key][0]} of this client.",
        )
        for found in parsed.recipients
        if found.email_key in elsewhere
    ]
    problems = (*parsed.problems, *also)
    return ImportPlan(
        sheet=sheet,
        diff=diff,
        verdict=judge_removals(diff, share=share, allow_removals=allow_removals),
        problems=problems,
        drift=header_drift(before.layout, parsed.columns.layout) if before is not None else (),
        counts=count_import(parsed, diff, problems, sheet.hidden),
        expected_revision=stored.revision,
    )


def without_erased(parsed: ParsedSheet, erased: ErasedPeople) -> ParsedSheet:
    """The sheet without the people who asked to be forgotten; their rows are told by number. Pure."""
    gone = [found for found in parsed.recipients if erased.has(found.email_key)]
    if not gone:
        return parsed
    rows = {found.sheet_row for found in gone}
    reason = "This person asked to be forgotten. Nothing of the row is stored; please delete it from the sheet."
    return parsed.model_copy(
        update={
            "recipients": tuple(found for found in parsed.recipients if found.sheet_row not in rows),
            "problems": (
                *(problem for problem in parsed.problems if problem.sheet_row not in rows),
                *(RowProblem(sheet_row=row, kind="erased", reason=reason) for row in sorted(rows)),
            ),
        }
    )


def read_sheet(sheets: SheetsClient, campaign: Campaign) -> ReadSheet:
    """Read and parse a campaign's sheet as it was at one moment.

    A sheet of several chunks that is edited while it is read is read again: rows that were inserted meanwhile would
    shift the later chunks. Raises TransientError where that does not end.
    """
    source = campaign.sheet_source
    for _ in range(READS_OF_AN_EDITED_SHEET):
        # The version comes first: an edit after it shows as a newer version at the next tick.
        before = sheets.drive_version(source.spreadsheet_id)
        window = sheets.locate(source)
        counting = _Hashed(sheets.rows(window))
        parsed = parse_rows(
            counting,
            column_mapping=campaign.column_mapping,
            first_row=window.first_row,
            first_column=window.first_column,
            header_row=source.header_row,
        )
        hidden = sheets.hidden_rows(window)
        if sheets.drive_version(source.spreadsheet_id) == before:
            return ReadSheet(
                window=window, drive_version=before, values_hash=counting.hexdigest(), hidden=hidden, parsed=parsed
            )
    raise TransientError(
        f"The sheet {source.spreadsheet_id} was edited each of the {READS_OF_AN_EDITED_SHEET} times that it was read.",
        what_to_do="Nothing: it is tried again.",
    )


def is_as_read(sheets: SheetsClient, campaign: Campaign, values_hash: str) -> str | None:
    """Drive's version now, if every cell of the campaign's window still says what it said; else None.

    For our own writes into a client's spreadsheet: they raise the version, and must not start an import. The version
    is taken before the cells, so an edit that comes later still shows.
    """
    version = sheets.drive_version(campaign.spreadsheet_id)
    counting = _Hashed(sheets.rows(sheets.locate(campaign.sheet_source)))
    for _ in counting:
        pass
    return version if counting.hexdigest() == values_hash else None


class _Hashed(Iterator[list[Cell]]):
    """Passes rows on and hashes them as they go."""

    def __init__(self, rows: Iterator[list[Cell]]) -> None:
        self._rows = rows
        self._digest = hashlib.sha256()

    def __next__(self) -> list[Cell]:
        row = next(self._rows)
        self._digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
        return row

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


def count_import(parsed: ParsedSheet, diff: RecipientDiff, problems: Sequence[RowProblem], hidden: int) -> ImportCounts:
    """Where every row ended: rows = active + suppressed + duplicate + rejected + no_address + erased. Pure."""
    kinds = Counter(problem.kind for problem in problems)
    return ImportCounts(
        rows=parsed.rows,
        active=len(parsed.recipients) - len(diff.suppressed),
        suppressed=len(diff.suppressed),
        rejected=kinds["rejected"],
        duplicate=kinds["duplicate"],
        no_address=kinds["no_address"],
        erased=kinds["erased"],
        blank=parsed.blank,
        extra_address=kinds["extra_address"],
        error_cell=kinds["error_cell"],
        other_campaign=kinds["other_campaign"],
        hidden=hidden,
        added=len(diff.added),
        changed=len(diff.changed),
        reactivated=len(diff.reactivated),
        refreshed=len(diff.refreshed),
        moved=len(diff.moved),
        removed=len(diff.removed),
        unchanged=diff.unchanged + len(diff.flagged),
    )
