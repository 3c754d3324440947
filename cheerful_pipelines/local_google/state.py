"""The one SQLite file in which the local Google keeps everything, and the two counters that only grow.

Tables and transactions only; what a mailbox or a spreadsheet may do is in `mailboxes` and `spreadsheets`.
One connection, used from the server's one thread: calls are short and never wait for the network.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCHEMA = """
create table if not exists counter (name text primary key, value integer not null) without rowid;

create table if not exists refresh_token (
    token text primary key, subject text not null, revoked integer not null default 0) without rowid;
create table if not exists access_token (
    token text primary key, subject text not null, expires_at real not null) without rowid;

create table if not exists mailbox (
    address text primary key,
    history_id integer not null,        -- the newest record of this mailbox
    oldest_history_id integer not null  -- an older start id answers 404
) without rowid;

create table if not exists message (
    seq integer primary key,
    mailbox text not null,
    id text not null,
    thread_id text not null,
    labels text not null,               -- ' INBOX UNREAD ': blanks at both ends, so that instr() finds one
    internal_date integer not null,     -- epoch milliseconds
    history_id integer not null,
    message_id text not null,           -- of the header, without brackets; may be empty or doubled
    base_subject text not null,
    from_text text not null,
    to_text text not null,
    subject text not null,
    snippet text not null,
    raw blob not null,
    unique (mailbox, id)
);
create index if not exists message_newest on message (mailbox, internal_date desc, seq desc);
create index if not exists message_by_header on message (mailbox, message_id);
create index if not exists message_by_thread on message (mailbox, thread_id);

create table if not exists history (
    id integer primary key,
    mailbox text not null,
    kind text not null,                 -- added, deleted, labels
    message_id text not null,
    thread_id text not null,
    labels text not null,               -- after the change (before it, where the message is gone)
    labels_added text not null default '',
    labels_removed text not null default ''
);
create index if not exists history_of_mailbox on history (mailbox, id);

create table if not exists draft (mailbox text not null, id text not null, message_id text not null,
    primary key (mailbox, id)) without rowid;
create table if not exists label (mailbox text not null, id text not null, name text not null,
    primary key (mailbox, id)) without rowid;

create table if not exists spreadsheet (
    id text primary key, title text not null, version integer not null, modified_at real not null,
    shared integer not null default 1) without rowid;
create table if not exists tab (
    spreadsheet_id text not null, sheet_id integer not null, position integer not null, title text not null,
    row_count integer not null, column_count integer not null,
    properties text not null default '{}',    -- JSON: what else SheetProperties holds
    extras text not null default '{}',        -- JSON: basicFilter, protectedRanges, merges, charts, ...
    primary key (spreadsheet_id, sheet_id)) without rowid;
create table if not exists tab_row (
    spreadsheet_id text not null, sheet_id integer not null, row integer not null,
    cells text not null,                      -- JSON list, see `cells`
    primary key (spreadsheet_id, sheet_id, row)) without rowid;
"""
TABLES = (
    "refresh_token", "access_token", "mailbox", "message", "history", "draft", "label", "spreadsheet", "tab", "tab_row",
)  # fmt: skip


class State:
    """An open state file. `transaction()` gives the connection; leaving it commits, an exception rolls back."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._lock = threading.RLock()
        self._depth = 0
        for pragma in ("journal_mode=wal", "synchronous=normal", "cache_size=-32000", "temp_store=memory"):
            self._connection.execute(f"pragma {pragma}")
        self._connection.executescript(SCHEMA)

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction; nested ones join the outer one."""
        with self._lock:
            if self._depth == 0:
                self._connection.execute("begin immediate")
            self._depth += 1
            try:
                yield self._connection
            except BaseException:
                self._depth -= 1
                if self._depth == 0:
                    self._connection.execute("rollback")
                raise
            self._depth -= 1
            if self._depth == 0:
                self._connection.execute("commit")

    @property
    def reading(self) -> sqlite3.Connection:
        """The connection for a lone query."""
        return self._connection

    def next_number(self, name: str, step: int = 1) -> int:
        """The counter's next value. Counters outlive `wipe`: a history id is never used twice."""
        with self.transaction() as connection:
            row = connection.execute(
                "insert into counter values (?, 1000 + ?) on conflict (name) do update set value = value + ? "
                "returning value",
                (name, step, step),
            ).fetchone()
        return int(row[0])

    def number(self, name: str) -> int:
        """The counter's value now."""
        row = self._connection.execute("select value from counter where name = ?", (name,)).fetchone()
        return int(row[0]) if row else 1000

    def wipe(self) -> None:
        """Forget everything but the counters."""
        with self.transaction() as connection:
            for table in TABLES:
                connection.execute(f"delete from {table}")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
