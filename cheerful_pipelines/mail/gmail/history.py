"""History records to what has to be done: which messages to fetch, relabel or tombstone. Pure.

Records are applied in their order; applying them twice, or pages that overlap, ends in the same changes. What of a
record cannot be read is counted and never raised: the caller compares the mailbox's window instead (sync.py).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from cheerful_pipelines.mail.models import LARGEST_ID, LabelChange, is_id, is_label

_CHANGES = ("messagesAdded", "labelsAdded", "labelsRemoved")
_DELETED = "messagesDeleted"


@dataclass(frozen=True)
class HistoryChanges:
    """The outcome of some records. A message stands in at most one of the three."""

    to_fetch: tuple[str, ...]
    label_changes: tuple[LabelChange, ...]
    deleted: tuple[str, ...]
    malformed: int = 0
    """Records, or messages in them, of which it cannot be told what happened to which message."""


class _Item(NamedTuple):
    """What a record says of one message."""

    gmail_message_id: str
    gmail_thread_id: str
    label_ids: tuple[str, ...] | None
    """None: they cannot be read."""


class _Record(NamedTuple):
    changed: list[_Item]
    deleted: list[_Item]
    malformed: int


def fold_history(records: Iterable[Any], known: frozenset[str] | set[str]) -> HistoryChanges:
    """Fold records in rising order. `known` are the ids that are stored and alive.

    - added: fetch it, unless it is known; added and deleted in one window: nothing but the tombstone, if it is known
    - labels on a message that was never seen: fetch it (its adding may lie before our window)
    - a known message that becomes a draft cannot be: Gmail replaces drafts by new ids
    - a message without a usable id is counted as malformed; so is one whose labels cannot be read, which is fetched
      all the same, unless it is known
    """
    labels: dict[str, tuple[str, ...] | None] = {}
    wanted: dict[str, None] = {}
    deleted: dict[str, None] = {}
    malformed = 0
    for record in map(_read, records):
        malformed += record.malformed
        for item in record.changed:
            if item.gmail_message_id in deleted:  # for good: Gmail never gives an id twice
                continue
            labels[item.gmail_message_id] = item.label_ids
            if item.gmail_message_id not in known:
                wanted[item.gmail_message_id] = None
        for item in record.deleted:
            wanted.pop(item.gmail_message_id, None)
            labels.pop(item.gmail_message_id, None)
            deleted[item.gmail_message_id] = None
    return HistoryChanges(
        to_fetch=tuple(one for one in wanted if "DRAFT" not in (labels.get(one) or ())),
        label_changes=tuple(
            LabelChange(gmail_message_id=one, label_ids=found)
            for one, found in labels.items()
            if one in known and found is not None
        ),
        deleted=tuple(one for one in deleted if one in known),
        malformed=malformed,
    )


def thread_ids(records: Iterable[Any]) -> dict[str, str]:
    """Thread id by message id, of every message that the records name; an empty one if it cannot be read."""
    return {
        item.gmail_message_id: item.gmail_thread_id
        for record in map(_read, records)
        for item in (*record.changed, *record.deleted)
    }


def last_record_id(records: Sequence[Any]) -> int | None:
    """The history id of the last record that has a usable one; None if none has."""
    for record in reversed(records):
        found = record.get("id") if isinstance(record, Mapping) else None
        if isinstance(found, str | int) and str(found).isascii() and str(found).isdigit() and int(found) <= LARGEST_ID:
            return int(found)
    return None


def _read(record: object) -> _Record:
    if not isinstance(record, Mapping):
        return _Record([], [], 1)
    changed, deleted, malformed = list[_Item](), list[_Item](), 0
    for kind in (*_CHANGES, _DELETED):
        items = record.get(kind, ())
        if not isinstance(items, list | tuple):
            malformed += 1
            continue
        for item in map(_item, items):
            if item is None:
                malformed += 1
                continue
            (deleted if kind == _DELETED else changed).append(item)
            malformed += item.label_ids is None and kind != _DELETED
    return _Record(changed, deleted, malformed)


def _item(item: object) -> _Item | None:
    message = item.get("message") if isinstance(item, Mapping) else None
    if not isinstance(message, Mapping) or not is_id(message.get("id")):
        return None
    thread, labels = message.get("threadId"), message.get("labelIds", ())  # left out where there are none
    can_be_read = isinstance(labels, list | tuple) and all(is_label(one) for one in labels)
    return _Item(str(message["id"]), str(thread) if is_id(thread) else "", tuple(labels) if can_be_read else None)
