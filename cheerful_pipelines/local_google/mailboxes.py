"""What a mailbox does: take a message in, thread it, change its labels, forget it, and write each change down.

Every change is one row of history with a new history id; `history` reads them back. No HTTP and no JSON here.
"""

import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass

from cheerful_pipelines.local_google import mail_text
from cheerful_pipelines.local_google.calls import GoogleError, not_found
from cheerful_pipelines.local_google.state import State

SYSTEM_LABELS = (
    "CHAT", "SENT", "INBOX", "IMPORTANT", "TRASH", "DRAFT", "SPAM", "CATEGORY_FORUMS", "CATEGORY_UPDATES",
    "CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS", "CATEGORY_SOCIAL", "STARRED", "UNREAD",
)  # fmt: skip
_FIRST_ID = 0x1900_0000_0000_0000


@dataclass(frozen=True)
class StoredMessage:
    """One message of one mailbox. `raw` is None where it was not asked for."""

    id: str
    thread_id: str
    label_ids: tuple[str, ...]
    internal_date: int
    history_id: int
    snippet: str
    raw: bytes | None


_COLUMNS = "id, thread_id, labels, internal_date, history_id, snippet"


def _message(row: tuple[object, ...]) -> StoredMessage:
    id_, thread_id, labels, date, history_id, snippet, *raw = row
    content = raw[0] if raw else None
    return StoredMessage(
        str(id_), str(thread_id), tuple(str(labels).split()), int(str(date)), int(str(history_id)), str(snippet),
        content if isinstance(content, bytes) else None,
    )  # fmt: skip


def packed(labels: Iterable[str]) -> str:
    """Labels as stored: each once, in the order first named, a blank on both sides."""
    names = dict.fromkeys(labels)
    return f" {' '.join(names)} " if names else ""


class Mailboxes:
    """Every mailbox of this server."""

    def __init__(self, state: State) -> None:
        self._state = state

    # ---- mailboxes

    def add(self, address: str) -> None:
        """Make a mailbox. Twice is harmless."""
        with self._state.transaction() as c:
            if c.execute("select 1 from mailbox where address = ?", (address.lower(),)).fetchone() is None:
                now = self._state.next_number("history")
                c.execute("insert into mailbox values (?, ?, ?)", (address.lower(), now, now))

    def exists(self, address: str) -> bool:
        """Whether this server has the mailbox."""
        query = "select 1 from mailbox where address = ?"
        return self._state.reading.execute(query, (address.lower(),)).fetchone() is not None

    def history_id(self, address: str) -> int:
        """The mailbox's current record."""
        row = self._state.reading.execute("select history_id from mailbox where address = ?", (address,)).fetchone()
        if row is None:
            raise not_found()
        return int(row[0])

    def totals(self, address: str) -> tuple[int, int]:
        """(messages, threads)."""
        query = "select count(*), count(distinct thread_id) from message where mailbox = ?"
        messages, threads = self._state.reading.execute(query, (address,)).fetchone()
        return int(messages), int(threads)

    def expire_history(self, address: str) -> None:
        """From now on every id the mailbox has given out answers 404; the next one is good."""
        with self._state.transaction() as c:
            now = self._state.next_number("history")
            c.execute("update mailbox set history_id = ?, oldest_history_id = ? where address = ?", (now, now, address))
            c.execute("delete from history where mailbox = ?", (address,))

    # ---- messages

    def deliver(
        self,
        address: str,
        raw: bytes,
        *,
        label_ids: Iterable[str] = (),
        internal_date: int | None = None,
        thread_id: str | None = None,
    ) -> StoredMessage:
        """Store a message and thread it. `internal_date` is epoch milliseconds, now by default.

        Without `thread_id` it joins the thread of the nearest message that its References or In-Reply-To name
        and whose base subject is the same; else it starts one, whose id is its own.
        """
        headers = mail_text.read_headers(raw)
        subject = mail_text.decoded(mail_text.header(headers, "subject"))
        base = mail_text.base_subject(subject)
        own_ids = mail_text.message_ids(mail_text.header(headers, "message-id"))
        with self._state.transaction() as c:
            if thread_id is not None:
                self._require_thread(c, address, thread_id)
            number = self._state.next_number("message")
            id_ = f"{_FIRST_ID + (number << 20) + number * 0x9E3779B1 % 0xFFFFF:016x}"
            thread = thread_id or self._thread_for(c, address, headers, base) or id_
            labels = packed(label_ids)
            history_id = self._record(c, address, "added", id_, thread, labels)
            date = int(time.time() * 1000) if internal_date is None else internal_date
            text = mail_text.snippet(raw)
            c.execute(
                "insert into message values (null, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    address, id_, thread, labels, date, history_id, own_ids[0] if own_ids else "", base,
                    _searchable(headers, "from"), _searchable(headers, "to", "cc", "bcc"), subject.casefold(),
                    text, raw,
                ),
            )  # fmt: skip
        return StoredMessage(id_, thread, tuple(labels.split()), date, history_id, text, raw)

    def get(self, address: str, message_id: str, *, with_raw: bool = True) -> StoredMessage:
        """One message, or 404."""
        columns = f"{_COLUMNS}, raw" if with_raw else _COLUMNS
        row = self._state.reading.execute(
            f"select {columns} from message where mailbox = ? and id = ?", (address, message_id)
        ).fetchone()
        if row is None:
            raise not_found()
        return _message(row)

    def thread(self, address: str, thread_id: str) -> list[StoredMessage]:
        """The messages of a thread, oldest first, or 404."""
        rows = self._state.reading.execute(
            f"select {_COLUMNS}, raw from message where mailbox = ? and thread_id = ? order by internal_date, seq",
            (address, thread_id),
        ).fetchall()
        if not rows:
            raise not_found()
        return [_message(row) for row in rows]

    def modify(
        self, address: str, message_id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> StoredMessage:
        """Add and remove labels in one record. Nothing is written where nothing changes."""
        adding, removing = tuple(add), tuple(remove)
        with self._state.transaction() as c:
            found = self.get(address, message_id)
            added = [label for label in dict.fromkeys(adding) if label not in found.label_ids]
            removed = [label for label in dict.fromkeys(removing) if label in found.label_ids]
            if not added and not removed:
                return found
            kept = [label for label in found.label_ids if label not in removed]
            labels = packed([*kept, *(label for label in added if label not in removing)])
            history_id = self._record(
                c, address, "labels", found.id, found.thread_id, labels, packed(added), packed(removed)
            )
            c.execute(
                "update message set labels = ?, history_id = ? where mailbox = ? and id = ?",
                (labels, history_id, address, message_id),
            )
        return self.get(address, message_id)

    def trash(self, address: str, message_id: str) -> StoredMessage:
        """Into the bin, out of the inbox."""
        return self.modify(address, message_id, add=("TRASH",), remove=("INBOX", "SPAM"))

    def delete(self, address: str, message_id: str) -> None:
        """Gone for good."""
        with self._state.transaction() as c:
            found = self.get(address, message_id, with_raw=False)
            self._record(c, address, "deleted", found.id, found.thread_id, packed(found.label_ids))
            c.execute("delete from message where mailbox = ? and id = ?", (address, message_id))
            c.execute("delete from draft where mailbox = ? and message_id = ?", (address, message_id))

    # ---- drafts: the draft's id stays, the message inside is replaced

    def create_draft(self, address: str, raw: bytes, thread_id: str | None) -> tuple[str, StoredMessage]:
        """A new draft: (draft id, its message)."""
        with self._state.transaction() as c:
            message = self.deliver(address, raw, label_ids=("DRAFT",), thread_id=thread_id)
            draft_id = f"r{self._state.next_number('draft') * 7_777_777_777_777}"
            c.execute("insert into draft values (?, ?, ?)", (address, draft_id, message.id))
        return draft_id, message

    def update_draft(self, address: str, draft_id: str, raw: bytes, thread_id: str | None) -> StoredMessage:
        """The old message goes, a new one with a new id comes, in the same thread."""
        with self._state.transaction() as c:
            old = self.get(address, self.draft_message_id(address, draft_id), with_raw=False)
            message = self.deliver(address, raw, label_ids=("DRAFT",), thread_id=thread_id or old.thread_id)
            c.execute("update draft set message_id = ? where mailbox = ? and id = ?", (message.id, address, draft_id))
            self.delete(address, old.id)
        return message

    def draft_message_id(self, address: str, draft_id: str) -> str:
        """The id of the message inside a draft now, or 404."""
        row = self._state.reading.execute(
            "select message_id from draft where mailbox = ? and id = ?", (address, draft_id)
        ).fetchone()
        if row is None:
            raise not_found()
        return str(row[0])

    def drafts_of_messages(self, address: str) -> dict[str, str]:
        """message id -> draft id."""
        query = "select message_id, id from draft where mailbox = ?"
        return dict(self._state.reading.execute(query, (address,)).fetchall())

    # ---- labels

    def labels(self, address: str) -> dict[str, str]:
        """Label id -> name: Gmail's own and the mailbox's."""
        query = "select id, name from label where mailbox = ? order by id"
        return {name: name for name in SYSTEM_LABELS} | dict(self._state.reading.execute(query, (address,)).fetchall())

    def add_label(self, address: str, name: str) -> str:
        """Make a label of the mailbox's own and return its id."""
        with self._state.transaction() as c:
            if name in self.labels(address).values():
                raise GoogleError(409, "Label name exists or conflicts", reason="aborted")
            id_ = f"Label_{self._state.next_number('label')}"
            c.execute("insert into label values (?, ?, ?)", (address, id_, name))
        return id_

    def check_labels(self, address: str, labels: Iterable[str]) -> None:
        """400 for a label that the mailbox does not have."""
        known = self.labels(address)
        for label in labels:
            if label not in known:
                raise GoogleError(400, f"Invalid label: {label}")

    # ---- inside

    def _record(
        self, c: sqlite3.Connection, address: str, kind: str, message_id: str, thread_id: str, labels: str,
        added: str = "", removed: str = "",
    ) -> int:  # fmt: skip
        # Google's ids rise with gaps; ours too, so that nobody comes to count on id + 1.
        history_id = self._state.next_number("history", 1 + int(message_id[-2:], 16) % 13)
        c.execute(
            "insert into history values (?, ?, ?, ?, ?, ?, ?, ?)",
            (history_id, address, kind, message_id, thread_id, labels, added, removed),
        )
        c.execute("update mailbox set history_id = ? where address = ?", (history_id, address))
        return history_id

    def _require_thread(self, c: sqlite3.Connection, address: str, thread_id: str) -> None:
        query = "select 1 from message where mailbox = ? and thread_id = ? limit 1"
        if c.execute(query, (address, thread_id)).fetchone() is None:
            raise not_found()

    def _thread_for(self, c: sqlite3.Connection, address: str, headers: list[tuple[str, str]], base: str) -> str | None:
        named = mail_text.message_ids(mail_text.header(headers, "references"))
        named += mail_text.message_ids(mail_text.header(headers, "in-reply-to"))
        for message_id in dict.fromkeys(reversed(named)):
            row = c.execute(
                "select thread_id from message where mailbox = ? and message_id = ? and base_subject = ? "
                "order by seq limit 1",
                (address, message_id, base),
            ).fetchone()
            if row:
                return str(row[0])
        return None


def _searchable(headers: list[tuple[str, str]], *names: str) -> str:
    values = [mail_text.decoded(value) for key, value in headers if key.lower() in names]
    return ", ".join(values).casefold()
