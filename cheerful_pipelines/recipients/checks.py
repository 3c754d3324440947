"""What a person should look at after an import of a campaign. A lost e-mail column fails the import."""

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.recipients.models import ImportCounts
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

HIGHEST_REJECT_SHARE = 0.05
HIGHEST_DUPLICATE_SHARE = 0.10


def _counts(context: dg.AssetCheckExecutionContext, database: Database) -> ImportCounts:
    campaign = CampaignStore(database).campaign(context.partition_key)
    return RecipientStore(database).counts(campaign.id)


def _share_result(found: int, counts: ImportCounts, *, highest: float, words: str) -> dg.AssetCheckResult:
    rows = counts.active + counts.rejected + counts.duplicate
    share = found / rows if rows else 0.0
    return dg.AssetCheckResult(
        passed=share <= highest,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found} of {rows} rows with an address {words} ({share:.0%}); up to {highest:.0%} is "
        "usual. The problems table of the newest materialization names the rows.",
        metadata={"found": found, "rows": rows, "share": share},
    )


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Few rows are rejected: more means that a column moved or a formula broke.",
)
def few_rejected_rows(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN above HIGHEST_REJECT_SHARE."""
    counts = _counts(context, database)
    return _share_result(counts.rejected, counts, highest=HIGHEST_REJECT_SHARE, words="were rejected")


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Few rows repeat an address: the first is taken, the others are named with both rows.",
)
def few_duplicate_rows(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN above HIGHEST_DUPLICATE_SHARE."""
    counts = _counts(context, database)
    return _share_result(counts.duplicate, counts, highest=HIGHEST_DUPLICATE_SHARE, words="repeat an earlier row")


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="The campaign has somebody to write to.",
)
def has_active_recipients(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """ERROR without a single active recipient."""
    counts = _counts(context, database)
    return dg.AssetCheckResult(
        passed=counts.active > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{counts.active} active recipients, {counts.removed} removed ones kept for the numbers.",
        metadata={"active": counts.active, "removed": counts.removed},
    )


CHECKS = [few_rejected_rows, few_duplicate_rows, has_active_recipients]
