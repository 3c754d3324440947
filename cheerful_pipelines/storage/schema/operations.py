"""Tables of `operations`: backfills and alerts."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cheerful_pipelines.storage.schema.base import created, metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import campaign

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
    created(),
    when("finished_at"),
    one_of("state", "running", "done", "failed", "cancelled"),
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
    when("requested_at"),
    sa.Column("run_id", sa.Text),
    one_of("stage", "sheet", "archive", "campaign"),
    one_of("state", "waiting", "requested", "done", "failed", "cancelled"),
)

alert = sa.Table(
    "alert",  # what is wrong, or was: notified once when it begins and once when it ends. Ids only, no client's data
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("words", sa.Text, nullable=False),
    sa.Column("what_to_do", sa.Text, nullable=False),
    when("opened_at", nullable=False),
    when("resolved_at"),
    sa.Column("severity", sa.Text, nullable=False, server_default="error"),
    when("since"),  # when it began; opened_at: when it was noticed
    sa.Column("run_id", sa.Text),  # the run that shows it
    one_of("severity", "critical", "error", "warning"),
)

alert_notified = sa.Table(
    "alert_notified",  # open alerts that a sink was told of, and has not been told of that they are resolved
    metadata,
    sa.Column("sink", sa.Text, primary_key=True),  # `log`, or a digest of the address, which is a secret
    sa.Column("alert_key", sa.Text, sa.ForeignKey(alert.c.key, ondelete="CASCADE"), primary_key=True, index=True),
)
