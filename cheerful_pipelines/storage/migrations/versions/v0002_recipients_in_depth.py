"""Where a sheet's rows stand, versions of recipients, a log of imports, suppression"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("campaign", sa.Column("sheet_gid", sa.BigInteger(), nullable=True))
    op.add_column("campaign", sa.Column("sheet_range", sa.Text(), nullable=True))
    op.add_column("campaign", sa.Column("header_row", sa.Integer(), nullable=True))
    op.add_column(
        "campaign", sa.Column("writes_problems_tab", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("campaign_recipient", sa.Column("custom_hash", sa.Text(), server_default="", nullable=False))
    op.add_column("campaign_recipient", sa.Column("suppressed_reason", sa.Text(), nullable=True))
    op.add_column("campaign_recipient", sa.Column("suppressed_in", sa.Text(), nullable=True))
    op.add_column(
        "campaign_mark", sa.Column("sheet_source_revision", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.add_column("campaign_mark", sa.Column("own_write_until", sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f("ck_campaign_recipient_suppressed_reason_known"),
        "campaign_recipient",
        "suppressed_reason in ('opted_out', 'hard_bounce')",
    )
    op.create_table(
        "recipient_import",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("spreadsheet_id", sa.Text(), nullable=False),
        sa.Column("sheet_gid", sa.BigInteger(), nullable=False),
        sa.Column("tab", sa.Text(), nullable=False),
        sa.Column("drive_version", sa.Text(), nullable=False),
        sa.Column("values_hash", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("counts", postgresql.JSONB(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("fields", postgresql.JSONB(), nullable=False),
        sa.Column("drift", postgresql.JSONB(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recipient_import")),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_recipient_import_campaign_id")),
    )
    op.create_index("ix_recipient_import_campaign", "recipient_import", ["campaign_id", "id"])
    op.create_table(
        "campaign_recipient_version",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("custom_fields", postgresql.JSONB(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("sheet_row", sa.Integer(), nullable=False),
        sa.Column("import_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_recipient_version")),
        sa.ForeignKeyConstraint(
            ["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_recipient_version_campaign_id")
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["campaign_recipient.id"], name=op.f("fk_campaign_recipient_version_recipient_id")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["recipient_import.id"], name=op.f("fk_campaign_recipient_version_import_id")
        ),
    )
    op.create_index(
        "uq_campaign_recipient_version_open",
        "campaign_recipient_version",
        ["recipient_id"],
        unique=True,
        postgresql_where=sa.text("valid_to is null"),
    )
    op.create_index("ix_campaign_recipient_version_from", "campaign_recipient_version", ["campaign_id", "valid_from"])
    # What is known of the time before versions were kept: the newest content, and when it came and went.
    op.execute(
        """
        insert into campaign_recipient_version
            (campaign_id, recipient_id, valid_from, valid_to, email, name, handle, custom_fields, content_hash,
             sheet_row)
        select campaign_id, id, created_at,
               case when removed_at is null then null else greatest(removed_at, created_at) end,
               email, name, handle, custom_fields, content_hash, sheet_row
        from campaign_recipient
        """
    )
    op.add_column("recipient_problem", sa.Column("name", sa.Text(), nullable=True))
    op.add_column("recipient_problem", sa.Column("handle", sa.Text(), nullable=True))
    op.drop_constraint(op.f("ck_recipient_problem_kind_known"), "recipient_problem")
    op.create_check_constraint(
        op.f("ck_recipient_problem_kind_known"),
        "recipient_problem",
        "kind in ('rejected', 'duplicate', 'no_address', 'extra_address', 'error_cell', 'other_campaign')",
    )


def downgrade() -> None:
    op.drop_constraint(op.f("ck_recipient_problem_kind_known"), "recipient_problem")
    op.execute("delete from recipient_problem where kind in ('error_cell', 'other_campaign')")
    op.create_check_constraint(
        op.f("ck_recipient_problem_kind_known"),
        "recipient_problem",
        "kind in ('rejected', 'duplicate', 'no_address', 'extra_address')",
    )
    op.drop_column("recipient_problem", "handle")
    op.drop_column("recipient_problem", "name")
    op.drop_table("campaign_recipient_version")
    op.drop_table("recipient_import")
    op.drop_constraint(op.f("ck_campaign_recipient_suppressed_reason_known"), "campaign_recipient")
    for column in ("suppressed_in", "suppressed_reason", "custom_hash"):
        op.drop_column("campaign_recipient", column)
    for column in ("own_write_until", "sheet_source_revision"):
        op.drop_column("campaign_mark", column)
    for column in ("writes_problems_tab", "header_row", "sheet_range", "sheet_gid"):
        op.drop_column("campaign", column)
