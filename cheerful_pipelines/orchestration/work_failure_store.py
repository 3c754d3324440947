"""Failed work per unit, in Postgres: the table `work_failure`. A row is kept from the first failure to the success."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.orchestration.retries import MAILBOX_KINDS, FailureClass, WorkFailure, wait_after
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign, gmail_account
from cheerful_pipelines.storage.schema.orchestration import work_failure

_ABANDONED = sa.text("""
    delete from work_failure f
     where (split_part(f.unit, ':', 1) = any(:mailbox_kinds) and not exists (
              select from gmail_account a where a.alias = split_part(f.unit, ':', 2) and a.status <> 'paused'))
        or (split_part(f.unit, ':', 1) in ('campaign', 'export', 'report', 'batch') and not exists (
              select from campaign c where c.slug = split_part(f.unit, ':', 2) and c.status <> 'DRAFT'))
        or (split_part(f.unit, ':', 1) = 'count' and not exists (
              select from campaign c where c.slug = split_part(f.unit, ':', 2) and c.status = 'ACTIVE'))
        or (split_part(f.unit, ':', 1) = 'sheet' and not exists (
              select from campaign c left join campaign_mark m on m.campaign_id = c.id
               where c.slug = split_part(f.unit, ':', 2)
                 and (c.status = 'ACTIVE' or (c.status = 'COMPLETED' and m.sheet_imported_at is null))))
    returning f.unit
""")
"""Late mail of a completed campaign is still counted, so its own unit and its exports keep their waits."""
_LONGEST_SUMMARY = 500
_SHORTEST_NAMED_WAIT = timedelta(seconds=30)


class WorkFailureStore:
    """Reads and writes failures. Recording the same run's failure twice counts it once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def failures(self, *kinds: str) -> dict[str, WorkFailure]:
        """By unit: all, or those of some kinds (`mailbox`, `sheet`, ...). One query."""
        statement = sa.select(work_failure).order_by(work_failure.c.unit)
        if kinds:
            statement = statement.where(sa.func.split_part(work_failure.c.unit, ":", 1).in_(kinds))
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings()
            return {row["unit"]: WorkFailure.model_validate(dict(row)) for row in rows}

    def record(
        self,
        unit: str,
        failure_class: FailureClass,
        *,
        at: datetime,
        error: str = "",
        summary: str = "",
        what_to_do: str = "",
        run_id: str | None = None,
        watermark: str | None = None,
        not_before: datetime | None = None,
    ) -> WorkFailure:
        """Write that one attempt at one unit failed, and when the next is due: by the table, or at `not_before`."""
        with self._database.transaction() as connection:
            before = (
                connection.execute(sa.select(work_failure).where(work_failure.c.unit == unit).with_for_update())
                .mappings()
                .one_or_none()
            )
            if before is not None and run_id is not None and before["run_id"] == run_id:
                return WorkFailure.model_validate(dict(before))
            same_class = before is not None and before["failure_class"] == failure_class
            attempts = before["attempts"] + 1 if before is not None and same_class else 1
            values = {
                "user_id": _owner(connection, unit),
                "failure_class": failure_class,
                "error": error,
                "attempts": attempts,
                "changes_failed": _changes_failed(before, watermark),
                "failed_at": at,
                "next_try_at": _next_try(failure_class, attempts, at, not_before),
                "run_id": run_id,
                "watermark": watermark if watermark is not None or before is None else before["watermark"],
                "summary": summary[:_LONGEST_SUMMARY],
                "what_to_do": what_to_do[:_LONGEST_SUMMARY],
            }
            statement = insert(work_failure).values(unit=unit, first_failed_at=at, **values)
            row = connection.execute(
                statement.on_conflict_do_update(index_elements=[work_failure.c.unit], set_=values).returning(
                    work_failure
                )
            ).mappings()
            return WorkFailure.model_validate(dict(row.one()))

    def make_due(self, units: Collection[str], *, at: datetime) -> None:
        """A person has repaired what these units failed of: their next try is due now, unless Google named a time.

        Their rows stay until a run succeeds: without them the failed run would be written down again, with its wait.
        """
        if not units:
            return
        columns = work_failure.c
        statement = (
            sa.update(work_failure)
            .where(columns.unit.in_(sorted(units)), columns.next_try_at > at, columns.failure_class != "throttled")
            .values(next_try_at=at)
        )
        with self._database.transaction() as connection:
            connection.execute(statement)

    def make_mailbox_due(self, alias: str, *, at: datetime) -> None:
        """A mailbox was connected again, or works again: whatever kind of its work failed is due now."""
        self.make_due([f"{kind}:{alias}" for kind in MAILBOX_KINDS], at=at)

    def clear(self, units: Collection[str]) -> int:
        """These units are up to date: nothing of theirs fails. Returns how many had failed."""
        if not units:
            return 0
        with self._database.transaction() as connection:
            return int(
                connection.execute(sa.delete(work_failure).where(work_failure.c.unit.in_(sorted(units)))).rowcount
            )

    def forget_abandoned(self) -> list[str]:
        """Delete what nobody works on any more, and return its units: of mailboxes that are paused or gone, of sheets
        of completed campaigns, and of campaigns that are drafts or gone. Once resumed, they begin without a failure.
        """
        with self._database.transaction() as connection:
            return sorted(connection.execute(_ABANDONED, {"mailbox_kinds": list(MAILBOX_KINDS)}).scalars())


def _changes_failed(before: sa.RowMapping | None, watermark: str | None) -> int:
    """Changed work counts; the same work that failed again begins anew; a poll, which has no work, changes nothing."""
    if before is None:
        return 0
    if watermark is None or before["watermark"] is None:
        return int(before["changes_failed"])
    return int(before["changes_failed"]) + 1 if watermark != before["watermark"] else 0


def _next_try(failure_class: FailureClass, attempts: int, at: datetime, not_before: datetime | None) -> datetime:
    """By the table; where Google named a time, that counts, but never less than half a minute from now."""
    if not_before is None:
        return at + wait_after(failure_class, attempts)
    return max(not_before, at + _SHORTEST_NAMED_WAIT)


def _owner(connection: sa.Connection, unit: str) -> UUID | None:
    """The client of a unit, told by its name: an alias or a slug stands behind the kind."""
    kind, _, name = unit.partition(":")
    table, key = (gmail_account, "alias") if kind in MAILBOX_KINDS else (campaign, "slug")
    found: UUID | None = connection.execute(
        sa.select(table.c.user_id).where(table.c[key] == name.partition(":")[0])
    ).scalar_one_or_none()
    return found
