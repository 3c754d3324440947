"""What an import would change, and which imports stop."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.recipients.diff import compare, judge_removals
from cheerful_pipelines.recipients.models import ParsedRecipient, RecipientDiff, StoredRecipient, Suppression
from cheerful_pipelines_tests.recipients.importer import a_stored

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def _parsed(name: str, row: int = 2, *, handle: str | None = None) -> ParsedRecipient:
    address = f"{name}@creator.example"
    return ParsedRecipient(email=address, email_key=address, name=name, handle=handle, custom_fields={}, sheet_row=row)


def _stored(recipient: ParsedRecipient, *, removed: bool = False) -> StoredRecipient:
    return a_stored(recipient, removed_at=LONG_AGO if removed else None)


def _after(stored: list[StoredRecipient], parsed: list[ParsedRecipient]) -> list[StoredRecipient]:
    here = {recipient.email_key for recipient in parsed}
    gone = [item.model_copy(update={"removed_at": LONG_AGO}) for item in stored if item.email_key not in here]
    return [_stored(recipient) for recipient in parsed] + gone


def test_each_difference_has_its_own_name() -> None:
    stored = [
        _stored(_parsed("ana")),
        _stored(_parsed("bo")),
        _stored(_parsed("cy"), removed=True),
        _stored(_parsed("di", 9)),
        _stored(_parsed("ed")),
        _stored(_parsed("flo"), removed=True),
    ]
    parsed = [_parsed("ana"), _parsed("bo", handle="@bo"), _parsed("cy"), _parsed("di", 3), _parsed("gus")]

    diff = compare(stored, parsed)

    assert [item.name for item in diff.added] == ["gus"]
    assert [item.name for item in diff.changed] == ["bo"]
    assert [item.name for item in diff.reactivated] == ["cy"]
    assert [item.name for item in diff.moved] == ["di"]
    assert [item.email_key for item in diff.removed] == ["ed@creator.example"]
    assert (diff.unchanged, diff.active_before) == (1, 4)


NAMES = st.lists(st.sampled_from([f"p{number}" for number in range(12)]), unique=True)


@given(before=NAMES, now=NAMES)
def test_applying_twice_equals_once(before: list[str], now: list[str]) -> None:
    parsed = [_parsed(name) for name in now]
    stored = _after([_stored(_parsed(name)) for name in before], parsed)

    second = compare(stored, parsed)

    assert not second.has_news
    assert second.unchanged == len(now)


@given(names=NAMES, data=st.data())
def test_the_order_of_either_side_does_not_matter(names: list[str], data: st.DataObject) -> None:
    stored = [_stored(_parsed(name)) for name in ("p1", "p2", "p3")]
    parsed = [_parsed(name) for name in names]

    straight = compare(stored, parsed)
    mixed = compare(data.draw(st.permutations(stored)), data.draw(st.permutations(parsed)))

    assert {item.email_key for item in straight.added} == {item.email_key for item in mixed.added}
    assert {item.email_key for item in straight.removed} == {item.email_key for item in mixed.removed}


def _losing(lost: int, active: int) -> RecipientDiff:
    people = [_parsed(f"p{number}") for number in range(active)]
    return compare([_stored(person) for person in people], people[lost:])


@pytest.mark.parametrize(("lost", "active"), [(3, 10), (30, 100), (9, 9), (1, 1)])
def test_an_import_that_removes_too_many_does_not_pass_and_tells_the_numbers(lost: int, active: int) -> None:
    verdict = judge_removals(_losing(lost, active), share=0.2, allow_removals=False)

    assert not verdict.passed
    assert f"would remove {lost} of {active}" in verdict.words
    assert "Nothing was changed" in verdict.words
    assert (verdict.removed, verdict.active_before) == (lost, active)


@pytest.mark.parametrize(("lost", "active"), [(2, 10), (20, 100), (5, 9), (0, 50), (0, 0)])
def test_an_import_within_the_limit_goes_on(lost: int, active: int) -> None:
    assert judge_removals(_losing(lost, active), share=0.2, allow_removals=False).passed


def test_yes_really_lets_everything_through_and_says_so() -> None:
    verdict = judge_removals(_losing(100, 100), share=0.2, allow_removals=True)

    assert verdict.passed
    assert "allow_removals said yes" in verdict.words


def test_a_column_of_no_account_is_stored_without_being_news() -> None:
    """TODAY() in a column of the client's must not compute a campaign anew for ever."""
    old, new = (_parsed("ana").model_copy(update={"custom_fields": {"Seen": day}}) for day in ("Mon", "Tue"))

    diff = compare([_stored(old)], [new])

    assert [item.email_key for item in diff.refreshed] == ["ana@creator.example"]
    assert not diff.has_news


def test_a_mapped_column_is_news() -> None:
    old, new = (
        _parsed("ana").model_copy(update={"custom_fields": {"city": city}, "mapped_fields": ("city",)})
        for city in ("Porto", "Lisbon")
    )

    assert [item.email_key for item in compare([_stored(old)], [new]).changed] == ["ana@creator.example"]


def test_who_became_suppressed_is_flagged_and_who_is_not_listed_is_left_out() -> None:
    why = Suppression(reason="opted_out", campaign="autumn")

    diff = compare(
        [_stored(_parsed("ana")), _stored(_parsed("bo"))],
        [_parsed("ana"), _parsed("bo"), _parsed("cy", 7)],
        {"ana@creator.example": why, "cy@creator.example": why, "zoe@creator.example": why},
    )

    assert [item.name for item in diff.flagged] == ["ana"]
    assert [item.name for item in diff.added] == ["cy"]
    assert {key: row.sheet_row for key, row in diff.suppressed.items()} == {
        "ana@creator.example": 2,
        "cy@creator.example": 7,
    }
