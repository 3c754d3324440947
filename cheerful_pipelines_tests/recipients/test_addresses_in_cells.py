"""What one address cell gives, and why not."""

import pytest

from cheerful_pipelines.recipients.addresses_in_cells import read_address_cell


@pytest.mark.parametrize(
    ("cell", "address"),
    [
        ("ana@creator.example", "ana@creator.example"),
        ("  ana@creator.example\u00a0", "ana@creator.example"),
        ("\u200bana@creator.example", "ana@creator.example"),
        ("mailto:ana@creator.example", "ana@creator.example"),
        ("<ana@creator.example>", "ana@creator.example"),
        ("Ana Lima <Ana.Lima@creator.example>", "Ana.Lima@creator.example"),
        ("Lima, Ana <ana@creator.example>", "ana@creator.example"),
        ('"Lima, Ana" <ana@creator.example>', "ana@creator.example"),
        ("email: ana@creator.example", "ana@creator.example"),
        ("ana@creator.example (business)", "ana@creator.example"),
        ("ana@bücher.example", "ana@bücher.example"),
        ('"ana lima"@creator.example', '"ana lima"@creator.example'),
    ],
)
def test_an_address_is_found_in_the_forms_people_paste(cell: str, address: str) -> None:
    assert read_address_cell(cell).addresses == (address,)


@pytest.mark.parametrize("cell", ["", None, "   ", "n/a", "TBD", "-", "None", "\u200b"])
def test_a_cell_that_says_there_is_no_address_yet_is_empty_not_wrong(cell: str | None) -> None:
    assert read_address_cell(cell).is_empty


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("#N/A", "shows #N/A"),
        ("#REF!", "shows #REF!"),
        ("Loading...", "Loading"),
        ("ana", "must have an @-sign"),
        (12345, "must have an @-sign"),
        (True, "must have an @-sign"),
        ("ana@", "must be something after"),
        ("ana@creator", "should have a period"),
        ("ana..lima@creator.example", "two periods in a row"),
        ("ana (at) creator.example", "must have an @-sign"),
        ("ana lima@creator.example", "Words stand beside"),
        ("ana\nlima@creator.example", "Words stand beside"),
        (".ana@creator.example", "cannot start with a period"),
        ("ana@localhost.localhost", "special-use"),
        ("ana@creator.test", "special-use"),
        ("a" * 65 + "@creator.example", "too long before the @-sign"),
    ],
)
def test_a_cell_without_an_address_says_why(cell: str | int, words: str) -> None:
    found = read_address_cell(cell)

    assert found.addresses == ()
    assert words in found.reasons[0]


@pytest.mark.parametrize(
    "cell",
    [
        "secretname@exa mple.example",
        "secretname@-creatorname.example",
        "secretname@creator_name.example",
        "secretname@ab--creatorname.example",
        "secretname@creatorname..example",
        "secretname@@creatorname.example",
    ],
)
def test_a_reason_never_repeats_the_address(cell: str) -> None:
    """Reasons go into metadata and logs that many people may read."""
    text = " ".join(read_address_cell(cell).reasons)

    assert text
    assert "secretname" not in text
    assert "creatorname" not in text


def test_several_addresses_come_in_the_cells_order_and_the_invalid_ones_with_a_reason() -> None:
    found = read_address_cell("ana@creator; ana@creator.example, Bo <bo@creator.example> / ana@creator.example")

    assert found.addresses == ("ana@creator.example", "bo@creator.example")
    assert len(found.reasons) == 1
