"""The connection to our Postgres: short transactions, and a flag that tells when one is open.

No table and no query belongs here.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from cheerful_pipelines.errors import TransientError

_open_transactions = threading.local()


def transaction_is_open() -> bool:
    """Whether this thread holds a transaction. Clients assert that it does not before they call out."""
    return getattr(_open_transactions, "depth", 0) > 0


class Database:
    """Our Postgres. `transaction()` is the only way in: commit on success, roll back on any error.

    `url` is a SQLAlchemy URL (postgresql://...). Nothing connects before the first transaction.
    """

    def __init__(self, url: str, *, pool_size: int = 2) -> None:
        if url.startswith("postgres://"):  # Supabase and Fly.io hand out this older spelling
            url = "postgresql://" + url.removeprefix("postgres://")
        self._engine = sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=True,
            connect_args={"application_name": "cheerful", "connect_timeout": 10, "options": "-c timezone=UTC"},
        )

    @property
    def engine(self) -> sa.Engine:
        """For migrations and storage only; stores use `transaction()`."""
        return self._engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One short transaction. Raises TransientError where the database cannot be reached."""
        try:
            connection = self._engine.connect()
        except sa.exc.OperationalError as error:
            raise TransientError(
                f"The database cannot be reached ({type(error.orig).__name__}).",
                what_to_do="Check that Postgres runs and that CHEERFUL_DATABASE_URL points to it; "
                "`./infra/dev.sh status` tells for the embedded one.",
            ) from error
        _open_transactions.depth = getattr(_open_transactions, "depth", 0) + 1
        try:
            with connection, connection.begin():
                yield connection
        finally:
            _open_transactions.depth -= 1

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()
