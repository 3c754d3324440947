"""What an import would change, and which imports stop."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.errors import SheetContentError
from cheerful_pipelines.recipients.diff import compare, guard_removals
from cheerful_pipelines.recipients.models import ParsedRecipient, RecipientDiff, StoredRecipient

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def _parsed(name: str, row: int = 2, *, handle: str | None = None) -> ParsedRecipient:
    address = f"{name}@creator.example"
    return ParsedRecipient(email=address, email_key=address, name=name, handle=handle, custom_fields={}, sheet_row=row)


def _stored(recipient: ParsedRecipient, *, removed: bool = False) -> StoredRecipient:
    return StoredRecipient(
        id=1,
        email_key=recipient.email_key,
        content_hash=recipient.content_hash,
        sheet_row=recipient.sheet_row,
        removed_at=LONG_AGO if removed else None,
    )


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
def test_an_import_that_removes_too_many_stops_with_the_numbers_and_the_way_to_say_yes(lost: int, active: int) -> None:
    with pytest.raises(SheetContentError, match=rf"remove {lost} of {active}.*allow_removals: true"):
        guard_removals(_losing(lost, active), share=0.2, allow_removals=False)


@pytest.mark.parametrize(("lost", "active"), [(2, 10), (20, 100), (5, 9), (0, 50), (0, 0)])
def test_an_import_within_the_limit_goes_on(lost: int, active: int) -> None:
    assert guard_removals(_losing(lost, active), share=0.2, allow_removals=False) is None


def test_yes_really_lets_everything_through() -> None:
    assert guard_removals(_losing(100, 100), share=0.2, allow_removals=True) is None
