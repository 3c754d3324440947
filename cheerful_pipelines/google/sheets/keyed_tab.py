"""Which cells of the client's sheet to write so that it shows what it should, and not one more. Pure, no I/O.

The sheet is the client's: they sort, filter, colour, add columns, rows and notes, and keep them. We own the
columns whose headers are ours, in rows whose key is ours. A row is found by its key wherever it was sorted
to, updated in place, appended where missing, and only our own cells of it are emptied when it vanishes.
Nothing is ever cleared first, so the sheet is at no moment blank; equal cells are not written, so a second
run writes nothing.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core.errors import SheetContentError
from cheerful_pipelines.google.sheets.a1 import cell_name, quote_tab
from cheerful_pipelines.google.sheets.models import Cell

KEY_HEADER = "Key"
"""Header of the key column in every tab of ours.

By it the header row is found, even below rows of the client's.
"""

_HEADER_IS_WITHIN_ROWS = 20
_BLOCK_ROWS = 1_000  # a block is sent whole: this keeps a request of ten columns far below 2 MB


class DesiredTab(BaseModel):
    """What one tab should show. One of the headers is KEY_HEADER; `key_pattern` matches the keys that are
    ours.
    """

    model_config = ConfigDict(frozen=True)
    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    key_pattern: str
    formats: dict[str, str] = {}  # header: number format of its column
    cell_formats: dict[tuple[str, str], str] = {}  # (header, key): number format of one cell
    client_headers: tuple[str, ...] = ()
    """Columns that we make and never write into: what stands below is the client's word to us."""
    fills_gaps: bool = False
    """New rows go first where a row of ours vanished and nothing of the client's stands."""

    @property
    def key_position(self) -> int:
        """Position of the key within headers and rows."""
        return self.headers.index(KEY_HEADER)


class CellWrite(NamedTuple):
    """One cell, counted from 0."""

    row: int
    column: int
    value: Cell


class RangeWrite(BaseModel):
    """One block of cells as values.batchUpdate takes it."""

    model_config = ConfigDict(frozen=True)
    range: str
    values: list[list[Cell]]


def plan_writes(existing: Sequence[Sequence[Cell]], desired: DesiredTab) -> list[CellWrite]:
    """The cells to write, by row and column. Raises SheetContentError where the tab holds something else."""
    if not any(_is_filled(cell) for row in existing for cell in row):
        header_row, columns, writes = 0, _fresh_columns(desired), _header_writes(desired)
    else:
        header_row = _header_row(existing, desired)
        columns, writes = _located_columns(existing, header_row, desired)
        writes += _missing_client_headers(existing, header_row, desired, after=writes)
    row_of = _rows_by_key(existing, header_row, columns[desired.key_position])
    wanted = {str(row[desired.key_position]) for row in desired.rows}
    vanished = [at for key, at in row_of.items() if key not in wanted and re.fullmatch(desired.key_pattern, key)]
    end = max(_used_rows(existing), header_row + 1)
    gaps = _gaps(existing, range(header_row + 1, end), columns, vanished) if desired.fills_gaps else []
    new_rows = chain(gaps, count(end))
    reused: set[int] = set()
    for row in desired.rows:
        at = row_of.get(str(row[desired.key_position]))
        if at is None:
            at = next(new_rows)
            reused.add(at)
        writes.extend(_differences(existing, at, columns, row))
    for at in vanished:
        if at not in reused:
            writes.extend(_differences(existing, at, columns, [None] * len(columns)))
    return sorted(writes, key=lambda write: (write.row, write.column))


def as_ranges(title: str, writes: Sequence[CellWrite]) -> list[RangeWrite]:
    """Cells joined into as few blocks as there are; the values are sent RAW, so no text becomes a formula."""
    runs: list[list[CellWrite]] = []
    for write in sorted(writes, key=lambda write: (write.row, write.column)):
        if runs and (runs[-1][-1].row, runs[-1][-1].column + 1) == (write.row, write.column):
            runs[-1].append(write)
        else:
            runs.append([write])
    blocks: list[list[list[CellWrite]]] = []
    open_blocks: dict[tuple[int, int, int], list[list[CellWrite]]] = {}  # by next row, first column, width
    for run in runs:
        place = (run[0].row, run[0].column, len(run))
        block = open_blocks.pop(place, None)
        if block is None or len(block) == _BLOCK_ROWS:
            block = []
            blocks.append(block)
        block.append(run)
        open_blocks[place[0] + 1, place[1], place[2]] = block
    return [_range_write(title, block) for block in blocks]


def needed_size(writes: Sequence[CellWrite]) -> tuple[int, int]:
    """(rows, columns) that the grid must have for these writes."""
    return (
        max((write.row + 1 for write in writes), default=0),
        max((write.column + 1 for write in writes), default=0),
    )


def shown_rows(existing: Sequence[Sequence[Cell]], desired: DesiredTab) -> Mapping[str, tuple[Cell, ...]]:
    """What the sheet shows in our columns, by key: the read-back of an export. Raises SheetContentError."""
    header_row = _header_row(existing, desired)
    columns, missing = _located_columns(existing, header_row, desired)
    if missing:
        raise SheetContentError(f"The tab {desired.title!r} lacks a column of ours.", what_to_do="Export again.")
    row_of = _rows_by_key(existing, header_row, columns[desired.key_position])
    return {key: tuple(_cell(existing, at, column) for column in columns) for key, at in row_of.items()}


def same(left: Cell, right: Cell) -> bool:
    """Whether two cells show the same. Empty text is an empty cell; numbers may differ in the last digits."""
    left, right = ("" if left is None else left), ("" if right is None else right)
    if isinstance(left, bool) or isinstance(right, bool) or isinstance(left, str) or isinstance(right, str):
        return type(left) is type(right) and left == right
    return abs(left - right) <= 1e-9 * max(1.0, abs(left), abs(right))


def _range_write(title: str, block: list[list[CellWrite]]) -> RangeWrite:
    first, last = block[0][0], block[-1][-1]
    corner, opposite = cell_name(first.column, first.row + 1), cell_name(last.column, last.row + 1)
    # "" empties a cell; null would leave what stands there.
    values: list[list[Cell]] = [["" if write.value is None else write.value for write in run] for run in block]
    return RangeWrite.model_construct(range=f"{quote_tab(title)}!{corner}:{opposite}", values=values)


def _fresh_columns(desired: DesiredTab) -> list[int]:
    return list(range(len(desired.headers)))


def _header_writes(desired: DesiredTab) -> list[CellWrite]:
    return [CellWrite(0, column, header) for column, header in enumerate((*desired.headers, *desired.client_headers))]


def _header_row(existing: Sequence[Sequence[Cell]], desired: DesiredTab) -> int:
    for number, row in enumerate(existing[:_HEADER_IS_WITHIN_ROWS]):
        if KEY_HEADER in row and any(header in row for header in desired.headers if header != KEY_HEADER):
            return number
    raise SheetContentError(
        f"The tab {desired.title!r} is not empty and has no header row of ours (a column {KEY_HEADER!r}).",
        what_to_do="Rename that tab, or put its header row back; then export again.",
    )


def _located_columns(
    existing: Sequence[Sequence[Cell]], header_row: int, desired: DesiredTab
) -> tuple[list[int], list[CellWrite]]:
    """Where each of our columns stands now; a missing one goes to the right of everything."""
    headers = list(existing[header_row])
    next_column = max((len(row) for row in existing), default=0)
    columns: list[int] = []
    writes: list[CellWrite] = []
    for header in desired.headers:
        if header in headers:
            columns.append(headers.index(header))
            continue
        columns.append(next_column)
        writes.append(CellWrite(header_row, next_column, header))
        next_column += 1
    return columns, writes


def _missing_client_headers(
    existing: Sequence[Sequence[Cell]], header_row: int, desired: DesiredTab, *, after: Sequence[CellWrite]
) -> list[CellWrite]:
    headers = set(existing[header_row])
    width = max((len(row) for row in existing), default=0)
    first = max((write.column + 1 for write in after), default=width)
    missing = [header for header in desired.client_headers if header not in headers]
    return [CellWrite(header_row, first + number, header) for number, header in enumerate(missing)]


def _rows_by_key(existing: Sequence[Sequence[Cell]], header_row: int, key_column: int) -> dict[str, int]:
    """Row of each key. A second row with the same key is a copy that the client made: left alone."""
    found: dict[str, int] = {}
    for number in range(header_row + 1, len(existing)):
        key = _cell(existing, number, key_column)
        if isinstance(key, str) and key:
            found.setdefault(key, number)
    return found


def _gaps(
    existing: Sequence[Sequence[Cell]], rows: range, columns: Sequence[int], vanished: Sequence[int]
) -> list[int]:
    """Rows that are blank, or hold nothing but a vanished row of ours."""
    ours, gone = set(columns), set(vanished)
    return [
        at
        for at in rows
        if not any(_is_filled(cell) for n, cell in enumerate(existing[at]) if at not in gone or n not in ours)
    ]


def _differences(
    existing: Sequence[Sequence[Cell]], at: int, columns: Sequence[int], row: Sequence[Cell]
) -> list[CellWrite]:
    return [
        CellWrite(at, column, value)
        for column, value in zip(columns, row, strict=True)
        if not same(_cell(existing, at, column), value)
    ]


def _cell(existing: Sequence[Sequence[Cell]], row: int, column: int) -> Cell:
    """Rows of a sheet are ragged: what is not there is empty."""
    return existing[row][column] if row < len(existing) and column < len(existing[row]) else None


def _used_rows(existing: Sequence[Sequence[Cell]]) -> int:
    filled = [number for number, row in enumerate(existing) if any(_is_filled(cell) for cell in row)]
    return filled[-1] + 1 if filled else 0


def _is_filled(cell: Cell) -> bool:
    return cell is not None and cell != ""
