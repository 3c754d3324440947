"""Tables of `google`: what Google was asked for, what it refused, and who writes into a spreadsheet."""

import sqlalchemy as sa

from cheerful_pipelines.storage.schema.base import metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import gmail_account

quota_spend = sa.Table(
    "quota_spend",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("refused_units", sa.Integer, nullable=False, server_default="0"),  # of `units`: Google did not take them
    when("expires_at", nullable=False),  # no longer counts: a minute after the call ended
)

quota_learned = sa.Table(
    "quota_learned",  # what refusals taught about a limit that is lower than the published one
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),  # an account's id, or "project"
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), index=True),  # null: the project
    sa.Column("units_a_minute", sa.Integer, nullable=False),
    sa.Column("batch_size", sa.Integer),  # calls in one batch; null: as many as are configured
    sa.Column("early_refusals", sa.Integer, nullable=False, server_default="0"),
    sa.Column("is_growing", sa.Boolean, nullable=False, server_default=sa.false()),
    when("changed_at", nullable=False),
)

sheet_lease = sa.Table(
    "sheet_lease",  # who writes into a spreadsheet now: two exports would each append what the other did not see
    metadata,
    sa.Column("spreadsheet_id", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    when("until", nullable=False),
)

sheets_call = sa.Table(
    "sheets_call",  # of the last minute: Google counts reads and writes of one login
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    when("expires_at", nullable=False),
    one_of("kind", "read", "write"),
)
