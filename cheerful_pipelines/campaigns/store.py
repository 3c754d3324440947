"""Clients, campaigns, accounts, senders and their marks in Postgres. Rows never leave: frozen models do."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.addresses import address_key
from cheerful_pipelines.campaigns.models import SOURCE_FIELDS, AccountMark, Campaign, CampaignMark, Client, GmailAccount
from cheerful_pipelines.errors import NotFoundError, PermanentError
from cheerful_pipelines.storage import secrets
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import (
    account_mark,
    archive_month,
    campaign,
    campaign_mark,
    campaign_sender,
    client,
    gmail_account,
    gmail_account_identity,
    passed_over_message,
    users,
)


def database_of_campaign(database: Database, slug: str) -> Database:
    """The database as the campaign's client may see it. Raises NotFoundError."""
    return database.for_client(CampaignStore(database).campaign(slug).user_id)


def database_of_account(database: Database, alias: str) -> Database:
    """The database as the mailbox's client may see it. Raises NotFoundError."""
    return database.for_client(CampaignStore(database).account(alias).user_id)


class CampaignStore:
    """Reads and writes the registry. Every write is an upsert by slug or alias: twice equals once."""

    def __init__(self, database: Database) -> None:
        # The registry is where one learns whose a campaign is: it knows every client, unless it is handed one's.
        self._database = database if database.scope is not None else database.for_every_client()

    # --- clients and campaigns ---

    def add_client(self, *, slug: str, name: str, user_id: UUID | None = None) -> Client:
        """Make the client, its auth.users row first; an existing slug is returned as it is."""
        with self._database.transaction() as connection:
            found = connection.execute(sa.select(client).where(client.c.slug == slug)).mappings().one_or_none()
            if found is None:
                new_id = user_id or uuid4()
                connection.execute(insert(users).values(id=new_id).on_conflict_do_nothing())
                connection.execute(insert(client).values(user_id=new_id, slug=slug, name=name))
                return Client(user_id=new_id, slug=slug, name=name)
            return Client(user_id=found["user_id"], slug=found["slug"], name=found["name"])

    def add_campaign(
        self,
        *,
        client_slug: str,
        slug: str,
        name: str,
        campaign_type: str,
        status: str,
        starts_at: datetime,
        spreadsheet_id: str,
        ends_at: datetime | None = None,
        time_zone: str = "UTC",
        sheet_tab: str | None = None,
        sheet_gid: int | None = None,
        sheet_range: str | None = None,
        header_row: int | None = None,
        column_mapping: Mapping[str, str | Sequence[str]] | None = None,
        writes_problems_tab: bool = False,
        llm_local_only: bool = False,
        metrics_spreadsheet_id: str | None = None,
        sender_aliases: Sequence[str] = (),
    ) -> Campaign:
        """Make or update a campaign by slug and let the named accounts send for it.

        Raises NotFoundError for an unknown client or account, PermanentError for a slug of another client's.
        """
        values: dict[str, Any] = {
            "name": name,
            "campaign_type": campaign_type,
            "status": status,
            "starts_at": starts_at,
            "ends_at": ends_at,
            "time_zone": time_zone,
            "spreadsheet_id": spreadsheet_id,
            "sheet_tab": sheet_tab,
            "sheet_gid": sheet_gid,
            "sheet_range": sheet_range,
            "header_row": header_row,
            "column_mapping": dict(column_mapping or {}),
            "writes_problems_tab": writes_problems_tab,
            "llm_local_only": llm_local_only,
            "metrics_spreadsheet_id": metrics_spreadsheet_id,
        }
        with self._database.transaction() as connection:
            user_id = connection.execute(
                sa.select(client.c.user_id).where(client.c.slug == client_slug)
            ).scalar_one_or_none()
            if user_id is None:
                raise NotFoundError(f"There is no client {client_slug!r}.", what_to_do="Add it first.")
            before = connection.execute(sa.select(campaign).where(campaign.c.slug == slug)).mappings().one_or_none()
            if before is not None and before["user_id"] != user_id:
                raise PermanentError(
                    f"The campaign {slug!r} belongs to another client than {client_slug!r}.",
                    what_to_do="Choose another short name.",
                )
            statement = insert(campaign).values(id=uuid4(), user_id=user_id, slug=slug, **values)
            campaign_id = connection.execute(
                statement.on_conflict_do_update(index_elements=[campaign.c.slug], set_=values).returning(campaign.c.id)
            ).scalar_one()
            connection.execute(insert(campaign_mark).values(campaign_id=campaign_id).on_conflict_do_nothing())
            # through JSON, since the stored mapping holds lists where the given one may hold tuples
            if before is not None and any(_json(before[name]) != _json(values[name]) for name in SOURCE_FIELDS):
                connection.execute(
                    sa.update(campaign_mark)
                    .where(campaign_mark.c.campaign_id == campaign_id)
                    .values(
                        sheet_drive_version=None,  # the unchanged file is to be read again
                        sheet_source_revision=campaign_mark.c.sheet_source_revision + 1,
                    )
                )
            for alias in sender_aliases:
                account_id = connection.execute(
                    sa.select(gmail_account.c.id).where(
                        gmail_account.c.alias == alias, gmail_account.c.user_id == user_id
                    )
                ).scalar_one_or_none()
                if account_id is None:
                    raise NotFoundError(
                        f"Client {client_slug!r} has no Gmail account {alias!r}.",
                        what_to_do="Add it first: cheerful accounts add.",
                    )
                connection.execute(
                    insert(campaign_sender)
                    .values(campaign_id=campaign_id, gmail_account_id=account_id)
                    .on_conflict_do_nothing()
                )
        return self.campaign(slug)

    def campaigns(self, *, statuses: Sequence[str] | None = None) -> list[Campaign]:
        """All campaigns by slug, or those in the given statuses."""
        statement = sa.select(campaign).order_by(campaign.c.slug)
        if statuses is not None:
            statement = statement.where(campaign.c.status.in_(statuses))
        with self._database.transaction() as connection:
            return [_campaign(row) for row in connection.execute(statement).mappings()]

    def campaign(self, slug: str) -> Campaign:
        """One campaign. Raises NotFoundError."""
        with self._database.transaction() as connection:
            row = connection.execute(sa.select(campaign).where(campaign.c.slug == slug)).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"There is no campaign {slug!r}.", what_to_do="See: cheerful campaigns list.")
        return _campaign(row)

    def clients(self) -> list[Client]:
        """All clients by slug."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.select(client).order_by(client.c.slug)).mappings()
            return [Client(user_id=row["user_id"], slug=row["slug"], name=row["name"]) for row in rows]

    # --- accounts ---

    def add_account(
        self,
        *,
        client_slug: str,
        alias: str,
        address: str,
        credentials_json: str | None = None,
        credentials_key: str | None = None,
        identities: Sequence[str] = (),
        scope: str | None = None,
    ) -> GmailAccount:
        """Make or update a mailbox by alias. Credentials are sealed before they reach the database.

        `scope` None: as it is; a new account's is `campaign`. One that becomes `all` has its months read again.
        """
        values: dict[str, Any] = {"address": address, "address_key": address_key(address)}
        if scope is not None:
            values["scope"] = scope
        if credentials_json is not None and credentials_key is not None:
            values["sealed_credentials"] = secrets.seal(credentials_json, key_hex=credentials_key)
            values["status"] = "active"
            values["status_reason"] = None
        with self._database.transaction() as connection:
            user_id = connection.execute(
                sa.select(client.c.user_id).where(client.c.slug == client_slug)
            ).scalar_one_or_none()
            if user_id is None:
                raise NotFoundError(f"There is no client {client_slug!r}.", what_to_do="Add it first.")
            was_narrow = connection.execute(
                sa.select(gmail_account.c.id).where(gmail_account.c.alias == alias, gmail_account.c.scope == "campaign")
            ).scalar_one_or_none()
            if was_narrow is not None and scope == "all":
                # What was passed over is wanted now: months that were complete no longer are.
                for table in (passed_over_message, archive_month):
                    connection.execute(sa.delete(table).where(table.c.gmail_account_id == was_narrow))
                connection.execute(
                    sa.update(account_mark)
                    .where(account_mark.c.gmail_account_id == was_narrow)
                    .values(archive_complete_from=None)
                )
            statement = insert(gmail_account).values(id=uuid4(), user_id=user_id, alias=alias, **values)
            account_id = connection.execute(
                statement.on_conflict_do_update(index_elements=[gmail_account.c.alias], set_=values).returning(
                    gmail_account.c.id
                )
            ).scalar_one()
            connection.execute(insert(account_mark).values(gmail_account_id=account_id).on_conflict_do_nothing())
            for source, known in (("account", [address]), ("send_as", identities)):
                for item in known:
                    connection.execute(
                        insert(gmail_account_identity)
                        .values(gmail_account_id=account_id, address_key=address_key(item), source=source)
                        .on_conflict_do_nothing()
                    )
        return self.account(alias)

    def accounts(self, *, campaign_id: UUID | None = None) -> list[GmailAccount]:
        """All accounts by alias, or the senders of one campaign."""
        statement = (
            sa.select(gmail_account, sa.func.array_agg(gmail_account_identity.c.address_key).label("identity_keys"))
            .join(gmail_account_identity, gmail_account_identity.c.gmail_account_id == gmail_account.c.id)
            .group_by(gmail_account.c.id)
            .order_by(gmail_account.c.alias)
        )
        if campaign_id is not None:
            statement = statement.join(campaign_sender, campaign_sender.c.gmail_account_id == gmail_account.c.id).where(
                campaign_sender.c.campaign_id == campaign_id
            )
        with self._database.transaction() as connection:
            return [_account(row) for row in connection.execute(statement).mappings()]

    def account(self, alias: str) -> GmailAccount:
        """One account. Raises NotFoundError."""
        found = [account for account in self.accounts() if account.alias == alias]
        if not found:
            raise NotFoundError(f"There is no Gmail account {alias!r}.", what_to_do="See: cheerful accounts list.")
        return found[0]

    def account_credentials(self, account_id: UUID, *, keys: Sequence[str]) -> str | None:
        """The account's credentials JSON, unsealed by one of the keys. Raises ConfigurationError for another key."""
        with self._database.transaction() as connection:
            sealed = connection.execute(
                sa.select(gmail_account.c.sealed_credentials).where(gmail_account.c.id == account_id)
            ).scalar_one()
        return None if sealed is None else secrets.unseal(sealed, keys=keys)

    def reseal_credentials(self, *, keys: Sequence[str]) -> int:
        """Seal all stored credentials with the first of the keys, in one transaction; returns how many there are."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(gmail_account.c.id, gmail_account.c.sealed_credentials)
                .where(gmail_account.c.sealed_credentials.is_not(None))
                .with_for_update()
            ).all()
            for account_id, sealed in rows:
                opened = secrets.unseal(sealed, keys=keys)
                connection.execute(
                    sa.update(gmail_account)
                    .where(gmail_account.c.id == account_id)
                    .values(sealed_credentials=secrets.seal(opened, key_hex=keys[0]))
                )
        return len(rows)

    def set_account_status(self, account_id: UUID, *, status: str, reason: str | None) -> bool:
        """Change the status. True where it was another before: the moment for one alert."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                sa.update(gmail_account)
                .where(gmail_account.c.id == account_id, gmail_account.c.status != status)
                .values(status=status, status_reason=reason)
            ).rowcount
        return bool(changed)

    def set_account_not_before(self, account_id: UUID, *, not_before: datetime | None) -> None:
        """Throttled: the sensor leaves the account alone until then."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(gmail_account).where(gmail_account.c.id == account_id).values(not_before=not_before)
            )

    # --- marks ---

    def note_in_step(self, aliases: Sequence[str]) -> None:
        """Gmail just said that these mailboxes have nothing newer than their live mark."""
        if not aliases:
            return
        ids = sa.select(gmail_account.c.id).where(gmail_account.c.alias.in_(aliases))
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(account_mark).where(account_mark.c.gmail_account_id.in_(ids)).values(in_step_at=sa.func.now())
            )

    def account_mark(self, account_id: UUID) -> AccountMark:
        """How far the mailbox has come."""
        with self._database.transaction() as connection:
            row = (
                connection.execute(sa.select(account_mark).where(account_mark.c.gmail_account_id == account_id))
                .mappings()
                .one()
            )
        return AccountMark.model_validate({name: row[name] for name in AccountMark.model_fields})

    def campaign_mark(self, campaign_id: UUID) -> CampaignMark:
        """How far the campaign has come."""
        with self._database.transaction() as connection:
            row = (
                connection.execute(sa.select(campaign_mark).where(campaign_mark.c.campaign_id == campaign_id))
                .mappings()
                .one()
            )
        return CampaignMark.model_validate({name: row[name] for name in CampaignMark.model_fields})


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _campaign(row: sa.RowMapping) -> Campaign:
    return Campaign.model_validate({name: row[name] for name in Campaign.model_fields})


def _account(row: sa.RowMapping) -> GmailAccount:
    return GmailAccount.model_validate({name: row[name] for name in GmailAccount.model_fields})
