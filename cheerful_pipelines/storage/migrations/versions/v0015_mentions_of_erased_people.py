"""Mails that may be about an erased person, for a person to decide; an index by which raw mail finds its rows"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "person_mention",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.Integer(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decision", sa.Text()),
        sa.Column("decided_by", sa.Text()),
        sa.CheckConstraint("kind in ('name', 'handle', 'postal_address')", name=op.f("ck_person_mention_kind_known")),
        sa.CheckConstraint(
            "field in ('subject', 'body_text', 'attachments')", name=op.f("ck_person_mention_field_known")
        ),
        sa.CheckConstraint("decision in ('deleted', 'kept')", name=op.f("ck_person_mention_decision_known")),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_person_mention_user_id_users")),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_person_mention_gmail_account_id_gmail_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_mention")),
        sa.UniqueConstraint(
            "address_hash", "gmail_account_id", "gmail_message_id",
            name=op.f("uq_person_mention_address_hash_gmail_account_id_gmail_message_id"),
        ),
    )  # fmt: skip
    op.create_index(op.f("ix_person_mention_user_id"), "person_mention", ["user_id"])
    both = "cheerful_one_client, cheerful_every_client"
    op.execute("revoke all on person_mention from public, anon, authenticated")
    op.execute(f"grant select, insert, update, delete on person_mention to {both}")
    op.execute(f"grant usage, select on all sequences in schema public to {both}")
    op.execute("alter table person_mention enable row level security")
    op.execute("alter table person_mention force row level security")
    op.execute(
        "create policy own_rows on person_mention to cheerful_one_client "
        "using (user_id = (select cheerful_client_id()))"
    )
    op.execute("create policy every_row on person_mention to cheerful_every_client using (true)")
    op.create_index(op.f("ix_gmail_message_raw_sha256"), "gmail_message", ["raw_sha256"])


def downgrade() -> None:
    op.drop_index(op.f("ix_gmail_message_raw_sha256"), "gmail_message")
    op.drop_table("person_mention")
