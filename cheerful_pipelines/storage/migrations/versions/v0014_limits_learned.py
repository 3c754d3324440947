"""Limits learned from refusals: what Google really lets through, for every process that asks it"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_OWN = "gmail_account_id in (select id from gmail_account where user_id = (select cheerful_client_id()))"


def upgrade() -> None:
    op.add_column("quota_spend", sa.Column("refused_units", sa.Integer(), server_default="0", nullable=False))
    op.create_table(
        "quota_learned",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid()),
        sa.Column("units_a_minute", sa.Integer(), nullable=False),
        sa.Column("batch_size", sa.Integer()),
        sa.Column("early_refusals", sa.Integer(), server_default="0", nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_quota_learned_gmail_account_id_gmail_account")
        ),
        sa.PrimaryKeyConstraint("scope", name=op.f("pk_quota_learned")),
    )
    op.create_index(op.f("ix_quota_learned_gmail_account_id"), "quota_learned", ["gmail_account_id"])
    op.execute("revoke all on quota_learned from public, anon, authenticated")
    op.execute("grant select, insert, update, delete on quota_learned to cheerful_one_client, cheerful_every_client")
    op.execute("alter table quota_learned enable row level security")
    op.execute("alter table quota_learned force row level security")
    op.execute(f"create policy own_rows on quota_learned to cheerful_one_client using ({_OWN})")
    op.execute("create policy every_row on quota_learned to cheerful_every_client using (true)")


def downgrade() -> None:
    op.drop_table("quota_learned")
    op.drop_column("quota_spend", "refused_units")
