"""What a spreadsheet, its tabs and a part of one are, as frozen values. No I/O."""

from pydantic import BaseModel, ConfigDict

Cell = str | int | float | bool | None
"""One value as Sheets gives it unformatted."""


class SheetSource(BaseModel):
    """Where a campaign's list stands, as a person named it."""

    model_config = ConfigDict(frozen=True)
    spreadsheet_id: str
    tab: str | None = None
    gid: int | None = None
    range: str | None = None
    """A1 range, with or without its tab, or the name of a named range."""
    header_row: int | None = None


class TabProperties(BaseModel):
    """One tab of a spreadsheet. `sheet_id` is what the browser's address calls gid."""

    model_config = ConfigDict(frozen=True)
    title: str
    sheet_id: int
    rows: int
    columns: int


class SheetWindow(BaseModel):
    """The part of a tab that is read: rows 1-based, both ends included; columns 0-based, the end excluded."""

    model_config = ConfigDict(frozen=True)
    spreadsheet_id: str
    tab: str
    sheet_id: int
    first_row: int
    last_row: int
    first_column: int
    end_column: int
