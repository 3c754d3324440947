"""Every table, in the order the data goes. Plain SQLAlchemy Core; queries live in the domains' stores.

Conventions: every table reaches a client by `user_id` (directly or over a foreign key); times are timestamptz in
UTC; a Gmail id never stands without its `gmail_account_id`; texts that are closed sets have a CHECK.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_NOW = sa.func.now()


def _when(name: str, *, nullable: bool = True) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _created() -> sa.Column:  # type: ignore[type-arg]
    return sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW)


def _one_of(column: str, *values: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return sa.CheckConstraint(f"{column} in ({listed})", name=f"{column}_known")


# --- who it is for ------------------------------------------------------------------------------------------------

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("email", sa.Text),
    _created(),
    schema="auth",  # Supabase owns this table in production; the migration makes a stand-in where it is absent
)

client = sa.Table(
    "client",
    metadata,
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), primary_key=True),
    sa.Column("slug", sa.Text, nullable=False, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    _created(),
)

campaign = sa.Table(
    "campaign",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("slug", sa.Text, nullable=False, unique=True),  # the partition key
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("campaign_type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    _when("starts_at", nullable=False),
    _when("ends_at"),
    sa.Column("spreadsheet_id", sa.Text, nullable=False),
    sa.Column("sheet_tab", sa.Text),  # a tab's title; null: by sheet_gid, or the first tab
    sa.Column("sheet_gid", sa.BigInteger),  # a tab's id, as the browser's address names it
    sa.Column("sheet_range", sa.Text),  # A1 range within the tab, or a named range; null: the whole tab
    sa.Column("header_row", sa.Integer),  # as the sheet counts; null: looked for
    sa.Column("column_mapping", JSONB, nullable=False, server_default="{}"),  # {"email": ["Contact", ...], ...}
    sa.Column("writes_problems_tab", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("metrics_spreadsheet_id", sa.Text),  # null: no export
    sa.Column("llm_local_only", sa.Boolean, nullable=False, server_default=sa.false()),  # no mail to a hosted model
    _created(),
    _one_of("campaign_type", "GIFTING", "PAID_PROMOTION"),
    _one_of("status", "DRAFT", "ACTIVE", "COMPLETED"),
)

gmail_account = sa.Table(
    "gmail_account",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("alias", sa.Text, nullable=False, unique=True),  # the partition key
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("address_key", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="active"),
    sa.Column("status_reason", sa.Text),
    _when("not_before"),  # throttled until then: the sensor skips the account
    sa.Column("scope", sa.Text, nullable=False, server_default="campaign"),  # which mail is stored whole
    sa.Column("sealed_credentials", sa.Text),  # storage/secrets.py
    _created(),
    _when("replaced_at"),  # another mailbox took its alias: never asked again, its mail stays
    _one_of("status", "active", "needs_reauth", "paused"),
    _one_of("scope", "campaign", "all"),
)
sa.Index(
    "uq_gmail_account_address_key",
    gmail_account.c.address_key,
    unique=True,
    postgresql_where=gmail_account.c.replaced_at.is_(None),
)

gmail_account_identity = sa.Table(
    "gmail_account_identity",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("address_key", sa.Text, primary_key=True),  # addresses that are "us" in this mailbox
    sa.Column("source", sa.Text, nullable=False),
    _one_of("source", "account", "send_as", "manual"),
)

quota_spend = sa.Table(
    "quota_spend",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("units", sa.Integer, nullable=False),
    sa.Column("refused_units", sa.Integer, nullable=False, server_default="0"),  # of `units`: Google did not take them
    _when("expires_at", nullable=False),  # no longer counts: a minute after the call ended
)

quota_learned = sa.Table(
    "quota_learned",  # what refusals taught about a limit that is lower than the published one
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),  # an account's id, or "project"
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), index=True),  # null: the project
    sa.Column("units_a_minute", sa.Integer, nullable=False),
    sa.Column("batch_size", sa.Integer),  # calls in one batch; null: as many as are configured
    sa.Column("early_refusals", sa.Integer, nullable=False, server_default="0"),
    sa.Column("is_growing", sa.Boolean, nullable=False, server_default=sa.false()),
    _when("changed_at", nullable=False),
)

campaign_sender = sa.Table(
    "campaign_sender",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True, index=True),
    _created(),
)

# --- marks: how far each account and campaign has come ------------------------------------------------------------

account_mark = sa.Table(
    "account_mark",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("live_history_id", sa.Numeric(20, 0)),  # uint64: everything up to it is stored
    _when("live_marked_at"),
    _when("in_step_at"),  # when Gmail last said that nothing is newer than the live mark; to the minute
    # A first listing under way: the history id taken before it, and where its window begins.
    sa.Column("listing_history_id", sa.Numeric(20, 0)),
    _when("listing_from"),
    _when("listing_before"),  # newer than that, it is done
    sa.Column("gap_from_seq", sa.BigInteger),  # a repair under way: what was ingested since then is its doing
    _when("stored_from"),  # everything in scope since then is stored
    sa.Column("progress", sa.BigInteger, nullable=False, server_default="0"),  # grows by each sync that stored some
    sa.Column("archive_complete_from", sa.Date),  # first day of the oldest month that is complete
    _when("archive_marked_at"),
)

campaign_mark = sa.Table(
    "campaign_mark",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("processed_ingest_seq", sa.BigInteger, nullable=False, server_default="0"),
    _when("processed_at"),
    sa.Column(
        "recipients_revision", sa.BigInteger, nullable=False, server_default="0"
    ),  # grows by each import that changes
    sa.Column("processed_recipients_revision", sa.BigInteger, nullable=False, server_default="-1"),
    sa.Column("sheet_content_hash", sa.Text),
    sa.Column("sheet_drive_version", sa.Text),
    _when("sheet_imported_at"),
    sa.Column("sheet_source_revision", sa.BigInteger, nullable=False, server_default="0"),  # grows by each new source
    _when("own_write_until"),  # we write into the recipients' spreadsheet: not looked at until then
    _when("metrics_computed_at"),
    sa.Column("metrics_basis", sa.Text),  # hash of what is no mail and decides numbers: definitions, dates, senders
    _when("reported_at"),  # metrics_computed_at of the numbers that the newest report shows
    _when("exported_at"),
    sa.Column("exported_hash", sa.Text),
)

# --- who we wrote to ----------------------------------------------------------------------------------------------

campaign_recipient = sa.Table(
    "campaign_recipient",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("email", sa.Text, nullable=False),  # raw form, as the sheet has it
    sa.Column("email_key", sa.Text, nullable=False),  # addresses.py: address_key
    sa.Column("name", sa.Text),
    sa.Column("handle", sa.Text),
    sa.Column("custom_fields", JSONB, nullable=False, server_default="{}"),
    sa.Column("content_hash", sa.Text, nullable=False),  # of the mapped columns: a change of it is news
    sa.Column("custom_hash", sa.Text, nullable=False, server_default=""),  # of the other columns: stored, no news
    sa.Column("sheet_row", sa.Integer, nullable=False),  # 1-based, as the sheet shows it
    _when("removed_at"),  # soft removal: history and metrics stay
    sa.Column("suppressed_reason", sa.Text),  # why this person must not be written to
    sa.Column("suppressed_in", sa.Text),  # slug of the campaign in which it happened; null: none of ours
    _when("erased_at"),  # asked to be forgotten: no personal data, no import touches the row, the numbers stay
    _created(),
    _when("updated_at"),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("campaign_id", "email_key"),
    _one_of("suppressed_reason", "opted_out", "hard_bounce"),
)
sa.Index("ix_campaign_recipient_email_key", campaign_recipient.c.email_key)

campaign_recipient_version = sa.Table(
    "campaign_recipient_version",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    _when("valid_from", nullable=False),
    _when("valid_to"),  # null: as the sheet has it now
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("name", sa.Text),
    sa.Column("handle", sa.Text),
    sa.Column("custom_fields", JSONB, nullable=False),
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("sheet_row", sa.Integer, nullable=False),
    sa.Column("import_id", sa.BigInteger, sa.ForeignKey("recipient_import.id")),  # null: before imports were kept
)
sa.Index(
    "uq_campaign_recipient_version_open",
    campaign_recipient_version.c.recipient_id,
    unique=True,
    postgresql_where=campaign_recipient_version.c.valid_to.is_(None),
)
sa.Index(
    "ix_campaign_recipient_version_from",
    campaign_recipient_version.c.campaign_id,
    campaign_recipient_version.c.valid_from,
)

recipient_import = sa.Table(
    "recipient_import",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    _when("imported_at", nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("spreadsheet_id", sa.Text, nullable=False),
    sa.Column("sheet_gid", sa.BigInteger, nullable=False),
    sa.Column("tab", sa.Text, nullable=False),
    sa.Column("drive_version", sa.Text, nullable=False),
    sa.Column("values_hash", sa.Text, nullable=False),  # of every cell read: what "nobody edited it" is judged by
    sa.Column("content_hash", sa.Text, nullable=False),
    sa.Column("counts", JSONB, nullable=False),  # recipients/models.py: ImportCounts
    sa.Column("headers", JSONB, nullable=False),  # {"B": "E-Mail", ...}: what header drift is measured from
    sa.Column("fields", JSONB, nullable=False),  # {"email": "B", ...}
    sa.Column("drift", JSONB, nullable=False),  # sentences: what moved, was renamed, is missing or new
)
sa.Index("ix_recipient_import_campaign", recipient_import.c.campaign_id, recipient_import.c.id)

recipient_problem = sa.Table(
    "recipient_problem",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("sheet_row", sa.Integer, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("cell", sa.Text),  # A1 notation
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("other_row", sa.Integer),  # of a duplicate: the row that won, here or in another campaign
    sa.Column("name", sa.Text),  # of a row without an address: whom to find one for
    sa.Column("handle", sa.Text),
    sa.Column("run_id", sa.Text),
    _one_of(
        "kind", *("rejected", "duplicate", "no_address", "extra_address", "error_cell", "other_campaign", "erased")
    ),
)

# --- what was said ------------------------------------------------------------------------------------------------

ingest_seq = sa.Sequence("ingest_seq", metadata=metadata)
"""One growing number over all mail events. Taken under an advisory lock, so commits come in its order."""

message = sa.Table(
    "message",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False),
    # Canonical identity within a client: RFC 5322 Message-ID and a fingerprint, or a content hash without an id.
    sa.Column("canonical_key", sa.Text, nullable=False),
    sa.Column("rfc822_message_id", sa.Text),
    _created(),
    sa.UniqueConstraint("user_id", "canonical_key"),
)
sa.Index("ix_message_rfc822_message_id", message.c.user_id, message.c.rfc822_message_id)

gmail_message = sa.Table(
    "gmail_message",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_message_id", sa.Text, nullable=False),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
    sa.Column("message_id", sa.BigInteger, sa.ForeignKey(message.c.id), nullable=False, index=True),
    sa.Column("label_ids", ARRAY(sa.Text), nullable=False),
    _when("internal_date", nullable=False),  # the time Google took it in: the time of record
    sa.Column("raw_sha256", sa.Text, nullable=False, index=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("ingest_seq", sa.BigInteger, nullable=False, index=True),  # of the newest event of this copy
    _when("deleted_at"),  # tombstone: gone from Gmail
    _when("raw_deleted_at"),  # the raw bytes were let go by age
    # parsed from the raw bytes; can be parsed again at any time
    sa.Column("parser_version", sa.Text, nullable=False),
    sa.Column("parse_error", sa.Text),  # a reason; the raw bytes are kept all the same
    sa.Column("rfc822_message_id", sa.Text),
    sa.Column("in_reply_to", ARRAY(sa.Text), nullable=False),
    sa.Column("reference_ids", ARRAY(sa.Text), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("from_address", sa.Text),
    sa.Column("from_key", sa.Text, index=True),
    sa.Column("from_name", sa.Text),
    sa.Column("to_keys", ARRAY(sa.Text), nullable=False),  # To, Cc and Bcc together, as keys
    sa.Column("header_date", sa.DateTime(timezone=True)),
    sa.Column("headers", JSONB, nullable=False),  # [[name, value], ...] decoded, in order
    sa.Column("body_text", sa.Text, nullable=False),
    sa.Column("body_html", sa.Text),
    sa.Column("attachments", JSONB, nullable=False),  # [{"filename", "content_type", "size", "sha256"}]
    _created(),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("gmail_account_id", "gmail_message_id"),
)
sa.Index("ix_gmail_message_thread", gmail_message.c.gmail_account_id, gmail_message.c.gmail_thread_id)
sa.Index("ix_gmail_message_date", gmail_message.c.gmail_account_id, gmail_message.c.internal_date)
sa.Index("ix_gmail_message_to_keys", gmail_message.c.to_keys, postgresql_using="gin")
sa.Index("ix_gmail_message_reference_ids", gmail_message.c.reference_ids, postgresql_using="gin")
sa.Index("ix_gmail_message_in_reply_to", gmail_message.c.in_reply_to, postgresql_using="gin")

gmail_message_event = sa.Table(
    "gmail_message_event",
    metadata,
    sa.Column("ingest_seq", sa.BigInteger, primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_message_id", sa.Text, nullable=False),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("label_ids", ARRAY(sa.Text), nullable=False),  # after the event
    _created(),
    sa.Column("run_id", sa.Text),
    _one_of("kind", "added", "labels", "deleted"),
)
sa.Index(
    "ix_gmail_message_event_thread",
    gmail_message_event.c.gmail_account_id,
    gmail_message_event.c.gmail_thread_id,
    gmail_message_event.c.ingest_seq,
)
sa.Index("ix_gmail_message_event_account", gmail_message_event.c.gmail_account_id, gmail_message_event.c.ingest_seq)

passed_over_message = sa.Table(
    "passed_over_message",
    metadata,
    # Mail outside the account's scope: known by its id, so that it is not fetched again, and by nothing else.
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("gmail_message_id", sa.Text, primary_key=True),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
)
sa.Index("ix_passed_over_message_thread", passed_over_message.c.gmail_account_id, passed_over_message.c.gmail_thread_id)

searched_address = sa.Table(
    "searched_address",
    metadata,
    # Recipients whose mail was looked for in this mailbox; one that is missing here is new to it.
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("address_key", sa.Text, primary_key=True),
)

fetch_in_flight = sa.Table(
    "fetch_in_flight",
    metadata,
    # What a worker is about to fetch and store; a row of a run that is over tells what it died of.
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("gmail_message_ids", ARRAY(sa.Text), nullable=False),
    _created(),
)

suspect_message = sa.Table(
    "suspect_message",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("gmail_message_id", sa.Text, primary_key=True),
    sa.Column("deaths", sa.Integer, nullable=False),  # workers that died with it in flight
)

archive_month = sa.Table(
    "archive_month",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("month", sa.Date, primary_key=True),  # its first day
    sa.Column("listed", sa.Integer, nullable=False),
    sa.Column("fetched", sa.Integer, nullable=False),
    sa.Column("vanished", sa.Integer, nullable=False),
    _when("completed_at"),
    sa.Column("run_id", sa.Text),
)

dead_letter = sa.Table(
    "dead_letter",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_message_id", sa.Text, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("reason_code", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="1"),
    _when("next_try_at"),
    _when("resolved_at"),
    _created(),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("gmail_account_id", "gmail_message_id", "stage"),
    _one_of("stage", "fetch", "parse", "store", "thread", "classify"),
)

# --- who answered whom --------------------------------------------------------------------------------------------

message_reading = sa.Table(
    "message_reading",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("gmail_message_id", sa.Text, primary_key=True),
    sa.Column("reader_version", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text),  # the header or line that says so
    sa.Column("new_words", sa.Text, nullable=False),  # without quotation and signature
    sa.Column("bounces", JSONB, nullable=False),  # [{"address_key", "status", "severity", "reason"}]
    sa.Column("bounced_message_id", sa.Text),  # Message-ID of the sent mail that failed
    _when("returns_at"),  # out of office until
    _created(),
    _one_of("direction", "ours", "theirs"),
    _one_of(
        "kind",
        *("human", "bounce", "delayed", "out_of_office", "auto_reply"),
        *("complaint", "list", "delivered", "calendar"),
    ),
)

sa.Index("ix_message_reading_bounced_message_id", message_reading.c.bounced_message_id)
sa.Index(
    "ix_message_reading_reports",
    message_reading.c.gmail_account_id,
    postgresql_where=message_reading.c.kind.in_(["bounce", "delayed"]),
)
sa.Index(
    "ix_message_reading_bounces",
    message_reading.c.gmail_account_id,
    postgresql_where=message_reading.c.kind == "bounce",
)

gmail_thread_state = sa.Table(
    "gmail_thread_state",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),  # the version token
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("is_latest", sa.Boolean, nullable=False),
    sa.Column("state", JSONB, nullable=False),  # threads/models.py: ThreadDocument
    sa.Column("state_hash", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),  # "message added", "labels changed", ...
    sa.Column("cause_ingest_seq", sa.BigInteger, nullable=False),
    sa.Column("cause_gmail_message_id", sa.Text, nullable=False),
    sa.Column("code_version", sa.Text, nullable=False),
    sa.Column("run_id", sa.Text),
    _created(),
    sa.UniqueConstraint("gmail_account_id", "gmail_thread_id", "version"),
)
sa.Index(
    "uq_gmail_thread_state_latest",
    gmail_thread_state.c.gmail_account_id,
    gmail_thread_state.c.gmail_thread_id,
    unique=True,
    postgresql_where=gmail_thread_state.c.is_latest,
)

thread_attribution = sa.Table(
    "thread_attribution",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("gmail_thread_id", sa.Text, primary_key=True),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), primary_key=True),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("is_ambiguous", sa.Boolean, nullable=False, server_default=sa.false()),  # listed, never counted
    sa.Column("conversation_key", sa.Text, nullable=False),
    sa.Column("conversation_is_guess", sa.Boolean, nullable=False, server_default=sa.false()),  # by its subject only
    sa.Column("run_id", sa.Text),
    _created(),
)
sa.Index("ix_thread_attribution_thread", thread_attribution.c.gmail_account_id, thread_attribution.c.gmail_thread_id)

# --- what it meant ------------------------------------------------------------------------------------------------

thread_verdict = sa.Table(
    "thread_verdict",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("thread_state_id", sa.BigInteger, sa.ForeignKey(gmail_thread_state.c.id), nullable=False),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
    sa.Column("classifier_version", sa.Text, nullable=False),  # provider, model, prompt, taxonomy, settings in one
    sa.Column("cache_key", sa.Text, nullable=False, index=True),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float, nullable=False),
    sa.Column("confidence_source", sa.Text, nullable=False),
    sa.Column("rationale", sa.Text, nullable=False),
    sa.Column("evidence_quote", sa.Text),
    sa.Column("flags", JSONB, nullable=False),
    sa.Column("fields", JSONB, nullable=False),
    sa.Column("needs_review", sa.Boolean, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("prompt_version", sa.Text, nullable=False),
    sa.Column("taxonomy_version", sa.Text, nullable=False),
    sa.Column("tokens_in", sa.Integer),
    sa.Column("tokens_out", sa.Integer),
    sa.Column("cost_usd", sa.Numeric(12, 6)),  # null: unknown, never 0 for unknown
    sa.Column("latency_ms", sa.Float),
    _created(),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("thread_state_id", "classifier_version"),
)
sa.Index("ix_thread_verdict_thread", thread_verdict.c.gmail_account_id, thread_verdict.c.gmail_thread_id)

thread_override = sa.Table(
    "thread_override",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_thread_id", sa.Text, nullable=False),
    sa.Column("label", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False, server_default="command"),
    _created(),
    _when("revoked_at"),
    _one_of("source", "command", "sheet"),
)
sa.Index(
    "uq_thread_override_standing",
    thread_override.c.gmail_account_id,
    thread_override.c.gmail_thread_id,
    unique=True,
    postgresql_where=thread_override.c.revoked_at.is_(None),
)

classifier_evaluation = sa.Table(
    "classifier_evaluation",  # how a classifier did on the golden set; without a passed one it judges no campaign
    metadata,
    sa.Column("classifier_version", sa.Text, primary_key=True),
    sa.Column("golden_version", sa.Text, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("prompt_version", sa.Text, nullable=False),
    sa.Column("taxonomy_version", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("document", JSONB, nullable=False),  # classification/evaluate.py: Evaluation. No client's data
    _created(),
    sa.Column("run_id", sa.Text),
)

llm_spend = sa.Table(
    "llm_spend",  # what language models were asked, failed calls included
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id)),  # null: an evaluation, which is nobody's mail
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("classifier_version", sa.Text, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    sa.Column("tokens_in", sa.BigInteger, nullable=False),
    sa.Column("tokens_out", sa.BigInteger, nullable=False),
    sa.Column("cost_usd", sa.Numeric(12, 6)),  # null: unknown
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW, index=True),
    sa.Column("run_id", sa.Text),
    _one_of("kind", "live", "batch", "evaluation"),
)

llm_batch = sa.Table(
    "llm_batch",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False, index=True),
    sa.Column("classifier_version", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("handle", sa.Text),  # the provider's name for it; null while it is handed in
    sa.Column("requests", sa.Integer, nullable=False),
    sa.Column("estimated_usd", sa.Numeric(12, 6)),
    _created(),
    _when("finished_at"),
    sa.Column("run_id", sa.Text),
    _one_of("status", "submitting", "submitted", "ended", "taken_in", "lost"),
)

llm_batch_item = sa.Table(
    "llm_batch_item",
    metadata,
    sa.Column("llm_batch_id", sa.Uuid, sa.ForeignKey(llm_batch.c.id), primary_key=True),
    sa.Column("thread_state_id", sa.BigInteger, sa.ForeignKey(gmail_thread_state.c.id), primary_key=True, index=True),
    sa.Column("cache_key", sa.Text, nullable=False),
)

# --- how the campaign went ----------------------------------------------------------------------------------------

sheet_lease = sa.Table(
    "sheet_lease",  # who writes into a spreadsheet now: two exports would each append what the other did not see
    metadata,
    sa.Column("spreadsheet_id", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    _when("until", nullable=False),
)

sheets_call = sa.Table(
    "sheets_call",  # of the last minute: Google counts reads and writes of one login
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("calls", sa.Integer, nullable=False),
    _when("expires_at", nullable=False),
    _one_of("kind", "read", "write"),
)

outcome_news = sa.Table(
    "outcome_news",
    metadata,
    # Whose outcome may have changed since it was counted. Written with the change, taken away by the count.
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False, index=True),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW),
)

recipient_outcome = sa.Table(
    "recipient_outcome",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    _when("valid_from", nullable=False),  # the moment of the facts it was made of
    _when("valid_to"),  # null: as we know it now
    sa.Column("document", JSONB, nullable=False),  # metrics/outcome_document.py
    sa.Column("document_hash", sa.Text, nullable=False),
    # What waiting times are told from; null for one to whom we never wrote.
    sa.Column("sender", sa.Text),
    sa.Column("cohort", sa.Text),
    _when("first_sent_at"),
    _when("replied_at"),
    sa.Column("is_delivered", sa.Boolean, nullable=False),
    sa.Column("business_hours_to_reply", sa.Float),
    sa.Column("response_hours", ARRAY(sa.Float), nullable=False),
    sa.Column("run_id", sa.Text),
)
sa.Index(
    "uq_recipient_outcome_current",
    recipient_outcome.c.recipient_id,
    unique=True,
    postgresql_where=recipient_outcome.c.valid_to.is_(None),
)
sa.Index("ix_recipient_outcome_campaign", recipient_outcome.c.campaign_id, recipient_outcome.c.valid_from)

campaign_metric = sa.Table(
    "campaign_metric",
    metadata,
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), primary_key=True),
    sa.Column("grain", sa.Text, primary_key=True),
    sa.Column("grain_key", sa.Text, primary_key=True),  # "", "2026-11-01", an account's alias, "1", "2026-W45"
    sa.Column("metric", sa.Text, primary_key=True),
    sa.Column("value", sa.Float),  # null: no denominator yet
    sa.Column("numerator", sa.Float),
    sa.Column("denominator", sa.Float),
    sa.Column("low", sa.Float),  # with high: 95 % interval of a rate
    sa.Column("high", sa.Float),
    sa.Column("is_early", sa.Boolean, nullable=False, server_default=sa.false()),  # too early to tell
    sa.Column("is_additive", sa.Boolean, nullable=False),
    sa.Column("definition_version", sa.Text, nullable=False),
    _when("computed_at", nullable=False),
    sa.Column("run_id", sa.Text),
    _one_of("grain", "campaign", "day", "sender", "step", "cohort"),
)


# --- running it ---------------------------------------------------------------------------------------------------

backfill = sa.Table(
    "backfill",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False, index=True),
    sa.Column("since", sa.Date, nullable=False),  # first month
    sa.Column("until", sa.Date, nullable=False),  # last month
    sa.Column("stages", ARRAY(sa.Text), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("estimate", JSONB),  # operations/models.py: BackfillEstimate
    sa.Column("requested_by", sa.Text, nullable=False),
    _created(),
    _when("finished_at"),
    _one_of("state", "running", "done", "failed", "cancelled"),
)

backfill_part = sa.Table(
    "backfill_part",
    metadata,
    sa.Column("backfill_id", sa.Uuid, sa.ForeignKey(backfill.c.id), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("partition_key", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False, server_default="0"),
    _when("requested_at"),
    sa.Column("run_id", sa.Text),
    _one_of("stage", "sheet", "archive", "campaign"),
    _one_of("state", "waiting", "requested", "done", "failed", "cancelled"),
)

person_request = sa.Table(
    "person_request",  # who asked for their data or to be forgotten, by a keyed hash of the address
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("address_hash", sa.Text, nullable=False),
    sa.Column("requested_by", sa.Text, nullable=False),
    _created(),
    _when("finished_at"),
    sa.Column("blobs_to_remove", ARRAY(sa.Text)),  # their rows are gone; null once the bytes are, too
    sa.Column("report", JSONB),  # people/models.py: ErasureReport; counts only
    _one_of("kind", "erase", "export"),
)
sa.Index("ix_person_request_user_id_kind", person_request.c.user_id, person_request.c.kind)

person_mention = sa.Table(
    "person_mention",  # mail that may be about an erased person: names no address of theirs. A person decides
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), nullable=False, index=True),
    sa.Column("address_hash", sa.Text, nullable=False),  # whose erasure found it, as in person_request
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), nullable=False),
    sa.Column("gmail_message_id", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("field", sa.Text, nullable=False),
    sa.Column("starts_at", sa.Integer, nullable=False),  # where in the field, so that no words are kept here
    sa.Column("length", sa.Integer, nullable=False),
    _created(),
    _when("decided_at"),
    sa.Column("decision", sa.Text),
    sa.Column("decided_by", sa.Text),
    _one_of("kind", "name", "handle", "postal_address"),
    _one_of("field", "subject", "body_text", "attachments"),
    _one_of("decision", "deleted", "kept"),
    sa.UniqueConstraint("address_hash", "gmail_account_id", "gmail_message_id"),
)

alert = sa.Table(
    "alert",  # what is wrong, or was: notified once when it begins and once when it ends. Ids only, no client's data
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("what_to_do", sa.Text, nullable=False),
    _when("opened_at", nullable=False),
    _when("resolved_at"),
    sa.Column("severity", sa.Text, nullable=False, server_default="error"),
    _when("since"),  # when it began; opened_at: when it was noticed
    sa.Column("run_id", sa.Text),  # the run that shows it
    _one_of("severity", "critical", "error", "warning"),
)

alert_notified = sa.Table(
    "alert_notified",  # open alerts that a sink was told of, and has not been told of that they are resolved
    metadata,
    sa.Column("sink", sa.Text, primary_key=True),  # `log`, or a digest of the address, which is a secret
    sa.Column("alert_key", sa.Text, sa.ForeignKey(alert.c.key, ondelete="CASCADE"), primary_key=True, index=True),
)

# --- who signs in to the web UI: nobody's client data, no address, only keyed hashes ---------------------------------

web_session = sa.Table(
    "web_session",  # one sign-in of one browser; the cookie carries the id, signed
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("subject", sa.Text, nullable=False, index=True),  # the user's id at Supabase Auth
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("refresh_token", sa.Text),  # sealed with a key derived from CHEERFUL_SESSION_KEY; null: none was given
    _created(),
    _when("expires_at", nullable=False),
    _when("checked_at", nullable=False),  # when Supabase Auth last confirmed the role
    _when("trusted_until", nullable=False),  # how long that confirmation holds if Supabase Auth does not answer
    _when("checking_until"),  # one process asks at a time
    _when("ended_at"),
    _one_of("role", "viewer", "analyst", "engineer"),
)

sign_in_attempt = sa.Table(
    "sign_in_attempt",  # written before Supabase Auth is asked, deleted when it agrees; what is left has failed
    metadata,
    sa.Column("attempt", sa.Uuid, primary_key=True),
    sa.Column("bucket", sa.Text, primary_key=True),  # keyed hash: address and network, network, address, or browser
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=_NOW, index=True),
)
sa.Index("ix_sign_in_attempt_bucket_created_at", sign_in_attempt.c.bucket, sign_in_attempt.c.created_at)

sign_in_known = sa.Table(
    "sign_in_known",  # address and network (one keyed hash) from which somebody has signed in
    metadata,
    sa.Column("bucket", sa.Text, primary_key=True),
    _when("last_success_at", nullable=False),
)

work_failure = sa.Table(
    "work_failure",  # one row per unit of work whose newest attempt failed; gone with its next success. Ids only
    metadata,
    sa.Column("unit", sa.Text, primary_key=True),  # "mailbox:lumen-mia", "sheet:spring", "campaign:spring", "portfolio"
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), index=True),  # null: the whole installation's
    sa.Column("failure_class", sa.Text, nullable=False),  # orchestration/retries.py
    sa.Column("error", sa.Text, nullable=False),  # class name
    sa.Column("attempts", sa.Integer, nullable=False),  # of this class in a row
    sa.Column("changes_failed", sa.Integer, nullable=False, server_default="0"),  # changed work, in a row
    _when("first_failed_at", nullable=False),
    _when("failed_at", nullable=False),
    _when("next_try_at", nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("watermark", sa.Text),  # what was to be done; another one: something has changed since
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("what_to_do", sa.Text, nullable=False),
    _one_of(
        "failure_class",
        "transient",
        "throttled",
        "unclear",
        "auth",
        "permanent",
        "crashed",
        "interrupted",
        "unknown",
    ),
)
