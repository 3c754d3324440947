"""Backfills that can be followed and cancelled, alerts that are said once, and since when a mailbox is in step"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column("account_mark", sa.Column("in_step_at", sa.DateTime(timezone=True)))
    op.add_column(
        "outcome_news", sa.Column("noted_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False)
    )
    op.create_table(
        "backfill",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("stages", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("estimate", postgresql.JSONB()),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("state in ('running', 'done', 'failed', 'cancelled')", name=op.f("ck_backfill_state_known")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_backfill_campaign_id_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_backfill")),
    )
    op.create_index(op.f("ix_backfill_campaign_id"), "backfill", ["campaign_id"])
    op.create_table(
        "backfill_part",
        sa.Column("backfill_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("partition_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True)),
        sa.Column("run_id", sa.Text()),
        sa.CheckConstraint(
            "state in ('waiting', 'requested', 'done', 'failed', 'cancelled')",
            name=op.f("ck_backfill_part_state_known"),
        ),
        sa.CheckConstraint("stage in ('sheet', 'archive', 'campaign')", name=op.f("ck_backfill_part_stage_known")),
        sa.ForeignKeyConstraint(["backfill_id"], ["backfill.id"], name=op.f("fk_backfill_part_backfill_id_backfill")),
        sa.PrimaryKeyConstraint("backfill_id", "number", name=op.f("pk_backfill_part")),
    )
    op.create_table(
        "alert",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("what_to_do", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True)),
        sa.Column("said", sa.Text(), nullable=False),
        sa.CheckConstraint("said in ('nothing', 'opened', 'resolved')", name=op.f("ck_alert_said_known")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_alert")),
    )


def downgrade() -> None:
    op.drop_table("alert")
    op.drop_table("backfill_part")
    op.drop_table("backfill")
    op.drop_column("outcome_news", "noted_at")
    op.drop_column("account_mark", "in_step_at")
