"""Facts out of Postgres, numbers into it. Rows never leave: frozen models do.

No rule of counting belongs here.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.batches import in_batches
from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.metrics.models import (
    BounceFact,
    CampaignFacts,
    MessageFact,
    MetricRow,
    OverrideFact,
    RecipientFact,
    ReplaceCounts,
    StoredMetric,
    ThreadFact,
    VerdictFact,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import (
    campaign,
    campaign_mark,
    campaign_metric,
    campaign_recipient,
    campaign_sender,
    gmail_account,
    gmail_account_identity,
    gmail_message,
    gmail_thread_state,
    message,
    message_reading,
    thread_attribution,
    thread_override,
    thread_verdict,
)

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)

_BATCH_ROWS = 2_000
_KEY = ("grain", "grain_key", "metric")
_VALUES = ("value", "numerator", "denominator", "is_additive", "definition_version")


class MetricStore:
    """Reads one campaign's facts in one snapshot, and replaces its numbers in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- facts ---

    def facts(self, slug: str) -> CampaignFacts:
        """Everything that the campaign's numbers rest on. Raises NotFoundError for an unknown campaign."""
        from cheerful_pipelines.campaigns.store import CampaignStore

        found = CampaignStore(self._database).campaign(slug)
        with self._database.transaction() as connection:
            # Several queries must see one moment, or a reply could stand there without its send.
            connection.execute(sa.text("set transaction isolation level repeatable read, read only"))
            threads = _threads(connection, found.id)
            keys = {(thread.gmail_account_id, thread.gmail_thread_id): thread.key for thread in threads}
            return CampaignFacts(
                campaign=found,
                read_at=connection.execute(sa.select(sa.func.now())).scalar_one(),
                our_keys=_our_keys(connection, found),
                recipients=_recipients(connection, found.id),
                threads=threads,
                messages=_messages(connection, found.id, keys),
                bounces=_bounces(connection, found),
                verdicts=_verdicts(connection, found.id, keys),
                overrides=_overrides(connection, found.id, keys),
            )

    # --- numbers ---

    def replace(
        self,
        campaign_id: UUID,
        rows: Sequence[MetricRow],
        *,
        computed_at: datetime,
        run_id: str | None = None,
    ) -> ReplaceCounts:
        """Make the stored rows equal to `rows` and move the mark; equal rows are left untouched.

        `computed_at` is the time of the facts (`CampaignFacts.read_at`). Numbers from newer facts stay as
        they are.
        """
        wanted = {tuple(getattr(row, name) for name in _KEY): row for row in rows}
        with self._database.transaction() as connection:
            connection.execute(insert(campaign_mark).values(campaign_id=campaign_id).on_conflict_do_nothing())
            marked_at = connection.execute(
                sa.select(campaign_mark.c.metrics_computed_at)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .with_for_update()  # two runs of one campaign write one after the other
            ).scalar_one()
            if marked_at is not None and marked_at > computed_at:
                return ReplaceCounts(is_superseded=True)
            stored = _stored_values(connection, campaign_id)
            news = [
                row for key, row in wanted.items() if stored.get(key) != tuple(getattr(row, name) for name in _VALUES)
            ]
            vanished = [key for key in stored if key not in wanted]
            _upsert(connection, campaign_id, news, computed_at, run_id)
            _delete(connection, campaign_id, vanished)
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(metrics_computed_at=computed_at)
            )
        changed = sum(tuple(getattr(row, name) for name in _KEY) in stored for row in news)
        return ReplaceCounts(
            inserted=len(news) - changed,
            changed=changed,
            unchanged=len(wanted) - len(news),
            deleted=len(vanished),
        )

    def rows(self, *, slug: str | None = None, grains: Sequence[str] | None = None) -> list[StoredMetric]:
        """Stored rows of one campaign or of all, ordered by campaign, grain, key and metric."""
        statement = (
            sa.select(
                campaign_metric,
                campaign.c.slug.label("campaign_slug"),
                campaign.c.name.label("campaign_name"),
            )
            .join(campaign, campaign.c.id == campaign_metric.c.campaign_id)
            .order_by(campaign.c.slug, *(campaign_metric.c[name] for name in _KEY))
        )
        if slug is not None:
            statement = statement.where(campaign.c.slug == slug)
        if grains is not None:
            statement = statement.where(campaign_metric.c.grain.in_(grains))
        with self._database.transaction() as connection:
            return [_model(StoredMetric, row) for row in connection.execute(statement).mappings()]

    # --- marks ---

    def newest_computed_at(self) -> datetime | None:
        """When the numbers of any campaign were computed last. One cheap query, for the sensor."""
        with self._database.transaction() as connection:
            newest: datetime | None = connection.execute(
                sa.select(sa.func.max(campaign_mark.c.metrics_computed_at))
            ).scalar_one()
        return newest

    def campaigns_to_export(self) -> list[str]:
        """Slugs of campaigns with a sheet to write to and numbers newer than its last export."""
        statement = (
            sa.select(campaign.c.slug)
            .join(campaign_mark, campaign_mark.c.campaign_id == campaign.c.id)
            .where(
                campaign.c.metrics_spreadsheet_id.is_not(None),
                campaign_mark.c.metrics_computed_at.is_not(None),
                sa.or_(
                    campaign_mark.c.exported_at.is_(None),
                    campaign_mark.c.metrics_computed_at > campaign_mark.c.exported_at,
                ),
            )
            .order_by(campaign.c.slug)
        )
        with self._database.transaction() as connection:
            return list(connection.execute(statement).scalars())

    def mark_exported(self, campaign_id: UUID, *, exported_at: datetime, content_hash: str) -> None:
        """The sheet shows what stood in the database at `exported_at`. Never moves back."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(campaign_mark)
                .where(
                    campaign_mark.c.campaign_id == campaign_id,
                    sa.func.coalesce(campaign_mark.c.exported_at, exported_at) <= exported_at,
                )
                .values(exported_at=exported_at, exported_hash=content_hash)
            )


# --- reading facts
# ------------------------------------------------------------------------------------------------


def _recipients(connection: sa.Connection, campaign_id: UUID) -> tuple[RecipientFact, ...]:
    columns = campaign_recipient.c
    statement = sa.select(
        columns.id,
        columns.email_key,
        columns.name,
        columns.handle,
        columns.sheet_row,
        columns.removed_at.is_not(None).label("is_removed"),
    ).where(columns.campaign_id == campaign_id)
    return tuple(_model(RecipientFact, row) for row in connection.execute(statement).mappings())


def _our_keys(connection: sa.Connection, found: Campaign) -> frozenset[str]:
    statement = (
        sa.select(gmail_account_identity.c.address_key)
        .join(gmail_account, gmail_account.c.id == gmail_account_identity.c.gmail_account_id)
        .where(gmail_account.c.user_id == found.user_id)
    )
    return frozenset(connection.execute(statement).scalars())


def _threads(connection: sa.Connection, campaign_id: UUID) -> tuple[ThreadFact, ...]:
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
        .where(columns.campaign_id == campaign_id, ~columns.is_ambiguous)
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


def _counted(campaign_id: UUID) -> sa.Subquery:
    """The campaign's threads that are not ambiguous."""
    columns = thread_attribution.c
    return (
        sa.select(columns.gmail_account_id, columns.gmail_thread_id)
        .where(columns.campaign_id == campaign_id, ~columns.is_ambiguous)
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
    connection: sa.Connection, campaign_id: UUID, keys: dict[tuple[UUID, str], str]
) -> tuple[MessageFact, ...]:
    """Every mail in the campaign's threads but drafts and delivery reports.

    A mail deleted in Gmail was still sent.
    """
    counted = _counted(campaign_id)
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
        _model(MessageFact, {**row, "thread_key": keys[row["gmail_account_id"], row["gmail_thread_id"]]})
        for row in connection.execute(statement).mappings()
    )


def _bounces(connection: sa.Connection, found: Campaign) -> tuple[BounceFact, ...]:
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
    return tuple(
        _model(BounceFact, {**row, "thread_key": f"{row['alias']}/{row['gmail_thread_id']}"})
        for row in connection.execute(statement).mappings()
    )


def _verdicts(
    connection: sa.Connection, campaign_id: UUID, keys: dict[tuple[UUID, str], str]
) -> tuple[VerdictFact, ...]:
    """The newest verdict on each state of the campaign's threads, with the time of the message that was
    judged.
    """
    counted = _counted(campaign_id)
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
        _model(VerdictFact, {**row, "thread_key": keys[row["gmail_account_id"], row["gmail_thread_id"]]})
        for row in connection.execute(statement).mappings()
    )


def _overrides(
    connection: sa.Connection, campaign_id: UUID, keys: dict[tuple[UUID, str], str]
) -> tuple[OverrideFact, ...]:
    counted = _counted(campaign_id)
    columns = thread_override.c
    statement = (
        sa.select(columns.gmail_account_id, columns.gmail_thread_id, columns.label)
        .join(counted, _in_thread(thread_override, counted))
        .where(columns.revoked_at.is_(None))
    )
    return tuple(
        _model(OverrideFact, {**row, "thread_key": keys[row["gmail_account_id"], row["gmail_thread_id"]]})
        for row in connection.execute(statement).mappings()
    )


# --- writing numbers
# ----------------------------------------------------------------------------------------------


def _stored_values(connection: sa.Connection, campaign_id: UUID) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    columns = [campaign_metric.c[name] for name in (*_KEY, *_VALUES)]
    rows = connection.execute(sa.select(*columns).where(campaign_metric.c.campaign_id == campaign_id))
    return {tuple(row[: len(_KEY)]): tuple(row[len(_KEY) :]) for row in rows}


def _upsert(
    connection: sa.Connection,
    campaign_id: UUID,
    rows: Sequence[MetricRow],
    computed_at: datetime,
    run_id: str | None,
) -> None:
    for part in in_batches(rows, _BATCH_ROWS):
        statement = insert(campaign_metric).values(
            [
                {**row.model_dump(), "campaign_id": campaign_id, "computed_at": computed_at, "run_id": run_id}
                for row in part
            ]
        )
        news = {name: statement.excluded[name] for name in (*_VALUES, "computed_at", "run_id")}
        connection.execute(statement.on_conflict_do_update(constraint=campaign_metric.primary_key, set_=news))


def _delete(connection: sa.Connection, campaign_id: UUID, keys: Sequence[tuple[Any, ...]]) -> None:
    key_columns = sa.tuple_(*(campaign_metric.c[name] for name in _KEY))
    for part in in_batches(keys, _BATCH_ROWS):
        connection.execute(
            sa.delete(campaign_metric).where(campaign_metric.c.campaign_id == campaign_id, key_columns.in_(part))
        )


def _model(model: type[_Model], row: sa.RowMapping | dict[str, Any]) -> _Model:
    return model.model_validate({name: row[name] for name in model.model_fields})
