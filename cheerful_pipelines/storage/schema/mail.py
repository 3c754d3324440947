"""Tables of `mail`: messages, their copies and events, what one mail says, and how far each mailbox has come."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cheerful_pipelines.storage.schema.base import created, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import gmail_account, users

account_mark = sa.Table(
    "account_mark",
    metadata,
    sa.Column("gmail_account_id", sa.Uuid, sa.ForeignKey(gmail_account.c.id), primary_key=True),
    sa.Column("live_history_id", sa.Numeric(20, 0)),  # uint64: everything up to it is stored
    when("live_marked_at"),
    when("in_step_at"),  # when Gmail last said that nothing is newer than the live mark; to the minute
    # A first listing under way: the history id taken before it, and where its window begins.
    sa.Column("listing_history_id", sa.Numeric(20, 0)),
    when("listing_from"),
    when("listing_before"),  # newer than that, it is done
    sa.Column("gap_from_seq", sa.BigInteger),  # a repair under way: what was ingested since then is its doing
    when("stored_from"),  # everything in scope since then is stored
    sa.Column("progress", sa.BigInteger, nullable=False, server_default="0"),  # grows by each sync that stored some
    sa.Column("archive_complete_from", sa.Date),  # first day of the oldest month that is complete
    when("archive_marked_at"),
)

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
    created(),
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
    when("internal_date", nullable=False),  # the time Google took it in: the time of record
    sa.Column("raw_sha256", sa.Text, nullable=False, index=True),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("ingest_seq", sa.BigInteger, nullable=False, index=True),  # of the newest event of this copy
    when("deleted_at"),  # tombstone: gone from Gmail
    when("raw_deleted_at"),  # the raw bytes were let go by age
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
    created(),
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
    created(),
    sa.Column("run_id", sa.Text),
    one_of("kind", "added", "labels", "deleted"),
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
    created(),
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
    when("completed_at"),
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
    when("next_try_at"),
    when("resolved_at"),
    created(),
    sa.Column("run_id", sa.Text),
    sa.UniqueConstraint("gmail_account_id", "gmail_message_id", "stage"),
    one_of("stage", "fetch", "parse", "store", "thread", "classify"),
)

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
    when("returns_at"),  # out of office until
    created(),
    one_of("direction", "ours", "theirs"),
    one_of(
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
