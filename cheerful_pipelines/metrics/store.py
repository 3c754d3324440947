"""A campaign's numbers in Postgres, and which of them are newer than its sheet. No rule of counting belongs here."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.metrics.models import (
    MetricRow,
    ReplaceCounts,
    StoredMetric,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign, campaign_mark
from cheerful_pipelines.storage.schema.metrics import campaign_metric

_Item = TypeVar("_Item")
_Model = TypeVar("_Model", bound=BaseModel)

_BATCH_ROWS = 2_000
_KEY = ("grain", "grain_key", "metric")
_VALUES = ("value", "numerator", "denominator", "low", "high", "is_early", "is_additive", "definition_version")


class MetricStore:
    """Replaces and reads campaigns' numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

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
        with self._database.transaction() as connection:
            marked_at = lock_mark(connection, campaign_id)
            if marked_at is not None and marked_at > computed_at:
                return ReplaceCounts(is_superseded=True)
            counts = replace_rows(connection, campaign_id, rows, computed_at=computed_at, run_id=run_id)
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(metrics_computed_at=computed_at)
            )
        return counts

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

    def campaigns_to_report(self) -> list[str]:
        """Slugs of campaigns with numbers newer than their last report."""
        mark = campaign_mark.c
        statement = (
            sa.select(campaign.c.slug)
            .join(campaign_mark, mark.campaign_id == campaign.c.id)
            .where(
                mark.metrics_computed_at.is_not(None),
                sa.or_(mark.reported_at.is_(None), mark.metrics_computed_at > mark.reported_at),
            )
            .order_by(campaign.c.slug)
        )
        with self._database.transaction() as connection:
            return list(connection.execute(statement).scalars())

    def campaigns_of_other_definitions(self, in_force: str) -> list[str]:
        """Slugs of campaigns whose numbers were counted by other definitions than `in_force`."""
        mark = campaign_mark.c
        statement = (
            sa.select(campaign.c.slug)
            .join(campaign_mark, mark.campaign_id == campaign.c.id)
            .where(
                mark.metrics_computed_at.is_not(None),
                sa.func.split_part(sa.func.coalesce(mark.metrics_basis, ""), ":", 1) != in_force,
            )
            .order_by(campaign.c.slug)
        )
        with self._database.transaction() as connection:
            return list(connection.execute(statement).scalars())

    def mark_reported(self, campaign_id: UUID, *, reported_at: datetime) -> None:
        """The report shows the numbers of `reported_at`."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(reported_at=reported_at)
            )

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


# --- inside a transaction, for the stores of this domain ---


def lock_mark(connection: sa.Connection, campaign_id: UUID) -> datetime | None:
    """When the campaign was counted last. Two counts of one campaign write one after the other."""
    connection.execute(insert(campaign_mark).values(campaign_id=campaign_id).on_conflict_do_nothing())
    counted_at: datetime | None = connection.execute(
        sa.select(campaign_mark.c.metrics_computed_at)
        .where(campaign_mark.c.campaign_id == campaign_id)
        .with_for_update()
    ).scalar_one()
    return counted_at


def replace_rows(
    connection: sa.Connection, campaign_id: UUID, rows: Sequence[MetricRow], *, computed_at: datetime,
    run_id: str | None,
) -> ReplaceCounts:  # fmt: skip
    """Make the stored rows equal to `rows`; equal ones are left untouched."""
    wanted = {tuple(getattr(row, name) for name in _KEY): row for row in rows}
    stored = _stored_values(connection, campaign_id)
    news = [row for key, row in wanted.items() if stored.get(key) != tuple(getattr(row, name) for name in _VALUES)]
    vanished = [key for key in stored if key not in wanted]
    _upsert(connection, campaign_id, news, computed_at, run_id)
    _delete(connection, campaign_id, vanished)
    changed = sum(tuple(getattr(row, name) for name in _KEY) in stored for row in news)
    return ReplaceCounts(
        inserted=len(news) - changed, changed=changed, unchanged=len(wanted) - len(news), deleted=len(vanished)
    )


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
