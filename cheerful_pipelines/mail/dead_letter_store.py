"""Messages that could not be taken, and those that a worker died of, in Postgres."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.mail.models import DeadLetter
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import dead_letter, fetch_in_flight, gmail_message, suspect_message


class Owner(Protocol):
    """Whose message it is: an account with its client, whole or only by their ids."""

    @property
    def id(self) -> UUID:
        """Of the account."""

    @property
    def user_id(self) -> UUID:
        """Of the client."""


_FIRST_RETRY = timedelta(minutes=10)
_LONGEST_RETRY = timedelta(days=1)


class DeadLetterStore:
    """Dead letters, what is in flight, and suspects: messages in flight when a worker died."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- dead letters ---

    def bury(self, account: GmailAccount, gmail_message_id: str, *, stage: str, reason_code: str, run_id: str) -> None:
        """A dead letter: one more attempt if it is known; the wait before the next try doubles."""
        with self._database.transaction() as connection:
            bury(connection, account, gmail_message_id, stage=stage, reason_code=reason_code, run_id=run_id)
            clear_suspicion(connection, account.id, [gmail_message_id])

    def resolve(self, account_id: UUID, gmail_message_ids: Sequence[str]) -> None:
        """These messages are gone from Gmail: nothing is left to be taken."""
        with self._database.transaction() as connection:
            resolve(connection, account_id, gmail_message_ids, stored_only=False)
            clear_suspicion(connection, account_id, gmail_message_ids)

    def due(self, *, now: datetime, each: int = 200) -> list[DeadLetter]:
        """Unresolved dead letters whose next try has come, oldest first; of each account only so many."""
        number = sa.func.row_number().over(
            partition_by=dead_letter.c.gmail_account_id, order_by=(dead_letter.c.next_try_at, dead_letter.c.id)
        )
        waiting = (
            sa.select(dead_letter, number.label("number"))
            .where(dead_letter.c.resolved_at.is_(None), dead_letter.c.next_try_at <= now)
            .subquery()
        )
        statement = sa.select(waiting).where(waiting.c.number <= each).order_by(waiting.c.next_try_at, waiting.c.id)
        with self._database.transaction() as connection:
            return [DeadLetter.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

    def backlog(self, account_id: UUID, *, stage: str | None = None) -> dict[str, int]:
        """Unresolved dead letters of an account by reason code; of all stages, or of one."""
        statement = (
            sa.select(dead_letter.c.reason_code, sa.func.count())
            .where(dead_letter.c.gmail_account_id == account_id, dead_letter.c.resolved_at.is_(None))
            .group_by(dead_letter.c.reason_code)
        )
        if stage is not None:
            statement = statement.where(dead_letter.c.stage == stage)
        with self._database.transaction() as connection:
            return {code: count for code, count in connection.execute(statement)}

    # --- workers that die ---

    def enter_flight(self, account_id: UUID, gmail_message_ids: Sequence[str], *, run_id: str) -> None:
        """Written down before these messages are fetched: should the worker die, it is known of what."""
        statement = insert(fetch_in_flight).values(
            gmail_account_id=account_id, run_id=run_id, gmail_message_ids=list(gmail_message_ids)
        )
        fresh = {"gmail_message_ids": statement.excluded.gmail_message_ids, "created_at": sa.func.now()}
        with self._database.transaction() as connection:
            connection.execute(statement.on_conflict_do_update(constraint=fetch_in_flight.primary_key, set_=fresh))

    def land(self, account_id: UUID, *, run_id: str) -> None:
        """The worker lives: nothing that it had in flight crashed it."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.delete(fetch_in_flight).where(
                    fetch_in_flight.c.gmail_account_id == account_id, fetch_in_flight.c.run_id == run_id
                )
            )

    def runs_in_flight(self, account_id: UUID) -> list[str]:
        """Runs that have something in flight, or died with it."""
        statement = sa.select(fetch_in_flight.c.run_id).where(fetch_in_flight.c.gmail_account_id == account_id)
        with self._database.transaction() as connection:
            return list(connection.execute(statement).scalars())

    def note_deaths(self, account_id: UUID, *, run_ids: Sequence[str]) -> None:
        """These runs are over: what they left in flight is suspect, once more."""
        with self._database.transaction() as connection:
            left = connection.execute(
                sa.delete(fetch_in_flight)
                .where(fetch_in_flight.c.gmail_account_id == account_id, fetch_in_flight.c.run_id.in_(run_ids))
                .returning(fetch_in_flight.c.gmail_message_ids)
            ).scalars()
            ids = sorted({one for found in left for one in found})
            if not ids:
                return
            statement = insert(suspect_message)
            connection.execute(
                statement.on_conflict_do_update(
                    constraint=suspect_message.primary_key, set_={"deaths": suspect_message.c.deaths + 1}
                ),
                [{"gmail_account_id": account_id, "gmail_message_id": one, "deaths": 1} for one in ids],
            )

    def suspects(self, account_id: UUID) -> dict[str, int]:
        """Workers that died with each of these messages in flight."""
        statement = sa.select(suspect_message.c.gmail_message_id, suspect_message.c.deaths).where(
            suspect_message.c.gmail_account_id == account_id
        )
        with self._database.transaction() as connection:
            return {one: deaths for one, deaths in connection.execute(statement)}


def bury(
    connection: sa.Connection,
    account: Owner,
    gmail_message_id: str,
    *,
    stage: str,
    reason_code: str,
    run_id: str,
) -> None:
    """The row of a dead letter, within a transaction of the caller's."""
    now = datetime.now(UTC)
    statement = insert(dead_letter).values(
        user_id=account.user_id,
        gmail_account_id=account.id,
        gmail_message_id=gmail_message_id,
        stage=stage,
        reason_code=reason_code,
        reason=f"The message could not be taken at the step {stage!r}: {reason_code}.",
        next_try_at=now + _FIRST_RETRY,
        run_id=run_id,
    )
    wait = sa.func.least(
        _FIRST_RETRY * sa.func.power(2, dead_letter.c.attempts), sa.literal(_LONGEST_RETRY, sa.Interval)
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[
                dead_letter.c.gmail_account_id, dead_letter.c.gmail_message_id, dead_letter.c.stage
            ],
            set_={
                "attempts": dead_letter.c.attempts + 1,
                "reason_code": reason_code,
                "next_try_at": sa.literal(now) + wait,
                "resolved_at": None,
                "run_id": run_id,
            },
        )
    )  # fmt: skip


def resolve(
    connection: sa.Connection, account_id: UUID, gmail_message_ids: Sequence[str], *, stored_only: bool = True
) -> None:
    """Dead letters of these messages are settled; with `stored_only`, of those that are stored by now."""
    if not gmail_message_ids:
        return
    statement = sa.update(dead_letter).where(
        dead_letter.c.gmail_account_id == account_id,
        dead_letter.c.gmail_message_id.in_(gmail_message_ids),
        dead_letter.c.resolved_at.is_(None),
    )
    if stored_only:
        statement = statement.where(
            sa.exists().where(
                gmail_message.c.gmail_account_id == account_id,
                gmail_message.c.gmail_message_id == dead_letter.c.gmail_message_id,
            )
        )
    connection.execute(statement.values(resolved_at=sa.func.now()))


def clear_suspicion(connection: sa.Connection, account_id: UUID, gmail_message_ids: Sequence[str]) -> None:
    """These messages were taken without killing anybody."""
    if gmail_message_ids:
        connection.execute(
            sa.delete(suspect_message).where(
                suspect_message.c.gmail_account_id == account_id,
                suspect_message.c.gmail_message_id.in_(list(gmail_message_ids)),
            )
        )
