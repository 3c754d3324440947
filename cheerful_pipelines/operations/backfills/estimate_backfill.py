"""What a campaign's backfill would take, told before it starts: from Gmail's own listings, and from what is pending.

Asking costs units itself: 5 for each 500 messages listed, the same that the backfill spends on them again.
"""

from collections.abc import Mapping

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.estimate import pending_work
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.quota.limits import units_a_minute
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.operations.models import BackfillEstimate, BackfillPlan
from cheerful_pipelines.orchestration.partitions import account_and_month

_SECONDS_A_RUN = 4.0  # to start and end one, measured with the default launcher
RUNS_AT_ONCE = 2


def estimate_backfill(
    plan: BackfillPlan,
    campaign: Campaign,
    accounts: Mapping[str, GmailAccount],
    *,
    settings: Settings,
    store: MailStore,
    clients: GmailClients,
    classifier: Classifier,
) -> BackfillEstimate:
    """Messages to fetch, quota units, minutes, and calls to a paid model for what is pending now.

    What the new mail will bring to be judged is not known before it is read: it is not in `llm_calls`.
    """
    messages, units_of = 0, dict.fromkeys(plan.accounts, 0)
    skipped = {alias for alias in plan.accounts if accounts[alias].status != "active"}
    for stage, key in plan.parts:
        if stage != "archive":
            continue
        alias, month = account_and_month(key)
        if alias in skipped:
            continue
        mailbox = MailboxSync(accounts[alias], clients.client(accounts[alias]), store, run_id="estimate")
        found = mailbox.estimate(month)
        messages += found.to_fetch
        units_of[alias] += found.units
    calls, hits, usd = 0, 0, 0.0
    if "campaign" in plan.stages:
        work = pending_work(VerdictStore(store.database), campaign, classifier)
        calls, hits = work.calls, work.judged_before
        usd = work.usd if work.usd is not None else float("nan")
    busiest = max(units_of.values(), default=0)
    minutes = busiest / (units_a_minute(settings) * settings.gmail_archive_share)
    minutes += len(plan.parts) * _SECONDS_A_RUN / RUNS_AT_ONCE / 60
    return BackfillEstimate(
        partitions=len(plan.parts), messages=messages, quota_units=sum(units_of.values()), minutes=round(minutes, 1),
        llm_calls=calls, llm_cache_hits=hits, llm_usd=None if usd != usd else usd,
        skipped_accounts=tuple(sorted(skipped)),
    )  # fmt: skip
