"""The fan-out: which campaigns did new mail or an import touch? Read (one query), decide (pure), request."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from cheerful_pipelines.batches import in_batches
from cheerful_pipelines.campaigns_refresh import CAMPAIGNS_TAG, campaigns_refresh
from cheerful_pipelines.failures import FailedRun, newest_failure
from cheerful_pipelines.jobs import CAMPAIGN_REFRESH
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.store import CampaignPulse, ThreadStore

CAMPAIGN_TAG = "cheerful/campaign"
_CHAIN = ("email_threads", "thread_classifications", "campaign_metrics", "review_queue")
_JOB = "campaign_refresh"
ALONE_UP_TO = 6
"""A run of one campaign starts in two seconds and shows best; more of them at once would queue for minutes."""
CAMPAIGNS_A_RUN = 20
_IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]


def is_behind(pulse: CampaignPulse) -> bool:
    """Whether the campaign has mail, recipients, senders or news that its numbers do not show."""
    return (
        pulse.newest_relevant_seq > pulse.processed_seq
        or pulse.recipients_revision != pulse.processed_revision
        or pulse.new_senders > 0
        or pulse.newest_news > 0
        or not pulse.was_computed
    )


def decide(
    pulses: Sequence[CampaignPulse],
    in_flight: Collection[str],
    failures: Mapping[str, FailedRun | None] | None = None,
    now: datetime | None = None,
) -> list[dg.RunRequest]:
    """One request for each campaign that is behind its mail or its recipients, or was never computed.

    A campaign with a run in flight waits: its run_key would be burnt on a run that may see the change already.
    `failures`: the newest run of a campaign, where it failed; failures.py tells when it is asked for again.
    """
    requests = []
    for pulse in pulses:
        failure, at = (failures or {}).get(pulse.slug), now or datetime.now(UTC)
        if not is_behind(pulse) or pulse.slug in in_flight or (failure and failure.is_to_be_left_alone(at)):
            continue
        assets = list(_CHAIN)
        if not pulse.was_reported:  # later ones are the hour's, drawn when numbers have settled
            assets.append("campaign_report")
        if pulse.wants_export and not pulse.was_exported:
            assets.append("metrics_sheet")
        requests.append(
            dg.RunRequest(
                job_name=_JOB,
                run_key=_run_key(pulse) + (failure.key_suffix(at) if failure else ""),
                partition_key=pulse.slug,
                asset_selection=[dg.AssetKey(name) for name in assets],
                tags={CAMPAIGN_TAG: pulse.slug},
                run_config=dg.RunConfig(ops={"campaign_metrics": {"config": {"of": "news"}}}),
            )
        )
    return requests


def _run_key(pulse: CampaignPulse) -> str:
    """The watermark. A new sender and a person's word are reasons of their own at an unchanged one."""
    watermark = f"{pulse.slug}:{pulse.newest_relevant_seq}:{pulse.recipients_revision}"
    senders = f":senders+{pulse.new_senders}" if pulse.new_senders else ""
    return watermark + senders + (f":news{pulse.newest_news}" if pulse.newest_news else "")


def in_few_runs(requests: Sequence[dg.RunRequest]) -> list[dg.RunRequest]:
    """As they are while they are few; else runs over many campaigns each. First exports and reports are the hour's."""
    if len(requests) <= ALONE_UP_TO:
        return list(requests)
    found = []
    for part in in_batches(requests, CAMPAIGNS_A_RUN):
        slugs = [str(request.partition_key) for request in part]
        watermark = hashlib.sha256("\n".join(str(request.run_key) for request in part).encode()).hexdigest()
        found.append(
            dg.RunRequest(
                run_key=f"many:{watermark[:32]}",
                job_name=campaigns_refresh.name,
                run_config=dg.RunConfig(ops={"refresh_each": {"config": {"campaigns": slugs}}}),
                tags={CAMPAIGNS_TAG: ",".join(slugs)},
            )
        )
    return found


@dg.sensor(
    name="campaign_fanout",
    jobs=[CAMPAIGN_REFRESH, campaigns_refresh],
    minimum_interval_seconds=2,  # the daemon looks every 5 s; with 5 here, jitter would make that 10
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run of exactly those campaigns that new mail or an import touched.",
)
def campaign_fanout(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
) -> dg.SensorResult | dg.SkipReason:
    """An idle tick is one query: nothing else is asked while its fingerprint stays the same."""
    store, now = ThreadStore(database.for_every_client()), datetime.now(UTC)
    fingerprint = store.fingerprint()
    of_this_minute = f"{fingerprint}@{int(now.timestamp() // 60)}"
    if context.cursor in (fingerprint, of_this_minute):
        return dg.SkipReason("No mail, import or result since the last look.")
    pulses = store.pulses()
    in_flight = _campaigns_in_flight(context.instance)
    registered = set(context.instance.get_dynamic_partitions("campaign"))
    waiting_work = [pulse for pulse in pulses if pulse.slug in registered and is_behind(pulse)]
    failures = {
        pulse.slug: newest_failure(context.instance, tags={CAMPAIGN_TAG: pulse.slug}, job_name=_JOB)
        for pulse in waiting_work
        if pulse.slug not in in_flight
    }
    requests = in_few_runs(decide(waiting_work, in_flight, failures, now))
    # While a run is under way its end must be looked at again, whatever the numbers say then.
    waits = bool(in_flight) or any(pulse.slug not in registered for pulse in pulses)
    # What failed is still to be done: looked at once a minute, asked for when its class of failure allows it.
    cursor = context.cursor if waits else of_this_minute if waiting_work else fingerprint
    if not requests:
        context.update_cursor(cursor or "")
        waiting = f" ({len(in_flight)} campaigns have a run under way)" if in_flight else ""
        return dg.SkipReason(f"The new mail touches no campaign that is behind{waiting}.")
    return dg.SensorResult(run_requests=requests, cursor=cursor or "")


def _campaigns_in_flight(instance: dg.DagsterInstance) -> set[str]:
    records = instance.get_run_records(dg.RunsFilter(statuses=_IN_FLIGHT), limit=500)
    tags = [record.dagster_run.tags for record in records]
    alone = {found[CAMPAIGN_TAG] for found in tags if CAMPAIGN_TAG in found}
    return alone.union(*(found[CAMPAIGNS_TAG].split(",") for found in tags if CAMPAIGNS_TAG in found))


SENSORS = [campaign_fanout]
