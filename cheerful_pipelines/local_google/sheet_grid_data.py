"""The cells of a tab as spreadsheets.get shows them under includeGridData."""

from typing import Any

from cheerful_pipelines.local_google.a1 import Box
from cheerful_pipelines.local_google.cells import Cell, format_of, formula_of, shown, value_of
from cheerful_pipelines.local_google.spreadsheets import Book, Spreadsheets, Tab


def grid_data(
    books: Spreadsheets, book: Book, tab: Tab, boxes: list[Box], *, with_cells: bool = True
) -> list[dict[str, Any]]:
    """One GridData for each box, or one for the whole tab; without cells only what is known of the rows."""
    blocks = []
    for box in boxes or [Box(0, 0, tab.row_count, tab.column_count)]:
        block = _block(books, book, tab, box) if with_cells else {}
        blocks.append(block | {"rowMetadata": _row_metadata(books, book, tab, box)})
    return blocks


def _row_metadata(books: Spreadsheets, book: Book, tab: Tab, box: Box) -> list[dict[str, Any]]:
    by_user, by_filter = set(tab.extras.get("hiddenRows", [])), _filtered_out(books, book, tab)
    return [
        {"pixelSize": 21}
        | ({"hiddenByUser": True} if row in by_user else {})
        | ({"hiddenByFilter": True} if row in by_filter else {})
        for row in range(box.top, tab.row_count if box.bottom is None else box.bottom)
    ]


def _filtered_out(books: Spreadsheets, book: Book, tab: Tab) -> set[int]:
    """Rows that the tab's basic filter hides. It knows lists of hidden values, and no conditions."""
    basic = tab.extras.get("basicFilter") or {}
    hidden = {int(column): set(rule.get("hiddenValues", [])) for column, rule in (basic.get("criteria") or {}).items()}
    if not hidden:
        return set()
    first = basic.get("range", {}).get("startRowIndex", 0) + 1
    rows = books.rows(book.id, tab.sheet_id, first, basic.get("range", {}).get("endRowIndex"))
    return {
        row
        for row, cells in rows.items()
        for column, values in hidden.items()
        if column < len(cells) and shown(value_of(cells[column]), format_of(cells[column])) in values
    }


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
