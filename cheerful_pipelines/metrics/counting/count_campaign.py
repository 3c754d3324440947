"""One campaign from stored mail to stored numbers: of everybody, or only of those who have news.

The order of the work, and nothing else: rules stand in the pure files, queries in the stores.
"""

import hashlib
from typing import Literal

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.metrics.counting.definitions import DEFINITION_VERSION
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.counting.outcome_store import OutcomeStore
from cheerful_pipelines.metrics.counting.outcomes import OUTCOME_VERSION, recipient_outcomes
from cheerful_pipelines.metrics.models import CampaignFacts, CountReport
from cheerful_pipelines.storage.engine import Database

MOST_WITH_NEWS = 2_000
"""With more news than that, counting everybody is as quick."""


def count_campaign(
    database: Database, slug: str, *, of: Literal["everybody", "news"] = "everybody", run_id: str | None = None
) -> CountReport:
    """Bring the campaign's numbers up to date; equal rows are left untouched. Raises NotFoundError.

    `news` counts everybody, too, where there are no numbers yet, where definitions, dates, senders or addresses of
    ours changed, or where there is too much news.
    """
    store, found = FactStore(database), None
    if of == "news":
        found = store.facts_of_news(slug, most=MOST_WITH_NEWS)
        if found is not None and OutcomeStore(database).basis(found[0].campaign.id) != basis_of(found[0]):
            found = None
    is_everybody = found is None
    facts, news = found or store.facts_and_news(slug)
    saved = OutcomeStore(database).save(
        facts, recipient_outcomes(facts), news, basis=basis_of(facts), run_id=run_id, is_everybody=is_everybody
    )
    return CountReport(
        of="everybody" if is_everybody else "news",
        recipients_in=len(facts.recipients),
        threads_in=len(facts.threads),
        messages_in=len(facts.messages),
        outcomes_changed=saved.outcomes_changed,
        without_news=saved.without_news,
        changes=saved.changes,
        rows=saved.rows,
    )


def definitions_in_force() -> str:
    """What begins every basis of today's code."""
    return f"{DEFINITION_VERSION}.{OUTCOME_VERSION}"


def basis_of(facts: CampaignFacts) -> str:
    """A short text that changes with everything that decides numbers and is no mail."""
    campaign: Campaign = facts.campaign
    parts = (
        campaign.campaign_type, campaign.time_zone, campaign.starts_at.isoformat(),
        sorted(str(sender) for sender in facts.sender_ids), sorted(facts.our_keys),
    )  # fmt: skip
    return f"{definitions_in_force()}:{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
