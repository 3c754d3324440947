"""Tables of `classification`: verdicts, what people decided instead, evaluations, and what models cost."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from cheerful_pipelines.storage.schema.base import NOW, created, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import campaign, gmail_account
from cheerful_pipelines.storage.schema.threads import gmail_thread_state

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
    created(),
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
    created(),
    when("revoked_at"),
    one_of("source", "command", "sheet"),
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
    sa.Column("document", JSONB, nullable=False),  # classification/evaluation/evaluate.py: Evaluation. No client's data
    created(),
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
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=NOW, index=True),
    sa.Column("run_id", sa.Text),
    one_of("kind", "live", "batch", "evaluation"),
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
    created(),
    when("finished_at"),
    sa.Column("run_id", sa.Text),
    one_of("status", "submitting", "submitted", "ended", "taken_in", "lost"),
)

llm_batch_item = sa.Table(
    "llm_batch_item",
    metadata,
    sa.Column("llm_batch_id", sa.Uuid, sa.ForeignKey(llm_batch.c.id), primary_key=True),
    sa.Column("thread_state_id", sa.BigInteger, sa.ForeignKey(gmail_thread_state.c.id), primary_key=True, index=True),
    sa.Column("cache_key", sa.Text, nullable=False),
)
