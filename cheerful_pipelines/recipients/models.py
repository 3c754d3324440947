"""What a sheet is, what its rows mean and what is stored of them, as frozen values. No I/O."""

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict

Cell = str | int | float | bool | None
"""One value as Sheets gives it unformatted."""

ProblemKind = Literal["rejected", "duplicate", "no_address", "extra_address"]
"""The first three say where a row ended; `extra_address` is a remark on a row that was taken."""


class TabProperties(BaseModel):
    """One tab of a spreadsheet. `sheet_id` is what the browser's address calls gid."""

    model_config = ConfigDict(frozen=True)
    title: str
    sheet_id: int
    rows: int
    columns: int


class SheetValues(BaseModel):
    """What one read of a tab gave: ragged rows from row 1 on, without trailing blanks, as Google does."""

    model_config = ConfigDict(frozen=True)
    tab: str
    sheet_id: int
    rows: list[list[Cell]]


class ParsedRecipient(BaseModel):
    """One recipient as the sheet has it now. `email` is the raw form, `email_key` who it is."""

    model_config = ConfigDict(frozen=True)
    email: str
    email_key: str
    name: str | None
    handle: str | None
    custom_fields: dict[str, str]
    sheet_row: int

    @cached_property
    def content_hash(self) -> str:
        """Changes with what the row says, not with where it stands."""
        return _hash([self.email, self.name, self.handle, self.custom_fields])


class RowProblem(BaseModel):
    """Why a row, or a part of it, was not taken. The reason never holds an address."""

    model_config = ConfigDict(frozen=True)
    sheet_row: int
    kind: ProblemKind
    reason: str
    cell: str | None = None
    other_row: int | None = None


class SheetColumns(BaseModel):
    """Where the header stands and which columns it names (0-based positions)."""

    model_config = ConfigDict(frozen=True)
    header_row: int
    email: int
    name: int | None
    handle: int | None
    custom: dict[int, str]
    missing: tuple[str, ...] = ()
    """Columns that the campaign's mapping asks for and the sheet does not have."""


class ParsedSheet(BaseModel):
    """Every row below the header, in exactly one of: recipients, rejected, duplicate, no_address, blank."""

    model_config = ConfigDict(frozen=True)
    columns: SheetColumns
    rows: int
    blank: int
    recipients: tuple[ParsedRecipient, ...]
    problems: tuple[RowProblem, ...]

    def count(self, kind: ProblemKind) -> int:
        """How many problems of one kind."""
        return sum(1 for problem in self.problems if problem.kind == kind)

    @cached_property
    def content_hash(self) -> str:
        """Hash of what the recipients are; the order of rows does not matter."""
        return recipients_hash((found.email_key, found.content_hash) for found in self.recipients)


class StoredRecipient(BaseModel):
    """One stored recipient, active or softly removed: what a new import is compared with."""

    model_config = ConfigDict(frozen=True)
    id: int
    email_key: str
    content_hash: str
    sheet_row: int
    removed_at: datetime | None

    @property
    def is_active(self) -> bool:
        """Not removed."""
        return self.removed_at is None


class StoredList(BaseModel):
    """All stored recipients of a campaign and the revision at which they were read."""

    model_config = ConfigDict(frozen=True)
    revision: int
    recipients: tuple[StoredRecipient, ...]


class RecipientDiff(BaseModel):
    """What an import would do. `moved` is a new row number only: no news for anyone downstream."""

    model_config = ConfigDict(frozen=True)
    added: tuple[ParsedRecipient, ...]
    changed: tuple[ParsedRecipient, ...]
    reactivated: tuple[ParsedRecipient, ...]
    moved: tuple[ParsedRecipient, ...]
    removed: tuple[StoredRecipient, ...]
    unchanged: int
    active_before: int

    @property
    def has_news(self) -> bool:
        """Whether anything downstream could come out differently."""
        return bool(self.added or self.changed or self.reactivated or self.removed)


class ImportCounts(BaseModel):
    """What the last import left behind, for the asset checks."""

    model_config = ConfigDict(frozen=True)
    active: int
    removed: int
    rejected: int
    duplicate: int
    no_address: int


class SheetWatch(BaseModel):
    """What the sensor knows about a campaign's sheet without asking Google."""

    model_config = ConfigDict(frozen=True)
    slug: str
    spreadsheet_id: str
    drive_version: str | None
    """Drive's version at the last import; None: never imported."""


def recipients_hash(pairs: Iterable[tuple[str, str]]) -> str:
    """Hash of (email_key, content_hash) pairs in any order."""
    return _hash(sorted(pairs))


def _hash(value: object) -> str:
    text = json.dumps(value, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
