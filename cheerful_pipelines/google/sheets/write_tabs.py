"""Make tabs of ours show what they should: add missing ones, read, plan, grow, write once.

Which cells that are is decided in `keyed_tab.py`; what a tab says, by the domain that owns it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core.errors import SheetContentError
from cheerful_pipelines.google.sheets.a1 import quote_tab
from cheerful_pipelines.google.sheets.keyed_tab import (
    KEY_HEADER,
    CellWrite,
    DesiredTab,
    as_ranges,
    needed_size,
    plan_writes,
)
from cheerful_pipelines.google.sheets.models import Cell, SheetWindow, TabProperties
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient

_CELLS_A_REQUEST = 20_000  # well below the 2 MB that Google recommends
_SPARE_ROWS = 200
_SPARE_COLUMNS = 4  # room for notes


class WrittenTabs(BaseModel):
    """What a write did."""

    model_config = ConfigDict(frozen=True)
    cells_written: int
    tabs: tuple[str, ...]
    tabs_made: tuple[str, ...]
    write_requests: int


def write_tabs(
    sheets: SheetsClient, spreadsheet_id: str, tabs: Sequence[TabProperties], desired: Sequence[DesiredTab]
) -> WrittenTabs:
    """Make a spreadsheet, which has `tabs` now, show `desired`. Running it twice writes nothing the second time.

    Raises SheetContentError where a tab of that title holds something else. Other tabs are never touched.
    """
    desired = by_their_titles(desired, tabs)
    present = {tab.title: tab for tab in tabs}
    missing = [tab for tab in desired if tab.title not in present]
    grids = read_tabs(sheets, spreadsheet_id, [tab.title for tab in desired if tab.title in present])
    plans = {tab.title: plan_writes(grids.get(tab.title, []), tab) for tab in desired}
    requests = 0
    if missing:
        made = sheets.batch_update(spreadsheet_id, _add_tabs(missing, plans))
        sheets.batch_update(spreadsheet_id, _format_tabs(missing, made, plans))
        requests += 2
    grow = _grow_tabs(present, plans)
    grow += [
        request
        for tab in desired
        if tab.title in present
        for request in _format_news(tab, present[tab.title], grids[tab.title], plans[tab.title])
    ]
    if grow:
        sheets.batch_update(spreadsheet_id, grow)
        requests += 1
    ranges = [item for tab in desired for item in as_ranges(tab.title, plans[tab.title])]
    for part in _request_sized([(item.range, item.values) for item in ranges]):
        sheets.update_values(spreadsheet_id, part)
        requests += 1
    return WrittenTabs(
        cells_written=sum(len(writes) for writes in plans.values()),
        tabs=tuple(tab.title for tab in desired),
        tabs_made=tuple(tab.title for tab in missing),
        write_requests=requests,
    )


def by_their_titles(desired: Sequence[DesiredTab], tabs: Sequence[TabProperties]) -> list[DesiredTab]:
    """The tabs under the titles that they have: to Google, `summary` and `Summary` are one name."""
    titles = {tab.title.casefold(): tab.title for tab in tabs}
    return [tab.model_copy(update={"title": titles.get(tab.title.casefold(), tab.title)}) for tab in desired]


def refuse_source_tab(window: SheetWindow, desired: Sequence[DesiredTab]) -> None:
    """Raise SheetContentError where a tab of ours has the name of the tab that recipients are read from."""
    if window.tab.strip().casefold() in {tab.title.casefold() for tab in desired}:
        raise SheetContentError(
            f"The recipients stand in the tab {window.tab!r} of {window.spreadsheet_id}, whose name we need.",
            what_to_do="Rename the recipients' tab, or name another spreadsheet for what we write.",
        )


def read_tabs(sheets: SheetsClient, spreadsheet_id: str, titles: Sequence[str]) -> dict[str, list[list[Cell]]]:
    """All cells of the named tabs, in one call."""
    found = sheets.read_ranges(spreadsheet_id, [quote_tab(title) for title in titles], dates_as_numbers=True)
    return dict(zip(titles, found, strict=True))


def _add_tabs(missing: Sequence[DesiredTab], plans: dict[str, list[CellWrite]]) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = []
    for tab in missing:
        rows, columns = needed_size(plans[tab.title])
        grid = {
            "rowCount": rows + _SPARE_ROWS,
            "columnCount": max(columns, len(tab.headers)) + _SPARE_COLUMNS,
            "frozenRowCount": 1,
        }
        requests.append({"addSheet": {"properties": {"title": tab.title, "gridProperties": grid}}})
    return requests


def _format_tabs(
    missing: Sequence[DesiredTab], made: Sequence[dict[str, Any]], plans: dict[str, list[CellWrite]]
) -> list[dict[str, Any]]:
    """Dates and shares of tabs that were just made become readable. Later the formats are the client's."""
    requests: list[dict[str, Any]] = []
    for tab, reply in zip(missing, made, strict=True):
        sheet_id = reply["addSheet"]["properties"]["sheetId"]
        for header, pattern in tab.formats.items():
            requests.append(_format(sheet_id, pattern, tab.headers.index(header), first_row=1))
        columns = {header: number for number, header in enumerate(tab.headers)}
        requests += _cell_formats(tab, sheet_id, columns, plans[tab.title])
    return requests


def _format_news(
    tab: DesiredTab, stands: TabProperties, grid: Sequence[Sequence[Cell]], writes: Sequence[CellWrite]
) -> list[dict[str, Any]]:
    """Formats of what comes to a tab that is there: rows below its grid, columns of ours, and rows of ours."""
    if not any(row for row in grid):
        return []
    header_row = next((number for number, row in enumerate(grid) if KEY_HEADER in row), 0)
    headers = dict(enumerate(grid[header_row])) | {
        write.column: write.value for write in writes if write.row == header_row
    }
    columns = {header: column for column, header in headers.items() if isinstance(header, str)}
    known = set(grid[header_row])
    requests: list[dict[str, Any]] = []
    for header, pattern in tab.formats.items():
        if header not in known:
            requests.append(_format(stands.sheet_id, pattern, columns[header], first_row=header_row + 1))
        elif needed_size(writes)[0] > stands.rows:
            requests.append(_format(stands.sheet_id, pattern, columns[header], first_row=stands.rows))
    return requests + _cell_formats(tab, stands.sheet_id, columns, writes)


def _cell_formats(
    tab: DesiredTab, sheet_id: int, columns: Mapping[str, int], writes: Sequence[CellWrite]
) -> list[dict[str, Any]]:
    """Formats of single cells, of the rows that get their key now."""
    row_of = {write.value: write.row for write in writes if write.column == columns[KEY_HEADER]}
    return [
        _format(sheet_id, pattern, columns[header], first_row=row_of[key], last_row=row_of[key])
        for (header, key), pattern in tab.cell_formats.items()
        if key in row_of
    ]


def _format(
    sheet_id: int, pattern: str, column: int, *, first_row: int, last_row: int | None = None
) -> dict[str, Any]:  # fmt: skip
    """Rows count from 0; without a last one, to the end of the grid."""
    place = {"startRowIndex": first_row, "startColumnIndex": column, "endColumnIndex": column + 1}
    if last_row is not None:
        place["endRowIndex"] = last_row + 1
    kind = "PERCENT" if "%" in pattern else "DATE_TIME" if "hh" in pattern else "DATE"
    cell = {"userEnteredFormat": {"numberFormat": {"type": kind, "pattern": pattern}}}
    fields = "userEnteredFormat.numberFormat"
    return {"repeatCell": {"range": {"sheetId": sheet_id, **place}, "cell": cell, "fields": fields}}


def _grow_tabs(present: dict[str, TabProperties], plans: dict[str, list[CellWrite]]) -> list[dict[str, Any]]:
    """Absolute sizes, not additions: a lost answer and a second request do no harm."""
    requests: list[dict[str, Any]] = []
    for title, writes in plans.items():
        rows, columns = needed_size(writes)
        tab = present.get(title)
        if tab is None or (rows <= tab.rows and columns <= tab.columns):
            continue
        grid = {
            "rowCount": tab.rows if rows <= tab.rows else rows + _SPARE_ROWS,
            "columnCount": max(tab.columns, columns),
        }
        properties = {"sheetId": tab.sheet_id, "gridProperties": grid}
        fields = "gridProperties.rowCount,gridProperties.columnCount"
        requests.append({"updateSheetProperties": {"properties": properties, "fields": fields}})
    return requests


def _request_sized(data: list[tuple[str, list[list[Any]]]]) -> list[list[tuple[str, list[list[Any]]]]]:
    """Usually one request; more only where it would grow too large."""
    parts: list[list[tuple[str, list[list[Any]]]]] = []
    room = 0
    for item in data:
        cells = sum(len(row) for row in item[1])
        if not parts or cells > room:
            parts.append([])
            room = _CELLS_A_REQUEST
        parts[-1].append(item)
        room -= cells
    return parts
