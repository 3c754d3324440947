"""History records to changes: what Google really sends, in any page cut, twice, and out of the ordinary."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.gmail.history import fold_history, last_record_id, thread_ids


def record(kind: str, one: str, *labels: str) -> dict[str, Any]:
    return {"id": "1", kind: [{"message": {"id": one, "threadId": "t", "labelIds": list(labels)}}]}


def test_an_added_message_is_fetched_unless_it_is_stored() -> None:
    records = [record("messagesAdded", "a", "INBOX"), record("messagesAdded", "b", "INBOX")]

    assert fold_history(records, {"b"}).to_fetch == ("a",)


def test_added_and_deleted_in_one_window_is_nothing() -> None:
    changes = fold_history([record("messagesAdded", "a"), record("messagesDeleted", "a")], set())

    assert (changes.to_fetch, changes.deleted, changes.label_changes) == ((), (), ())


def test_a_label_on_a_message_never_seen_fetches_it() -> None:
    assert fold_history([record("labelsAdded", "a", "STARRED")], set()).to_fetch == ("a",)


def test_the_newest_labels_win_and_cost_no_fetch() -> None:
    records = [record("labelsAdded", "a", "INBOX", "STARRED"), record("labelsRemoved", "a", "STARRED")]

    changes = fold_history(records, {"a"})

    assert changes.to_fetch == ()
    assert [(change.gmail_message_id, change.label_ids) for change in changes.label_changes] == [("a", ("STARRED",))]


def test_a_draft_being_written_is_never_fetched() -> None:
    records = [
        record("messagesAdded", "d1", "DRAFT"),
        record("messagesDeleted", "d1"),
        record("messagesAdded", "d2", "DRAFT"),
    ]

    assert fold_history(records, set()).to_fetch == ()


@pytest.mark.parametrize(
    "malformed",
    [
        None, "record", 7, [], {"id": "1", "messagesAdded": {"message": {}}}, {"messagesAdded": "x"},
        {"messagesDeleted": [None]}, {"messagesAdded": [{}]}, {"messagesAdded": [{"message": None}]},
        {"labelsAdded": [{"message": {"threadId": "t"}}]}, {"labelsRemoved": [{"message": {"id": None}}]},
        {"messagesAdded": [{"message": {"id": "../me"}}]}, {"messagesAdded": [{"message": {"id": "a" * 200}}]},
    ],
)  # fmt: skip
def test_a_malformed_record_is_counted_and_the_others_are_folded(malformed: Any) -> None:
    records = [record("messagesAdded", "a"), malformed, record("messagesDeleted", "b"), record("labelsAdded", "c", "X")]

    changes = fold_history(records, {"b", "c"})

    assert changes.malformed == 1
    assert (changes.to_fetch, changes.deleted) == (("a",), ("b",))
    assert [change.gmail_message_id for change in changes.label_changes] == ["c"]
    assert thread_ids(records) == dict.fromkeys("abc", "t")
    assert last_record_id([records[0], malformed]) == 1


def test_labels_that_cannot_be_read_fetch_the_message_and_change_no_stored_label() -> None:
    broken = [{"id": "1", "labelsAdded": [{"message": {"id": one, "labelIds": [7]}}]} for one in "ab"]

    changes = fold_history(broken, {"b"})

    assert (changes.to_fetch, changes.label_changes, changes.malformed) == (("a",), (), 2)


JSON = st.recursive(
    st.none() | st.integers() | st.text(max_size=3) | st.sampled_from("ab"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["id", "message", "labelIds", "threadId", "messagesAdded", "messagesDeleted", "labelsAdded"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON, max_size=5))
def test_whatever_stands_there_instead_of_records_raises_nothing(records: list[Any]) -> None:
    good = record("messagesAdded", "z", "INBOX")

    assert "z" in fold_history([*records, good], set()).to_fetch
    assert "z" in thread_ids([good, *records])
    assert last_record_id([good, *records]) is not None


KINDS = st.sampled_from(["messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved"])


@given(
    st.lists(st.tuples(KINDS, st.sampled_from("abc"), st.sampled_from(["INBOX", "STARRED"]))),
    st.sets(st.sampled_from("abc")),
)
def test_no_message_is_ever_in_two_lists_and_reading_twice_changes_nothing(
    steps: list[tuple[str, str, str]], known: set[str]
) -> None:
    records = [record(*step) for step in steps]

    once, twice = fold_history(records, known), fold_history([*records, *records], known)

    relabelled = {change.gmail_message_id for change in once.label_changes}
    assert not set(once.to_fetch) & set(once.deleted)
    assert not set(once.to_fetch) & relabelled
    assert not relabelled & set(once.deleted)
    assert set(once.deleted) == set(twice.deleted)
    assert set(once.to_fetch) <= set(twice.to_fetch) | set(twice.deleted)
