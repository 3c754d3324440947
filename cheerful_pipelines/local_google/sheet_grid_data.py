"""The cells of a tab as spreadsheets.get shows them under includeGridData."""

from typing import Any

from cheerful_pipelines.local_google.a1 import Box
from cheerful_pipelines.local_google.cells import Cell, format_of, formula_of, shown, value_of
from cheerful_pipelines.local_google.spreadsheets import Book, Spreadsheets, Tab


def grid_data(books: Spreadsheets, book: Book, tab: Tab, boxes: list[Box]) -> list[dict[str, Any]]:
    """One GridData for each box, or one for the whole tab."""
    return [_block(books, book, tab, box) for box in boxes or [Box(0, 0, tab.row_count, tab.column_count)]]


def _block(books: Spreadsheets, book: Book, tab: Tab, box: Box) -> dict[str, Any]:
    rows = books.rows(book.id, tab.sheet_id, box.top, box.bottom)
    found: dict[str, Any] = {}
    if box.top:
        found["startRow"] = box.top
    if box.left:
        found["startColumn"] = box.left
    data = [
        {"values": [cell_data(cell) for cell in rows.get(row, [])[box.left : box.right]]}
        for row in range(box.top, max(rows, default=-1) + 1)
    ]
    return found | ({"rowData": data} if data else {})


def cell_data(cell: Cell) -> dict[str, Any]:
    """The CellData of one cell: entered, effective and shown value, and its number format."""
    value, formula = value_of(cell), formula_of(cell)
    found: dict[str, Any] = {}
    if value not in (None, ""):
        found["effectiveValue"] = _extended(value)
        found["userEnteredValue"] = {"formulaValue": formula} if formula is not None else _extended(value)
        found["formattedValue"] = shown(value, format_of(cell))
    if pattern := format_of(cell):
        found["userEnteredFormat"] = {"numberFormat": {"type": "NUMBER", "pattern": pattern}}
    return found


def _extended(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"numberValue": value} if isinstance(value, int | float) else {"stringValue": value}
