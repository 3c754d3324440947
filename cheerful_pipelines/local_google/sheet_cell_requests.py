"""The requests of spreadsheets.batchUpdate that write cells: repeatCell, updateCells, appendCells.

Values and number formats are kept; of a format's other parts nothing is (see `sheet_requests`).
"""

from collections.abc import Iterator
from typing import Any

from cheerful_pipelines.local_google.calls import GoogleError
from cheerful_pipelines.local_google.cells import Cell, format_of, formula_of, make_cell, value_of, written
from cheerful_pipelines.local_google.field_mask import Mask, parse_mask
from cheerful_pipelines.local_google.sheet_values import grown
from cheerful_pipelines.local_google.spreadsheets import Book, Spreadsheets, Tab

Body = dict[str, Any]


def tab_of(book: Book, sheet_id: int | None) -> Tab:
    """The tab with that id, or 400 in Google's words."""
    found = book.tab_by_id(sheet_id or 0)
    if found is None:
        raise GoogleError(400, f"No grid with id: {sheet_id or 0}")
    return found


def mask_of(body: Body) -> list[str]:
    """The request's `fields` as dotted paths; Google's clients write slashes, dots or brackets."""
    fields = body.get("fields") or ""
    if not fields:
        raise GoogleError(400, "At least one field must be listed in 'fields'. (Use '*' to indicate all fields.)")
    return list(_paths(parse_mask(fields)))


def _paths(mask: Mask, prefix: str = "") -> Iterator[str]:
    for name, inner in mask.items():
        if inner:
            yield from _paths(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _cell_after(old: Cell, data: Body, mask: list[str]) -> Cell:
    """`old` after CellData was laid over it, as far as the mask says."""
    cell = old
    if any(name == "*" or name.startswith("userEnteredValue") for name in mask):
        cell = make_cell(_entered(data.get("userEnteredValue") or {}), pattern=format_of(cell))
        formula = (data.get("userEnteredValue") or {}).get("formulaValue")
        if formula is not None:
            cell = written(formula, cell, user_entered=True)
    whole_format = [name for name in mask if name in ("*", "userEnteredFormat")]
    if whole_format or any(name.startswith("userEnteredFormat.numberFormat") for name in mask):
        pattern = _pattern_of(data)
        cell = make_cell(value_of(cell), formula=formula_of(cell), pattern=pattern)
    return cell


_DEFAULT_PATTERNS = {"PERCENT": "0.00%", "DATE": "m/d/yyyy", "DATE_TIME": "m/d/yyyy h:mm:ss", "NUMBER": "#,##0.00"}


def _pattern_of(data: Body) -> str:
    number_format = (data.get("userEnteredFormat") or {}).get("numberFormat") or {}
    return str(number_format.get("pattern") or _DEFAULT_PATTERNS.get(number_format.get("type", ""), ""))


def _entered(value: Body) -> Any:
    for name in ("stringValue", "numberValue", "boolValue"):
        if name in value:
            return value[name]
    return None


def _bounds(tab: Tab, where: Body) -> tuple[range, range]:
    rows = range(where.get("startRowIndex", 0), where.get("endRowIndex", tab.row_count))
    columns = range(where.get("startColumnIndex", 0), where.get("endColumnIndex", tab.column_count))
    if rows.start >= tab.row_count or columns.start >= tab.column_count:
        raise GoogleError(400, f"the range begins outside the grid ({tab.row_count} rows, {tab.column_count} columns)")
    return range(rows.start, min(rows.stop, tab.row_count)), range(columns.start, min(columns.stop, tab.column_count))


def repeat_cell(books: Spreadsheets, book: Book, body: Body) -> None:
    mask, data = mask_of(body), body.get("cell") or {}
    tab = tab_of(book, (body.get("range") or {}).get("sheetId"))
    row_range, columns = _bounds(tab, body.get("range") or {})
    if not any(
        name.startswith(("*", "userEnteredValue", "userEnteredFormat.numberFormat")) or name == "userEnteredFormat"
        for name in mask
    ):
        return  # only looks
    old = books.rows(book.id, tab.sheet_id, row_range.start, row_range.stop)
    rows = {}
    for row in row_range:
        cells = old.get(row, [])
        cells += [None] * (columns.stop - len(cells))
        for column in columns:
            cells[column] = _cell_after(cells[column], data, mask)
        rows[row] = cells
    books.write_rows(book.id, tab.sheet_id, rows)


def update_cells(books: Spreadsheets, book: Book, body: Body) -> None:
    """The rows given, from `start` or over `range`; cells of the range that no row names are emptied."""
    mask, given = mask_of(body), body.get("rows") or []
    start, where = body.get("start"), body.get("range")
    tab = tab_of(book, (start or where or {}).get("sheetId"))
    if where is not None:
        row_range, columns = _bounds(tab, where)
    else:
        top, left = (start or {}).get("rowIndex", 0), (start or {}).get("columnIndex", 0)
        width = max([len(row.get("values") or []) for row in given], default=0)
        row_range, columns = range(top, top + len(given)), range(left, left + width)
        if row_range.stop > tab.row_count or columns.stop > tab.column_count:
            raise GoogleError(
                400, f"Attempting to write outside the grid ({tab.row_count} rows, {tab.column_count} columns)"
            )
    old = books.rows(book.id, tab.sheet_id, row_range.start, row_range.stop)
    rows = {}
    for n, row in enumerate(row_range):
        data = (given[n].get("values") or []) if n < len(given) else []
        cells = old.get(row, [])
        cells += [None] * (columns.stop - len(cells))
        for m, column in enumerate(columns):
            if m < len(data) or where is not None:
                cells[column] = _cell_after(cells[column], data[m] if m < len(data) else {}, mask)
        rows[row] = cells
    books.write_rows(book.id, tab.sheet_id, rows)


def append_cells(books: Spreadsheets, book: Book, body: Body) -> None:
    """Rows after the last one that holds anything."""
    tab, given = tab_of(book, body.get("sheetId")), body.get("rows") or []
    top, _ = books.last_filled(book.id, tab.sheet_id)
    width = max([len(row.get("values") or []) for row in given], default=0)
    grown(books, book, tab, max(tab.row_count, top + len(given)), max(tab.column_count, width))
    start = {"sheetId": tab.sheet_id, "rowIndex": top, "columnIndex": 0}
    update_cells(books, books.get(book.id), {"rows": given, "start": start, "fields": body.get("fields") or "*"})
