"""The sensor `registry_partitions`: campaigns and accounts in the database become partitions.

It only adds. Deleting a dynamic partition breaks the automation pages of everything downstream
(dagster-io/dagster#33910), and a campaign that ended keeps its history: deleting is an explicit command.
"""

from collections.abc import Collection, Iterable

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.orchestration.partitions import ACCOUNT_PARTITIONS, CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.storage.engine import Database

SHOWN_STATUSES = ("ACTIVE", "COMPLETED")
"""A draft has no recipients yet; it becomes a partition when it starts."""


def missing(wanted: Iterable[str], existing: Collection[str]) -> list[str]:
    """Keys to add, each once, in order. Pure."""
    return sorted(set(wanted) - set(existing))


@work_sensor(
    name="registry_partitions",
    minimum_interval_seconds=15,
    description="Adds a partition for each new campaign and each new Gmail account; deletes none.",
)
def registry_partitions(tick: Tick[Cursor], database: dg.ResourceParam[Database]) -> dg.SensorResult | dg.SkipReason:
    """Compare the registry with Dagster's two partition sets."""
    store = CampaignStore(database)
    wanted = (
        (CAMPAIGN_PARTITIONS, [campaign.slug for campaign in store.campaigns(statuses=SHOWN_STATUSES)]),
        (ACCOUNT_PARTITIONS, [account.alias for account in store.accounts() if account.replaced_at is None]),
    )
    requests = []
    for definition, keys in wanted:
        new = missing(keys, tick.instance.get_dynamic_partitions(str(definition.name)))
        if new:
            requests.append(definition.build_add_request(new))
    if not requests:
        return dg.SkipReason("Every campaign and account has its partition.")
    return dg.SensorResult(dynamic_partitions_requests=requests)


SENSORS = [registry_partitions]
