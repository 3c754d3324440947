"""Rows of a sheet become recipients, and every row that does not says why. Pure: no I/O, no clock.

The header is found in columns.py, addresses are judged in addresses_in_cells.py.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.google.sheets.a1 import cell_name
from cheerful_pipelines.google.sheets.models import Cell
from cheerful_pipelines.recipients.addresses_in_cells import (
    CellAddresses,
    cell_text,
    is_error,
    read_address_cell,
)
from cheerful_pipelines.recipients.columns import HEADER_WITHIN_ROWS, find_columns
from cheerful_pipelines.recipients.models import ParsedRecipient, ParsedSheet, RowProblem, SheetColumns


def parse_rows(
    rows: Iterable[Sequence[Cell]],
    *,
    column_mapping: Mapping[str, Sequence[str]] | None = None,
    first_row: int = 1,
    first_column: int = 0,
    header_row: int | None = None,
) -> ParsedSheet:
    """Take a window of a tab apart: ragged rows in, recipients and problems out. Holds no row that it has passed.

    `rows` begin at the sheet's row `first_row`, their cells at column `first_column` (0-based). Of two rows with
    one address the first wins. Raises SheetContentError where no header names an e-mail column.
    """
    stream = iter(rows)
    head = list(islice(stream, max(HEADER_WITHIN_ROWS, (header_row or 0) - first_row + 1)))
    columns = find_columns(
        head,
        mapping=column_mapping or {},
        first_row=first_row,
        first_column=first_column,
        header_row=header_row,
    )
    sheet = _Places(columns, first_column)
    taken: dict[str, ParsedRecipient] = {}
    problems: list[RowProblem] = []
    filled = blank = 0
    for number, row in enumerate(chain(head[columns.header_row - first_row + 1 :], stream), columns.header_row + 1):
        if not any(cell_text(cell) for cell in row):
            blank += 1
            continue
        filled += 1
        found = read_address_cell(_cell(row, columns.email))
        problem = sheet.why_not(found, number, row)
        if problem is not None:
            problems.append(problem)
            continue
        recipient = _recipient(row, found, number, columns)
        first = taken.setdefault(recipient.email_key, recipient)
        if first is not recipient:
            problems.append(sheet.duplicate(number, first.sheet_row))
            continue
        if len(found.addresses) + len(found.reasons) > 1:
            problems.append(sheet.extra(found, number))
        if (broken := sheet.error_cells(row, number)) is not None:
            problems.append(broken)
    return ParsedSheet(
        columns=columns,
        rows=filled,
        blank=blank,
        recipients=tuple(taken.values()),
        problems=tuple(problems),
    )


class _Places:
    """Says what is wrong with a row in terms of the sheet's own cells."""

    def __init__(self, columns: SheetColumns, first_column: int) -> None:
        self._columns = columns
        self._first_column = first_column

    def _cell(self, column: int, number: int) -> str:
        return cell_name(self._first_column + column, number)

    def why_not(self, found: CellAddresses, number: int, row: Sequence[Cell]) -> RowProblem | None:
        cell = self._cell(self._columns.email, number)
        if found.is_empty:
            return RowProblem(
                sheet_row=number,
                kind="no_address",
                cell=cell,
                reason="The row has no address yet.",
                name=_value(row, self._columns.name) or None,
                handle=_value(row, self._columns.handle) or None,
            )
        if found.error is not None:
            reason = f"{cell}: {found.error} stands where an address should be: mend the cell's formula."
            return RowProblem(sheet_row=number, kind="rejected", cell=cell, reason=reason)
        if not found.addresses:
            return RowProblem(sheet_row=number, kind="rejected", cell=cell, reason=found.reasons[0])
        return None

    def duplicate(self, number: int, first: int) -> RowProblem:
        return RowProblem(
            sheet_row=number,
            kind="duplicate",
            cell=self._cell(self._columns.email, number),
            other_row=first,
            reason=f"The same address stands in row {first}, which is taken.",
        )

    def extra(self, found: CellAddresses, number: int) -> RowProblem:
        reason = (
            f"The cell holds {len(found.addresses)} addresses; only the first is taken. Give each person a row."
            if len(found.addresses) > 1
            else ("Only one of the addresses in the cell is valid; it is taken. Another: " + found.reasons[0])
        )
        cell = self._cell(self._columns.email, number)
        return RowProblem(sheet_row=number, kind="extra_address", cell=cell, reason=reason)

    def error_cells(self, row: Sequence[Cell], number: int) -> RowProblem | None:
        """Formulas' errors beside a good address: the row is taken without those values."""
        used = {*self._columns.custom, self._columns.name, self._columns.handle}
        broken = [
            (self._cell(column, number), text)
            for column, cell in enumerate(row)
            if column in used and is_error(text := cell_text(cell))
        ]
        if not broken:
            return None
        reason = ", ".join(f"{cell}: {text}" for cell, text in broken) + ". The row is taken without them."
        return RowProblem(sheet_row=number, kind="error_cell", cell=broken[0][0], reason=reason)


def _recipient(row: Sequence[Cell], found: CellAddresses, number: int, columns: SheetColumns) -> ParsedRecipient:
    custom = {label: text for column, label in columns.custom.items() if (text := _value(row, column))}
    return ParsedRecipient(
        email=found.addresses[0],
        email_key=address_key(found.addresses[0]),
        name=_value(row, columns.name) or found.display_name,
        handle=_value(row, columns.handle) or None,
        custom_fields=custom,
        mapped_fields=columns.mapped,
        sheet_row=number,
    )


def _cell(row: Sequence[Cell], column: int) -> Cell:
    return row[column] if column < len(row) else None  # Google leaves trailing blanks out


def _value(row: Sequence[Cell], column: int | None) -> str:
    """A cell's text; a formula's error is no value."""
    text = "" if column is None else cell_text(_cell(row, column))
    return "" if is_error(text) else text
