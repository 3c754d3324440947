"""Tables of `campaigns`: clients, campaigns, mailboxes, and how far each campaign has come."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cheerful_pipelines.storage.schema.base import created, metadata, one_of, when

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text),
    created(),
    schema="auth",  # Supabase owns this table in production; the migration makes a stand-in where it is absent
)

client = sa.Table(
    "client",
    metadata,
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), primary_key=True),
    sa.Column("slug", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    created(),
)

campaign = sa.Table(
    "campaign",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("slug", sa.Text, nullable=False, unique=True),  # the partition key
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("campaign_type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    when("starts_at", nullable=False),
    when("ends_at"),
    sa.Column("spreadsheet_id", sa.Text, nullable=False),
    sa.Column("sheet_tab", sa.Text),  # a tab's title; null: by sheet_gid, or the first tab
    sa.Column("sheet_gid", sa.BigInteger),  # a tab's id, as the browser's address names it
    sa.Column("sheet_range", sa.Text),  # A1 range within the tab, or a named range; null: the whole tab
    sa.Column("header_row", sa.Integer),  # as the sheet counts; null: looked for
    sa.Column("column_mapping", JSONB, nullable=False, server_default="{}"),  # {"email": ["Contact", ...], ...}
    sa.Column("writes_problems_tab", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("metrics_spreadsheet_id", sa.Text),  # null: no export
    sa.Column("llm_local_only", sa.Boolean, nullable=False, server_default=sa.false()),  # no mail to a hosted model
    created(),
    one_of("campaign_type", "GIFTING", "PAID_PROMOTION"),
    one_of("status", "DRAFT", "ACTIVE", "COMPLETED"),
)

gmail_account = sa.Table(
    "gmail_account",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("alias", sa.Text, nullable=False, unique=True),  # the partition key
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("address_key", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("status_reason", sa.Text),
    when("not_before"),  # throttled until then: the sensor skips the account
    sa.Column("scope", sa.Text, nullable=False, server_default="campaign"),  # which mail is stored whole
    sa.Column("sealed_credentials", sa.Text),  # storage/secrets.py
    created(),
    when("replaced_at"),  # another mailbox took its alias: never asked again, its mail stays
    one_of("status", "active", "needs_reauth", "paused"),
    one_of("scope", "campaign", "all"),
)
sa.Index(
    "uq_gmail_account_address_key",
    gmail_account.c.address_key,
    unique=True,
    postgresql_where=gmail_account.c.replaced_at.is_(None),
)

gmail_account_identity = sa.Table(
    "gmail_account_identity",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("address_key", sa.Text, primary_key=True),  # addresses that are "us" in this mailbox
    sa.Column("source", sa.Text, nullable=False),
    one_of("source", "account", "send_as", "manual"),
)

campaign_sender = sa.Table(
    "campaign_sender",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True, index=True),
    created(),
)

campaign_mark = sa.Table(
    "campaign_mark",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("processed_ingest_seq", sa.BigInteger, nullable=False, server_default="0"),
    when("processed_at"),
    sa.Column(
        "recipients_revision", sa.BigInteger, nullable=False, server_default="0"
    ),  # grows by each import that changes
    sa.Column("processed_recipients_revision", sa.BigInteger, nullable=False, server_default="-1"),
    sa.Column("sheet_content_hash", sa.Text),
    sa.Column("sheet_drive_version", sa.Text),
    when("sheet_imported_at"),
    sa.Column("sheet_source_revision", sa.BigInteger, nullable=False, server_default="0"),  # grows by each new source
    when("own_write_until"),  # we write into the recipients' spreadsheet: not looked at until then
    when("metrics_computed_at"),
    sa.Column("metrics_basis", sa.Text),  # hash of what is no mail and decides numbers: definitions, dates, senders
    when("reported_at"),  # metrics_computed_at of the numbers that the newest report shows
    when("exported_at"),
    sa.Column("exported_hash", sa.Text),
)
