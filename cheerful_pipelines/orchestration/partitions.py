"""Every partitions definition, and why it is cut that way.

Keys are slugs and aliases, never addresses: they end up in run tags, URLs and logs.
"""

from datetime import date

import dagster as dg

CAMPAIGN_PARTITIONS = dg.DynamicPartitionsDefinition(name="campaign")
"""One key a campaign (its slug): the unit in which analysts look and engineers repair."""

ACCOUNT_PARTITIONS = dg.DynamicPartitionsDefinition(name="gmail_account")
"""One key a sender mailbox (its alias): the unit of quota, credentials and history."""

MONTH_PARTITIONS = dg.MonthlyPartitionsDefinition(start_date="2015-01-01", timezone="UTC", end_offset=1)
"""Months of mail, the running one included: the archive finishes one at a time."""

ARCHIVE_PARTITIONS = dg.MultiPartitionsDefinition({"gmail_account": ACCOUNT_PARTITIONS, "month": MONTH_PARTITIONS})
"""One mailbox month: small enough to repeat, large enough to be few (12 a year and mailbox)."""


def account_and_month(key: str) -> tuple[str, date]:
    """Alias and first day. Dagster joins dimensions with "|" in the order of their names: gmail_account, then month.

    >>> account_and_month("mia|2026-11-01")
    ('mia', datetime.date(2026, 11, 1))
    """
    alias, _, month = str(key).rpartition("|")
    return alias, date.fromisoformat(month)
