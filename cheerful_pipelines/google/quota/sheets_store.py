"""The ledger of Sheets calls in Postgres: reads and writes are counted apart, over everything that uses one login."""

from typing import Literal

import sqlalchemy as sa

from cheerful_pipelines.google.deadlines import LONGEST_CALL_SECONDS
from cheerful_pipelines.google.quota.allowance import (
    LONGEST_EXPIRY_SECONDS,
    WINDOW_SECONDS,
    Allowance,
    Grant,
    Refusal,
    room,
)
from cheerful_pipelines.storage.engine import Database

CallKind = Literal["read", "write"]

_LOCK = 4_201_003  # any fixed number: grants are made one after the other, or two could take the last call
_CALLS = sa.text("""
    with gone as (delete from sheets_call where expires_at <= clock_timestamp()),
    of_another_clock as (
        update sheets_call set expires_at = clock_timestamp() + make_interval(secs => :window)
         where expires_at > clock_timestamp() + make_interval(secs => :longest))
    select calls,
           case when expires_at > clock_timestamp() + make_interval(secs => :longest) then :window
                else extract(epoch from expires_at - clock_timestamp()) end::float8
      from sheets_call where kind = :kind and expires_at > clock_timestamp()
""")
_NOTE = sa.text("""
    insert into sheets_call (kind, calls, expires_at)
    values (:kind, :calls, clock_timestamp() + make_interval(secs => :seconds)) returning id
""")


class SheetsCallStore:
    """A `Ledger` of one kind of call. A login is all we have, so its limit is below the project's anyway."""

    def __init__(self, database: Database, kind: CallKind) -> None:
        self._database = database
        self._kind = kind

    def grant(self, wanted: int, *, at_least: int, limit: int, full: int | None = None) -> Grant:
        """See Ledger."""
        with self._database.transaction() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            times = {"window": WINDOW_SECONDS, "longest": LONGEST_EXPIRY_SECONDS}
            rows = connection.execute(_CALLS, {"kind": self._kind, **times})
            spends = [(calls, seconds) for calls, seconds in rows]
            calls, wait = room(spends, wanted, at_least=at_least, limit=limit, now=0.0)
            spend_id = self._note(connection, calls, WINDOW_SECONDS + LONGEST_CALL_SECONDS) if calls else 0
        return Grant(calls, spend_id, wait)

    def settle(self, spend_id: int) -> None:
        """See Ledger."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.text(
                    "update sheets_call set expires_at = clock_timestamp() + make_interval(secs => :seconds) "
                    "where id = :id"
                ),
                {"id": spend_id, "seconds": WINDOW_SECONDS},
            )

    def block(self, seconds: float, *, limit: int) -> None:
        """See Ledger."""
        with self._database.transaction() as connection:
            self._note(connection, limit, seconds)

    def learn(self, refusal: Refusal, *, full: int) -> None:
        """Nothing: Sheets' limit is one number for all projects, and its refusals are waited for (`block`)."""

    def _note(self, connection: sa.Connection, calls: int, seconds: float) -> int:
        parameters = {"kind": self._kind, "calls": calls, "seconds": seconds}
        return int(connection.execute(_NOTE, parameters).scalar_one())


def sheets_allowances(database: Database, *, calls_a_minute: int) -> dict[CallKind, Allowance]:
    """What one login may read and write, shared by every process on this database."""
    kinds: tuple[CallKind, ...] = ("read", "write")
    return {
        kind: Allowance(SheetsCallStore(database, kind), units_a_minute=calls_a_minute, set_apart=0) for kind in kinds
    }
