"""The connection to our Postgres: short transactions, each for one client or, where it says so, for all of them.

No table and no query belongs here. What a client may see stands in the database (migration 0009): a transaction takes
a role and names the client, and Postgres shows that client's rows only.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.storage.passing_errors import as_passing_error

EVERY_CLIENT = "every client"

_open_transactions = threading.local()

_BEGIN = sa.text(
    "select set_config('role', :role, true), set_config('request.jwt.claims', :claims, true), "
    "set_config('timezone', 'UTC', true)"
)


def transaction_is_open() -> bool:
    """Whether this thread holds a transaction. Clients of Google and of models raise if it does."""
    return getattr(_open_transactions, "depth", 0) > 0


class Database:
    """Our Postgres. `transaction()` is the only way in: commit on success, roll back on any error.

    Whoever asks says for whom first: `for_client(user_id)` sees that client's rows, `for_every_client()` all of them.
    A database of which nothing was said refuses, since rows that are not shown look like rows that are not there.

    `url` is a SQLAlchemy URL (postgresql://...). Nothing connects before the first transaction.
    """

    def __init__(self, url: str, *, pool_size: int = 2) -> None:
        if url.startswith("postgres://"):  # Supabase and Fly.io hand out this older spelling
            url = "postgresql://" + url.removeprefix("postgres://")
        # Time zone and role go with each transaction: a pooler hands every transaction another connection.
        self._engine = sa.create_engine(
            url,
            pool_size=pool_size,
            max_overflow=4,
            pool_pre_ping=True,
            hide_parameters=True,  # an error's words must not carry addresses or bodies into logs
            connect_args={"application_name": "cheerful", "connect_timeout": 10},
        )
        self._scope: UUID | str | None = None

    @property
    def engine(self) -> sa.Engine:
        """For migrations and storage only; stores use `transaction()`."""
        return self._engine

    @property
    def scope(self) -> UUID | str | None:
        """The client's user id, EVERY_CLIENT, or None where nothing was said."""
        return self._scope

    def for_client(self, user_id: UUID) -> Self:
        """The same connections; rows of this client only. Raises ValueError on a database of another client."""
        return self._scoped(user_id)

    def for_every_client(self) -> Self:
        """The same connections, and all rows. Raises ValueError on a database of one client: that never widens."""
        return self._scoped(EVERY_CLIENT)

    def _scoped(self, scope: UUID | str) -> Self:
        if isinstance(self._scope, UUID) and scope != self._scope:
            raise ValueError("This database is one client's. Hand on the unscoped one where another is needed.")
        found = object.__new__(type(self))
        found._engine, found._scope = self._engine, scope
        return found

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """One short transaction.

        Raises TransientError if the database cannot be reached, or if it fails within the transaction for a reason
        that passes: connection lost, read-only, disk full, too many connections, time-outs.
        """
        claim = self._claim()
        with self.login_transaction() as connection:
            connection.execute(_BEGIN, claim)
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """As `transaction`, for reading only: all queries see one moment."""
        claim = self._claim()
        with self.login_transaction() as connection:
            connection.execute(sa.text("set transaction isolation level repeatable read, read only"))
            connection.execute(_BEGIN, claim)
            yield connection

    def _claim(self) -> dict[str, str]:
        if self._scope is None:
            raise ValueError("Nobody said for whom: use database.for_client(user_id) or database.for_every_client().")
        is_one = isinstance(self._scope, UUID)
        return {
            "role": "cheerful_one_client" if is_one else "cheerful_every_client",
            "claims": json.dumps({"sub": str(self._scope), "role": "authenticated"}) if is_one else "",
        }

    @contextmanager
    def login_transaction(self) -> Iterator[sa.Connection]:
        """One short transaction as whoever logs in, without any client's rows: for migrations and for looking at roles.

        Raises TransientError where the database cannot be reached.
        """
        try:
            connection = self._engine.connect()
        except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
            raise TransientError(
                f"The database cannot be reached ({type(getattr(error, 'orig', error)).__name__}).",
                what_to_do="Check that Postgres runs and that CHEERFUL_DATABASE_URL points to it; "
                "`./infra/dev.sh status` tells for the embedded one.",
            ) from error
        _open_transactions.depth = getattr(_open_transactions, "depth", 0) + 1
        try:
            with connection, connection.begin():
                yield connection
        except sa.exc.SQLAlchemyError as error:
            if (passing := as_passing_error(error)) is not None:
                raise passing from error
            raise
        finally:
            _open_transactions.depth -= 1

    def close(self) -> None:
        """Give every connection back."""
        self._engine.dispose()
