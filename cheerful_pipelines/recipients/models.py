"""What a sheet is, what its rows mean and what is stored of them, as frozen values. No I/O."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

ProblemKind = Literal["rejected", "duplicate", "no_address", "extra_address", "error_cell", "other_campaign", "erased"]
"""The first three and `erased` say where a row ended; the others are remarks on a row that was taken."""

SuppressedReason = Literal["opted_out", "hard_bounce"]


class ParsedRecipient(BaseModel):
    """One recipient as the sheet has it now. `email` is the raw form, `email_key` who it is."""

    model_config = ConfigDict(frozen=True)
    email: str
    email_key: str
    name: str | None
    handle: str | None
    custom_fields: dict[str, str]
    mapped_fields: tuple[str, ...] = ()
    """Which of `custom_fields` the campaign's mapping asks for: a change of one of those is news."""
    sheet_row: int

    @cached_property
    def content_hash(self) -> str:
        """Changes with what the mapped columns say, not with where the row stands nor with other columns."""
        mapped = {name: self.custom_fields[name] for name in self.mapped_fields if name in self.custom_fields}
        return _hash([self.email, self.name, self.handle, mapped])

    @cached_property
    def custom_hash(self) -> str:
        """Changes with the columns that nothing is computed from, such as one that holds TODAY()."""
        return _hash({name: value for name, value in self.custom_fields.items() if name not in self.mapped_fields})


class RowProblem(BaseModel):
    """Why a row, or a part of it, was not taken. The reason never holds an address."""

    model_config = ConfigDict(frozen=True)
    sheet_row: int
    kind: ProblemKind
    reason: str
    cell: str | None = None
    other_row: int | None = None
    name: str | None = None
    """Of a row without an address: whom to find one for. Never shown in metadata."""
    handle: str | None = None


class SheetLayout(BaseModel):
    """Headers by column letter, and the letter of each field: what header drift is measured from."""

    model_config = ConfigDict(frozen=True)
    headers: dict[str, str]
    fields: dict[str, str]


class SheetColumns(BaseModel):
    """Where the header stands and which columns it names (0-based positions within the window)."""

    model_config = ConfigDict(frozen=True)
    header_row: int
    email: int
    name: int | None
    handle: int | None
    custom: dict[int, str]
    mapped: tuple[str, ...] = ()
    """Names in `custom` that the campaign's mapping gave."""
    missing: tuple[str, ...] = ()
    """Columns that the campaign's mapping asks for and the sheet does not have."""
    layout: SheetLayout


class ParsedSheet(BaseModel):
    """Every row below the header, in exactly one of: recipients, rejected, duplicate, no_address, or blank."""

    model_config = ConfigDict(frozen=True)
    columns: SheetColumns
    rows: int
    """Rows that hold anything: recipients + rejected + duplicate + no_address."""
    blank: int
    recipients: tuple[ParsedRecipient, ...]
    problems: tuple[RowProblem, ...]

    @cached_property
    def content_hash(self) -> str:
        """Hash of what the recipients are; the order of rows does not matter."""
        return recipients_hash((found.email_key, found.content_hash) for found in self.recipients)


class Suppression(BaseModel):
    """Why a person must not be written to, and in which campaign of the client it turned out."""

    model_config = ConfigDict(frozen=True)
    reason: SuppressedReason
    campaign: str | None


class StoredRecipient(BaseModel):
    """One stored recipient, active or softly removed: what a new import is compared with."""

    model_config = ConfigDict(frozen=True)
    id: int
    email_key: str
    content_hash: str
    custom_hash: str
    sheet_row: int
    removed_at: datetime | None
    suppressed_reason: SuppressedReason | None = None
    suppressed_in: str | None = None

    @property
    def is_active(self) -> bool:
        """Not removed."""
        return self.removed_at is None

    @property
    def suppression(self) -> Suppression | None:
        """What was known at the last import."""
        if self.suppressed_reason is None:
            return None
        return Suppression(reason=self.suppressed_reason, campaign=self.suppressed_in)


class SuppressedRow(BaseModel):
    """A row of the sheet whose person must not be written to."""

    model_config = ConfigDict(frozen=True)
    sheet_row: int
    suppression: Suppression


class StoredList(BaseModel):
    """All stored recipients of a campaign and the revision at which they were read."""

    model_config = ConfigDict(frozen=True)
    revision: int
    recipients: tuple[StoredRecipient, ...]


class RecipientDiff(BaseModel):
    """What an import would do; each person of the sheet stands in one of the first seven, or is unchanged.

    `refreshed`: only columns changed that nothing is computed from. `flagged`: only the suppression changed.
    `moved`: only the row number. None of these three is news for anyone downstream.
    """

    model_config = ConfigDict(frozen=True)
    added: tuple[ParsedRecipient, ...]
    changed: tuple[ParsedRecipient, ...]
    reactivated: tuple[ParsedRecipient, ...]
    refreshed: tuple[ParsedRecipient, ...]
    flagged: tuple[ParsedRecipient, ...]
    moved: tuple[ParsedRecipient, ...]
    removed: tuple[StoredRecipient, ...]
    unchanged: int
    active_before: int
    suppressed: dict[str, SuppressedRow]
    """By address key: the people of this sheet who must not be written to."""
    known_ids: dict[str, int]
    """By address key: the people of this sheet who are stored already."""

    @property
    def has_news(self) -> bool:
        """Whether anything downstream could come out differently."""
        return bool(self.added or self.changed or self.reactivated or self.removed)


class ImportCounts(BaseModel):
    """Where the rows of an import ended: rows = active + suppressed + rejected + duplicate + no_address + erased."""

    model_config = ConfigDict(frozen=True)
    rows: int
    active: int
    suppressed: int
    rejected: int
    duplicate: int
    no_address: int
    erased: int = 0
    """Rows of people who asked to be forgotten; nothing of them is stored."""
    blank: int
    extra_address: int
    error_cell: int
    other_campaign: int
    hidden: int
    """Rows that a person or a filter hides in the sheet; they are imported all the same."""
    added: int
    changed: int
    reactivated: int
    refreshed: int
    moved: int
    removed: int
    unchanged: int


class ImportRecord(BaseModel):
    """One import as the log keeps it."""

    model_config = ConfigDict(frozen=True)
    run_id: str
    spreadsheet_id: str
    sheet_gid: int
    tab: str
    drive_version: str
    values_hash: str
    content_hash: str
    counts: ImportCounts
    layout: SheetLayout
    drift: tuple[str, ...]


class AppliedImport(BaseModel):
    """What stands after an import: the revision, and the ids of people that it touched, by address key."""

    model_config = ConfigDict(frozen=True)
    import_id: int
    revision: int
    ids: dict[str, int]


class ListedRecipient(BaseModel):
    """One recipient as a person asks for it: of now, or of any moment."""

    model_config = ConfigDict(frozen=True)
    id: int
    email: str
    name: str | None
    handle: str | None
    custom_fields: dict[str, str]
    sheet_row: int
    valid_from: datetime
    valid_to: datetime | None


class SheetWatch(BaseModel):
    """What the sensor knows about a campaign's sheet without asking Google."""

    model_config = ConfigDict(frozen=True)
    slug: str
    spreadsheet_id: str
    drive_version: str | None
    """Drive's version at the last import; None: never imported, or told to read otherwise since."""
    source_revision: int
    """Grows when the campaign is told to read otherwise."""
    is_being_written: bool
    """A write of ours into this spreadsheet is under way: its version says nothing now."""


def recipients_hash(pairs: Iterable[tuple[str, str]]) -> str:
    """Hash of (email_key, content_hash) pairs in any order."""
    return _hash(sorted(pairs))


def _hash(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
