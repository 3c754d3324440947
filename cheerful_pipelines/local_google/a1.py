"""Ranges in A1 notation: read, clipped to a grid, written. Rows and columns count from 0; ends are exclusive."""

import re
from dataclasses import dataclass

from cheerful_pipelines.local_google.calls import GoogleError

_QUOTED = re.compile(r"'((?:[^']|'')*)'(?:!(.*))?\Z", re.S)
_CORNER = re.compile(r"\$?([A-Za-z]{1,3})?\$?([1-9]\d{0,7})?\Z")
_PLAIN_TITLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_LOOKS_LIKE_A_CELL = re.compile(r"([A-Za-z]{1,3}\d+|[Rr]\d*[Cc]\d*)\Z")


@dataclass(frozen=True)
class Box:
    """A rectangle; None is an open side."""

    top: int = 0
    left: int = 0
    bottom: int | None = None
    right: int | None = None
    is_one_cell: bool = False

    def height(self) -> int:
        """Rows; only of a clipped box."""
        return (self.bottom or 0) - self.top

    def width(self) -> int:
        """Columns; only of a clipped box."""
        return (self.right or 0) - self.left


@dataclass(frozen=True)
class Reference:
    """A range as written: the tab it names (None: the first one), and the box in it."""

    tab: str | None
    box: Box
    text: str


def unparsable(text: str) -> GoogleError:
    """Google's words for a range it does not understand, a tab that is not there included."""
    return GoogleError(400, f"Unable to parse range: {text}")


def column_number(letters: str) -> int:
    """A -> 0, Z -> 25, AA -> 26."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number - 1


def column_letters(number: int) -> str:
    """0 -> A, 26 -> AA."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def parse_range(text: str) -> Reference:
    """`Tab`, `Tab!A1:B2`, `A1:B2`, `'It''s'!A:C`, `Tab!2:5`, or 400."""
    if match := _QUOTED.match(text):
        title = match[1].replace("''", "'")
        return Reference(title, Box() if match[2] is None else _box(match[2], text), text)
    title, bang, cells = text.rpartition("!")
    if bang:
        return Reference(title, _box(cells, text), text)
    try:
        return Reference(None, _box(text, text), text)
    except GoogleError:
        if not text:
            raise
        return Reference(text, Box(), text)


def _box(cells: str, whole: str) -> Box:
    first, colon, last = cells.partition(":")
    left, top = _corner(first, whole)
    if not colon:
        if left is None or top is None:
            raise unparsable(whole)
        return Box(top, left, top + 1, left + 1, is_one_cell=True)
    right, bottom = _corner(last, whole)
    if (left is None and right is not None) or (left is not None and right is None and bottom is None):
        raise unparsable(whole)
    tops = sorted(n for n in (top, bottom) if n is not None)
    lefts = sorted(n for n in (left, right) if n is not None)
    return Box(
        tops[0] if top is not None else 0,  # "A:B5" begins in the first row
        lefts[0] if lefts else 0,
        None if bottom is None else tops[-1] + 1,
        None if right is None else lefts[-1] + 1,
    )


def _corner(text: str, whole: str) -> tuple[int | None, int | None]:
    match = _CORNER.match(text.strip())
    if match is None or (match[1] is None and match[2] is None):
        raise unparsable(whole)
    column = column_number(match[1]) if match[1] else None
    return column, int(match[2]) - 1 if match[2] else None


def clip(box: Box, rows: int, columns: int, text: str) -> Box:
    """The box cut to a grid; 400 where it begins outside."""
    if box.top >= rows or box.left >= columns:
        raise exceeds_grid(text, rows, columns)
    bottom = rows if box.bottom is None else min(box.bottom, rows)
    right = columns if box.right is None else min(box.right, columns)
    return Box(box.top, box.left, bottom, right, box.is_one_cell)


def exceeds_grid(text: str, rows: int, columns: int) -> GoogleError:
    """Google's words for a write past the last row or column."""
    return GoogleError(400, f"Range ({text}) exceeds grid limits. Max rows: {rows}, max columns: {columns}")


def quoted_title(title: str) -> str:
    """A tab's title as it stands before the `!`."""
    if _PLAIN_TITLE.match(title) and not _LOOKS_LIKE_A_CELL.match(title):
        return title
    return "'" + title.replace("'", "''") + "'"


def write_range(title: str, box: Box) -> str:
    """A clipped box in A1 notation."""
    first = f"{column_letters(box.left)}{box.top + 1}"
    last = f"{column_letters((box.right or 1) - 1)}{box.bottom}"
    return f"{quoted_title(title)}!{first}" + ("" if first == last else f":{last}")
