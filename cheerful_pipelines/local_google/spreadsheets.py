"""What a spreadsheet is: its tabs, their grids and their cells, in the state file. No HTTP and no JSON bodies here.

Every change grows the file's `version` by one request (`touch`), which is what Drive shows.
"""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from cheerful_pipelines.local_google import a1
from cheerful_pipelines.local_google.a1 import Box
from cheerful_pipelines.local_google.calls import GoogleError, not_found
from cheerful_pipelines.local_google.cells import Cell, is_empty, make_cell
from cheerful_pipelines.local_google.state import State

DEFAULT_ROWS = 1000
DEFAULT_COLUMNS = 26
MOST_CELLS = 10_000_000


@dataclass(frozen=True)
class Tab:
    """One grid. `properties` and `extras` hold what of SheetProperties and Sheet has no column of its own."""

    sheet_id: int
    title: str
    row_count: int
    column_count: int
    properties: dict[str, Any] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Book:
    """A spreadsheet without its cells."""

    id: str
    title: str
    version: int
    modified_at: float
    tabs: tuple[Tab, ...]

    def tab_by_id(self, sheet_id: int) -> Tab | None:
        """The tab with that id."""
        return next((tab for tab in self.tabs if tab.sheet_id == sheet_id), None)

    @property
    def named_ranges(self) -> list[dict[str, Any]]:
        """Every NamedRange resource."""
        return [item for tab in self.tabs for item in tab.extras.get("namedRanges", [])]

    def tab_by_title(self, title: str) -> Tab | None:
        """The tab with that title, else one that differs only in case."""
        exact = next((tab for tab in self.tabs if tab.title == title), None)
        return exact or next((tab for tab in self.tabs if tab.title.casefold() == title.casefold()), None)


class Spreadsheets:
    """Every spreadsheet of this server."""

    def __init__(self, state: State) -> None:
        self._state = state
        self.drive_facts: dict[str, dict[str, Any]] = {}  # what Drive says of a file beside its version, by id

    # ---- books

    def get(self, spreadsheet_id: str) -> Book:
        """A book, 404 where there is none, 403 where it is not shared."""
        row = self._state.reading.execute(
            "select title, version, modified_at, shared from spreadsheet where id = ?", (spreadsheet_id,)
        ).fetchone()
        if row is None:
            raise not_found()
        if not row[3]:
            raise GoogleError(403, "The caller does not have permission")
        tabs = self._state.reading.execute(
            "select sheet_id, title, row_count, column_count, properties, extras from tab "
            "where spreadsheet_id = ? order by position, sheet_id",
            (spreadsheet_id,),
        ).fetchall()
        found = tuple(Tab(tab[0], tab[1], tab[2], tab[3], json.loads(tab[4]), json.loads(tab[5])) for tab in tabs)
        return Book(spreadsheet_id, row[0], row[1], row[2], found)

    def exists(self, spreadsheet_id: str) -> bool:
        """Whether there is one, shared or not."""
        query = "select 1 from spreadsheet where id = ?"
        return self._state.reading.execute(query, (spreadsheet_id,)).fetchone() is not None

    def create(self, spreadsheet_id: str, title: str) -> None:
        """A book without tabs; the caller adds some."""
        with self._state.transaction() as c:
            c.execute("insert into spreadsheet values (?, ?, 1, ?, 1)", (spreadsheet_id, title, time.time()))

    def touch(self, spreadsheet_id: str) -> None:
        """The book was changed: its version and time move on."""
        with self._state.transaction() as c:
            c.execute(
                "update spreadsheet set version = version + 1, modified_at = ? where id = ?",
                (time.time(), spreadsheet_id),
            )

    def rename(self, spreadsheet_id: str, title: str) -> None:
        """A new title of the book."""
        with self._state.transaction() as c:
            c.execute("update spreadsheet set title = ? where id = ?", (title, spreadsheet_id))

    def share(self, spreadsheet_id: str, *, shared: bool) -> None:
        """Whether callers may see it; a book that is not shared answers 403."""
        with self._state.transaction() as c:
            c.execute("update spreadsheet set shared = ? where id = ?", (int(shared), spreadsheet_id))

    # ---- tabs

    def write_tab(self, spreadsheet_id: str, tab: Tab, position: int) -> None:
        """Make or change a tab. Cells outside a grid that shrank are gone."""
        with self._state.transaction() as c:
            c.execute(
                "insert into tab values (?, ?, ?, ?, ?, ?, ?, ?) on conflict (spreadsheet_id, sheet_id) do update "
                "set position = excluded.position, title = excluded.title, row_count = excluded.row_count, "
                "column_count = excluded.column_count, properties = excluded.properties, extras = excluded.extras",
                (
                    spreadsheet_id, tab.sheet_id, position, tab.title, tab.row_count, tab.column_count,
                    json.dumps(tab.properties), json.dumps(tab.extras),
                ),
            )  # fmt: skip

    def cut_to_grid(self, spreadsheet_id: str, tab: Tab) -> None:
        """Forget cells outside the grid, after it shrank."""
        rows = self.rows(spreadsheet_id, tab.sheet_id)
        outside = [row for row in rows if row >= tab.row_count]
        self.write_rows(spreadsheet_id, tab.sheet_id, {row: [] for row in outside})
        wide = {row: cells[: tab.column_count] for row, cells in rows.items() if len(cells) > tab.column_count}
        self.write_rows(
            spreadsheet_id, tab.sheet_id, {row: cells for row, cells in wide.items() if row < tab.row_count}
        )

    def order_tabs(self, spreadsheet_id: str, sheet_ids: list[int]) -> None:
        """Put the tabs in that order."""
        with self._state.transaction() as c:
            c.executemany(
                "update tab set position = ? where spreadsheet_id = ? and sheet_id = ?",
                [(position, spreadsheet_id, sheet_id) for position, sheet_id in enumerate(sheet_ids)],
            )

    def delete_tab(self, spreadsheet_id: str, sheet_id: int) -> None:
        """A tab and its cells."""
        with self._state.transaction() as c:
            for table in ("tab_row", "tab"):
                c.execute(f"delete from {table} where spreadsheet_id = ? and sheet_id = ?", (spreadsheet_id, sheet_id))

    def new_sheet_id(self) -> int:
        """An id no tab has had."""
        return self._state.next_number("sheet") * 104_729 % 2_000_000_011

    # ---- cells

    def rows(
        self, spreadsheet_id: str, sheet_id: int, top: int = 0, bottom: int | None = None
    ) -> dict[int, list[Cell]]:
        """Row number -> cells, of the rows that hold any."""
        found = self._state.reading.execute(
            "select row, cells from tab_row where spreadsheet_id = ? and sheet_id = ? and row >= ? and row < ? "
            "order by row",
            (spreadsheet_id, sheet_id, top, 2**31 if bottom is None else bottom),
        )
        return {row: json.loads(cells) for row, cells in found}

    def write_rows(self, spreadsheet_id: str, sheet_id: int, rows: dict[int, list[Cell]]) -> None:
        """Replace whole rows. A row without anything in it is not kept."""
        kept, gone = [], []
        for row, given in rows.items():
            cells = list(given)
            while cells and cells[-1] is None:
                cells.pop()
            if cells:
                kept.append((spreadsheet_id, sheet_id, row, json.dumps(cells)))
            else:
                gone.append((spreadsheet_id, sheet_id, row))
        with self._state.transaction() as c:
            c.executemany("insert or replace into tab_row values (?, ?, ?, ?)", kept)
            c.executemany("delete from tab_row where spreadsheet_id = ? and sheet_id = ? and row = ?", gone)

    def move_rows(self, spreadsheet_id: str, sheet_id: int, *, start: int, by: int) -> None:
        """Rows from `start` on go down by `by`, or up where it is negative."""
        here = (spreadsheet_id, sheet_id)
        with self._state.transaction() as c:
            # By way of negative numbers: a row must not meet another on its way.
            c.execute(
                "update tab_row set row = -row - 1 where spreadsheet_id = ? and sheet_id = ? and row >= ?",
                (*here, start),
            )
            c.execute(
                "update tab_row set row = -row - 1 + ? where spreadsheet_id = ? and sheet_id = ? and row < 0",
                (by, *here),
            )

    # ---- ranges

    def locate(self, book: Book, text: str) -> tuple[Tab, Box]:
        """The tab and the box, clipped to its grid, that a range means, or 400 in Google's words.

        The name of a named range outranks A1 notation, as far as the two can be mixed up at all.
        """
        named = next((item for item in book.named_ranges if item["name"] == text), None)
        if named is not None:
            return self._named(book, named["range"], text)
        reference = a1.parse_range(text)
        box = reference.box
        if reference.tab is not None:
            tab = book.tab_by_title(reference.tab)
        else:
            # "A1" is a cell of the first tab, unless a tab is called so.
            titled = next((tab for tab in book.tabs if tab.title == text), None)
            tab, box = (titled, Box()) if titled else (book.tabs[0], box)
        if tab is None:
            raise a1.unparsable(text)
        return tab, a1.clip(box, tab.row_count, tab.column_count, text)

    def _named(self, book: Book, where: dict[str, Any], text: str) -> tuple[Tab, Box]:
        tab = book.tab_by_id(where.get("sheetId", 0))
        if tab is None:
            raise a1.unparsable(text)
        box = Box(
            where.get("startRowIndex", 0), where.get("startColumnIndex", 0),
            where.get("endRowIndex"), where.get("endColumnIndex"),
        )  # fmt: skip
        return tab, a1.clip(box, tab.row_count, tab.column_count, text)

    def replace(self, spreadsheet_id: str, title: str, tabs: dict[str, list[list[Any]]]) -> None:
        """The book becomes exactly these tabs with these values as they stand. A tab's id lasts with its title."""
        with self._state.transaction():
            if not self.exists(spreadsheet_id):
                self.create(spreadsheet_id, title)
            self.share(spreadsheet_id, shared=True)
            self.drive_facts.pop(spreadsheet_id, None)
            self.rename(spreadsheet_id, title)
            old = {tab.title: tab for tab in self.get(spreadsheet_id).tabs}
            for tab in old.values():
                self.delete_tab(spreadsheet_id, tab.sheet_id)
            for position, (name, values) in enumerate(tabs.items()):
                first = 0 if position == 0 and not old else self.new_sheet_id()
                sheet_id = old[name].sheet_id if name in old else first
                width = max([len(row) for row in values], default=0)
                grid = Tab(sheet_id, name, max(DEFAULT_ROWS, len(values)), max(DEFAULT_COLUMNS, width))
                self.write_tab(spreadsheet_id, grid, position)
                rows = {number: [make_cell(value) for value in row] for number, row in enumerate(values)}
                self.write_rows(spreadsheet_id, sheet_id, rows)
            self.touch(spreadsheet_id)

    def last_filled(self, spreadsheet_id: str, sheet_id: int) -> tuple[int, int]:
        """(rows, columns) up to the last cell that holds something."""
        height = width = 0
        for row, cells in self.rows(spreadsheet_id, sheet_id).items():
            filled = [column for column, cell in enumerate(cells) if not is_empty(cell)]
            if filled:
                height, width = row + 1, max(width, filled[-1] + 1)
        return height, width
