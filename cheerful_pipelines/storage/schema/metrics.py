"""Tables of `metrics`: outcomes of recipients, and the numbers of campaigns."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cheerful_pipelines.storage.schema.base import NOW, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import campaign
from cheerful_pipelines.storage.schema.recipients import campaign_recipient

outcome_news = sa.Table(
    "outcome_news",
    metadata,
    # Whose outcome may have changed since it was counted. Written with the change, taken away by the count.
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False, index=True),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW),
)

recipient_outcome = sa.Table(
    "recipient_outcome",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("campaign_id", sa.Uuid, sa.ForeignKey(campaign.c.id), nullable=False),
    sa.Column("recipient_id", sa.BigInteger, sa.ForeignKey(campaign_recipient.c.id), nullable=False),
    when("valid_from", nullable=False),  # the moment of the facts it was made of
    when("valid_to"),  # null: as we know it now
    sa.Column("document", JSONB, nullable=False),  # metrics/counting/outcome_document.py
    sa.Column("document_hash", sa.Text, nullable=False),
    # What waiting times are told from; null for one to whom we never wrote.
    sa.Column("sender", sa.Text),
    sa.Column("cohort", sa.Text),
    when("first_sent_at"),
    when("replied_at"),
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
    when("computed_at", nullable=False),
    sa.Column("run_id", sa.Text),
    one_of("grain", "campaign", "day", "sender", "step", "cohort"),
)
