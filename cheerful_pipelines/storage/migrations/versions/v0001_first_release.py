"""The tables of the first release"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Supabase has this schema and table already; plain Postgres gets a stand-in.
    op.execute("create schema if not exists auth")
    op.execute("create sequence ingest_seq")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        schema="auth",
        if_not_exists=True,
    )
    op.create_table(
        "campaign",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("campaign_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("time_zone", sa.Text(), server_default="UTC", nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("spreadsheet_id", sa.Text(), nullable=False),
        sa.Column("sheet_tab", sa.Text(), nullable=True),
        sa.Column("column_mapping", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("metrics_spreadsheet_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "campaign_type in ('GIFTING', 'PAID_PROMOTION')", name=op.f("ck_campaign_campaign_type_known")
        ),
        sa.CheckConstraint("status in ('DRAFT', 'ACTIVE', 'COMPLETED')", name=op.f("ck_campaign_status_known")),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_campaign_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign")),
        sa.UniqueConstraint("slug", name=op.f("uq_campaign_slug")),
    )
    op.create_index(op.f("ix_campaign_user_id"), "campaign", ["user_id"], unique=False)
    op.create_table(
        "client",
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_client_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_client")),
        sa.UniqueConstraint("slug", name=op.f("uq_client_slug")),
    )
    op.create_table(
        "gmail_account",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("alias", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="active", nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=True),
        sa.Column("scope", sa.Text(), server_default="all", nullable=False),
        sa.Column("sealed_credentials", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("scope in ('campaign', 'all')", name=op.f("ck_gmail_account_scope_known")),
        sa.CheckConstraint(
            "status in ('active', 'needs_reauth', 'paused')", name=op.f("ck_gmail_account_status_known")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_gmail_account_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gmail_account")),
        sa.UniqueConstraint("address_key", name=op.f("uq_gmail_account_address_key")),
        sa.UniqueConstraint("alias", name=op.f("uq_gmail_account_alias")),
    )
    op.create_index(op.f("ix_gmail_account_user_id"), "gmail_account", ["user_id"], unique=False)
    op.create_table(
        "message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("canonical_key", sa.Text(), nullable=False),
        sa.Column("rfc822_message_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_message_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_message")),
        sa.UniqueConstraint("user_id", "canonical_key", name=op.f("uq_message_user_id_canonical_key")),
    )
    op.create_index("ix_message_rfc822_message_id", "message", ["user_id", "rfc822_message_id"], unique=False)
    op.create_table(
        "account_mark",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("live_history_id", sa.Numeric(precision=20, scale=0), nullable=True),
        sa.Column("live_marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("archive_complete_from", sa.Date(), nullable=True),
        sa.Column("archive_marked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_account_mark_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("gmail_account_id", name=op.f("pk_account_mark")),
    )
    op.create_table(
        "archive_month",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("listed", sa.Integer(), nullable=False),
        sa.Column("fetched", sa.Integer(), nullable=False),
        sa.Column("vanished", sa.Integer(), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_archive_month_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("gmail_account_id", "month", name=op.f("pk_archive_month")),
    )
    op.create_table(
        "campaign_mark",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("processed_ingest_seq", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recipients_revision", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("processed_recipients_revision", sa.BigInteger(), server_default="-1", nullable=False),
        sa.Column("sheet_content_hash", sa.Text(), nullable=True),
        sa.Column("sheet_drive_version", sa.Text(), nullable=True),
        sa.Column("sheet_imported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("metrics_computed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("exported_hash", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_mark_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", name=op.f("pk_campaign_mark")),
    )
    op.create_table(
        "campaign_metric",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("grain", sa.Text(), nullable=False),
        sa.Column("grain_key", sa.Text(), nullable=False),
        sa.Column("metric", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("numerator", sa.Float(), nullable=True),
        sa.Column("denominator", sa.Float(), nullable=True),
        sa.Column("is_additive", sa.Boolean(), nullable=False),
        sa.Column("definition_version", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "grain in ('campaign', 'day', 'sender', 'step', 'cohort')",
            name=op.f("ck_campaign_metric_grain_known"),
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_metric_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "grain", "grain_key", "metric", name=op.f("pk_campaign_metric")),
    )
    op.create_table(
        "campaign_recipient",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("email_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("handle", sa.Text(), nullable=True),
        sa.Column("custom_fields", postgresql.JSONB(astext_type=sa.Text()), server_default="{}", nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("sheet_row", sa.Integer(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_recipient_campaign_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaign_recipient")),
        sa.UniqueConstraint("campaign_id", "email_key", name=op.f("uq_campaign_recipient_campaign_id_email_key")),
    )
    op.create_index("ix_campaign_recipient_email_key", "campaign_recipient", ["email_key"], unique=False)
    op.create_table(
        "campaign_sender",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_campaign_sender_campaign_id")),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_campaign_sender_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("campaign_id", "gmail_account_id", name=op.f("pk_campaign_sender")),
    )
    op.create_index(op.f("ix_campaign_sender_gmail_account_id"), "campaign_sender", ["gmail_account_id"], unique=False)
    op.create_table(
        "dead_letter",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "stage in ('fetch', 'parse', 'store', 'thread', 'classify')",
            name=op.f("ck_dead_letter_stage_known"),
        ),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_dead_letter_gmail_account_id")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["auth.users.id"], name=op.f("fk_dead_letter_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dead_letter")),
        sa.UniqueConstraint(
            "gmail_account_id",
            "gmail_message_id",
            "stage",
            name=op.f("uq_dead_letter_gmail_account_id_gmail_message_id_stage"),
        ),
    )
    op.create_index(op.f("ix_dead_letter_user_id"), "dead_letter", ["user_id"], unique=False)
    op.create_table(
        "gmail_account_identity",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("address_key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "source in ('account', 'send_as', 'manual')", name=op.f("ck_gmail_account_identity_source_known")
        ),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"],
            ["gmail_account.id"],
            name=op.f("fk_gmail_account_identity_gmail_account_id"),
        ),
        sa.PrimaryKeyConstraint("gmail_account_id", "address_key", name=op.f("pk_gmail_account_identity")),
    )
    op.create_table(
        "gmail_message",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("message_id", sa.BigInteger(), nullable=False),
        sa.Column("label_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("internal_date", sa.DateTime(timezone=True), nullable=False),
        sa.Column("raw_sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("ingest_seq", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parser_version", sa.Text(), nullable=False),
        sa.Column("parse_error", sa.Text(), nullable=True),
        sa.Column("rfc822_message_id", sa.Text(), nullable=True),
        sa.Column("in_reply_to", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reference_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("from_address", sa.Text(), nullable=True),
        sa.Column("from_key", sa.Text(), nullable=True),
        sa.Column("from_name", sa.Text(), nullable=True),
        sa.Column("to_keys", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("header_date", sa.DateTime(timezone=True), nullable=True),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body_text", sa.Text(), nullable=False),
        sa.Column("body_html", sa.Text(), nullable=True),
        sa.Column("attachments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_gmail_message_gmail_account_id")
        ),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_gmail_message_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gmail_message")),
        sa.UniqueConstraint(
            "gmail_account_id",
            "gmail_message_id",
            name=op.f("uq_gmail_message_gmail_account_id_gmail_message_id"),
        ),
    )
    op.create_index("ix_gmail_message_date", "gmail_message", ["gmail_account_id", "internal_date"], unique=False)
    op.create_index(op.f("ix_gmail_message_from_key"), "gmail_message", ["from_key"], unique=False)
    op.create_index(
        "ix_gmail_message_in_reply_to", "gmail_message", ["in_reply_to"], unique=False, postgresql_using="gin"
    )
    op.create_index(op.f("ix_gmail_message_ingest_seq"), "gmail_message", ["ingest_seq"], unique=False)
    op.create_index(op.f("ix_gmail_message_message_id"), "gmail_message", ["message_id"], unique=False)
    op.create_index(
        "ix_gmail_message_reference_ids",
        "gmail_message",
        ["reference_ids"],
        unique=False,
        postgresql_using="gin",
    )
    op.create_index("ix_gmail_message_thread", "gmail_message", ["gmail_account_id", "gmail_thread_id"], unique=False)
    op.create_index("ix_gmail_message_to_keys", "gmail_message", ["to_keys"], unique=False, postgresql_using="gin")
    op.create_table(
        "gmail_message_event",
        sa.Column("ingest_seq", sa.BigInteger(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("label_ids", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint("kind in ('added', 'labels', 'deleted')", name=op.f("ck_gmail_message_event_kind_known")),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_gmail_message_event_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("ingest_seq", name=op.f("pk_gmail_message_event")),
    )
    op.create_index(
        "ix_gmail_message_event_account",
        "gmail_message_event",
        ["gmail_account_id", "ingest_seq"],
        unique=False,
    )
    op.create_index(
        "ix_gmail_message_event_thread",
        "gmail_message_event",
        ["gmail_account_id", "gmail_thread_id", "ingest_seq"],
        unique=False,
    )
    op.create_table(
        "gmail_thread_state",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("is_latest", sa.Boolean(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state_hash", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("cause_ingest_seq", sa.BigInteger(), nullable=False),
        sa.Column("cause_gmail_message_id", sa.Text(), nullable=False),
        sa.Column("code_version", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_gmail_thread_state_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gmail_thread_state")),
        sa.UniqueConstraint(
            "gmail_account_id",
            "gmail_thread_id",
            "version",
            name=op.f("uq_gmail_thread_state_gmail_account_id_gmail_thread_id_version"),
        ),
    )
    op.create_index(
        "uq_gmail_thread_state_latest",
        "gmail_thread_state",
        ["gmail_account_id", "gmail_thread_id"],
        unique=True,
        postgresql_where="is_latest",
    )
    op.create_table(
        "message_reading",
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_message_id", sa.Text(), nullable=False),
        sa.Column("reader_version", sa.Text(), nullable=False),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("new_words", sa.Text(), nullable=False),
        sa.Column("bounces", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("bounced_message_id", sa.Text(), nullable=True),
        sa.Column("returns_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("direction in ('ours', 'theirs')", name=op.f("ck_message_reading_direction_known")),
        sa.CheckConstraint(
            "kind in ('human', 'bounce', 'delayed', 'out_of_office', 'auto_reply', 'complaint', 'list', 'delivered', 'calendar')",
            name=op.f("ck_message_reading_kind_known"),
        ),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_message_reading_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("gmail_account_id", "gmail_message_id", name=op.f("pk_message_reading")),
    )
    op.create_index("ix_message_reading_bounced_message_id", "message_reading", ["bounced_message_id"], unique=False)
    op.create_index(
        "ix_message_reading_bounces",
        "message_reading",
        ["gmail_account_id"],
        unique=False,
        postgresql_where=sa.text("kind = 'bounce'"),
    )
    op.create_table(
        "recipient_problem",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("sheet_row", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("other_row", sa.Integer(), nullable=True),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "kind in ('rejected', 'duplicate', 'no_address', 'extra_address')",
            name=op.f("ck_recipient_problem_kind_known"),
        ),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_recipient_problem_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "sheet_row", "kind", name=op.f("pk_recipient_problem")),
    )
    op.create_table(
        "thread_override",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_thread_override_gmail_account_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_thread_override")),
    )
    op.create_index(
        "uq_thread_override_standing",
        "thread_override",
        ["gmail_account_id", "gmail_thread_id"],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
    )
    op.create_table(
        "thread_attribution",
        sa.Column("campaign_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("recipient_id", sa.BigInteger(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("is_ambiguous", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("conversation_key", sa.Text(), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaign.id"], name=op.f("fk_thread_attribution_campaign_id")),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_thread_attribution_gmail_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["recipient_id"], ["campaign_recipient.id"], name=op.f("fk_thread_attribution_recipient_id")
        ),
        sa.PrimaryKeyConstraint(
            "campaign_id",
            "gmail_account_id",
            "gmail_thread_id",
            "recipient_id",
            name=op.f("pk_thread_attribution"),
        ),
    )
    op.create_index(
        "ix_thread_attribution_thread",
        "thread_attribution",
        ["gmail_account_id", "gmail_thread_id"],
        unique=False,
    )
    op.create_table(
        "thread_verdict",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("thread_state_id", sa.BigInteger(), nullable=False),
        sa.Column("gmail_account_id", sa.Uuid(), nullable=False),
        sa.Column("gmail_thread_id", sa.Text(), nullable=False),
        sa.Column("classifier_version", sa.Text(), nullable=False),
        sa.Column("cache_key", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("confidence_source", sa.Text(), nullable=False),
        sa.Column("rationale", sa.Text(), nullable=False),
        sa.Column("evidence_quote", sa.Text(), nullable=True),
        sa.Column("flags", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("fields", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("needs_review", sa.Boolean(), nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("prompt_version", sa.Text(), nullable=False),
        sa.Column("taxonomy_version", sa.Text(), nullable=False),
        sa.Column("tokens_in", sa.Integer(), nullable=True),
        sa.Column("tokens_out", sa.Integer(), nullable=True),
        sa.Column("cost_usd", sa.Numeric(precision=12, scale=6), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("run_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["gmail_account_id"], ["gmail_account.id"], name=op.f("fk_thread_verdict_gmail_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["thread_state_id"], ["gmail_thread_state.id"], name=op.f("fk_thread_verdict_thread_state_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_thread_verdict")),
        sa.UniqueConstraint(
            "thread_state_id",
            "classifier_version",
            name=op.f("uq_thread_verdict_thread_state_id_classifier_version"),
        ),
    )
    op.create_index(op.f("ix_thread_verdict_cache_key"), "thread_verdict", ["cache_key"], unique=False)
    op.create_index("ix_thread_verdict_thread", "thread_verdict", ["gmail_account_id", "gmail_thread_id"], unique=False)


def downgrade() -> None:
    # Back from the first release is an empty database: drop it instead.
    raise NotImplementedError("drop the database instead of downgrading below the first release")
