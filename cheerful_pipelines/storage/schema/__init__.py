"""Every table: one file per domain, which owns its tables. Plain SQLAlchemy Core; queries live in stores.

Importing this package registers all of them in `metadata`.

Conventions: every table reaches a client by `user_id` (directly or over a foreign key); times are timestamptz in
UTC; a Gmail id never stands without its `gmail_account_id`; texts that are closed sets have a CHECK.
"""

from cheerful_pipelines.storage.schema import (
    campaigns,
    classification,
    google,
    mail,
    metrics,
    operations,
    orchestration,
    people,
    recipients,
    threads,
    web,
)
from cheerful_pipelines.storage.schema.base import metadata

__all__ = [
    "campaigns",
    "classification",
    "google",
    "mail",
    "metadata",
    "metrics",
    "operations",
    "orchestration",
    "people",
    "recipients",
    "threads",
    "web",
]
