"""`cheerful status`: how far every account and campaign is, on one screen."""

from datetime import UTC, datetime

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli.connections import database
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.gmail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.metrics.store import MetricStore

HEADLINES = ("contacted", "delivered", "replied", "reply_rate", "positive", "opted_out")


def status() -> None:
    """Accounts with marks and dead letters; campaigns with headline numbers and when they were last brought up."""
    connected = database()
    store = CampaignStore(connected)
    letters = DeadLetterStore(connected)
    rows: list[tuple[object, ...]] = []
    for account in store.accounts():
        mark = store.account_mark(account.id)
        dead = sum(letters.backlog(account.id).values())
        rows.append((account.alias, account.status, _ago(mark.live_marked_at), mark.archive_complete_from, dead))
    print_table(("account", "status", "last synced", "complete from", "dead letters"), rows)
    print()
    rows = []
    numbers = MetricStore(connected)
    for campaign in store.campaigns():
        marked = store.campaign_mark(campaign.id)
        headline = {row.metric: row.value for row in numbers.rows(slug=campaign.slug, grains=("campaign",))}
        rows.append(
            (
                campaign.slug,
                campaign.status,
                *(_number(headline.get(name)) for name in HEADLINES),
                _ago(marked.sheet_imported_at),
                _ago(marked.metrics_computed_at),
                _ago(marked.exported_at),
            )
        )
    print_table(("campaign", "status", *HEADLINES, "imported", "counted", "exported"), rows)


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.0f}" if value == int(value) and value != 1.0 else f"{value:.3g}"


def _ago(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    minutes = (datetime.now(UTC) - moment).total_seconds() / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
