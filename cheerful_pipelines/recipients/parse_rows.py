"""Rows of a sheet become recipients, and every row that does not says why. Pure: no I/O, no clock.

The header is found in columns.py, addresses are judged in addresses_in_cells.py.
"""

from collections.abc import Mapping, Sequence

from cheerful_pipelines.gmail.addresses import address_key
from cheerful_pipelines.recipients.addresses_in_cells import (
    CellAddresses,
    cell_text,
    is_error,
    read_address_cell,
)
from cheerful_pipelines.recipients.columns import column_letter, find_columns
from cheerful_pipelines.recipients.models import Cell, ParsedRecipient, ParsedSheet, RowProblem, SheetColumns


def parse_rows(rows: Sequence[Sequence[Cell]], *, column_mapping: Mapping[str, str] | None = None) -> ParsedSheet:
    """Take a tab apart: ragged rows in, recipients and problems out.

    `rows` start at the sheet's row 1. Of two rows with one address the first wins. Raises SheetContentError
    where no header names an e-mail column.
    """
    columns = find_columns(rows, mapping=column_mapping or {})
    taken: dict[str, ParsedRecipient] = {}
    problems: list[RowProblem] = []
    blank = 0
    for number, row in enumerate(rows[columns.header_row :], columns.header_row + 1):
        if not any(cell_text(cell) for cell in row):
            blank += 1
            continue
        found = read_address_cell(_cell(row, columns.email))
        problem = _why_not(found, number, columns)
        if problem is not None:
            problems.append(problem)
            continue
        recipient = _recipient(row, found, number, columns)
        first = taken.setdefault(recipient.email_key, recipient)
        if first is not recipient:
            problems.append(_duplicate(number, first.sheet_row, columns))
        elif len(found.addresses) + len(found.reasons) > 1:
            problems.append(_extra(found, number, columns))
    return ParsedSheet(
        columns=columns,
        rows=len(rows) - columns.header_row,
        blank=blank,
        recipients=tuple(taken.values()),
        problems=tuple(problems),
    )


def _why_not(found: CellAddresses, number: int, columns: SheetColumns) -> RowProblem | None:
    cell = f"{column_letter(columns.email)}{number}"
    if found.is_empty:
        return RowProblem(sheet_row=number, kind="no_address", cell=cell, reason="The row has no address yet.")
    if not found.addresses:
        return RowProblem(sheet_row=number, kind="rejected", cell=cell, reason=found.reasons[0])
    return None


def _recipient(row: Sequence[Cell], found: CellAddresses, number: int, columns: SheetColumns) -> ParsedRecipient:
    custom = {label: text for column, label in columns.custom.items() if (text := _value(row, column))}
    return ParsedRecipient(
        email=found.addresses[0],
        email_key=address_key(found.addresses[0]),
        name=_value(row, columns.name) or found.display_name,
        handle=_value(row, columns.handle) or None,
        custom_fields=custom,
        sheet_row=number,
    )


def _duplicate(number: int, first: int, columns: SheetColumns) -> RowProblem:
    return RowProblem(
        sheet_row=number,
        kind="duplicate",
        cell=f"{column_letter(columns.email)}{number}",
        other_row=first,
        reason=f"The same address stands in row {first}, which is taken.",
    )


def _extra(found: CellAddresses, number: int, columns: SheetColumns) -> RowProblem:
    reason = (
        f"The cell holds {len(found.addresses)} addresses; only the first is taken. Give each person a row."
        if len(found.addresses) > 1
        else ("Only one of the addresses in the cell is valid; it is taken. Another: " + found.reasons[0])
    )
    return RowProblem(
        sheet_row=number, kind="extra_address", cell=f"{column_letter(columns.email)}{number}", reason=reason
    )


def _cell(row: Sequence[Cell], column: int) -> Cell:
    return row[column] if column < len(row) else None  # Google leaves trailing blanks out


def _value(row: Sequence[Cell], column: int | None) -> str:
    """A cell's text; a formula's error is no value."""
    text = "" if column is None else cell_text(_cell(row, column))
    return "" if is_error(text) else text
