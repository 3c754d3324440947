"""People who were erased, or got their data: a keyed hash keeps them from coming back. Raw mail that was let go by age"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_KINDS = ("rejected", "duplicate", "no_address", "extra_address", "error_cell", "other_campaign")


def upgrade() -> None:
    op.create_table(
        "person_request",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("address_hash", sa.Text(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("blobs_to_remove", postgresql.ARRAY(sa.Text())),
        sa.Column("report", postgresql.JSONB()),
        sa.CheckConstraint("kind in ('erase', 'export')", name=op.f("ck_person_request_kind_known")),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_person_request_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person_request")),
    )
    op.create_index(op.f("ix_person_request_user_id_kind"), "person_request", ["user_id", "kind"])
    both = "cheerful_one_client, cheerful_every_client"
    op.execute("revoke all on person_request from public, anon, authenticated")
    op.execute(f"grant select, insert, update, delete on person_request to {both}")
    op.execute(f"grant usage, select on all sequences in schema public to {both}")
    op.execute("alter table person_request enable row level security")
    op.execute("alter table person_request force row level security")
    op.execute(
        "create policy own_rows on person_request to cheerful_one_client "
        "using (user_id = (select cheerful_client_id()))"
    )
    op.execute("create policy every_row on person_request to cheerful_every_client using (true)")
    op.add_column("campaign_recipient", sa.Column("erased_at", sa.DateTime(timezone=True)))
    op.add_column("gmail_message", sa.Column("raw_deleted_at", sa.DateTime(timezone=True)))
    _allow_kinds((*_KINDS, "erased"))


def downgrade() -> None:
    op.execute("delete from recipient_problem where kind = 'erased'")
    _allow_kinds(_KINDS)
    op.drop_column("gmail_message", "raw_deleted_at")
    op.drop_column("campaign_recipient", "erased_at")
    op.drop_table("person_request")


def _allow_kinds(kinds: tuple[str, ...]) -> None:
    op.drop_constraint(op.f("ck_recipient_problem_kind_known"), "recipient_problem")
    listed = ", ".join(f"'{kind}'" for kind in kinds)
    op.create_check_constraint(op.f("ck_recipient_problem_kind_known"), "recipient_problem", f"kind in ({listed})")
