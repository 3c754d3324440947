"""history.list as a query: the records after an id, narrowed by kind and label. The rules are Google's."""

from dataclasses import dataclass
from typing import Any

from cheerful_pipelines.local_google.calls import GoogleError, not_found
from cheerful_pipelines.local_google.state import State

KINDS = ("messageAdded", "messageDeleted", "labelAdded", "labelRemoved")


@dataclass(frozen=True)
class HistoryPage:
    """Records in rising order; `next_page_token` is None on the last page."""

    records: list[dict[str, Any]]
    next_page_token: str | None
    history_id: int


def history_page(
    state: State, address: str, *, start: int, kinds: tuple[str, ...], label: str, most: int, page_token: str
) -> HistoryPage:
    """One page of what came after `start`. 404 where `start` is too old or was never given out."""
    row = state.reading.execute(
        "select history_id, oldest_history_id from mailbox where address = ?", (address,)
    ).fetchone()
    if row is None:
        raise not_found()
    current, oldest = row
    if start < oldest or start > state.number("history"):
        raise not_found()
    after = _after(page_token, start)
    records: list[dict[str, Any]] = []
    rows = state.reading.execute(
        "select id, kind, message_id, thread_id, labels, labels_added, labels_removed from history "
        "where mailbox = ? and id > ? order by id",
        (address, after),
    )
    for found in rows:
        if record := _record(found, kinds, label):
            if len(records) == most:
                return HistoryPage(records, records[-1]["id"], current)
            records.append(record)
    return HistoryPage(records, None, current)


def _after(page_token: str, start: int) -> int:
    if not page_token:
        return start
    if not page_token.isdigit() or int(page_token) < start:
        raise GoogleError(400, "Invalid pageToken")
    return int(page_token)


def _record(row: tuple[Any, ...], kinds: tuple[str, ...], label: str) -> dict[str, Any] | None:
    id_, kind, message_id, thread_id, labels, added, removed = row
    if label and f" {label} " not in labels + removed:
        return None
    reference = {"id": message_id, "threadId": thread_id}
    message: dict[str, Any] = reference | ({"labelIds": labels.split()} if labels.strip() else {})
    record: dict[str, Any] = {"id": str(id_), "messages": [reference]}
    if kind == "added" and "messageAdded" in kinds:
        record["messagesAdded"] = [{"message": message}]
    if kind == "deleted" and "messageDeleted" in kinds:
        record["messagesDeleted"] = [{"message": message}]
    if added and "labelAdded" in kinds:
        record["labelsAdded"] = [{"message": message, "labelIds": added.split()}]
    if removed and "labelRemoved" in kinds:
        record["labelsRemoved"] = [{"message": message, "labelIds": removed.split()}]
    return record if len(record) > 2 else None
