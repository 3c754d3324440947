"""Attempts to sign in, counted in Postgres for every web process together. Buckets are keyed hashes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.web import sign_in_attempt, sign_in_known

_KEPT = timedelta(days=1)


class Bucket(NamedTuple):
    """What is counted together, and how many attempts of it may be under way or have failed within the window."""

    key: str
    limit: int
    window: timedelta


class AttemptStore:
    """Reserves attempts before they are made and releases those that did not fail."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reserve(self, buckets: Sequence[Bucket], *, now: datetime) -> UUID | None:
        """An attempt's id, counted in every bucket; None if one of them is full. Concurrent callers wait in turn."""
        attempt, columns = uuid4(), sign_in_attempt.c
        with self._database.transaction() as connection:
            # In one order, so that two callers never block each other.
            for key in sorted(bucket.key for bucket in buckets):
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(key, 0))))
            for bucket in buckets:
                counted = sa.select(sa.func.count()).where(
                    columns.bucket == bucket.key, columns.created_at > now - bucket.window
                )
                if connection.execute(counted).scalar_one() >= bucket.limit:
                    return None
            connection.execute(
                sa.insert(sign_in_attempt),
                [{"attempt": attempt, "bucket": bucket.key, "created_at": now} for bucket in buckets],
            )
        return attempt

    def release(self, attempt: UUID) -> None:
        """It did not fail: it no longer counts."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(sign_in_attempt).where(sign_in_attempt.c.attempt == attempt))

    def is_known(self, key: str, *, since: datetime) -> bool:
        """Whether a sign-in succeeded from there."""
        columns = sign_in_known.c
        statement = sa.select(sa.literal(1)).where(columns.bucket == key, columns.last_success_at > since)
        with self._database.transaction() as connection:
            return connection.execute(statement).first() is not None

    def remember(self, key: str, *, now: datetime) -> None:
        """A sign-in succeeded from there. Attempts that no window counts any more are deleted."""
        statement = insert(sign_in_known).values(bucket=key, last_success_at=now)
        old = (
            sa.select(sign_in_attempt.c.attempt)
            .where(sign_in_attempt.c.created_at < now - _KEPT)
            .limit(1_000)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(index_elements=["bucket"], set_={"last_success_at": now})
            )
            connection.execute(sa.delete(sign_in_attempt).where(sign_in_attempt.c.attempt.in_(old)))

    def forget_all(self) -> None:
        """Count from zero."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(sign_in_attempt))
