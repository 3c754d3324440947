"""The asset that takes in what clients typed beside the threads in their sheet."""

import hashlib
from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.overrides.take_overrides import take_overrides
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.orchestration.failures import API_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


@dg.asset(
    key="sheet_overrides",
    partitions_def=CAMPAIGN_PARTITIONS,
    group_name="classification",
    kinds={"googlesheets", "postgres"},
    owners=["team:cheerful-data"],
    description="Labels that the client corrected in the columns Override and Override reason of the tab Threads. Each "
    "import of the recipients and each export of the numbers takes them in; they outrank every classifier until the "
    "cell is changed. A cell that names no label is reported with its row, and changes nothing.",
    deps=[dg.AssetDep("sheet_recipients", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=API_RETRY,
    pool="sheets",
    code_version="1",
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def sheet_overrides(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], sheets: dg.ResourceParam[SheetsClient]
) -> dg.MaterializeResult[Any]:
    """Read the tab, apply what is new."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        store = VerdictStore(database.for_client(campaign.user_id))
        told = _taken(sheets, store, campaign)
        version = _version(store, campaign)
    return dg.MaterializeResult(metadata={"overrides": told}, data_version=dg.DataVersion(version))


def _taken(sheets: SheetsClient, store: VerdictStore, campaign: Campaign) -> str:
    """A tab that cannot be read is reported and fails nothing: the import before it, in the same run, is done."""
    try:
        taken = take_overrides(sheets, store, campaign)
    except CheerfulError as error:
        logger.warning("overrides_not_read", campaign=campaign.slug, error=type(error).__name__)
        return f"Not read; the next import tries again. {error}"
    return " ".join([f"{taken.set} set, {taken.taken_back} taken back.", *taken.problems])


def _version(store: VerdictStore, campaign: Campaign) -> str:
    """Hash of the overrides in force: the same as long as nobody changes one."""
    found = sorted(
        f"{one.account}/{one.gmail_thread_id} {one.label}"
        for one in store.overrides(campaign.id)
        if one.revoked_at is None
    )
    return hashlib.sha256("\n".join(found).encode()).hexdigest()[:12]


ASSETS = [sheet_overrides]
