"""Quota spends, first listings under way, least data, messages that kill their worker"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TABLES = ("quota_spend", "passed_over_message", "searched_address", "fetch_in_flight", "suspect_message")


# Postgres's own compression costs more CPU than everything else that it does for a message.
_LONG_COLUMNS = ("body_text", "body_html", "headers")


def upgrade() -> None:
    for column in _LONG_COLUMNS:
        op.execute(f"alter table gmail_message alter column {column} set storage external")
    # Accounts that are there keep what they have; new ones store no more than their campaigns need.
    op.alter_column("gmail_account", "scope", server_default="campaign")
    op.add_column("account_mark", sa.Column("listing_history_id", sa.Numeric(20, 0), nullable=True))
    op.add_column("account_mark", sa.Column("listing_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account_mark", sa.Column("stored_from", sa.DateTime(timezone=True), nullable=True))
    op.add_column("account_mark", sa.Column("progress", sa.BigInteger(), server_default="0", nullable=False))
    op.create_table(
        "quota_spend",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quota_spend")),
        _of_account("quota_spend"),
    )
    op.create_table(
        "passed_over_message",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("gmail_account_id", "gmail_message_id", name=op.f("pk_passed_over_message")),
        _of_account("passed_over_message"),
    )
    op.create_index("ix_passed_over_message_thread", "passed_over_message", ["gmail_account_id", "gmail_thread_id"])
    op.create_table(
        "searched_address",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("gmail_account_id", "address_key", name=op.f("pk_searched_address")),
        _of_account("searched_address"),
    )
    op.create_table(
        "fetch_in_flight",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("gmail_message_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("gmail_account_id", "run_id", name=op.f("pk_fetch_in_flight")),
        _of_account("fetch_in_flight"),
    )
    op.create_table(
        "suspect_message",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("deaths", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("gmail_account_id", "gmail_message_id", name=op.f("pk_suspect_message")),
        _of_account("suspect_message"),
    )


def _of_account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["gmail_account_id"], ["gmail_account.id"], name=op.f(f"fk_{table}_gmail_account_id")
    )


def downgrade() -> None:
    for table in _TABLES:
        op.drop_table(table)
    for column in ("progress", "stored_from", "listing_from", "listing_history_id"):
        op.drop_column("account_mark", column)
    op.alter_column("gmail_account", "scope", server_default="all")
    for column in _LONG_COLUMNS:
        op.execute(f"alter table gmail_message alter column {column} set storage extended")
