"""Evaluations that open the gate for a classifier, batches under way, spend, and overrides from the client's sheet"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NOW = sa.text("now()")


def upgrade() -> None:
    op.add_column("campaign", sa.Column("llm_local_only", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("thread_override", sa.Column("source", sa.Text(), server_default="command", nullable=False))
    op.create_check_constraint(
        op.f("ck_thread_override_source_known"), "thread_override", "source in ('command', 'sheet')"
    )
    op.create_table(
        "classifier_evaluation",
        sa.Column("classifier_version", sa.Text(), nullable=False),
        sa.Column("golden_version", sa.Text(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.PrimaryKeyConstraint("classifier_version", "golden_version", name=op.f("pk_classifier_evaluation")),
    )
    op.create_table(
        "llm_spend",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("classifier_version", sa.Text(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("tokens_in", sa.BigInteger(), nullable=False),
        sa.Column("tokens_out", sa.BigInteger(), nullable=False),
        sa.Column("cost_usd", sa.Numeric(12, 6)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.CheckConstraint("kind in ('live', 'batch', 'evaluation')", name=op.f("ck_llm_spend_kind_known")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_llm_spend_campaign_id_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_spend")),
    )
    op.create_index(op.f("ix_llm_spend_created_at"), "llm_spend", ["created_at"])
    op.create_table(
        "llm_batch",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("classifier_version", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("handle", sa.Text()),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("estimated_usd", sa.Numeric(12, 6)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=_NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("run_id", sa.Text()),
        sa.CheckConstraint(
            "status in ('submitting', 'submitted', 'ended', 'taken_in', 'lost')", name=op.f("ck_llm_batch_status_known")
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_llm_batch_campaign_id_campaign")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_llm_batch")),
    )
    op.create_index(op.f("ix_llm_batch_campaign_id"), "llm_batch", ["campaign_id"])
    op.create_table(
        "llm_batch_item",
        sa.Column("llm_batch_id", sa.Uuid(), nullable=False),
        sa.Column("thread_state_id", sa.BigInteger(), nullable=False),
        sa.Column("cache_key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["llm_batch_id"], ["llm_batch.id"], name=op.f("fk_llm_batch_item_llm_batch_id_llm_batch")
        ),
        sa.ForeignKeyConstraint(
            ["thread_state_id"],
            ["gmail_thread_state.id"],
            name=op.f("fk_llm_batch_item_thread_state_id_gmail_thread_state"),
        ),
        sa.PrimaryKeyConstraint("llm_batch_id", "thread_state_id", name=op.f("pk_llm_batch_item")),
    )
    op.create_index(op.f("ix_llm_batch_item_thread_state_id"), "llm_batch_item", ["thread_state_id"])


def downgrade() -> None:
    for table in ("llm_batch_item", "llm_batch", "llm_spend", "classifier_evaluation"):
        op.drop_table(table)
    op.drop_constraint(op.f("ck_thread_override_source_known"), "thread_override")
    op.drop_column("thread_override", "source")
    op.drop_column("campaign", "llm_local_only")
