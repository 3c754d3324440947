"""Tables of `threads`: the states of each thread, and whose campaign it belongs to."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cheerful_pipelines.storage.schema.base import created, metadata
from cheerful_pipelines.storage.schema.campaigns import campaign, gmail_account
from cheerful_pipelines.storage.schema.recipients import campaign_recipient

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
    created(),
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
    created(),
)
sa.Index("ix_thread_attribution_thread", thread_attribution.c.gmail_account_id, thread_attribution.c.gmail_thread_id)
