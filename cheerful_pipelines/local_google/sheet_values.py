"""Reading and writing the values of a range: what values.get, update, append and clear do, without the wire."""

from dataclasses import dataclass
from typing import Any

from cheerful_pipelines.local_google import a1
from cheerful_pipelines.local_google.a1 import Box
from cheerful_pipelines.local_google.calls import GoogleError
from cheerful_pipelines.local_google.cells import Cell, cleared, is_empty, rendered, written
from cheerful_pipelines.local_google.spreadsheets import MOST_CELLS, Book, Spreadsheets, Tab

Values = list[list[Any]]
INPUT_OPTIONS = ("RAW", "USER_ENTERED")


@dataclass(frozen=True)
class Rendering:
    """How values are shown."""

    option: str = "FORMATTED_VALUE"
    dates_as_text: bool = False
    by_columns: bool = False


def read_values(books: Spreadsheets, book: Book, text: str, rendering: Rendering) -> tuple[str, Values]:
    """(the whole range in A1, its values): trailing empty cells and rows left out, an empty row inside is []."""
    tab, box = books.locate(book, text)
    rows = books.rows(book.id, tab.sheet_id, box.top, box.bottom)
    values: Values = []
    for row in range(box.top, max(rows, default=-1) + 1):
        cells = rows.get(row, [])[box.left : box.right]
        values.append([rendered(cell, rendering.option, dates_as_text=rendering.dates_as_text) for cell in cells])
    if rendering.by_columns:
        values = turned(values)
    return a1.write_range(tab.title, box), _trimmed(values)


def _trimmed(values: Values) -> Values:
    for row in values:
        while row and row[-1] == "":
            row.pop()
    while values and not values[-1]:
        values.pop()
    return values


def turned(values: Values) -> Values:
    """Rows become columns."""
    width = max([len(row) for row in values], default=0)
    return [[row[n] if n < len(row) else "" for row in values] for n in range(width)]


@dataclass(frozen=True)
class Written:
    """What a write did; the range is None where there was nothing to write."""

    text: str
    rows: int
    columns: int
    cells: int


def write_values(
    books: Spreadsheets, book: Book, text: str, values: Values, *, input_option: str, by_columns: bool = False
) -> Written:
    """Write from the range's first cell on; 400 past the range or the grid. null leaves a cell, "" empties it."""
    tab, box = books.locate(book, text)
    if by_columns:
        values = _turned_with_gaps(values)
    height, width = len(values), max([len(row) for row in values], default=0)
    if not box.is_one_cell:
        _stay_inside(tab, box, height, width)
    if box.top + height > tab.row_count or box.left + width > tab.column_count:
        raise a1.exceeds_grid(_wanted(tab, box, height, width), tab.row_count, tab.column_count)
    return put_values(books, book, tab, (box.top, box.left), values, input_option=input_option)


def _turned_with_gaps(values: Values) -> Values:
    height = max([len(column) for column in values], default=0)
    return [[column[n] if n < len(column) else None for column in values] for n in range(height)]


def _stay_inside(tab: Tab, box: Box, height: int, width: int) -> None:
    text = a1.write_range(tab.title, box)
    if height > box.height():
        raise GoogleError(
            400, f"Requested writing within range [{text}], but tried writing to row [{box.top + box.height() + 1}]"
        )
    if width > box.width():
        column = a1.column_letters(box.left + box.width())
        raise GoogleError(400, f"Requested writing within range [{text}], but tried writing to column [{column}]")


def _wanted(tab: Tab, box: Box, height: int, width: int) -> str:
    return a1.write_range(tab.title, Box(box.top, box.left, box.top + height, box.left + width))


def put_values(
    books: Spreadsheets, book: Book, tab: Tab, corner: tuple[int, int], values: Values, *, input_option: str
) -> Written:
    """Write a block of values whose place was checked."""
    if input_option not in INPUT_OPTIONS:
        raise GoogleError(400, "'valueInputOption' is required but not specified" if not input_option else
                          f"Invalid value at 'value_input_option', \"{input_option}\"")  # fmt: skip
    top, left = corner
    old = books.rows(book.id, tab.sheet_id, top, top + len(values))
    rows: dict[int, list[Cell]] = {}
    for row, given in enumerate(values, start=top):
        cells = old.get(row, [])
        cells += [None] * (left + len(given) - len(cells))
        for column, value in enumerate(given, start=left):
            if value is not None:
                cells[column] = written(value, cells[column], user_entered=input_option == "USER_ENTERED")
        rows[row] = cells
    books.write_rows(book.id, tab.sheet_id, rows)
    height, width = len(values), max([len(row) for row in values], default=0)
    box = Box(top, left, top + max(height, 1), left + max(width, 1))
    count = sum(value is not None for row in values for value in row)
    return Written(a1.write_range(tab.title, box), height, width, count)


def clear_values(books: Spreadsheets, book: Book, text: str) -> str:
    """Empty the range and return it; formats stay."""
    tab, box = books.locate(book, text)
    rows = books.rows(book.id, tab.sheet_id, box.top, box.bottom)
    for cells in rows.values():
        for column in range(box.left, min(box.right or 0, len(cells))):
            cells[column] = cleared(cells[column])
    books.write_rows(book.id, tab.sheet_id, rows)
    return a1.write_range(tab.title, box)


def append_values(
    books: Spreadsheets, book: Book, text: str, values: Values, *, input_option: str, insert_rows: bool
) -> tuple[str | None, Written]:
    """Write below the table found in the range: (the table's range or None, what was written). The grid grows."""
    tab, box = books.locate(book, text)
    table = _table_in(books.rows(book.id, tab.sheet_id), box)
    top, left = (table.bottom or 0, table.left) if table else (box.top, box.left)
    height, width = len(values), max([len(row) for row in values], default=0)
    if insert_rows and table and height:
        books.move_rows(book.id, tab.sheet_id, start=top, by=height)
        tab = grown(books, book, tab, tab.row_count + height, tab.column_count)
    tab = grown(books, book, tab, max(tab.row_count, top + height), max(tab.column_count, left + width))
    found = put_values(books, book, tab, (top, left), values, input_option=input_option)
    return (a1.write_range(tab.title, table) if table else None), found


def _table_in(rows: dict[int, list[Cell]], box: Box) -> Box | None:
    """The lowest block of touching cells that has one inside the box."""
    filled = {(row, column) for row, cells in rows.items() for column, cell in enumerate(cells) if not is_empty(cell)}
    inside = [
        (row, column)
        for row, column in filled
        if box.top <= row < (box.bottom or 0) and box.left <= column < (box.right or 0)
    ]
    if not inside:
        return None
    waiting, seen = [max(inside)], {max(inside)}
    while waiting:
        row, column = waiting.pop()
        around = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)}
        fresh = (around & filled) - seen
        seen |= fresh
        waiting.extend(fresh)
    tops, lefts = [row for row, _ in seen], [column for _, column in seen]
    return Box(min(tops), min(lefts), max(tops) + 1, max(lefts) + 1)


def grown(books: Spreadsheets, book: Book, tab: Tab, row_count: int, column_count: int) -> Tab:
    """The tab with that many rows and columns."""
    if (row_count, column_count) == (tab.row_count, tab.column_count):
        return tab
    if row_count * column_count > MOST_CELLS:
        raise GoogleError(
            400,
            f"This action would increase the number of cells in the workbook above the limit of {MOST_CELLS} cells.",
        )
    found = Tab(tab.sheet_id, tab.title, row_count, column_count, tab.properties, tab.extras)
    position = [other.sheet_id for other in book.tabs].index(tab.sheet_id)
    books.write_tab(book.id, found, position)
    return found
