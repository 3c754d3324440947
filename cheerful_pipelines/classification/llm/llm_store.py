"""What language models cost, which batches are under way, which classifiers passed their evaluation; in Postgres."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.classification.budget import Spent
from cheerful_pipelines.classification.models import ClassifierIdentity, OpenBatch, SpendRow, StoredEvaluation
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign
from cheerful_pipelines.storage.schema.classification import classifier_evaluation, llm_batch, llm_batch_item, llm_spend

SUBMITTING_AT_MOST = timedelta(hours=1)
"""A batch whose handing-in never ended is called lost after that, and its conversations are pending again."""

SpendKind = Literal["live", "batch", "evaluation"]


class LlmStore:
    """Spend, batches, evaluations."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- spend ---

    def record_spend(
        self, kind: SpendKind, row: SpendRow, *, campaign_id: UUID | None, version: str, run_id: str | None
    ) -> None:
        """One or more calls, as they were."""
        with self._database.transaction() as connection:
            insert_spend(connection, kind, row, campaign_id=campaign_id, version=version, run_id=run_id)

    def spent_today(self, campaign_id: UUID | None) -> Spent:
        """Since midnight UTC: by everybody, and by the client of this campaign."""
        midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        client = sa.select(campaign.c.user_id).where(campaign.c.id == campaign_id).scalar_subquery()
        of_client = llm_spend.c.campaign_id.in_(sa.select(campaign.c.id).where(campaign.c.user_id == client))
        cost = sa.func.coalesce(llm_spend.c.cost_usd, 0)
        statement = sa.select(
            sa.func.coalesce(sa.func.sum(cost), 0),
            sa.func.coalesce(sa.func.sum(cost).filter(of_client), 0),
            sa.func.coalesce(sa.func.sum(llm_spend.c.calls), 0),
        ).where(llm_spend.c.created_at >= midnight)
        with self._database.transaction() as connection:
            day, of_one, calls = connection.execute(statement).one()
        return Spent(day_usd=float(day), client_day_usd=float(of_one), calls=int(calls))

    def spent_by_day(self, *, days: int = 30) -> list[tuple[str, str, int, float | None]]:
        """(day, kind, calls, dollars or None where some price is unknown), newest first."""
        day = sa.func.to_char(llm_spend.c.created_at, "YYYY-MM-DD")
        unknown = sa.func.bool_or(llm_spend.c.cost_usd.is_(None))
        statement = (
            sa.select(day, llm_spend.c.kind, sa.func.sum(llm_spend.c.calls), sa.func.sum(llm_spend.c.cost_usd), unknown)
            .where(llm_spend.c.created_at >= sa.func.now() - timedelta(days=days))
            .group_by(day, llm_spend.c.kind)
            .order_by(day.desc(), llm_spend.c.kind)
        )
        with self._database.transaction() as connection:
            return [
                (row[0], row[1], int(row[2]), None if row[4] else float(row[3]))
                for row in connection.execute(statement)
            ]

    # --- batches ---

    def begin_batch(
        self, campaign_id: UUID, version: str, items: Mapping[int, str], *, estimated_usd: float | None, run_id: str
    ) -> UUID:
        """Write down the intent before anything is handed in: thread state to cache key. Returns the batch's id."""
        batch_id = uuid4()
        with self._database.transaction() as connection:
            connection.execute(
                sa.insert(llm_batch).values(
                    id=batch_id, campaign_id=campaign_id, classifier_version=version, status="submitting",
                    requests=len(items), estimated_usd=estimated_usd, run_id=run_id,
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(llm_batch_item),
                [
                    {"llm_batch_id": batch_id, "thread_state_id": state_id, "cache_key": key}
                    for state_id, key in items.items()
                ],
            )
        return batch_id

    def renew_batch(self, batch_id: UUID, *, status: str, handle: str | None = None) -> None:
        """A step further. `ended`, `taken_in` and `lost` are final for their items."""
        values: dict[str, Any] = {"status": status}
        if handle is not None:
            values["handle"] = handle
        if status in ("taken_in", "lost"):
            values["finished_at"] = sa.func.now()
        with self._database.transaction() as connection:
            connection.execute(sa.update(llm_batch).where(llm_batch.c.id == batch_id).values(**values))

    def open_batches(self, campaign_id: UUID | None = None) -> list[OpenBatch]:
        """Batches that are not taken in yet, oldest first. One whose handing-in was cut off is called lost here."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(llm_batch)
                .where(
                    llm_batch.c.status == "submitting",
                    llm_batch.c.created_at < sa.func.now() - SUBMITTING_AT_MOST,
                )
                .values(status="lost", finished_at=sa.func.now())
            )
            statement = (
                sa.select(llm_batch, campaign.c.slug)
                .join(campaign, campaign.c.id == llm_batch.c.campaign_id)
                .where(llm_batch.c.status.in_(["submitting", "submitted", "ended"]))
                .order_by(llm_batch.c.created_at)
            )
            if campaign_id is not None:
                statement = statement.where(llm_batch.c.campaign_id == campaign_id)
            return [
                OpenBatch(
                    id=row["id"], campaign_slug=row["slug"], classifier_version=row["classifier_version"],
                    status=row["status"], handle=row["handle"], requests=row["requests"],
                )
                for row in connection.execute(statement).mappings()
            ]  # fmt: skip

    def batch_items(self, batch_id: UUID) -> dict[int, str]:
        """Thread state to cache key."""
        statement = sa.select(llm_batch_item.c.thread_state_id, llm_batch_item.c.cache_key).where(
            llm_batch_item.c.llm_batch_id == batch_id
        )
        with self._database.transaction() as connection:
            return {row.thread_state_id: row.cache_key for row in connection.execute(statement)}

    # --- evaluations ---

    def save_evaluation(
        self, identity: ClassifierIdentity, golden: str, *, passed: bool, document: dict[str, Any], run_id: str | None
    ) -> None:
        """The newest evaluation of a version stands."""
        values = {
            "classifier_version": identity.version, "golden_version": golden, "provider": identity.provider,
            "model": identity.model, "prompt_version": identity.prompt_version,
            "taxonomy_version": identity.taxonomy_version, "passed": passed, "document": document, "run_id": run_id,
        }  # fmt: skip
        renewed = {name: values[name] for name in ("passed", "document", "run_id")}
        statement = insert(classifier_evaluation).values(**values)
        with self._database.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["classifier_version", "golden_version"],
                    set_={**renewed, "created_at": sa.func.now()},
                )
            )

    def evaluation(self, version: str, golden: str) -> StoredEvaluation | None:
        """Of this version on this golden set, or None."""
        statement = sa.select(classifier_evaluation).where(
            classifier_evaluation.c.classifier_version == version, classifier_evaluation.c.golden_version == golden
        )
        return self._one_evaluation(statement)

    def evaluation_before(self, version: str, golden: str) -> StoredEvaluation | None:
        """The newest passed one of another version on the same golden set: what a new one is compared with."""
        statement = (
            sa.select(classifier_evaluation)
            .where(
                classifier_evaluation.c.classifier_version != version,
                classifier_evaluation.c.golden_version == golden,
                classifier_evaluation.c.passed,
            )
            .order_by(classifier_evaluation.c.created_at.desc())
            .limit(1)
        )
        return self._one_evaluation(statement)

    def _one_evaluation(self, statement: sa.Select[Any]) -> StoredEvaluation | None:
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            return None
        return StoredEvaluation(
            classifier_version=row["classifier_version"], provider=row["provider"], model=row["model"],
            passed=row["passed"], document=row["document"], created_at=row["created_at"],
        )  # fmt: skip


def insert_spend(
    connection: sa.Connection,
    kind: SpendKind,
    row: SpendRow,
    *,
    campaign_id: UUID | None,
    version: str,
    run_id: str | None,
) -> None:
    """In the transaction that stores what was paid for."""
    connection.execute(
        sa.insert(llm_spend).values(
            kind=kind, campaign_id=campaign_id, classifier_version=version, run_id=run_id, **row.model_dump()
        )
    )
