"""Clients, campaigns, accounts, senders and their marks in Postgres. Rows never leave: frozen models do."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns import registry_store as registry
from cheerful_pipelines.campaigns.models import (
    SOURCE_FIELDS,
    AccountMark,
    Campaign,
    CampaignMark,
    Client,
    GmailAccount,
    missing_mark,
)
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.errors import AuthError, CheerfulError, ConfigurationError, NotFoundError, PermanentError
from cheerful_pipelines.core.short_names import require_short_name
from cheerful_pipelines.storage import secrets
from cheerful_pipelines.storage.engine import EVERY_CLIENT, Database
from cheerful_pipelines.storage.schema.campaigns import (
    campaign,
    campaign_mark,
    campaign_sender,
    client,
    gmail_account,
    gmail_account_identity,
    users,
)
from cheerful_pipelines.storage.schema.mail import account_mark, archive_month, passed_over_message
from cheerful_pipelines.storage.schema.recipients import campaign_recipient


def database_of_campaign(database: Database, slug: str) -> Database:
    """The database as the campaign's client may see it. Raises NotFoundError."""
    return database.for_client(CampaignStore(database).campaign(slug).user_id)


def database_of_account(database: Database, alias: str) -> Database:
    """The database as the mailbox's client may see it. Raises NotFoundError."""
    return database.for_client(CampaignStore(database).account(alias).user_id)


class Resealed(NamedTuple):
    """What `reseal_credentials` did."""

    opened: int
    failed: Mapping[str, CheerfulError]
    """Why the credentials of these mailboxes (by alias) could not be opened."""


class CampaignStore:
    """Reads and writes the registry. Every write is an upsert by slug or alias: twice equals once."""

    def __init__(self, database: Database) -> None:
        # The registry is where one learns whose a campaign is: it knows every client, unless it is handed one's.
        self._database = database if database.scope is not None else database.for_every_client()

    @contextmanager
    def _registration(self) -> Iterator[sa.Connection]:
        """A transaction that sees every client, one at a time: only so can it be told what is another's."""
        if self._database.scope != EVERY_CLIENT:
            raise ValueError("Clients, campaigns and accounts are registered with database.for_every_client().")
        with self._database.transaction() as connection:
            registry.lock(connection)
            yield connection

    # --- clients and campaigns ---

    def add_client(self, *, slug: str, name: str, user_id: UUID | None = None) -> Client:
        """Make the client, its auth.users row first; an existing slug is returned as it is.

        Raises ConfigurationError for a slug without the form of short names, PermanentError for a `user_id` that is
        another client's.
        """
        with self._registration() as connection:
            found = connection.execute(sa.select(client).where(client.c.slug == slug)).mappings().one_or_none()
            if found is None:
                require_short_name(slug, of="client")
                new_id = user_id or uuid4()
                if connection.execute(sa.select(client.c.slug).where(client.c.user_id == new_id)).first() is not None:
                    raise PermanentError(
                        f"User {new_id} is another client already.", what_to_do="See: cheerful clients list."
                    )
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

        Raises NotFoundError for an unknown client or account, PermanentError for a slug or spreadsheet of another
        client's, ConfigurationError for a new slug without the form of short names.
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
        with self._registration() as connection:
            sheets = {one for one in (spreadsheet_id, metrics_spreadsheet_id) if one}
            user_id, sender_ids = registry.claim_campaign(connection, client_slug, slug, sheets, sender_aliases)
            before = connection.execute(sa.select(campaign).where(campaign.c.slug == slug)).mappings().one_or_none()
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
            for account_id in sender_ids:
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

    def client(self, slug: str) -> Client:
        """One client. Raises NotFoundError that lists the clients there are."""
        with self._database.transaction() as connection:
            user_id = registry.client_id(connection, slug)
        return next(one for one in self.clients() if one.user_id == user_id)

    def name_client(self, slug: str, name: str) -> Client:
        """Give a client another readable name. Raises NotFoundError."""
        with self._registration() as connection:
            user_id = registry.client_id(connection, slug)
            connection.execute(sa.update(client).where(client.c.user_id == user_id).values(name=name))
        return self.client(slug)

    def client_slugs(self) -> dict[UUID, str]:
        """Short name by user id, for listings."""
        return {one.user_id: one.slug for one in self.clients()}

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
        replace_address: bool = False,
    ) -> GmailAccount:
        """Make or update a mailbox by alias. Credentials are sealed before they reach the database.

        `scope` None: as it is; a new account's is `campaign`. One that becomes `all` has its months read again.
        `replace_address`: the alias becomes another mailbox, which begins without marks; what the old one had stays
        below another alias (`registry_store.retire_account`).

        Raises NotFoundError for an unknown client; PermanentError for an alias of another client's, a known alias with
        another address, and a mailbox that is connected already; ConfigurationError for a new alias without the form.
        """
        values: dict[str, Any] = {"address": address, "address_key": address_key(address)}
        if scope is not None:
            values["scope"] = scope
        if credentials_json is not None and credentials_key is not None:
            values["sealed_credentials"] = secrets.seal(credentials_json, key_hex=credentials_key)
            values["status"] = "active"
            values["status_reason"] = None
        with self._registration() as connection:
            known, user_id = registry.claim_account(
                connection, client_slug, alias, address, identities, replace_address=replace_address
            )
            retired = None
            if known is not None and known.address_key != address_key(address):
                retired = registry.retire_account(connection, known, alias=alias)
                values.setdefault("scope", known.scope)
            elif known is not None and known.scope == "campaign" and scope == "all":
                _widen_scope(connection, known.id)
            statement = insert(gmail_account).values(id=uuid4(), user_id=user_id, alias=alias, **values)
            account_id = connection.execute(
                statement.on_conflict_do_update(index_elements=[gmail_account.c.alias], set_=values).returning(
                    gmail_account.c.id
                )
            ).scalar_one()
            connection.execute(insert(account_mark).values(gmail_account_id=account_id).on_conflict_do_nothing())
            if retired is not None:
                _take_over(connection, account_id, *retired)
            for source, addresses in (("account", [address]), ("send_as", identities)):
                for item in addresses:
                    connection.execute(
                        insert(gmail_account_identity)
                        .values(gmail_account_id=account_id, address_key=address_key(item), source=source)
                        .on_conflict_do_nothing()
                    )
        return self.account(alias)

    def check_account(
        self, *, client_slug: str, alias: str, address: str, identities: Sequence[str], replace_address: bool
    ) -> None:
        """Raise what `add_account` would for these, and write nothing: before a browser or Google is asked."""
        with self._registration() as connection:
            registry.claim_account(connection, client_slug, alias, address, identities, replace_address=replace_address)

    def mailbox_needs(self) -> list[tuple[str, int, bool]]:
        """(alias, campaigns, whether one of them has a recipient) of each connected mailbox that stores only mail of
        recipients (scope `campaign`).
        """
        listed = sa.exists().where(
            campaign_recipient.c.campaign_id == campaign_sender.c.campaign_id, campaign_recipient.c.removed_at.is_(None)
        )
        statement = (
            sa.select(
                gmail_account.c.alias,
                sa.func.count(campaign_sender.c.campaign_id),
                sa.func.coalesce(sa.func.bool_or(listed), sa.false()),
            )
            .outerjoin(campaign_sender, campaign_sender.c.gmail_account_id == gmail_account.c.id)
            .where(gmail_account.c.replaced_at.is_(None), gmail_account.c.scope == "campaign")
            .group_by(gmail_account.c.id)
            .order_by(gmail_account.c.alias)
        )
        with self._database.transaction() as connection:
            return [(alias, count, bool(has_any)) for alias, count, has_any in connection.execute(statement)]

    def check_campaign(
        self,
        *,
        client_slug: str,
        slug: str,
        spreadsheet_id: str,
        metrics_spreadsheet_id: str | None,
        sender_aliases: Sequence[str],
    ) -> None:
        """Raise what `add_campaign` would for these, and write nothing: before the sheet is read."""
        with self._registration() as connection:
            sheets = {one for one in (spreadsheet_id, metrics_spreadsheet_id) if one}
            registry.claim_campaign(connection, client_slug, slug, sheets, sender_aliases)

    def accounts(self, *, campaign_id: UUID | None = None) -> list[GmailAccount]:
        """All accounts by alias, or the senders of one campaign."""
        keys = sa.func.array_remove(sa.func.array_agg(gmail_account_identity.c.address_key), None)
        statement = (
            sa.select(gmail_account, keys.label("identity_keys"))
            .outerjoin(gmail_account_identity, gmail_account_identity.c.gmail_account_id == gmail_account.c.id)
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
        """The account's credentials JSON, unsealed by one of the keys.

        Raises AuthError if they are damaged, or were sealed with another key while others open with ours: then this
        mailbox alone must be connected again. Raises ConfigurationError if our keys open nobody's.
        """
        with self._database.transaction() as connection:
            sealed = connection.execute(
                sa.select(gmail_account.c.sealed_credentials).where(gmail_account.c.id == account_id)
            ).scalar_one()
        try:
            return None if sealed is None else secrets.unseal(sealed, keys=keys)
        except ConfigurationError as error:
            if not self._opens_any(keys):
                raise
            raise AuthError(
                "The stored credentials of this mailbox were sealed with another key than those of other mailboxes.",
                what_to_do=error.what_to_do,
            ) from error

    def _opens_any(self, keys: Sequence[str]) -> bool:
        ours = [gmail_account.c.sealed_credentials.startswith(secrets.was_sealed_with(key)) for key in keys]
        with self._database.transaction() as connection:
            return bool(connection.execute(sa.select(sa.exists().where(sa.or_(*ours)))).scalar_one())

    def reseal_credentials(self, *, keys: Sequence[str]) -> "Resealed":
        """Seal all stored credentials with the first of the keys, in one transaction.

        Those that none of the keys opens stay as they are, and are named. Raises what the first of them raised if no
        credentials could be opened: then it is the keys that are wrong.
        """
        failed: dict[str, CheerfulError] = {}
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(gmail_account.c.id, gmail_account.c.alias, gmail_account.c.sealed_credentials)
                .where(gmail_account.c.sealed_credentials.is_not(None))
                .order_by(gmail_account.c.alias)
                .with_for_update()
            ).all()
            for account_id, alias, sealed in rows:
                try:
                    opened = secrets.unseal(sealed, keys=keys)
                except (AuthError, ConfigurationError) as error:
                    failed[alias] = error
                    continue
                connection.execute(
                    sa.update(gmail_account)
                    .where(gmail_account.c.id == account_id)
                    .values(sealed_credentials=secrets.seal(opened, key_hex=keys[0]))
                )
        if failed and len(failed) == len(rows):
            raise next(iter(failed.values()))
        return Resealed(len(rows) - len(failed), failed)

    def set_account_status(
        self, account_id: UUID, *, status: str, reason: str | None, only_from: str | None = None
    ) -> bool:
        """Change the status. True if it was another before (or just `only_from`): the moment for one alert."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                sa.update(gmail_account)
                .where(
                    gmail_account.c.id == account_id,
                    gmail_account.c.status != status,
                    sa.true() if only_from is None else gmail_account.c.status == only_from,
                    gmail_account.c.replaced_at.is_(None),  # a sync of the old mailbox may end after the change
                )
                .values(status=status, status_reason=reason)
            ).rowcount
        return bool(changed)

    def restore_account(self, account_id: UUID) -> bool:
        """One that had to be reconnected works again. False if it is active, or was paused meanwhile."""
        with self._database.transaction() as connection:
            changed = connection.execute(
                sa.update(gmail_account)
                .where(gmail_account.c.id == account_id, gmail_account.c.status == "needs_reauth")
                .values(status="active", status_reason=None)
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
        """How far the mailbox has come. Raises PermanentError if it has no mark row."""
        with self._database.transaction() as connection:
            row = (
                connection.execute(sa.select(account_mark).where(account_mark.c.gmail_account_id == account_id))
                .mappings()
                .one_or_none()
            )
        if row is None:
            raise missing_mark()
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


def _widen_scope(connection: sa.Connection, account_id: UUID) -> None:
    """What was out of scope is wanted now: months that were complete no longer are."""
    for table in (passed_over_message, archive_month):
        connection.execute(sa.delete(table).where(table.c.gmail_account_id == account_id))
    connection.execute(
        sa.update(account_mark).where(account_mark.c.gmail_account_id == account_id).values(archive_complete_from=None)
    )


def _take_over(connection: sa.Connection, account_id: UUID, campaign_ids: Sequence[UUID], progress: int) -> None:
    """The new mailbox sends for the campaigns of the one whose alias it took; its run keys are new ones."""
    connection.execute(
        sa.update(account_mark).where(account_mark.c.gmail_account_id == account_id).values(progress=progress + 1)
    )
    for campaign_id in campaign_ids:
        connection.execute(
            insert(campaign_sender)
            .values(campaign_id=campaign_id, gmail_account_id=account_id)
            .on_conflict_do_nothing()
        )


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def _campaign(row: sa.RowMapping) -> Campaign:
    return Campaign.model_validate({name: row[name] for name in Campaign.model_fields})


def _account(row: sa.RowMapping) -> GmailAccount:
    return GmailAccount.model_validate({name: row[name] for name in GmailAccount.model_fields})
