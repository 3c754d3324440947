"""Tables of `recipients`: who we wrote to, as each import of the sheet had it."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cheerful_pipelines.storage.schema.base import created, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import campaign

campaign_recipient = sa.Table(
    "campaign_recipient",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("email", sa.Text, nullable=False),  # raw form, as the sheet has it
    sa.Column("email_key", sa.Text, nullable=False),  # addresses.py: address_key
    sa.Column("name", sa.Text),
    sa.Column("handle", sa.Text),
    sa.Column("custom_fields", JSONB, nullable=False, server_default="{}"),
    sa.Column("content_hash", sa.Text, nullable=False),  # of the mapped columns: a change of it is news
    sa.Column("custom_hash", sa.Text, nullable=False, server_default=""),  # of the other columns: stored, no news
    sa.Column("sheet_row", sa.Integer, nullable=False),  # 1-based, as the sheet shows it
    when("removed_at"),  # soft removal: history and metrics stay
    sa.Column("suppressed_reason", sa.Text),  # why this person must not be written to
    sa.Column("suppressed_in", sa.Text),  # slug of the campaign in which it happened; null: none of ours
    when("erased_at"),  # asked to be forgotten: no personal data, no import touches the row, the numbers stay
    created(),
    when("updated_at"),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("campaign_id", "email_key"),
    one_of("suppressed_reason", "opted_out", "hard_bounce"),
)
sa.Index("ix_campaign_recipient_email_key", campaign_recipient.c.email_key)

campaign_recipient_version = sa.Table(
    "campaign_recipient_version",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    when("valid_from", nullable=False),
    when("valid_to"),  # null: as the sheet has it now
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("handle", sa.Text),
    sa.Column("custom_fields", JSONB, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("sheet_row", sa.Integer, nullable=False),
    sa.Column("import_id", sa.BigInteger, sa.ForeignKey("recipient_import.id")),  # null: before imports were kept
)
sa.Index(
    "uq_campaign_recipient_version_open",
    campaign_recipient_version.c.recipient_id,
    unique=True,
    postgresql_where=campaign_recipient_version.c.valid_to.is_(None),
)
sa.Index(
    "ix_campaign_recipient_version_from",
    campaign_recipient_version.c.campaign_id,
    campaign_recipient_version.c.valid_from,
)

recipient_import = sa.Table(
    "recipient_import",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    when("imported_at", nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("spreadsheet_id", sa.Text, nullable=False),
    sa.Column("sheet_gid", sa.BigInteger, nullable=False),
    sa.Column("tab", sa.Text, nullable=False),
    sa.Column("drive_version", sa.Text, nullable=False),
    sa.Column("values_hash", sa.Text, nullable=False),  # of every cell read: what "nobody edited it" is judged by
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("counts", JSONB, nullable=False),  # recipients/models.py: ImportCounts
    sa.Column("headers", JSONB, nullable=False),  # {"B": "E-Mail", ...}: what header drift is measured from
    sa.Column("fields", JSONB, nullable=False),  # {"email": "B", ...}
    sa.Column("drift", JSONB, nullable=False),  # sentences: what moved, was renamed, is missing or new
)
sa.Index("ix_recipient_import_campaign", recipient_import.c.campaign_id, recipient_import.c.id)

recipient_problem = sa.Table(
    "recipient_problem",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("sheet_row", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("cell", sa.Text),  # A1 notation
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("other_row", sa.Integer),  # of a duplicate: the row that won, here or in another campaign
    sa.Column("name", sa.Text),  # of a row without an address: whom to find one for
    sa.Column("handle", sa.Text),
    sa.Column("run_id", sa.Text),
    one_of("kind", *("rejected", "duplicate", "no_address", "extra_address", "error_cell", "other_campaign", "erased")),
)
