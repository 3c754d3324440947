"""Outcomes with validity, from which numbers are counted, explained and asked for as of any moment; intervals of rates"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign_mark", sa.Column("metrics_basis", sa.Text()))
    op.add_column("campaign_mark", sa.Column("reported_at", sa.DateTime(timezone=True)))
    op.add_column("campaign_metric", sa.Column("low", sa.Float()))
    op.add_column("campaign_metric", sa.Column("high", sa.Float()))
    op.add_column("campaign_metric", sa.Column("is_early", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_message_reading_reports", "message_reading", ["gmail_account_id"],
        postgresql_where=sa.text("kind in ('bounce', 'delayed')"),
    )  # fmt: skip
    op.create_table(
        "sheet_lease",
        sa.Column("spreadsheet_id", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("spreadsheet_id", name=op.f("pk_sheet_lease")),
    )
    op.create_table(
        "sheets_call",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind in ('read', 'write')", name=op.f("ck_sheets_call_kind_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sheets_call")),
    )
    op.create_table(
        "outcome_news",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_outcome_news_campaign_id_campaign")),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["campaign_recipient.id"], name=op.f("fk_outcome_news_recipient_id_campaign_recipient")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outcome_news")),
    )
    op.create_index(op.f("ix_outcome_news_campaign_id"), "outcome_news", ["campaign_id"])
    op.create_table(
        "recipient_outcome",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True)),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("document_hash", sa.Text(), nullable=False),
        sa.Column("sender", sa.Text()),
        sa.Column("cohort", sa.Text()),
        sa.Column("first_sent_at", sa.DateTime(timezone=True)),
        sa.Column("replied_at", sa.DateTime(timezone=True)),
        sa.Column("is_delivered", sa.Boolean(), nullable=False),
        sa.Column("business_hours_to_reply", sa.Float()),
        sa.Column("response_hours", postgresql.ARRAY(sa.Float()), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_recipient_outcome_campaign_id_campaign")
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["campaign_recipient.id"],
            name=op.f("fk_recipient_outcome_recipient_id_campaign_recipient"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient_outcome")),
    )  # fmt: skip
    op.create_index(
        "uq_recipient_outcome_current", "recipient_outcome", ["recipient_id"], unique=True,
        postgresql_where=sa.text("valid_to is null"),
    )  # fmt: skip
    op.create_index("ix_recipient_outcome_campaign", "recipient_outcome", ["campaign_id", "valid_from"])


def downgrade() -> None:
    op.drop_table("recipient_outcome")
    op.drop_table("outcome_news")
    op.drop_table("sheets_call")
    op.drop_table("sheet_lease")
    op.drop_index("ix_message_reading_reports", table_name="message_reading")
    for name in ("is_early", "high", "low"):
        op.drop_column("campaign_metric", name)
    op.drop_column("campaign_mark", "reported_at")
    op.drop_column("campaign_mark", "metrics_basis")
