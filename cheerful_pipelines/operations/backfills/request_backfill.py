"""From a wish to a backfill that is written down: plan, estimate, store. For the command and the launchpad alike."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple
from uuid import UUID

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.choice import chosen_classifier
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.operations.backfills.backfill_plan import plan_backfill
from cheerful_pipelines.operations.backfills.backfill_store import BackfillStore
from cheerful_pipelines.operations.backfills.estimate_backfill import estimate_backfill
from cheerful_pipelines.operations.models import Backfill, BackfillEstimate, BackfillPlan
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


class Requested(NamedTuple):
    """What was planned, what it would take, and under which number it is followed; None: only estimated."""

    plan: BackfillPlan
    estimate: BackfillEstimate
    number: UUID | None


def request_backfill(
    settings: Settings,
    database: Database,
    blobs: BlobStore,
    clients: GmailClients,
    slug: str,
    *,
    since: str = "",
    until: str = "",
    only: Sequence[str] = (),
    estimate_only: bool = False,
    requested_by: str,
) -> Requested:
    """Plan, estimate and, unless only the estimate was asked for, start. `since` and `until`: 2026-10 or 2026-10-01.

    Raises NotFoundError for an unknown campaign, ConfigurationError for what cannot be read.
    """
    campaigns = CampaignStore(database)
    campaign = campaigns.campaign(slug)
    connected = [one for one in campaigns.accounts(campaign_id=campaign.id) if one.replaced_at is None]
    accounts = {account.alias: account for account in connected}
    plan = plan_backfill(
        campaign,
        list(accounts.values()),
        since=month_of(since),
        until=month_of(until),
        only=only,
        now=datetime.now(UTC),
    )
    estimate = estimate_backfill(
        plan, campaign, accounts, settings=settings, store=MailStore(database, blobs), clients=clients,
        classifier=chosen_classifier(settings),
    )  # fmt: skip
    if estimate_only:
        return Requested(plan, estimate, None)
    return Requested(plan, estimate, BackfillStore(database).add(plan, estimate, requested_by=requested_by))


def month_of(text: str) -> date | None:
    """The first day of a month; None for nothing.

    >>> month_of("2026-10"), month_of("2026-10-17"), month_of("")
    (datetime.date(2026, 10, 1), datetime.date(2026, 10, 1), None)
    """
    if not text.strip():
        return None
    try:
        return date.fromisoformat(text.strip() if text.count("-") == 2 else f"{text.strip()}-01").replace(day=1)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no month.", what_to_do="Write 2026-10 or 2026-10-01.") from None


def estimate_as_markdown(plan: BackfillPlan, estimate: BackfillEstimate) -> Markdown:
    """What it would take, for people."""
    usd = "unknown price" if estimate.llm_usd is None else f"{estimate.llm_usd:.2f}"
    rows: list[tuple[str, object]] = [
        ("months", f"{plan.since:%Y-%m} to {plan.until:%Y-%m}"),
        ("mailboxes", len(plan.accounts)),
        ("partitions", estimate.partitions),
        ("messages to fetch", f"{estimate.messages:,}"),
        ("Gmail quota units", f"{estimate.quota_units:,}"),
        ("minutes, about", estimate.minutes),
        ("calls to a paid model for what is pending now", f"{estimate.llm_calls:,}"),
        ("of that answered from memory, without a call", f"{estimate.llm_cache_hits:,}"),
        ("dollars, about", usd),
    ]
    if estimate.skipped_accounts:
        rows.append(("cannot be asked now", ", ".join(estimate.skipped_accounts)))
    return markdown.table(("what", "how much"), rows, right=(1,))


def progress_in_words(found: Backfill) -> str:
    """`12 of 20 partitions done, 2 under way, 1 failed`."""
    words = f"{found.count('done')} of {len(found.parts)} partitions done"
    for state, name in (("requested", "under way"), ("failed", "failed"), ("cancelled", "cancelled")):
        if found.count(state):  # type: ignore[arg-type]
            words += f", {found.count(state)} {name}"  # type: ignore[arg-type]
    return words
