"""Outcomes with validity in Postgres: stored with the numbers that they make, and read as of any moment."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from cheerful_pipelines.metrics.counting.compute import CountKey, Timing, contributions, metric_rows, timing_of
from cheerful_pipelines.metrics.counting.definitions import BY_KEY
from cheerful_pipelines.metrics.counting.fact_store import News
from cheerful_pipelines.metrics.counting.outcome_document import document_of, hash_of, outcome_of
from cheerful_pipelines.metrics.counting.outcomes import Outcome
from cheerful_pipelines.metrics.counting.receipts import changes_between
from cheerful_pipelines.metrics.models import CampaignFacts, OutcomeChange, ReplaceCounts
from cheerful_pipelines.metrics.store import lock_mark, replace_rows
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.insert_rows import insert_rows
from cheerful_pipelines.storage.schema.campaigns import campaign_mark
from cheerful_pipelines.storage.schema.metrics import campaign_metric, outcome_news, recipient_outcome
from cheerful_pipelines.storage.schema.recipients import campaign_recipient

_COUNTED = tuple(key for key, item in BY_KEY.items() if item.unit in ("recipients", "messages", "threads"))
_MOST_CHANGES = 500


class Saved(NamedTuple):
    """What storing a count did."""

    rows: ReplaceCounts
    outcomes_changed: int
    without_news: int
    changes: tuple[OutcomeChange, ...]


class OutcomeStore:
    """Stores counts and reads outcomes as they were known at any moment since the first count."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def basis(self, campaign_id: UUID) -> str | None:
        """What the stored outcomes were made with (`count_campaign.basis_of`); None before the first count."""
        with self._database.transaction() as connection:
            return connection.execute(
                sa.select(campaign_mark.c.metrics_basis).where(campaign_mark.c.campaign_id == campaign_id)
            ).scalar_one_or_none()

    def save(
        self, facts: CampaignFacts, outcomes: Sequence[Outcome], news: News, *, basis: str, run_id: str | None,
        is_everybody: bool,
    ) -> Saved:  # fmt: skip
        """Outcomes, numbers, mark and the end of the news in one transaction; newer numbers are left alone.

        Of everybody, the numbers are counted from nothing; else they change by what these outcomes changed.
        """
        zone, campaign_id, read_at = ZoneInfo(facts.campaign.time_zone), facts.campaign.id, facts.read_at
        with self._database.transaction() as connection:
            marked_at = lock_mark(connection, campaign_id)
            if marked_at is not None and marked_at > read_at:
                return Saved(ReplaceCounts(is_superseded=True), 0, 0, ())
            documents = {outcome.recipient_id: document_of(outcome) for outcome in outcomes}
            hashes = {number: hash_of(document) for number, document in documents.items()}
            stored = _stored_hashes(connection, campaign_id, None if is_everybody else documents)
            changed = [
                outcome for outcome in outcomes if stored.get(outcome.recipient_id) != hashes[outcome.recipient_id]
            ]
            before = _documents(connection, [one.recipient_id for one in changed if one.recipient_id in stored])
            _close(connection, list(before), read_at)
            insert_rows(
                connection, recipient_outcome,
                [_row(one, documents, hashes, zone, campaign_id, read_at, run_id) for one in changed],
            )  # fmt: skip
            if is_everybody:
                counts, timings = _counted_anew([*outcomes, *_of_erased(connection, campaign_id)], zone)
            else:
                counts = _stored_counts(connection, campaign_id)
                for one in changed:
                    if one.recipient_id in before:
                        counts.subtract(contributions(before[one.recipient_id], zone))
                    counts.update(contributions(one, zone))
                timings = _timings(connection, campaign_id)
            rows = metric_rows(counts, timings, read_at)
            replaced = replace_rows(connection, campaign_id, rows, computed_at=read_at, run_id=run_id)
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(metrics_computed_at=read_at, metrics_basis=basis)
            )
            _take_away(connection, news)
        noted = set(news.values())
        changes = [
            change
            for one in changed
            if one.recipient_id in before
            for change in changes_between(before[one.recipient_id], one)
        ]
        return Saved(
            rows=replaced,
            outcomes_changed=len(changed),
            without_news=sum(one.recipient_id in before and one.recipient_id not in noted for one in changed),
            changes=tuple(changes[:_MOST_CHANGES]),
        )

    def outcomes(self, campaign_id: UUID, *, as_of: datetime | None = None) -> list[Outcome]:
        """Everyone's outcome as it was known then (default: now), by recipient. Empty before the first count."""
        columns = recipient_outcome.c
        statement = sa.select(columns.recipient_id, columns.document).where(columns.campaign_id == campaign_id)
        if as_of is None:
            statement = statement.where(columns.valid_to.is_(None))
        else:
            statement = statement.where(
                columns.valid_from <= as_of, sa.or_(columns.valid_to.is_(None), columns.valid_to > as_of)
            )
        with self._database.transaction() as connection:
            rows = connection.execute(statement.order_by(columns.recipient_id)).all()
        return [outcome_of(number, document) for number, document in rows]

    def changed_since(self, campaign_id: UUID, since: datetime) -> list[tuple[Outcome | None, Outcome]]:
        """(as known then, as known now) of every recipient whose outcome changed since."""
        columns = recipient_outcome.c
        touched = sa.select(columns.recipient_id).where(columns.campaign_id == campaign_id, columns.valid_from > since)
        statement = sa.select(columns.recipient_id, columns.document, columns.valid_to).where(
            columns.recipient_id.in_(touched),
            sa.or_(
                columns.valid_to.is_(None),
                sa.and_(columns.valid_from <= since, columns.valid_to > since),
            ),
        )
        found: dict[int, list[Outcome | None]] = {}
        with self._database.transaction() as connection:
            for number, document, valid_to in connection.execute(statement):
                pair = found.setdefault(number, [None, None])
                pair[1 if valid_to is None else 0] = outcome_of(number, document)
        return [(before, after) for _, (before, after) in sorted(found.items()) if after is not None]

    def first_count(self, campaign_id: UUID) -> datetime | None:
        """Since when outcomes are known."""
        with self._database.transaction() as connection:
            first: datetime | None = connection.execute(
                sa.select(sa.func.min(recipient_outcome.c.valid_from)).where(
                    recipient_outcome.c.campaign_id == campaign_id
                )
            ).scalar_one()
        return first

    def timings(self, campaign_id: UUID) -> list[Timing]:
        """Everyone's waiting times as known now."""
        with self._database.transaction() as connection:
            return _timings(connection, campaign_id)


def _counted_anew(outcomes: Sequence[Outcome], zone: ZoneInfo) -> tuple[Counter[CountKey], list[Timing]]:
    counts = Counter[CountKey]()
    for outcome in outcomes:
        counts.update(contributions(outcome, zone))
    return counts, [timing for outcome in outcomes if (timing := timing_of(outcome, zone))]


def _stored_hashes(connection: sa.Connection, campaign_id: UUID, ids: Collection[int] | None) -> dict[int, str]:
    columns = recipient_outcome.c
    statement = sa.select(columns.recipient_id, columns.document_hash).where(
        columns.campaign_id == campaign_id, columns.valid_to.is_(None)
    )
    if ids is not None:
        statement = statement.where(_any(columns.recipient_id, ids))
    return {row.recipient_id: row.document_hash for row in connection.execute(statement)}


def _documents(connection: sa.Connection, ids: Collection[int]) -> dict[int, Outcome]:
    columns = recipient_outcome.c
    statement = sa.select(columns.recipient_id, columns.document).where(
        _any(columns.recipient_id, ids), columns.valid_to.is_(None)
    )
    return {number: outcome_of(number, document) for number, document in connection.execute(statement)} if ids else {}


def _of_erased(connection: sa.Connection, campaign_id: UUID) -> list[Outcome]:
    """What was counted of people before they were forgotten: their mail is gone, the numbers stay."""
    columns, person = recipient_outcome.c, campaign_recipient.c
    rows = connection.execute(
        sa.select(columns.recipient_id, columns.document)
        .join(campaign_recipient, person.id == columns.recipient_id)
        .where(person.campaign_id == campaign_id, person.erased_at.is_not(None), columns.valid_to.is_(None))
    )
    return [outcome_of(number, document) for number, document in rows]


def _close(connection: sa.Connection, ids: Collection[int], at: datetime) -> None:
    columns = recipient_outcome.c
    if ids:
        connection.execute(
            sa.update(recipient_outcome)
            .where(_any(columns.recipient_id, ids), columns.valid_to.is_(None))
            .values(valid_to=at)
        )


def _row(
    outcome: Outcome, documents: dict[int, dict[str, Any]], hashes: dict[int, str], zone: ZoneInfo,
    campaign_id: UUID, at: datetime, run_id: str | None,
) -> dict[str, Any]:  # fmt: skip
    timing = timing_of(outcome, zone)
    return {
        "campaign_id": campaign_id,
        "recipient_id": outcome.recipient_id,
        "valid_from": at,
        "document": documents[outcome.recipient_id],
        "document_hash": hashes[outcome.recipient_id],
        "sender": timing and timing.sender,
        "cohort": timing and timing.cohort,
        "first_sent_at": timing and timing.sent_at,
        "replied_at": timing and timing.replied_at,
        "is_delivered": timing is not None and timing.is_delivered,
        "business_hours_to_reply": timing and timing.business_hours_to_reply,
        "response_hours": list(outcome.response_hours),
        "run_id": run_id,
    }


def _stored_counts(connection: sa.Connection, campaign_id: UUID) -> Counter[CountKey]:
    columns = campaign_metric.c
    rows = connection.execute(
        sa.select(columns.grain, columns.grain_key, columns.metric, columns.value).where(
            columns.campaign_id == campaign_id, columns.metric.in_(_COUNTED), columns.value != 0
        )
    )
    return Counter({(grain, key, metric): int(value) for grain, key, metric, value in rows})


def _timings(connection: sa.Connection, campaign_id: UUID) -> list[Timing]:
    columns = recipient_outcome.c
    rows = connection.execute(
        sa.select(
            columns.sender, columns.cohort, columns.first_sent_at, columns.replied_at, columns.is_delivered,
            columns.business_hours_to_reply, columns.response_hours,
        ).where(
            columns.campaign_id == campaign_id, columns.valid_to.is_(None), columns.first_sent_at.is_not(None)
        )
    )  # fmt: skip
    return [Timing(*row) for row in rows]


def _take_away(connection: sa.Connection, news: News) -> None:
    if news:
        connection.execute(sa.delete(outcome_news).where(_any(outcome_news.c.id, news)))


def _any(column: sa.ColumnElement[Any], ids: Collection[int]) -> sa.ColumnElement[bool]:
    return column == sa.any_(sa.cast(sorted(ids), sa.ARRAY(sa.BigInteger)))
