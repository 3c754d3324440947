"""Backfills and their parts in Postgres."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

import sqlalchemy as sa

from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.operations.models import (
    Backfill,
    BackfillEstimate,
    BackfillPart,
    BackfillPlan,
    BackfillState,
    PartState,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign, gmail_account
from cheerful_pipelines.storage.schema.mail import archive_month
from cheerful_pipelines.storage.schema.operations import backfill, backfill_part

_UNFINISHED = ("waiting", "requested")


class BackfillStore:
    """What was asked for, how far it is. Safe to call twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, plan: BackfillPlan, estimate: BackfillEstimate | None, *, requested_by: str) -> UUID:
        """Write a backfill down; the sensor `campaign_backfills` takes it from there. An equal one that is under way
        is given back instead of a second.
        """
        with self._database.transaction() as connection:
            connection.execute(sa.select(campaign.c.id).where(campaign.c.id == plan.campaign_id).with_for_update())
            columns = backfill.c
            same: UUID | None = connection.execute(
                sa.select(columns.id).where(
                    columns.campaign_id == plan.campaign_id, columns.state == "running", columns.since == plan.since,
                    columns.until == plan.until, columns.stages == list(plan.stages),
                )
            ).scalar_one_or_none()  # fmt: skip
            if same is not None:
                return same
            number = uuid4()
            connection.execute(
                sa.insert(backfill).values(
                    id=number, campaign_id=plan.campaign_id, since=plan.since, until=plan.until,
                    stages=list(plan.stages), state="running", requested_by=requested_by,
                    estimate=None if estimate is None else estimate.model_dump(mode="json"),
                )
            )  # fmt: skip
            connection.execute(
                sa.insert(backfill_part),
                [
                    {"backfill_id": number, "number": n, "stage": stage, "partition_key": key, "state": "waiting"}
                    for n, (stage, key) in enumerate(plan.parts)
                ],
            )
        return number

    def backfills(self) -> list[Backfill]:
        """All of them, newest first."""
        statement = sa.select(backfill, campaign.c.slug).join(campaign, campaign.c.id == backfill.c.campaign_id)
        with self._database.transaction() as connection:
            rows = connection.execute(statement.order_by(backfill.c.created_at.desc())).mappings().all()
            return [_backfill(connection, row) for row in rows]

    def open_backfills(self) -> dict[UUID, str]:
        """Those under way, newest first: number to campaign. Not read further, so that one cannot spoil all."""
        columns = backfill.c
        parts = sa.exists().where(backfill_part.c.backfill_id == columns.id, backfill_part.c.state.in_(_UNFINISHED))
        statement = (
            sa.select(columns.id, campaign.c.slug)
            .join(campaign, campaign.c.id == columns.campaign_id)
            .where(sa.or_(columns.state == "running", parts))
            .order_by(columns.created_at.desc())
        )
        with self._database.transaction() as connection:
            return {row.id: row.slug for row in connection.execute(statement)}

    def backfill(self, number: UUID) -> Backfill:
        """One. Raises NotFoundError."""
        statement = (
            sa.select(backfill, campaign.c.slug)
            .join(campaign, campaign.c.id == backfill.c.campaign_id)
            .where(backfill.c.id == number)
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
            if row is None:
                raise NotFoundError(f"There is no backfill {number}.", what_to_do="See: cheerful backfills list.")
            return _backfill(connection, row)

    def set_part(
        self, number: UUID, part: int, *, state: PartState, attempt: int | None = None,
        requested_at: datetime | None = None, run_id: str | None = None,
    ) -> None:  # fmt: skip
        """Where one part is now."""
        values: dict[str, object] = {"state": state}
        if attempt is not None:
            values |= {"attempt": attempt, "requested_at": requested_at, "run_id": None}
        if run_id is not None:
            values["run_id"] = run_id
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(backfill_part)
                .where(backfill_part.c.backfill_id == number, backfill_part.c.number == part)
                .values(**values)
            )

    def finish(self, number: UUID, *, state: BackfillState) -> bool:
        """It is over. A cancelled one stays cancelled. True where that was news."""
        with self._database.transaction() as connection:
            found = connection.execute(
                sa.update(backfill)
                .where(backfill.c.id == number, backfill.c.state == "running")
                .values(state=state, finished_at=sa.func.now())
            ).rowcount
            if state == "cancelled":
                connection.execute(
                    sa.update(backfill_part)
                    .where(backfill_part.c.backfill_id == number, backfill_part.c.state == "waiting")
                    .values(state="cancelled")
                )
        return bool(found)

    def complete_months(self, aliases: Sequence[str]) -> dict[str, datetime]:
        """When each mailbox month of these accounts was last made equal to Gmail's, by partition key."""
        statement = (
            sa.select(gmail_account.c.alias, archive_month.c.month, archive_month.c.completed_at)
            .join(gmail_account, gmail_account.c.id == archive_month.c.gmail_account_id)
            .where(gmail_account.c.alias.in_(aliases), archive_month.c.completed_at.is_not(None))
        )
        with self._database.transaction() as connection:
            return {f"{alias}|{month:%Y-%m-%d}": at for alias, month, at in connection.execute(statement)}


def _backfill(connection: sa.Connection, row: sa.RowMapping) -> Backfill:
    columns = backfill_part.c
    parts = connection.execute(
        sa.select(*(columns[name] for name in BackfillPart.model_fields))
        .where(columns.backfill_id == row["id"])
        .order_by(columns.number)
    ).mappings()
    names = Backfill.model_fields.keys() - {"parts"}
    return Backfill.model_validate(
        {name: row[name] for name in names} | {"parts": [BackfillPart.model_validate(dict(part)) for part in parts]}
    )
