"""The plan of cell writes: only our cells, only what differs, whatever the client did to the sheet."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import SheetContentError
from cheerful_pipelines.google.sheets.a1 import column_letter
from cheerful_pipelines.google.sheets.keyed_tab import (
    CellWrite,
    DesiredTab,
    as_ranges,
    plan_writes,
    same,
    shown_rows,
)
from cheerful_pipelines.google.sheets.models import Cell

Grid = list[list[Cell]]


def _tab(*rows: tuple[Cell, ...]) -> DesiredTab:
    return DesiredTab(title="Threads", headers=("Key", "Creator", "Replies"), rows=rows, key_pattern=r"\w+/\w+")


def _written(grid: Grid, writes: Sequence[CellWrite]) -> Grid:
    """What the sheet shows after the writes."""
    found = [list(row) for row in grid]
    for row, column, value in writes:
        while len(found) <= row:
            found.append([])
        while len(found[row]) <= column:
            found[row].append("")
        found[row][column] = value
    return found


def test_an_empty_tab_gets_header_and_rows() -> None:
    writes = plan_writes([], _tab(("mia/1", "Ana", 2)))

    assert _written([], writes) == [["Key", "Creator", "Replies"], ["mia/1", "Ana", 2]]


def test_a_second_run_writes_nothing() -> None:
    tab = _tab(("mia/1", "Ana", 2), ("mia/2", "", None))
    grid = _written([], plan_writes([], tab))

    assert plan_writes(grid, tab) == []


def test_a_row_is_found_by_its_key_wherever_it_was_sorted_to() -> None:
    grid: Grid = [["Key", "Creator", "Replies"], ["mia/2", "Ben", 0], ["mia/1", "Ana", 2]]

    assert plan_writes(grid, _tab(("mia/1", "Ana", 3), ("mia/2", "Ben", 0))) == [CellWrite(2, 2, 3)]


def test_the_clients_columns_rows_and_order_of_columns_stay() -> None:
    grid: Grid = [
        ["our creators, do not touch"],
        ["Note", "Replies", "Key", "Creator"],
        ["call her", 2, "mia/1", "Ana"],
        ["my own row", "", "", "x"],
    ]
    writes = plan_writes(grid, _tab(("mia/1", "Ana B", 2), ("mia/9", "Zoe", 1)))

    assert writes == [
        CellWrite(2, 3, "Ana B"),
        CellWrite(4, 1, 1),
        CellWrite(4, 2, "mia/9"),
        CellWrite(4, 3, "Zoe"),
    ]


def test_a_column_that_is_missing_comes_back_right_of_everything() -> None:
    grid: Grid = [["Key", "Replies", "Mine"], ["mia/1", 2, "note"]]

    assert plan_writes(grid, _tab(("mia/1", "Ana", 2))) == [
        CellWrite(0, 3, "Creator"),
        CellWrite(1, 3, "Ana"),
    ]


def test_of_a_vanished_row_only_our_cells_are_emptied() -> None:
    grid: Grid = [["Key", "Creator", "Replies", "Note"], ["mia/1", "Ana", 2, "keep"], ["Total", "", 2, ""]]
    writes = plan_writes(grid, _tab())

    assert writes == [CellWrite(1, 0, None), CellWrite(1, 1, None), CellWrite(1, 2, None)]
    assert as_ranges("Threads", writes)[0].values == [["", "", ""]]


def test_a_copy_of_a_row_that_the_client_made_is_left_alone() -> None:
    grid: Grid = [["Key", "Creator", "Replies"], ["mia/1", "Ana", 2], ["mia/1", "Ana", 2]]

    assert plan_writes(grid, _tab(("mia/1", "Ana", 3))) == [CellWrite(1, 2, 3)]


def test_a_tab_with_something_else_in_it_is_refused_in_words() -> None:
    with pytest.raises(SheetContentError, match="Rename that tab"):
        plan_writes([["Budget", "Q4"], ["1", "2"]], _tab(("mia/1", "Ana", 2)))


@pytest.mark.parametrize("text", ["=IMPORTXML(1)", "+49 30 1234", "@x", "-1", "\tx"])
def test_text_that_looks_like_a_formula_is_text(text: str) -> None:
    writes = plan_writes([], _tab(("mia/1", text, 2)))

    assert as_ranges("Threads", writes)[0].values[1][1] == text


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 1.0, True),
        (0.1 + 0.2, 0.3, True),
        ("1", 1, False),
        (None, "", True),
        (0, None, False),
        (True, 1, False),
    ],
)
def test_cells_are_compared_by_what_they_show(left: Cell, right: Cell, expected: bool) -> None:
    assert same(left, right) is expected


def test_cells_join_into_blocks_and_tab_names_are_quoted() -> None:
    writes = [CellWrite(row, column, 1) for row in range(3) for column in range(2)]
    ranges = as_ranges("It's", [*writes, CellWrite(7, 27, "x")])

    assert [item.range for item in ranges] == ["'It''s'!A1:B3", "'It''s'!AB8:AB8"]
    assert ranges[0].values == [[1, 1], [1, 1], [1, 1]]
    assert column_letter(702) == "AAA"


cells = st.one_of(st.none(), st.text("ab=1", max_size=3), st.integers(0, 9), st.floats(0, 1))
keys = st.sampled_from([f"mia/{n}" for n in range(6)])
tabs = st.lists(st.tuples(keys, cells, cells), unique_by=lambda row: row[0], max_size=6).map(lambda rows: _tab(*rows))


@given(tabs, tabs, st.permutations(range(3)), st.lists(st.text("xyz", max_size=2), max_size=4))
def test_whatever_the_client_did_the_sheet_shows_the_rows_and_their_cells_stay(
    before: DesiredTab, after: DesiredTab, order: list[int], notes: list[str]
) -> None:
    """Export, let the client reorder columns and add notes, export again: shown, theirs kept, then nothing
    to write.
    """
    grid = _written([], plan_writes([], before))
    padded = [[*row, *[""] * (3 - len(row))] for row in grid]
    theirs = ["", *notes, *[""] * len(grid)]  # no header over the client's notes
    grid = [[*(row[column] for column in order), note] for row, note in zip(padded, theirs, strict=False)]

    written = _written(grid, plan_writes(grid, after))

    shown = shown_rows(written, after)
    assert all(same(left, right) for row in after.rows for left, right in zip(shown[str(row[0])], row, strict=True))
    assert {key for key in shown if "/" in key} == {str(row[0]) for row in after.rows}
    assert [row[3] for row in written[: len(grid)]] == [row[3] for row in grid]
    assert plan_writes(written, after) == []
