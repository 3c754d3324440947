"""Sessions in Postgres: what every web process must know at once. No address, no name; tokens only sealed."""

from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.web import web_session
from cheerful_pipelines.web.roles import Role

_CHECK_LEASE = timedelta(seconds=30)
_KEPT_AFTER_END = timedelta(days=1)
_columns = web_session.c


class StoredSession(BaseModel):
    """A session that has neither ended nor expired."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    subject: str
    role: Role
    refresh_token: str | None
    expires_at: datetime
    checked_at: datetime
    trusted_until: datetime


class SessionStore:
    """Begins, finds and ends sessions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, session: StoredSession, *, now: datetime) -> None:
        """Keep it. Sessions of the same user with another role end, and old ones are deleted."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(web_session)
                .where(_columns.subject == session.subject, _columns.role != session.role, _columns.ended_at.is_(None))
                .values(ended_at=now, refresh_token=None)
            )
            connection.execute(sa.delete(web_session).where(_columns.expires_at < now - _KEPT_AFTER_END))
            connection.execute(sa.insert(web_session).values(created_at=now, **session.model_dump()))

    def find(self, session_id: UUID, *, now: datetime) -> StoredSession | None:
        """The session, or None if it has ended or expired."""
        statement = sa.select(web_session).where(
            _columns.id == session_id, _columns.ended_at.is_(None), _columns.expires_at > now
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else StoredSession.model_validate(dict(row))

    def claim_check(self, session_id: UUID, *, checked_before: datetime, now: datetime) -> bool:
        """Whether the caller is the one who asks Supabase Auth now; holds for half a minute."""
        statement = (
            sa.update(web_session)
            .where(
                _columns.id == session_id,
                _columns.ended_at.is_(None),
                _columns.checked_at <= checked_before,
                sa.or_(_columns.checking_until.is_(None), _columns.checking_until <= now),
            )
            .values(checking_until=now + _CHECK_LEASE)
        )
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount == 1

    def confirm(self, session_id: UUID, *, refresh_token: str | None, trusted_until: datetime, now: datetime) -> None:
        """Supabase Auth confirmed the role."""
        self._change(
            session_id, checked_at=now, checking_until=None, trusted_until=trusted_until, refresh_token=refresh_token
        )

    def try_again(self, session_id: UUID, *, at: datetime) -> None:
        """Supabase Auth did not answer: nobody asks before `at`."""
        self._change(session_id, checking_until=at)

    def end(self, session_id: UUID, *, now: datetime) -> None:
        """End it everywhere."""
        self._change(session_id, ended_at=now, refresh_token=None)

    def end_all_of(self, subject: str, *, now: datetime) -> None:
        """End every session of a user."""
        statement = (
            sa.update(web_session)
            .where(_columns.subject == subject, _columns.ended_at.is_(None))
            .values(ended_at=now, refresh_token=None)
        )
        with self._database.transaction() as connection:
            connection.execute(statement)

    def _change(self, session_id: UUID, **values: object) -> None:
        statement = sa.update(web_session).where(_columns.id == session_id, _columns.ended_at.is_(None))
        with self._database.transaction() as connection:
            connection.execute(statement.values(**values))
