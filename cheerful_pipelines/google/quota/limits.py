"""What the settings allow of Gmail's quota: which price table, and how many units a minute. Pure."""

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.quota.prices import PLANS, QuotaPlan


def quota_plan(settings: Settings) -> QuotaPlan:
    """The price table of the Google Cloud project."""
    return PLANS[settings.gmail_quota]


def units_a_minute(settings: Settings) -> int:
    """Of one mailbox. The local server needs no patience; set CHEERFUL_GMAIL_UNITS_PER_MINUTE to feel Gmail's."""
    if settings.gmail_units_per_minute is None and settings.mode == "local":
        return project_units_a_minute(settings)
    return settings.gmail_units_per_minute or quota_plan(settings).units_a_minute


def project_units_a_minute(settings: Settings) -> int:
    """Of all mailboxes together."""
    return settings.gmail_project_units_per_minute or quota_plan(settings).project_units_a_minute
