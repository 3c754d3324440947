"""Recipients, their versions and the log of imports in Postgres. Rows never leave: frozen models do."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import SOURCE_FIELDS, Campaign
from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.recipients import queries
from cheerful_pipelines.recipients.models import (
    AppliedImport,
    ImportRecord,
    ListedRecipient,
    ParsedRecipient,
    RecipientDiff,
    RowProblem,
    SheetLayout,
    SheetWatch,
    StoredList,
    StoredRecipient,
    Suppression,
)
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import ErasedPeople, erased_people
from cheerful_pipelines.storage.outcome_news import note_recipients
from cheerful_pipelines.storage.schema.campaigns import campaign, campaign_mark
from cheerful_pipelines.storage.schema.recipients import campaign_recipient, recipient_import, recipient_problem

_ROWS_A_STATEMENT = 5_000
OWN_WRITE_LASTS_AT_MOST = timedelta(minutes=5)
"""A write of ours that died is forgotten after this long: the sheet is watched again."""


class RecipientStore:
    """Reads and writes a campaign's recipients. An import is one transaction: all of it, or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- what an import needs to know ---

    def current(self, campaign_id: UUID) -> StoredList:
        """Every stored recipient, removed ones too, with the revision they belong to."""
        statement = sa.select(*(campaign_recipient.c[name] for name in StoredRecipient.model_fields)).where(
            campaign_recipient.c.campaign_id == campaign_id, campaign_recipient.c.erased_at.is_(None)
        )
        with self._database.transaction() as connection:
            # The revision first: an import that finishes in between makes `apply` refuse, never the other way.
            revision = connection.execute(
                sa.select(campaign_mark.c.recipients_revision).where(campaign_mark.c.campaign_id == campaign_id)
            ).scalar_one()
            rows = connection.execute(statement.order_by(campaign_recipient.c.id)).mappings()
            return StoredList(
                revision=revision,
                recipients=tuple(StoredRecipient.model_validate(dict(row)) for row in rows),
            )

    def suppressions(self, user_id: UUID) -> dict[str, Suppression]:
        """Everyone whom no campaign of this client may write to, by address key: opted out, or hard-bounced."""
        with self._database.transaction() as connection:
            bounced = connection.execute(sa.text(queries.HARD_BOUNCES), {"user_id": user_id}).all()
            left = connection.execute(sa.text(queries.OPT_OUTS), {"user_id": user_id}).all()
        found = {key: Suppression(reason="hard_bounce", campaign=slug) for key, slug in bounced}
        return found | {key: Suppression(reason="opted_out", campaign=slug) for key, slug in left}

    def erased_people(self, user_id: UUID, hash_key: str | None) -> ErasedPeople:
        """Whom an import must leave out."""
        with self._database.transaction() as connection:
            return erased_people(connection, user_id, key_hex=hash_key)

    def elsewhere(self, campaign_id: UUID, user_id: UUID, keys: Sequence[str]) -> dict[str, tuple[str, int]]:
        """Which of these people another active campaign of the client lists: key to (slug, row)."""
        parameters = {"user_id": user_id, "campaign_id": campaign_id, "keys": list(keys)}
        with self._database.transaction() as connection:
            rows = connection.execute(sa.text(queries.ELSEWHERE), parameters)
            return {key: (slug, number) for key, slug, number in rows}

    # --- the import ---

    def apply(
        self,
        imported: Campaign,
        diff: RecipientDiff,
        problems: Sequence[RowProblem],
        *,
        expected_revision: int,
        record: ImportRecord,
    ) -> AppliedImport:
        """Make the stored list what the sheet says, in one transaction.

        The revision grows only where something downstream could come out differently. Raises TransientError
        where another import finished since `expected_revision` was read, or where the campaign was told to read
        another sheet than `imported` names: the diff would be a wrong one.
        """
        campaign_id = imported.id
        with self._database.transaction() as connection:
            revision, at = connection.execute(
                sa.select(campaign_mark.c.recipients_revision, sa.func.clock_timestamp())
                .where(campaign_mark.c.campaign_id == campaign_id)
                .with_for_update()
            ).one()
            if revision != expected_revision:
                raise TransientError("Another import of this campaign finished meanwhile.")
            if not _reads_the_same(connection, imported):
                raise TransientError("The campaign was told to read another sheet meanwhile.")
            run = {"campaign_id": campaign_id, "run_id": record.run_id, "at": at}
            import_id = connection.execute(_import_row(record, campaign_id, at)).scalar_one()
            ids = _write_people(connection, diff, run, import_id)
            _replace_problems(connection, campaign_id, problems, record.run_id)
            revision += 1 if diff.has_news else 0
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign_id)
                .values(
                    recipients_revision=revision,
                    sheet_content_hash=record.content_hash,
                    sheet_drive_version=record.drive_version,
                    sheet_imported_at=at,
                )
            )
        return AppliedImport(import_id=import_id, revision=revision, ids=ids)

    # --- what a person or a check asks for ---

    def newest_import(self, campaign_id: UUID) -> ImportRecord | None:
        """The last import as the log keeps it."""
        statement = (
            sa.select(recipient_import)
            .where(recipient_import.c.campaign_id == campaign_id)
            .order_by(recipient_import.c.id.desc())
            .limit(1)
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            return None
        layout = SheetLayout(headers=row["headers"], fields=row["fields"])
        return ImportRecord.model_validate({**row, "layout": layout})

    def listed(self, campaign_id: UUID, *, instant: datetime) -> list[ListedRecipient]:
        """The list as it was imported at that instant, by row. A column of no account shows its newest value."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.text(queries.AS_OF), {"campaign_id": campaign_id, "instant": instant})
            return [ListedRecipient.model_validate(dict(row)) for row in rows.mappings()]

    def problems(self, campaign_id: UUID) -> list[RowProblem]:
        """What the last import could not take, by row."""
        statement = (
            sa.select(recipient_problem)
            .where(recipient_problem.c.campaign_id == campaign_id)
            .order_by(recipient_problem.c.sheet_row, recipient_problem.c.kind)
        )
        with self._database.transaction() as connection:
            return [RowProblem.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

    # --- which sheets to look at ---

    def sheets_to_watch(self) -> list[SheetWatch]:
        """Sheets of active campaigns, and of completed ones that were never imported, by slug. One query."""
        mark = campaign_mark.c
        statement = (
            sa.select(
                campaign.c.slug,
                campaign.c.spreadsheet_id,
                mark.sheet_drive_version.label("drive_version"),
                mark.sheet_source_revision.label("source_revision"),
                sa.func.coalesce(mark.own_write_until > sa.func.now(), sa.false()).label("is_being_written"),
            )
            .join(campaign_mark, mark.campaign_id == campaign.c.id)
            .where(
                sa.or_(
                    campaign.c.status == "ACTIVE",
                    sa.and_(campaign.c.status == "COMPLETED", mark.sheet_imported_at.is_(None)),
                )
            )
            .order_by(campaign.c.slug)
        )
        with self._database.transaction() as connection:
            return [SheetWatch.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

    # --- our own writes into a client's spreadsheet ---

    def announce_own_write(self, spreadsheet_id: str) -> list[str]:
        """Campaigns that read this spreadsheet are not looked at until `confirm_own_write`. Returns their slugs."""
        with self._database.transaction() as connection:
            readers = _readers_of(spreadsheet_id)
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id.in_(readers))
                .values(own_write_until=sa.func.now() + OWN_WRITE_LASTS_AT_MOST)
            )
            slugs = sa.select(campaign.c.slug).where(campaign.c.id.in_(readers)).order_by(campaign.c.slug)
            return list(connection.execute(slugs).scalars())

    def confirm_own_write(self, spreadsheet_id: str, *, as_imported: Sequence[tuple[UUID, str, str]] = ()) -> None:
        """The write is over. `as_imported`: (campaign, version before, version now) whose cells are as they were.

        A campaign that was imported anew meanwhile keeps the version of that import.
        """
        with self._database.transaction() as connection:
            for campaign_id, before, now in as_imported:
                connection.execute(
                    sa.update(campaign_mark)
                    .where(campaign_mark.c.campaign_id == campaign_id, campaign_mark.c.sheet_drive_version == before)
                    .values(sheet_drive_version=now)
                )
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id.in_(_readers_of(spreadsheet_id)))
                .values(own_write_until=None)
            )


def _reads_the_same(connection: sa.Connection, imported: Campaign) -> bool:
    row = connection.execute(
        sa.select(*(campaign.c[name] for name in SOURCE_FIELDS)).where(campaign.c.id == imported.id)
    ).one()
    given = imported.model_dump(mode="json")
    return all(row[n] == given[name] for n, name in enumerate(SOURCE_FIELDS) if name != "column_mapping") and (
        Campaign.model_validate(given | {"column_mapping": row.column_mapping}).column_mapping
        == imported.column_mapping
    )


def _readers_of(spreadsheet_id: str) -> sa.Select[tuple[UUID]]:
    return sa.select(campaign.c.id).where(campaign.c.spreadsheet_id == spreadsheet_id)


def _import_row(record: ImportRecord, campaign_id: UUID, at: datetime) -> Any:
    row = record.model_dump(exclude={"layout"}) | record.layout.model_dump()
    return (
        insert(recipient_import)
        .values(campaign_id=campaign_id, imported_at=at, **row | {"drift": list(record.drift)})
        .returning(recipient_import.c.id)
    )


def _write_people(
    connection: sa.Connection, diff: RecipientDiff, run: dict[str, Any], import_id: int
) -> dict[str, int]:
    """People and their versions. Returns the ids of everyone touched, by address key."""
    news = (*diff.added, *diff.changed, *diff.reactivated)
    quiet = (*diff.refreshed, *diff.flagged, *diff.moved)
    ids = _upsert(connection, (*news, *quiet), diff, run)
    removed = {recipient.email_key: recipient.id for recipient in diff.removed}
    _remove(connection, list(removed.values()), run)
    changed = [ids[recipient.email_key] for recipient in diff.changed]
    _on_ids(connection, queries.CLOSE_VERSIONS, [*changed, *removed.values()], at=run["at"])
    new = [ids[recipient.email_key] for recipient in news]
    flagged = [ids[recipient.email_key] for recipient in diff.flagged]
    note_recipients(connection, [*new, *removed.values(), *flagged])
    _on_ids(connection, queries.OPEN_VERSIONS, new, at=run["at"], import_id=import_id)
    _on_ids(connection, queries.REFRESH_VERSIONS, [ids[recipient.email_key] for recipient in quiet])
    return ids | removed


def _upsert(
    connection: sa.Connection,
    recipients: Iterable[ParsedRecipient],
    diff: RecipientDiff,
    run: dict[str, Any],
) -> dict[str, int]:
    ids: dict[str, int] = {}
    for part in in_batches(recipients, _ROWS_A_STATEMENT):
        rows = [_recipient_row(recipient, diff) for recipient in part]
        answer = connection.execute(sa.text(queries.UPSERT), {**run, "rows": json.dumps(rows)})
        ids.update({key: number for key, number in answer})
    return ids


def _recipient_row(recipient: ParsedRecipient, diff: RecipientDiff) -> dict[str, Any]:
    row = diff.suppressed.get(recipient.email_key)
    suppression = row.suppression if row else None
    return {
        "email_key": recipient.email_key,
        "email": recipient.email,
        "name": recipient.name,
        "handle": recipient.handle,
        "custom_fields": recipient.custom_fields,
        "content_hash": recipient.content_hash,
        "custom_hash": recipient.custom_hash,
        "sheet_row": recipient.sheet_row,
        "suppressed_reason": suppression.reason if suppression else None,
        "suppressed_in": suppression.campaign if suppression else None,
    }


def _remove(connection: sa.Connection, ids: list[int], run: dict[str, Any]) -> None:
    """Softly: threads and numbers of a removed recipient stay."""
    if ids:
        connection.execute(
            sa.update(campaign_recipient)
            .where(campaign_recipient.c.id == sa.any_(sa.cast(ids, sa.ARRAY(sa.BigInteger))))
            .values(removed_at=run["at"], updated_at=run["at"], run_id=run["run_id"])
        )


def _on_ids(connection: sa.Connection, sql: str, ids: list[int], **parameters: Any) -> None:
    if ids:
        connection.execute(sa.text(sql), {"ids": ids, **parameters})


def _replace_problems(
    connection: sa.Connection, campaign_id: UUID, problems: Sequence[RowProblem], run_id: str
) -> None:
    """The table holds the last import's problems only; row numbers of an older sheet would mislead."""
    connection.execute(sa.delete(recipient_problem).where(recipient_problem.c.campaign_id == campaign_id))
    for part in in_batches(problems, _ROWS_A_STATEMENT):
        connection.execute(
            insert(recipient_problem),
            [problem.model_dump() | {"campaign_id": campaign_id, "run_id": run_id} for problem in part],
        )
