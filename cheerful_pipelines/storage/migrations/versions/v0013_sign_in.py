"""Sign-in: sessions that end everywhere at once, and failed sign-ins counted for every web process together"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_TABLES = ("web_session", "sign_in_attempt", "sign_in_known")


def upgrade() -> None:
    op.create_table(
        "web_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("refresh_token", sa.Text()),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trusted_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checking_until", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("role in ('viewer', 'analyst', 'engineer')", name=op.f("ck_web_session_role_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_web_session")),
    )
    op.create_index(op.f("ix_web_session_subject"), "web_session", ["subject"])
    op.create_table(
        "sign_in_attempt",
        sa.Column("attempt", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("attempt", "bucket", name=op.f("pk_sign_in_attempt")),
    )
    op.create_index(op.f("ix_sign_in_attempt_bucket_created_at"), "sign_in_attempt", ["bucket", "created_at"])
    op.create_index(op.f("ix_sign_in_attempt_created_at"), "sign_in_attempt", ["created_at"])
    op.create_table(
        "sign_in_known",
        sa.Column("bucket", sa.Text(), nullable=False),
        sa.Column("last_success_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("bucket", name=op.f("pk_sign_in_known")),
    )
    for table in _TABLES:
        _protect(table)


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)


def _protect(table: str) -> None:
    """No client has anything to do here: only the web process, which works for every client, reads or writes it."""
    op.execute(f"revoke all on {table} from public, anon, authenticated")
    op.execute(f"grant select, insert, update, delete on {table} to cheerful_one_client, cheerful_every_client")
    op.execute(f"alter table {table} enable row level security")
    op.execute(f"alter table {table} force row level security")
    op.execute(f"create policy own_rows on {table} to cheerful_one_client using (false)")
    op.execute(f"create policy every_row on {table} to cheerful_every_client using (true)")
