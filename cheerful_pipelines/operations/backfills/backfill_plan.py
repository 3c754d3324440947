"""Which partitions a campaign's backfill goes through, and in which order. Reads and writes nothing."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.operations.models import STAGES, BackfillPlan, Stage
from cheerful_pipelines.refresh.chain import CAMPAIGN_ASSETS

ASSETS_OF: dict[Stage, tuple[str, ...]] = {
    "sheet": ("sheet_recipients", "sheet_overrides"),
    "archive": ("gmail_archive",),
    "campaign": CAMPAIGN_ASSETS,
}

FIRST_MONTH = date(2004, 4, 1)
"""Gmail began in it: there is no older mail to ask for."""


def plan_backfill(
    campaign: Campaign,
    accounts: Sequence[GmailAccount],
    *,
    since: date | None,
    until: date | None,
    only: Sequence[str] = (),
    now: datetime,
) -> BackfillPlan:
    """Months from `since` (default: the campaign's start) to `until` (default: now) of each sender, newest first.

    `only` names stages or assets. Raises ConfigurationError for months that are none and names that are unknown.
    """
    first = max((since or campaign.starts_at.date()).replace(day=1), FIRST_MONTH)
    last = min(until or now.date(), now.date()).replace(day=1)
    if first > last:
        raise ConfigurationError(
            f"A backfill from {first:%Y-%m} to {last:%Y-%m} has no month.",
            what_to_do="Give --since before --until, and neither in the future.",
        )
    stages = _stages(only)
    parts: list[tuple[Stage, str]] = []
    if "sheet" in stages:
        parts.append(("sheet", campaign.slug))
    if "archive" in stages:
        months = list(_months(first, last))
        parts += [("archive", f"{account.alias}|{month:%Y-%m-%d}") for month in months for account in accounts]
    if "campaign" in stages:
        parts.append(("campaign", campaign.slug))
    return BackfillPlan(
        campaign_id=campaign.id, slug=campaign.slug, since=first, until=last, stages=stages,
        accounts=tuple(account.alias for account in accounts), parts=tuple(parts),
    )  # fmt: skip


def _stages(only: Sequence[str]) -> tuple[Stage, ...]:
    if not only:
        return STAGES
    wanted: set[Stage] = set()
    for name in only:
        found = [stage for stage in STAGES if name == stage or name in ASSETS_OF[stage]]
        if not found:
            known = ", ".join([*STAGES, *(asset for stage in STAGES for asset in ASSETS_OF[stage])])
            raise ConfigurationError(f"A backfill knows no {name!r}.", what_to_do=f"One of: {known}.")
        wanted.add(found[0])
    return tuple(stage for stage in STAGES if stage in wanted)


def _months(first: date, last: date) -> Iterator[date]:
    """Newest first: what people ask about is recent."""
    month = last
    while month >= first:
        yield month
        month = (month - timedelta(days=1)).replace(day=1)
