"""Thread states of the past: as of an instant, and what changed between two. Reads only.

An instant means what was known then: a state counts from the moment it was stored, whatever dates its mail carries.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import gmail_account
from cheerful_pipelines.storage.schema.threads import gmail_thread_state, thread_attribution
from cheerful_pipelines.threads.models import ThreadDocument, ThreadState


class StateChange(BaseModel):
    """One version, beside the one before it."""

    model_config = ConfigDict(frozen=True)
    alias: str
    before: ThreadDocument | None
    after: ThreadState


class HistoryStore:
    """Asks the append-only states; threads of one campaign at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def as_of(
        self, campaign_id: UUID, instant: datetime, *, thread: tuple[UUID, str] | None = None
    ) -> list[ThreadState]:
        """The state of each thread of the campaign that was the newest at that instant; all of them, or one."""
        state = gmail_thread_state.c
        statement = (
            sa.select(gmail_thread_state)
            .where(self._of_campaign(campaign_id), state.created_at <= instant)
            .distinct(state.gmail_account_id, state.gmail_thread_id)
            .order_by(state.gmail_account_id, state.gmail_thread_id, state.version.desc())
        )
        if thread is not None:
            statement = statement.where(state.gmail_account_id == thread[0], state.gmail_thread_id == thread[1])
        with self._database.transaction() as connection:
            return [_state(row) for row in connection.execute(statement).mappings()]

    def versions(self, thread: tuple[UUID, str], *, until: datetime) -> list[ThreadState]:
        """Every version of one thread that was stored by then, oldest first."""
        state = gmail_thread_state.c
        statement = (
            sa.select(gmail_thread_state)
            .where(
                state.gmail_account_id == thread[0], state.gmail_thread_id == thread[1], state.created_at <= until
            )
            .order_by(state.version)
        )  # fmt: skip
        with self._database.transaction() as connection:
            return [_state(row) for row in connection.execute(statement).mappings()]

    def changes(self, campaign_id: UUID, *, since: datetime, until: datetime) -> list[StateChange]:
        """Every version that was stored in [since, until), in that order, with the version before it."""
        after, before = gmail_thread_state.c, gmail_thread_state.alias("before")
        statement = (
            sa.select(gmail_thread_state, gmail_account.c.alias, before.c.state.label("state_before"))
            .join(gmail_account, gmail_account.c.id == after.gmail_account_id)
            .outerjoin(
                before,
                sa.and_(
                    before.c.gmail_account_id == after.gmail_account_id,
                    before.c.gmail_thread_id == after.gmail_thread_id,
                    before.c.version == after.version - 1,
                ),
            )
            .where(self._of_campaign(campaign_id), after.created_at >= since, after.created_at < until)
            .order_by(after.id)
        )
        with self._database.transaction() as connection:
            return [
                StateChange(
                    alias=row["alias"],
                    before=None if row["state_before"] is None else ThreadDocument.model_validate(row["state_before"]),
                    after=_state(row),
                )
                for row in connection.execute(statement).mappings()
            ]

    @staticmethod
    def _of_campaign(campaign_id: UUID) -> sa.ColumnElement[bool]:
        return sa.exists().where(
            thread_attribution.c.campaign_id == campaign_id,
            thread_attribution.c.gmail_account_id == gmail_thread_state.c.gmail_account_id,
            thread_attribution.c.gmail_thread_id == gmail_thread_state.c.gmail_thread_id,
        )


def _state(row: Any) -> ThreadState:
    fields = {name: row[name] for name in ThreadState.model_fields if name != "document"}
    return ThreadState.model_validate(fields | {"document": row["state"]})
