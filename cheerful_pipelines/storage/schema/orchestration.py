"""Tables of `orchestration`: failed work, and when it is tried again."""

import sqlalchemy as sa

from cheerful_pipelines.storage.schema.base import metadata, one_of, when
from cheerful_pipelines.storage.schema.campaigns import users

work_failure = sa.Table(
    "work_failure",  # one row per unit of work whose newest attempt failed; gone with its next success. Ids only
    metadata,
    sa.Column("unit", sa.Text, primary_key=True),  # "mailbox:lumen-mia", "sheet:spring", "campaign:spring", "portfolio"
    sa.Column("user_id", sa.Uuid, sa.ForeignKey(users.c.id), index=True),  # null: the whole installation's
    sa.Column("failure_class", sa.Text, nullable=False),  # orchestration/retries.py
    sa.Column("error", sa.Text, nullable=False),  # class name
    sa.Column("attempts", sa.Integer, nullable=False),  # of this class in a row
    sa.Column("changes_failed", sa.Integer, nullable=False, server_default="0"),  # changed work, in a row
    when("first_failed_at", nullable=False),
    when("failed_at", nullable=False),
    when("next_try_at", nullable=False),
    sa.Column("run_id", sa.Text),
    sa.Column("watermark", sa.Text),  # what was to be done; another one: something has changed since
    sa.Column("summary", sa.Text, nullable=False),
    sa.Column("what_to_do", sa.Text, nullable=False),
    one_of(
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
