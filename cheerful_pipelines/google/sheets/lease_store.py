"""One writer a spreadsheet at a time, across processes: a lease in Postgres, which outlives no dead worker for long."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.storage.engine import Database

LEASE_SECONDS = 300
"""Longer than an export takes, waits for quota included. Not a session's lock: a pooler would lose it."""

_TAKE = sa.text("""
    insert into sheet_lease (spreadsheet_id, holder, until)
    values (:spreadsheet_id, :holder, clock_timestamp() + make_interval(secs => :seconds))
    on conflict (spreadsheet_id) do update set holder = excluded.holder, until = excluded.until
        where sheet_lease.until <= clock_timestamp() or sheet_lease.holder = excluded.holder
    returning holder
""")
_GIVE_BACK = sa.text("delete from sheet_lease where spreadsheet_id = :spreadsheet_id and holder = :holder")


@contextmanager
def only_writer(database: Database, spreadsheet_id: str, *, holder: str) -> Iterator[None]:
    """Hold the spreadsheet. A run that is tried again takes its own lease over.

    Raises TransientError where another run holds it.
    """
    names = {"spreadsheet_id": spreadsheet_id, "holder": holder}
    with database.transaction() as connection:
        taken = connection.execute(_TAKE, {**names, "seconds": LEASE_SECONDS}).scalar_one_or_none()
    if taken is None:
        raise TransientError(
            f"Another run is writing into spreadsheet {spreadsheet_id}.",
            what_to_do="It is tried again; a run that died lets go within five minutes.",
        )
    try:
        yield
    finally:
        with database.transaction() as connection:
            connection.execute(_GIVE_BACK, names)
