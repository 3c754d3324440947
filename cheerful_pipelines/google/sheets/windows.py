"""Which cells of a spreadsheet a campaign means: tab by title or gid, A1 range or named range. Calls nobody."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from cheerful_pipelines.core.errors import NotFoundError, SheetContentError
from cheerful_pipelines.google.sheets.models import SheetSource, SheetWindow, TabProperties

_CORNER = r"\$?(?:[A-Za-z]{1,3}(?:\$?[1-9]\d{0,7})?|[1-9]\d{0,7})"
_A1 = re.compile(f"{_CORNER}(?::{_CORNER})?")  # longer words are names: no sheet has a column PEOPLE


def find_window(
    source: SheetSource, tabs: Sequence[TabProperties], named_ranges: Sequence[Mapping[str, Any]]
) -> SheetWindow:
    """Which cells a source means, among the tabs and named ranges that are there. Pure.

    A range outranks the tab where it names one; a title outranks a gid; nothing named means the first tab.
    """
    named = next((item["range"] for item in named_ranges if item["name"] == source.range), None)
    title, cells = (None, None) if source.range is None or named else _split(source.range)
    gid = named.get("sheetId", 0) if named else source.gid
    wanted = title or (source.tab if named is None else None)
    if wanted is not None:
        tab = next((item for item in tabs if item.title.strip() == wanted.strip()), None)
    elif gid is not None:
        tab = next((item for item in tabs if item.sheet_id == gid), None)
    else:
        tab = tabs[0] if tabs else None
    if tab is None:
        what = f"tab {wanted!r}" if wanted is not None else f"tab with gid {gid}"
        names = ", ".join(f"{item.title!r} (gid {item.sheet_id})" for item in tabs)
        raise NotFoundError(
            f"The spreadsheet {source.spreadsheet_id} has no {what}; it has {names or 'none'}.",
            what_to_do="Rename the tab back, or correct the campaign: cheerful campaigns add ... --tab or --gid.",
        )
    grid = named if named is not None else _grid(cells, source, named_ranges) if cells else {}
    window = SheetWindow(
        spreadsheet_id=source.spreadsheet_id,
        tab=tab.title,
        sheet_id=tab.sheet_id,
        first_row=grid.get("startRowIndex", 0) + 1,
        last_row=min(grid.get("endRowIndex", tab.rows), tab.rows),
        first_column=grid.get("startColumnIndex", 0),
        end_column=min(grid.get("endColumnIndex", tab.columns), tab.columns),
    )
    if window.first_row > window.last_row or window.first_column >= window.end_column:
        raise SheetContentError(
            f"The range {source.range!r} lies outside tab {tab.title!r}, which has {tab.rows} rows and "
            f"{tab.columns} columns.",
            what_to_do="Correct the campaign's range: cheerful campaigns add ... --range.",
        )
    return window


def _split(text: str) -> tuple[str | None, str]:
    """(tab or None, cells) of a range as people write it: 'It''s'!A1:B2, People!A:F, A5:F."""
    title, bang, cells = text.rpartition("!")
    if not bang:
        return None, text
    if title.startswith("'") and title.endswith("'") and len(title) > 1:
        title = title[1:-1].replace("''", "'")
    return title, cells


def _grid(cells: str, source: SheetSource, named_ranges: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    from gspread.utils import a1_range_to_grid_range  # a third of a second that other runs need not

    if _A1.fullmatch(cells.strip()) is None:
        names = ", ".join(repr(item["name"]) for item in named_ranges) or "none"
        raise SheetContentError(
            f"{source.range!r} is no range: neither like A5:F or People!A5:F, nor a named range (there are: {names}).",
            what_to_do="Correct the campaign's range: cheerful campaigns add ... --range.",
        )
    return dict(a1_range_to_grid_range(cells.strip().replace("$", "").upper()))
