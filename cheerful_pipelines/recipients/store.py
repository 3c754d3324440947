"""Recipients and the problems of the last import in Postgres. Rows never leave: frozen models do."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.errors import TransientError
from cheerful_pipelines.recipients.models import (
    ImportCounts,
    ParsedRecipient,
    RecipientDiff,
    RowProblem,
    SheetWatch,
    StoredList,
    StoredRecipient,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import campaign, campaign_mark, campaign_recipient, recipient_problem


class RecipientStore:
    """Reads and writes a campaign's recipients. An import is one transaction: all of it, or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def current(self, campaign_id: UUID) -> StoredList:
        """Every stored recipient, removed ones too, with the revision they belong to."""
        statement = sa.select(*(campaign_recipient.c[name] for name in StoredRecipient.model_fields)).where(
            campaign_recipient.c.campaign_id == campaign_id
        )
        with self._database.transaction() as connection:
            revision = connection.execute(
                sa.select(campaign_mark.c.recipients_revision).where(campaign_mark.c.campaign_id == campaign_id)
            ).scalar_one()
            rows = connection.execute(statement.order_by(campaign_recipient.c.id)).mappings()
            return StoredList(
                revision=revision,
                recipients=tuple(StoredRecipient.model_validate(dict(row)) for row in rows),
            )

    def apply(
        self,
        campaign_id: UUID,
        diff: RecipientDiff,
        problems: Sequence[RowProblem],
        *,
        expected_revision: int,
        content_hash: str,
        drive_version: str,
        run_id: str,
    ) -> int:
        """Make the stored list what the sheet says, in one transaction. Returns the revision after it.

        The revision grows only where something downstream could come out differently. Raises TransientError
        where another import finished since `expected_revision` was read: the diff would be a wrong one.
        """
        with self._database.transaction() as connection:
            revision = connection.execute(
                sa.select(campaign_mark.c.recipients_revision)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .with_for_update()
            ).scalar_one()
            if revision != expected_revision:
                raise TransientError("Another import of this campaign finished meanwhile.")
            present = (*diff.added, *diff.changed, *diff.reactivated, *diff.moved)
            _upsert(connection, campaign_id, present, run_id)
            _remove(connection, [recipient.id for recipient in diff.removed], run_id)
            _replace_problems(connection, campaign_id, problems, run_id)
            revision += 1 if diff.has_news else 0
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(
                    recipients_revision=revision,
                    sheet_content_hash=content_hash,
                    sheet_drive_version=drive_version,
                    sheet_imported_at=sa.func.now(),
                )
            )
        return int(revision)

    def counts(self, campaign_id: UUID) -> ImportCounts:
        """What the last import left behind."""
        people = sa.select(
            sa.func.count().filter(campaign_recipient.c.removed_at.is_(None)),
            sa.func.count().filter(campaign_recipient.c.removed_at.is_not(None)),
        ).where(campaign_recipient.c.campaign_id == campaign_id)
        kinds = (
            sa.select(recipient_problem.c.kind, sa.func.count())
            .where(recipient_problem.c.campaign_id == campaign_id)
            .group_by(recipient_problem.c.kind)
        )
        with self._database.transaction() as connection:
            active, removed = connection.execute(people).one()
            found: dict[str, int] = {kind: count for kind, count in connection.execute(kinds)}
        return ImportCounts(
            active=active,
            removed=removed,
            rejected=found.get("rejected", 0),
            duplicate=found.get("duplicate", 0),
            no_address=found.get("no_address", 0),
        )

    def sheets_to_watch(self) -> list[SheetWatch]:
        """Sheets of active campaigns, and of completed ones that were never imported, by slug. One query."""
        statement = (
            sa.select(campaign.c.slug, campaign.c.spreadsheet_id, campaign_mark.c.sheet_drive_version)
            .join(campaign_mark, campaign_mark.c.campaign_id == campaign.c.id)
            .where(
                sa.or_(
                    campaign.c.status == "ACTIVE",
                    sa.and_(campaign.c.status == "COMPLETED", campaign_mark.c.sheet_imported_at.is_(None)),
                )
            )
            .order_by(campaign.c.slug)
        )
        with self._database.transaction() as connection:
            return [
                SheetWatch(
                    slug=row["slug"],
                    spreadsheet_id=row["spreadsheet_id"],
                    drive_version=row["sheet_drive_version"],
                )
                for row in connection.execute(statement).mappings()
            ]


def _upsert(connection: sa.Connection, campaign_id: UUID, recipients: Sequence[ParsedRecipient], run_id: str) -> None:
    if not recipients:
        return
    statement = insert(campaign_recipient)
    fresh = {
        name: statement.excluded[name]
        for name in ("email", "name", "handle", "custom_fields", "content_hash", "sheet_row", "run_id")
    }
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[campaign_recipient.c.campaign_id, campaign_recipient.c.email_key],
            set_={**fresh, "removed_at": None, "updated_at": sa.func.now()},
        ),
        [
            recipient.model_dump()
            | {"content_hash": recipient.content_hash, "campaign_id": campaign_id, "run_id": run_id}
            for recipient in recipients
        ],
    )


def _remove(connection: sa.Connection, ids: Sequence[int], run_id: str) -> None:
    """Softly: threads and numbers of a removed recipient stay."""
    if ids:
        connection.execute(
            sa.update(campaign_recipient)
            .where(campaign_recipient.c.id == sa.any_(sa.cast(list(ids), sa.ARRAY(sa.BigInteger))))
            .values(removed_at=sa.func.now(), updated_at=sa.func.now(), run_id=run_id)
        )


def _replace_problems(
    connection: sa.Connection, campaign_id: UUID, problems: Sequence[RowProblem], run_id: str
) -> None:
    """The table holds the last import's problems only; row numbers of an older sheet would mislead."""
    connection.execute(sa.delete(recipient_problem).where(recipient_problem.c.campaign_id == campaign_id))
    if problems:
        connection.execute(
            insert(recipient_problem).on_conflict_do_nothing(),
            [problem.model_dump() | {"campaign_id": campaign_id, "run_id": run_id} for problem in problems],
        )
