"""What least data needs, in Postgres: whose mail an account is for, what was passed over, who was looked for."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.mail.models import MessageRef
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign_sender
from cheerful_pipelines.storage.schema.mail import passed_over_message, searched_address
from cheerful_pipelines.storage.schema.recipients import campaign_recipient

HAS_NEW_RECIPIENTS = """
    exists (select 1 from campaign_sender s join campaign_recipient r on r.campaign_id = s.campaign_id
             where s.gmail_account_id = gmail_account.id and r.erased_at is null
               and not exists (select 1 from searched_address a
                                where a.gmail_account_id = gmail_account.id and a.address_key = r.email_key))
"""
"""SQL over `gmail_account`: a recipient of its campaigns was not looked for yet."""


class Person(NamedTuple):
    """A recipient as a search needs them: the address as the sheet has it, and who it is."""

    email: str
    email_key: str


class ScopeStore:
    """Reads and writes what an account passes over."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recipient_keys(self, account_id: UUID) -> frozenset[str]:
        """Everybody that a campaign of this sender lists or listed."""
        statement = (
            sa.select(campaign_recipient.c.email_key.distinct())
            .join(campaign_sender, campaign_sender.c.campaign_id == campaign_recipient.c.campaign_id)
            .where(campaign_sender.c.gmail_account_id == account_id, campaign_recipient.c.erased_at.is_(None))
        )
        with self._database.transaction() as connection:
            return frozenset(connection.execute(statement).scalars())

    def recipients(self, account_id: UUID) -> list[str]:
        """Addresses, as the sheets have them, of everybody that a campaign of this sender lists or listed."""
        statement = (
            sa.select(campaign_recipient.c.email.distinct())
            .join(campaign_sender, campaign_sender.c.campaign_id == campaign_recipient.c.campaign_id)
            .where(campaign_sender.c.gmail_account_id == account_id, campaign_recipient.c.erased_at.is_(None))
        )
        with self._database.transaction() as connection:
            return list(connection.execute(statement).scalars())

    def new_recipients(self, account_id: UUID) -> list[Person]:
        """Recipients whose mail was not looked for in this mailbox yet, by key."""
        statement = (
            sa.select(sa.func.min(campaign_recipient.c.email), campaign_recipient.c.email_key)
            .join(campaign_sender, campaign_sender.c.campaign_id == campaign_recipient.c.campaign_id)
            .where(
                campaign_sender.c.gmail_account_id == account_id,
                campaign_recipient.c.erased_at.is_(None),
                ~sa.exists().where(
                    searched_address.c.gmail_account_id == account_id,
                    searched_address.c.address_key == campaign_recipient.c.email_key,
                ),
            )
            .group_by(campaign_recipient.c.email_key)
            .order_by(campaign_recipient.c.email_key)
        )
        with self._database.transaction() as connection:
            return [Person(email, key) for email, key in connection.execute(statement)]

    def note_searched(self, account_id: UUID, keys: Sequence[str]) -> None:
        """Everything of these people that is in the mailbox is stored."""
        if not keys:
            return
        with self._database.transaction() as connection:
            connection.execute(
                sa.text(
                    "insert into searched_address (gmail_account_id, address_key) "
                    "select :account_id, unnest(cast(:keys as text[])) on conflict do nothing"
                ),
                {"account_id": account_id, "keys": list(keys)},
            )

    def passed_over(
        self, account_id: UUID, *, ids: Sequence[str] | None = None, threads: Sequence[str] | None = None
    ) -> list[MessageRef]:
        """What was passed over: all of it, or of the given ids, or of the given threads."""
        columns = passed_over_message.c
        statement = sa.select(columns.gmail_message_id, columns.gmail_thread_id).where(
            columns.gmail_account_id == account_id
        )
        if ids is not None:
            statement = statement.where(columns.gmail_message_id == sa.any_(sa.cast(list(ids), sa.ARRAY(sa.Text))))
        if threads is not None:
            statement = statement.where(columns.gmail_thread_id == sa.any_(sa.cast(list(threads), sa.ARRAY(sa.Text))))
        with self._database.transaction() as connection:
            return [MessageRef(one, thread) for one, thread in connection.execute(statement)]


def note_passed_over(connection: sa.Connection, account_id: UUID, refs: Sequence[MessageRef]) -> None:
    """Within a transaction of the caller's: these are outside the account's scope."""
    if refs:
        connection.execute(
            sa.text(
                "insert into passed_over_message (gmail_account_id, gmail_message_id, gmail_thread_id) "
                "select :account_id, one, thread from unnest(cast(:ids as text[]), cast(:threads as text[])) "
                "as found (one, thread) on conflict do nothing"
            ),
            {"account_id": account_id, "ids": [ref[0] for ref in refs], "threads": [ref[1] for ref in refs]},
        )


def forget_passed_over(connection: sa.Connection, account_id: UUID, ids: Sequence[str]) -> None:
    """Within a transaction of the caller's: these are stored now, or gone from Gmail."""
    if ids:
        connection.execute(
            sa.delete(passed_over_message).where(
                passed_over_message.c.gmail_account_id == account_id,
                passed_over_message.c.gmail_message_id == sa.any_(sa.cast(list(ids), sa.ARRAY(sa.Text))),
            )
        )
