"""What a campaign's numbers rest on, read in one snapshot: of everybody, or of the recipients whose news it is.

No rule of counting belongs here.
"""

from collections import defaultdict
from collections.abc import Collection
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.mail.reading.models import FailedRecipient
from cheerful_pipelines.metrics.models import (
    BounceFact,
    CampaignFacts,
    MessageFact,
    OverrideFact,
    RecipientFact,
    ThreadFact,
    VerdictFact,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign_sender, gmail_account, gmail_account_identity
from cheerful_pipelines.storage.schema.classification import thread_override, thread_verdict
from cheerful_pipelines.storage.schema.mail import gmail_message, message, message_reading
from cheerful_pipelines.storage.schema.recipients import campaign_recipient
from cheerful_pipelines.storage.schema.threads import gmail_thread_state, thread_attribution

_RELATED = """
    with known as (select unnest(cast(:ids as bigint[])) as id),
    threads as (
        select distinct a.gmail_account_id, a.gmail_thread_id
        from thread_attribution a join known k on k.id = a.recipient_id
        where a.campaign_id = :campaign_id and not a.is_ambiguous
    ),
    mails as (
        select distinct g.message_id from gmail_message g join threads using (gmail_account_id, gmail_thread_id)
    ),
    copies as (
        select distinct g.gmail_account_id, g.gmail_thread_id from gmail_message g join mails using (message_id)
    )
    select a.recipient_id
    from thread_attribution a join copies using (gmail_account_id, gmail_thread_id)
    where a.campaign_id = :campaign_id and not a.is_ambiguous
    union
    select blamed.id
    from ({reports}) report, jsonb_array_elements(report.bounces) failed
    join campaign_recipient blamed
        on blamed.campaign_id = :campaign_id and blamed.email_key = failed ->> 'address_key'
    union
    select id from known
"""
_REPORTS = """
    with known as (select unnest(cast(:ids as bigint[])) as id),
    threads as (
        select distinct a.gmail_account_id, a.gmail_thread_id
        from thread_attribution a join known k on k.id = a.recipient_id
        where a.campaign_id = :campaign_id and not a.is_ambiguous
    ),
    mails as (
        select distinct btrim(g.rfc822_message_id, ' <>') as id
        from gmail_message g join threads using (gmail_account_id, gmail_thread_id)
    ),
    addresses as (select r.email_key from campaign_recipient r join known using (id))
    select r.gmail_account_id, r.gmail_message_id, r.bounces
    from message_reading r
    join campaign_sender s on s.campaign_id = :campaign_id and s.gmail_account_id = r.gmail_account_id
    join gmail_message g on g.gmail_account_id = r.gmail_account_id and g.gmail_message_id = r.gmail_message_id
    where r.kind in ('bounce', 'delayed') and (
        btrim(r.bounced_message_id, ' <>') in (select id from mails)
        or (g.gmail_account_id, g.gmail_thread_id) in (select gmail_account_id, gmail_thread_id from threads)
        or exists (
            select from jsonb_array_elements(r.bounces) failed
            where failed ->> 'address_key' in (select email_key from addresses)
        )
    )
"""
"""Delivery reports on these recipients: by the mail they name, by their thread, or by the failed address."""


_NEWS = sa.text("select id, recipient_id from outcome_news where campaign_id = :id limit :most")

News = dict[int, int]
"""Notes of changes by id: whose outcome may have changed."""


class FactStore:
    """Reads a campaign's facts; several queries see one moment, or a reply could stand there without its send."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facts(self, slug: str) -> CampaignFacts:
        """Everything that the campaign's numbers rest on. Raises NotFoundError for an unknown campaign."""
        found = CampaignStore(self._database).campaign(slug)
        with self._database.snapshot() as connection:
            return _facts(connection, found, None)

    def facts_and_news(self, slug: str) -> tuple[CampaignFacts, News]:
        """As `facts`, and the noted news that they cover: all of it."""
        found = CampaignStore(self._database).campaign(slug)
        with self._database.snapshot() as connection:
            noted = connection.execute(_NEWS, {"id": found.id, "most": None}).all()
            return _facts(connection, found, None), {row.id: row.recipient_id for row in noted}

    def facts_of_news(self, slug: str, *, most: int) -> tuple[CampaignFacts, News] | None:
        """Facts of the recipients whose outcome may have changed since it was counted, and of all whom a mail or a
        delivery report ties to them; and the noted news that this covers. None where it is more than `most` people.
        """
        found = CampaignStore(self._database).campaign(slug)
        with self._database.snapshot() as connection:
            noted = connection.execute(_NEWS, {"id": found.id, "most": 20 * most}).all()
            ids = {row.recipient_id for row in noted}
            if len(noted) == 20 * most or len(ids) > most:
                return None
            ids = _with_relatives(connection, found.id, ids, most)
            if len(ids) > most:
                return None
            return _facts(connection, found, ids), {row.id: row.recipient_id for row in noted}


def _with_relatives(connection: sa.Connection, campaign_id: UUID, ids: set[int], most: int) -> set[int]:
    """Everyone whose outcome is decided together with theirs, until nobody is added."""
    known: set[int] = set()
    related = _RELATED.format(reports=_REPORTS)
    while ids - known and len(ids) <= most:
        known |= ids
        parameters = {"ids": sorted(known), "campaign_id": campaign_id}
        ids = set(connection.execute(sa.text(related), parameters).scalars())
    return known | ids


def _facts(connection: sa.Connection, found: Campaign, only: Collection[int] | None) -> CampaignFacts:
    threads = _threads(connection, found.id, only)
    keys = {(thread.gmail_account_id, thread.gmail_thread_id): thread.key for thread in threads}
    return CampaignFacts(
        campaign=found,
        read_at=connection.execute(sa.select(sa.func.now())).scalar_one(),
        sender_ids=frozenset(
            connection.execute(
                sa.select(campaign_sender.c.gmail_account_id).where(campaign_sender.c.campaign_id == found.id)
            ).scalars()
        ),
        our_keys=_our_keys(connection, found),
        recipients=_recipients(connection, found.id, only),
        threads=threads,
        messages=_messages(connection, found.id, keys, only),
        bounces=_bounces(connection, found, only),
        verdicts=_verdicts(connection, found.id, keys, only),
        overrides=_overrides(connection, found.id, keys, only),
    )


def _among(column: sa.ColumnElement[Any], only: Collection[int] | None) -> sa.ColumnElement[bool]:
    if only is None:
        return sa.true()
    return column == sa.any_(sa.cast(sorted(only), sa.ARRAY(sa.BigInteger)))


def _recipients(
    connection: sa.Connection, campaign_id: UUID, only: Collection[int] | None
) -> tuple[RecipientFact, ...]:  # fmt: skip
    columns = campaign_recipient.c
    statement = sa.select(
        columns.id,
        columns.email_key,
        columns.name,
        columns.handle,
        columns.sheet_row,
        columns.removed_at.is_not(None).label("is_removed"),
        columns.suppressed_reason.is_not(None).label("is_suppressed"),
    ).where(columns.campaign_id == campaign_id, columns.erased_at.is_(None), _among(columns.id, only))
    return tuple(
        RecipientFact(
            id=number, email_key=key, name=name, handle=handle, sheet_row=row, is_removed=removed,
            is_suppressed=suppressed,
        )
        for number, key, name, handle, row, removed, suppressed in connection.execute(statement)
    )  # fmt: skip


def _our_keys(connection: sa.Connection, found: Campaign) -> frozenset[str]:
    statement = (
        sa.select(gmail_account_identity.c.address_key)
        .join(gmail_account, gmail_account.c.id == gmail_account_identity.c.gmail_account_id)
        .where(gmail_account.c.user_id == found.user_id)
    )
    return frozenset(connection.execute(statement).scalars())


def _threads(
    connection: sa.Connection, campaign_id: UUID, only: Collection[int] | None
) -> tuple[ThreadFact, ...]:  # fmt: skip
    columns = thread_attribution.c
    statement = (
        sa.select(
            columns.gmail_account_id,
            columns.gmail_thread_id,
            gmail_account.c.alias.label("account_alias"),
            columns.recipient_id,
            columns.conversation_key,
        )
        .join(gmail_account, gmail_account.c.id == columns.gmail_account_id)
        .where(columns.campaign_id == campaign_id, ~columns.is_ambiguous, _among(columns.recipient_id, only))
        .order_by(columns.recipient_id)
    )
    by_thread: dict[tuple[UUID, str], list[Any]] = defaultdict(list)
    for row in connection.execute(statement):
        by_thread[row.gmail_account_id, row.gmail_thread_id].append(row)
    return tuple(
        ThreadFact(
            gmail_account_id=account_id,
            account_alias=rows[0].account_alias,
            gmail_thread_id=thread_id,
            recipient_ids=tuple(row.recipient_id for row in rows),
            conversation_key=rows[0].conversation_key,
        )
        for (account_id, thread_id), rows in by_thread.items()
    )


def _counted(campaign_id: UUID, only: Collection[int] | None) -> sa.Subquery:
    """The campaign's threads that are not ambiguous."""
    columns = thread_attribution.c
    return (
        sa.select(columns.gmail_account_id, columns.gmail_thread_id)
        .where(columns.campaign_id == campaign_id, ~columns.is_ambiguous, _among(columns.recipient_id, only))
        .distinct()
        .subquery("counted")
    )


def _in_thread(table: sa.Table, counted: sa.Subquery) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.gmail_account_id == counted.c.gmail_account_id,
        table.c.gmail_thread_id == counted.c.gmail_thread_id,
    )


_READING_OF_MESSAGE = sa.and_(
    message_reading.c.gmail_account_id == gmail_message.c.gmail_account_id,
    message_reading.c.gmail_message_id == gmail_message.c.gmail_message_id,
)


def _messages(
    connection: sa.Connection,
    campaign_id: UUID,
    keys: dict[tuple[UUID, str], str],
    only: Collection[int] | None,
) -> tuple[MessageFact, ...]:
    """Every mail in the campaign's threads but drafts and delivery reports.

    A mail deleted in Gmail was still sent.
    """
    counted = _counted(campaign_id, only)
    columns = gmail_message.c
    is_sender = sa.exists().where(
        campaign_sender.c.campaign_id == campaign_id,
        campaign_sender.c.gmail_account_id == columns.gmail_account_id,
    )
    statement = (
        sa.select(
            columns.gmail_account_id,
            columns.gmail_thread_id,
            columns.message_id,
            columns.rfc822_message_id,
            columns.internal_date.label("at"),
            columns.from_key,
            columns.to_keys,
            message_reading.c.direction,
            message_reading.c.kind,
            gmail_account.c.alias.label("account_alias"),
            sa.and_(columns.label_ids.contains(["SENT"]), is_sender).label("is_sent"),
        )
        .join(counted, _in_thread(gmail_message, counted))
        .join(message_reading, _READING_OF_MESSAGE)
        .join(gmail_account, gmail_account.c.id == columns.gmail_account_id)
        .where(
            ~columns.label_ids.contains(["DRAFT"]),
            message_reading.c.kind.not_in(["bounce", "delayed", "delivered"]),
        )
    )
    return tuple(
        MessageFact(
            thread_key=keys[account_id, thread_id], account_alias=alias, message_id=number, rfc822_message_id=rfc822,
            at=at, direction=direction, kind=kind, is_sent=is_sent, from_key=from_key, to_keys=tuple(to_keys),
        )
        for account_id, thread_id, number, rfc822, at, from_key, to_keys, direction, kind, alias, is_sent
        in connection.execute(statement)
    )  # fmt: skip


def _bounces(
    connection: sa.Connection, found: Campaign, only: Collection[int] | None
) -> tuple[BounceFact, ...]:  # fmt: skip
    """Delivery reports in the senders' mailboxes since the campaign's start; Gmail often gives them their
    own thread.
    """
    columns = gmail_message.c
    named = sa.func.btrim(message_reading.c.bounced_message_id, " <>")
    names_stored = sa.exists().where(
        message.c.user_id == found.user_id,
        message.c.rfc822_message_id.in_([named, "<" + named + ">"]),
    )
    statement = (
        sa.select(
            gmail_account.c.alias,
            columns.gmail_thread_id,
            columns.message_id,
            columns.internal_date.label("at"),
            message_reading.c.kind,
            message_reading.c.bounces.label("failed"),
            message_reading.c.bounced_message_id,
            names_stored.label("names_stored_message"),
        )
        .join(message_reading, _READING_OF_MESSAGE)
        .join(gmail_account, gmail_account.c.id == columns.gmail_account_id)
        .join(campaign_sender, campaign_sender.c.gmail_account_id == columns.gmail_account_id)
        .where(
            campaign_sender.c.campaign_id == found.id,
            columns.internal_date >= found.starts_at,
            message_reading.c.kind.in_(["bounce", "delayed"]),
        )
    )
    if only is not None:
        parameters = {"ids": sorted(only), "campaign_id": found.id}
        reports = [(row[0], row[1]) for row in connection.execute(sa.text(_REPORTS), parameters)]
        statement = statement.where(sa.tuple_(columns.gmail_account_id, columns.gmail_message_id).in_(reports))
    return tuple(
        BounceFact(
            thread_key=f"{alias}/{thread_id}", message_id=number, at=at, kind=kind,
            failed=tuple(FailedRecipient.model_validate(item) for item in failed),
            bounced_message_id=named, names_stored_message=names_stored_message,
        )
        for alias, thread_id, number, at, kind, failed, named, names_stored_message in connection.execute(statement)
    )  # fmt: skip


def _verdicts(
    connection: sa.Connection,
    campaign_id: UUID,
    keys: dict[tuple[UUID, str], str],
    only: Collection[int] | None,
) -> tuple[VerdictFact, ...]:
    """The newest verdict on each state of the campaign's threads, with the time of the message that was
    judged.
    """
    counted = _counted(campaign_id, only)
    judged_id = sa.func.coalesce(
        gmail_thread_state.c.state["newest_human_id"].astext,
        gmail_thread_state.c.state["newest_inbound_id"].astext,
    )
    statement = (
        sa.select(
            thread_verdict.c.gmail_account_id,
            thread_verdict.c.gmail_thread_id,
            gmail_thread_state.c.version.label("state_version"),
            thread_verdict.c.label,
            thread_verdict.c.confidence,
            thread_verdict.c.needs_review,
            gmail_message.c.internal_date.label("judged_at"),
            gmail_message.c.from_key.label("judged_from_key"),
            gmail_message.c.message_id.label("judged_message_id"),
            sa.func.coalesce(thread_verdict.c.flags["address_complete"].as_boolean(), sa.false()),
            sa.func.coalesce(thread_verdict.c.flags["left_company"].as_boolean(), sa.false()),
        )
        .distinct(thread_verdict.c.thread_state_id)
        .join(counted, _in_thread(thread_verdict, counted))
        .join(gmail_thread_state, gmail_thread_state.c.id == thread_verdict.c.thread_state_id)
        .outerjoin(
            gmail_message,
            sa.and_(
                gmail_message.c.gmail_account_id == thread_verdict.c.gmail_account_id,
                gmail_message.c.gmail_message_id == judged_id,
            ),
        )
        .order_by(thread_verdict.c.thread_state_id, thread_verdict.c.id.desc())
    )
    return tuple(
        VerdictFact(
            thread_key=keys[account_id, thread_id], state_version=version, label=label, confidence=confidence,
            needs_review=needs_review, judged_at=at, judged_from_key=from_key, judged_message_id=message_id,
            address_complete=address_complete, left_company=left_company,
        )
        for account_id, thread_id, version, label, confidence, needs_review, at, from_key, message_id,
        address_complete, left_company in connection.execute(statement)
    )  # fmt: skip


def _overrides(
    connection: sa.Connection,
    campaign_id: UUID,
    keys: dict[tuple[UUID, str], str],
    only: Collection[int] | None,
) -> tuple[OverrideFact, ...]:
    counted = _counted(campaign_id, only)
    columns = thread_override.c
    statement = (
        sa.select(columns.gmail_account_id, columns.gmail_thread_id, columns.label)
        .join(counted, _in_thread(thread_override, counted))
        .where(columns.revoked_at.is_(None))
    )
    return tuple(
        OverrideFact(thread_key=keys[account_id, thread_id], label=label)
        for account_id, thread_id, label in connection.execute(statement)
    )
