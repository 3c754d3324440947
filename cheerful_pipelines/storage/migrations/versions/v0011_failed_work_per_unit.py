"""Failed work per unit (mailbox, sheet, campaign, singleton): class, attempts and when it is tried again"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "work_failure",
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.Column("failure_class", sa.Text(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("first_failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("watermark", sa.Text()),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("what_to_do", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "failure_class in ('transient', 'throttled', 'auth', 'permanent', 'crashed', 'interrupted', 'unknown')",
            name=op.f("ck_work_failure_failure_class_known"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_work_failure_user_id_users")),
        sa.PrimaryKeyConstraint("unit", name=op.f("pk_work_failure")),
    )
    op.create_index(op.f("ix_work_failure_user_id"), "work_failure", ["user_id"])
    both = "cheerful_one_client, cheerful_every_client"
    op.execute("revoke all on work_failure from public, anon, authenticated")
    op.execute(f"grant select, insert, update, delete on work_failure to {both}")
    op.execute("alter table work_failure enable row level security")
    op.execute("alter table work_failure force row level security")
    op.execute(
        "create policy own_rows on work_failure to cheerful_one_client using (user_id = (select cheerful_client_id()))"
    )
    op.execute("create policy every_row on work_failure to cheerful_every_client using (true)")


def downgrade() -> None:
    op.drop_table("work_failure")
