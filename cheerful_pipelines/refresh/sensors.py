"""The fan-out: which campaigns did new mail or an import touch? Read (one query), decide (pure), request."""

from collections.abc import Callable, Mapping, Sequence

import dagster as dg

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.orchestration.retries import DueWork, Work, keys_hash
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.refresh.bulk_refresh import CAMPAIGNS_TAG, bulk_campaign_refresh
from cheerful_pipelines.refresh.chain import CHAIN, CHAIN_ASSETS, REPORT, SHEET
from cheerful_pipelines.refresh.jobs import CAMPAIGN_REFRESH
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.store import CampaignPulse, ThreadStore

CAMPAIGN_TAG = "cheerful/campaign"
ALONE_UP_TO = 6
"""A run of one campaign starts in two seconds and shows best; more of them at once would queue for minutes."""
CAMPAIGNS_A_RUN = 20


class FanoutCursor(Cursor):
    """What the last look saw."""

    fingerprint: str = ""
    """Of everything that is counted; empty: look again at the next tick."""
    minute: str = ""
    """Work was waiting for its next try: look again in the next minute."""


def is_behind(pulse: CampaignPulse) -> bool:
    """Whether the campaign has mail, recipients, senders or news that its numbers do not show."""
    return (
        pulse.newest_relevant_seq > pulse.processed_seq
        or pulse.recipients_revision != pulse.processed_revision
        or pulse.new_senders > 0
        or pulse.newest_news > 0
        or not pulse.was_computed
    )


def work_of_campaigns(pulses: Sequence[CampaignPulse]) -> list[Work]:
    """What is to be done: campaigns that are behind their mail or their recipients, or were never computed."""
    return [Work(f"campaign:{pulse.slug}", _watermark(pulse)) for pulse in pulses if is_behind(pulse)]


def _watermark(pulse: CampaignPulse) -> str:
    """A new sender and a person's decision are reasons of their own at unchanged mail."""
    senders = f":senders+{pulse.new_senders}" if pulse.new_senders else ""
    news = f":news{pulse.newest_news}" if pulse.newest_news else ""
    return f"{pulse.newest_relevant_seq}:{pulse.recipients_revision}{senders}{news}"


def decide(
    due: Sequence[DueWork], pulses: Mapping[str, CampaignPulse], tags: Callable[..., dict[str, str]]
) -> list[dg.RunRequest]:
    """One request for each campaign while they are few, else runs over many campaigns each.

    First exports and reports of many are the hour's.
    """
    if len(due) <= ALONE_UP_TO:
        return [_alone(one, pulses[one.name], tags(one)) for one in due]
    return [_together(part, tags(*part)) for part in in_batches(due, CAMPAIGNS_A_RUN)]


def _alone(one: DueWork, pulse: CampaignPulse, tags: Mapping[str, str]) -> dg.RunRequest:
    assets = list(CHAIN_ASSETS)
    if not pulse.was_reported:  # later ones are the hour's, drawn when numbers have settled
        assets.append(REPORT)
    if pulse.wants_export and not pulse.was_exported:
        assets.append(SHEET)
    return dg.RunRequest(
        job_name=CAMPAIGN_REFRESH.name,
        run_key=one.key,
        partition_key=one.name,
        asset_selection=[dg.AssetKey(name) for name in assets],
        tags={CAMPAIGN_TAG: one.name, **tags},
        run_config=dg.RunConfig(ops={step.name: {"config": dict(step.config)} for step in CHAIN if step.config}),
    )


def _together(part: Sequence[DueWork], tags: Mapping[str, str]) -> dg.RunRequest:
    slugs = [one.name for one in part]
    return dg.RunRequest(
        run_key=f"many:{keys_hash(part)}",
        job_name=bulk_campaign_refresh.name,
        run_config=dg.RunConfig(ops={"refresh_each": {"config": {"campaigns": slugs}}}),
        tags={CAMPAIGNS_TAG: ",".join(slugs), **tags},
    )


@work_sensor(
    name="campaign_fanout",
    kinds=["campaign"],
    cursor=FanoutCursor,
    jobs=[CAMPAIGN_REFRESH, bulk_campaign_refresh],
    minimum_interval_seconds=2,  # the daemon looks every 5 s; with 5 here, jitter would make that 10
    description="Asks for a run of exactly those campaigns that new mail or an import touched.",
)
def campaign_fanout(
    tick: Tick[FanoutCursor], database: dg.ResourceParam[Database]
) -> list[dg.RunRequest] | dg.SkipReason:
    """An idle tick is one query: nothing else is asked while its fingerprint stays the same."""
    database = database.for_every_client()
    store, minute = ThreadStore(database), f"{tick.now:%Y-%m-%dT%H:%M}"
    fingerprint = store.fingerprint()
    if tick.cursor.fingerprint == fingerprint and tick.cursor.minute in ("", minute):
        return dg.SkipReason("No mail, import or result since the last look.")
    pulses = {pulse.slug: pulse for pulse in store.pulses()}
    registered = set(tick.instance.get_dynamic_partitions("campaign"))
    known = [pulse for slug, pulse in pulses.items() if slug in registered]
    work = work_of_campaigns(known)
    behind = {one.unit for one in work}
    up_to_date = [f"campaign:{pulse.slug}" for pulse in known if f"campaign:{pulse.slug}" not in behind]
    due = tick.work(database, work, up_to_date=up_to_date)
    # While a run is under way its end must be looked at again, whatever the numbers say then. What failed is still
    # to be done: looked at once a minute.
    waits = bool(tick.unfinished or due) or len(known) < len(pulses)
    tick.keep(fingerprint="" if waits else fingerprint, minute=minute if work else "")
    if not due:
        under_way = f" ({len(tick.unfinished)} runs are under way)" if tick.unfinished else ""
        return dg.SkipReason(f"{len(work)} campaigns are behind; none is due for a run now{under_way}.")
    return decide(due, pulses, tick.tags)


SENSORS = [campaign_fanout]
