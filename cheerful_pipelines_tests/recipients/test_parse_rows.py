"""Messy tables in, recipients and reasons out; every row ends in exactly one place."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import SheetContentError
from cheerful_pipelines.google.sheets.models import Cell
from cheerful_pipelines.recipients.diff import compare
from cheerful_pipelines.recipients.import_plan import count_import
from cheerful_pipelines.recipients.import_report import problems_as_markdown
from cheerful_pipelines.recipients.models import ParsedSheet, Suppression
from cheerful_pipelines.recipients.parse_rows import parse_rows
from cheerful_pipelines_tests.recipients.importer import a_stored


def _keys(parsed: ParsedSheet) -> list[str]:
    return [recipient.email_key for recipient in parsed.recipients]


def test_columns_are_found_by_name_and_the_rest_is_kept() -> None:
    parsed = parse_rows([["City", "Handle", "E-Mail", "Full name"], ["Porto", "@ana", "ana@creator.example", "Ana"]])

    (ana,) = parsed.recipients
    assert (ana.email, ana.name, ana.handle, ana.sheet_row) == ("ana@creator.example", "Ana", "@ana", 2)
    assert ana.custom_fields == {"City": "Porto"}


@pytest.mark.parametrize(
    "header",
    [
        "EMAIL",
        " e-mail * ",
        "Email Address",
        "creator_email",
        "Correo electrónico",
        "E-Mail-Adresse",
        "Courriel",
        "Adresse e-mail",
        "Endereço de e-mail",
        "E-mailadres",
        "Электронная почта",
        "メールアドレス",
        "邮箱",
        "이메일",
    ],
)
def test_the_address_column_is_known_in_many_languages(header: str) -> None:
    assert _keys(parse_rows([["Name", header], ["Ana", "ana@creator.example"]])) == ["ana@creator.example"]


def test_title_rows_may_stand_above_the_header_and_row_numbers_stay_the_sheets() -> None:
    rows = [
        ["Spring campaign"],
        [],
        ["Updated", "2026-10-01"],
        ["Name", "Email"],
        ["Ana", "ana@creator.example"],
    ]

    parsed = parse_rows(rows)

    assert parsed.columns.header_row == 4
    assert parsed.recipients[0].sheet_row == 5


def test_a_mapping_outranks_the_aliases() -> None:
    """A moved or second column must never put another person's address into the list."""
    rows = [["Email", "Contact", "Stadt"], ["office@agency.example", "ana@creator.example", "Porto"]]

    parsed = parse_rows(rows, column_mapping={"email": ["contact"], "city": ["Town", "Stadt"]})

    assert _keys(parsed) == ["ana@creator.example"]
    assert parsed.recipients[0].custom_fields == {"Email": "office@agency.example", "city": "Porto"}


def test_a_mapped_address_column_that_is_gone_stops_although_another_looks_right() -> None:
    with pytest.raises(SheetContentError, match="'Contact'"):
        parse_rows([["Email", "Name"], ["ana@creator.example", "Ana"]], column_mapping={"email": ["Contact"]})


def test_a_mapped_column_that_is_gone_but_not_needed_is_named() -> None:
    parsed = parse_rows([["Email"], ["ana@creator.example"]], column_mapping={"name": ["Artist"]})

    assert parsed.columns.missing == ("Artist",)


def test_without_an_address_column_the_error_names_the_headers_and_the_way_out() -> None:
    with pytest.raises(SheetContentError, match=r"'Name', 'City'.*Name one column 'Email'"):
        parse_rows([["Name", "City"], ["Ana", "Porto"]])


def test_a_renamed_address_column_is_shown_among_the_headers_and_nobodys_row_is() -> None:
    rows: list[list[Cell]] = [
        ["Spring list"],
        ["Name", "Reach them at", "City"],
        ["Ana", "ana@creator.example", "Porto"],
    ]

    with pytest.raises(SheetContentError, match="row 2 says: 'Name', 'Reach them at', 'City'") as caught:
        parse_rows(rows)

    assert "Porto" not in str(caught.value)


def test_a_headerless_list_is_refused_without_repeating_anybody() -> None:
    with pytest.raises(SheetContentError, match="no header row") as caught:
        parse_rows([["Ana", "ana@creator.example"], ["Bo", "bo@creator.example"]])

    assert "ana" not in str(caught.value).lower().replace("an ", "")


@pytest.mark.parametrize("rows", [[], [[]], [["", None]]])
def test_an_empty_tab_is_an_error_and_not_an_empty_list(rows: list[list[Cell]]) -> None:
    with pytest.raises(SheetContentError, match="empty"):
        parse_rows(rows)


def test_each_row_that_is_not_taken_says_why_with_its_cell() -> None:
    parsed = parse_rows(
        [
            ["Name", "Email"],
            ["Ana", "Ana.Lima@gmail.com"],
            ["Bo", "#N/A"],
            ["Cy"],
            [],
            ["Ana again", "analima+brand@googlemail.com"],
            ["Di", "di@creator.example, di@other.example"],
            ["Ed", "ed at creator"],
        ]
    )

    assert _keys(parsed) == ["analima@gmail.com", "di@creator.example"]
    assert parsed.blank == 1
    assert [(p.sheet_row, p.kind, p.cell, p.other_row) for p in parsed.problems] == [
        (3, "rejected", "B3", None),
        (4, "no_address", "B4", None),
        (6, "duplicate", "B6", 2),
        (7, "extra_address", "B7", None),
        (8, "rejected", "B8", None),
    ]


def test_repeated_and_empty_headers_lose_nothing_that_has_a_name() -> None:
    parsed = parse_rows([["Email", "Notes", "", "Notes"], ["ana@creator.example", "a", "b", "c", "beyond"]])

    assert parsed.recipients[0].custom_fields == {"Notes": "a", "Notes (D)": "c"}


def test_numbers_booleans_and_errors_in_other_columns_become_plain_text_or_nothing() -> None:
    rows: list[list[Cell]] = [
        ["Email", "Name", "Followers", "Rate", "VIP", "City"],
        ["ana@creator.example", "#REF!", 12000.0, 2.5, True, "#N/A"],
    ]

    (ana,) = parse_rows(rows).recipients

    assert ana.name is None
    assert ana.custom_fields == {"Followers": "12000", "Rate": "2.5", "VIP": "TRUE"}


def test_a_display_name_fills_an_absent_name() -> None:
    assert parse_rows([["Email"], ["Ana Lima <ana@creator.example>"]]).recipients[0].name == "Ana Lima"


def test_row_order_does_not_change_who_is_in_nor_the_hash() -> None:
    rows = [["ana@creator.example"], ["bo@creator.example"], ["cy@creator.example"]]

    forward, backward = parse_rows([["Email"], *rows]), parse_rows([["Email"], *reversed(rows)])

    assert forward.content_hash == backward.content_hash
    assert sorted(_keys(forward)) == sorted(_keys(backward))


def test_the_table_of_problems_has_rows_and_reasons_and_no_address() -> None:
    parsed = parse_rows([["Email"], ["ana@creator.example"], ["ANA@creator.example"], ["bo@creator"], [None, "x"]])

    table = problems_as_markdown(parsed.problems, most=2)

    assert "| 3 | A3 | duplicate |" in table
    assert "and 1 more" not in table.split("| 3 |")[0]
    assert "@creator" not in table


ENDED = ("rejected", "duplicate", "no_address")
CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "ana@creator.example",
            "ANA@creator.example",
            "a.b@gmail.com",
            "ab@gmail.com",
            "#N/A",
            "n/a",
            "Bo <bo@creator.example>",
            "x@y.example; z@y.example",
            "Email",
            "Name",
            " ",
        ]
    ),
)


@given(rows=st.lists(st.lists(CELLS, max_size=5), max_size=30), header=st.booleans())
def test_any_ragged_table_is_refused_in_words_or_every_row_ends_in_exactly_one_place(
    rows: list[list[Any]], header: bool
) -> None:
    table = [["Name", "Email", "City"], *rows] if header else rows
    try:
        parsed = parse_rows(table)
    except SheetContentError:
        assert not header  # a table without a header may be refused; nothing else may be raised
        return

    taken = [recipient.sheet_row for recipient in parsed.recipients]
    left = [problem.sheet_row for problem in parsed.problems if problem.kind in ENDED]
    assert len(taken) + len(left) == parsed.rows
    assert parsed.rows + parsed.blank == len(table) - parsed.columns.header_row
    assert len({*taken, *left}) == len(taken) + len(left)
    assert len(set(_keys(parsed))) == len(taken)
    assert all("\x00" not in str(recipient.model_dump()) for recipient in parsed.recipients)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=30),
    suppressed=st.sets(st.sampled_from(["ana@creator.example", "ab@gmail.com", "bo@creator.example", "x@y.example"])),
    stored=st.sets(st.sampled_from(["ana@creator.example", "gone@creator.example"])),
)
def test_every_row_is_counted_once_whoever_is_suppressed_or_stored(
    rows: list[list[Any]], suppressed: set[str], stored: set[str]
) -> None:
    parsed = parse_rows([["Name", "Email", "City"], *rows])
    before = parse_rows([["Email"], *([key] for key in sorted(stored))]).recipients
    diff = compare(
        [a_stored(person) for person in before],
        parsed.recipients,
        {key: Suppression(reason="opted_out", campaign=None) for key in suppressed},
    )

    counts = count_import(parsed, diff, parsed.problems, 0)

    ended = (counts.active, counts.suppressed, counts.duplicate, counts.rejected, counts.no_address)
    assert counts.rows == sum(ended)
    assert counts.rows + counts.blank == len(rows)
    people = (counts.added, counts.changed, counts.reactivated, counts.refreshed, counts.moved, counts.unchanged)
    assert counts.active + counts.suppressed == sum(people)
    assert min(*ended, *people) >= 0


@given(rows=st.lists(st.lists(CELLS, min_size=2, max_size=4), max_size=20), data=st.data())
def test_row_order_decides_only_which_of_two_duplicates_wins(rows: list[list[Any]], data: st.DataObject) -> None:
    header = ["Name", "Email", "City"]
    straight = parse_rows([header, *rows])
    mixed = parse_rows([header, *data.draw(st.permutations(rows))])

    def outcome(parsed: ParsedSheet) -> tuple[set[str], int, int, Counter[str]]:
        kinds = Counter(problem.kind for problem in parsed.problems if problem.kind in ENDED)
        return set(_keys(parsed)), parsed.rows, parsed.blank, kinds

    assert outcome(straight) == outcome(mixed)
    if not any(problem.kind == "duplicate" for problem in straight.problems):
        assert straight.content_hash == mixed.content_hash
