"""History records to what has to be done: which messages to fetch, relabel or tombstone. Pure.

Records are applied in their order; applying them twice, or pages that overlap, ends in the same changes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cheerful_pipelines.gmail.models import LabelChange


@dataclass(frozen=True)
class HistoryChanges:
    """The outcome of some records. A message stands in at most one of the three."""

    to_fetch: tuple[str, ...]
    label_changes: tuple[LabelChange, ...]
    deleted: tuple[str, ...]


def fold_history(records: Iterable[Mapping[str, Any]], known: frozenset[str] | set[str]) -> HistoryChanges:
    """Fold records in rising order. `known` are the ids that are stored and alive.

    - added: fetch it, unless it is known; added and deleted in one window: nothing but the tombstone, if it is known
    - labels on a message that was never seen: fetch it (its adding may lie before our window)
    - a known message that becomes a draft cannot be: Gmail replaces drafts by new ids
    """
    labels: dict[str, tuple[str, ...]] = {}
    wanted: dict[str, None] = {}
    deleted: dict[str, None] = {}
    for record in records:
        for kind in ("messagesAdded", "labelsAdded", "labelsRemoved"):
            for item in record.get(kind, ()):
                if item["message"]["id"] not in deleted:  # for good: Gmail never gives an id twice
                    _see(item, labels, wanted, known)
        for item in record.get("messagesDeleted", ()):
            gone = item["message"]["id"]
            wanted.pop(gone, None)
            labels.pop(gone, None)
            deleted[gone] = None
    to_fetch = tuple(one for one in wanted if "DRAFT" not in labels.get(one, ()))
    changes = tuple(LabelChange(gmail_message_id=one, label_ids=found) for one, found in labels.items() if one in known)
    return HistoryChanges(to_fetch, changes, tuple(one for one in deleted if one in known))


def thread_ids(records: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Thread id by message id, of every message that the records name."""
    kinds = ("messagesAdded", "messagesDeleted", "labelsAdded", "labelsRemoved")
    return {
        item["message"]["id"]: item["message"].get("threadId", "")
        for record in records
        for kind in kinds
        for item in record.get(kind, ())
    }


def _see(
    item: Mapping[str, Any],
    labels: dict[str, tuple[str, ...]],
    wanted: dict[str, None],
    known: frozenset[str] | set[str],
) -> None:
    found = item["message"]["id"]
    labels[found] = tuple(item["message"].get("labelIds", ()))  # left out where there are none
    if found not in known:
        wanted[found] = None
