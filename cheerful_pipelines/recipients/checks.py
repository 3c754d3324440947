"""What a person should look at after an import of a campaign, read from the log of imports.

What must stop an import is no check of these: it stands in assets.py, before anything is written.
"""

from datetime import UTC, datetime

import dagster as dg

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.core.redaction import without_addresses
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.recipients.models import ImportRecord
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

HIGHEST_REJECT_SHARE = 0.05
HIGHEST_DUPLICATE_SHARE = 0.10
HIGHEST_QUIET_REMOVAL_SHARE = 0.10
MOST_ROWS_NAMED = 50


def _newest(context: dg.AssetCheckExecutionContext, database: Database) -> tuple[Campaign, ImportRecord]:
    campaign = CampaignStore(database).campaign(context.partition_key)
    database = database.for_client(campaign.user_id)
    record = RecipientStore(database).newest_import(campaign.id)
    if record is None:
        raise NotFoundError(f"{campaign.slug} was never imported.", what_to_do="Materialize sheet_recipients first.")
    return campaign, record


def _share_result(found: int, of: int, *, highest: float, words: str) -> dg.AssetCheckResult:
    share = found / of if of else 0.0
    return dg.AssetCheckResult(
        passed=share <= highest,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{found} of {of} {words} ({share:.0%}); up to {highest:.0%} is usual. "
        "The newest materialization names the rows.",
        metadata={"found": found, "of": of, "share": share},
    )


def _rows_with_an_address(record: ImportRecord) -> int:
    return record.counts.rows - record.counts.no_address


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="The headers stand as at the import before: none renamed, moved, missing or new.",
)
def headers_as_before(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN with a sentence for each header that changed."""
    _, record = _newest(context, database)
    return dg.AssetCheckResult(
        passed=not record.drift,
        severity=dg.AssetCheckSeverity.WARN,
        description=markdown.escaped(without_addresses("; ".join(record.drift))) or "The headers are as they were.",
        metadata={"headers": len(record.layout.headers), "changed": len(record.drift)},
    )


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Few people left the list at this import. (Too many stop it beforehand.)",
)
def few_removed_people(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN above HIGHEST_QUIET_REMOVAL_SHARE."""
    counts = _newest(context, database)[1].counts
    before = counts.active + counts.suppressed - counts.added - counts.reactivated + counts.removed
    return _share_result(
        counts.removed, before, highest=HIGHEST_QUIET_REMOVAL_SHARE, words="active recipients were removed"
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
    _, record = _newest(context, database)
    return _share_result(
        record.counts.rejected,
        _rows_with_an_address(record),
        highest=HIGHEST_REJECT_SHARE,
        words="rows with an address were rejected",
    )


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Few rows repeat an address: the first is taken, the others are named with both rows.",
)
def few_duplicate_rows(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN above HIGHEST_DUPLICATE_SHARE."""
    _, record = _newest(context, database)
    return _share_result(
        record.counts.duplicate,
        _rows_with_an_address(record),
        highest=HIGHEST_DUPLICATE_SHARE,
        words="rows with an address repeat an earlier row",
    )


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="The campaign has somebody to write to.",
)
def has_active_recipients(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """ERROR without a single active recipient."""
    counts = _newest(context, database)[1].counts
    return dg.AssetCheckResult(
        passed=counts.active > 0,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{counts.active} active recipients, {counts.suppressed} suppressed ones beside them.",
        metadata={"active": counts.active, "suppressed": counts.suppressed},
    )


@dg.asset_check(
    asset="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Nobody in the sheet has opted out of, or hard-bounced in, any campaign of this client.",
)
def nobody_suppressed_is_listed(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """WARN with the rows: whoever writes the mails must leave these out. As known now, not at the import."""
    campaign, _ = _newest(context, database)
    store = RecipientStore(database.for_client(campaign.user_id))
    keys = store.suppressions(campaign.user_id)
    rows = sorted(
        item.sheet_row for item in store.current(campaign.id).recipients if item.is_active and item.email_key in keys
    )
    named = ", ".join(str(row) for row in rows[:MOST_ROWS_NAMED]) + (" …" if len(rows) > MOST_ROWS_NAMED else "")
    return dg.AssetCheckResult(
        passed=not rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(rows)} listed people must not be written to: rows {named}. Leave them out of the next "
        "mails; the rows may stay."
        if rows
        else "Nobody in the sheet is known to have opted out or hard-bounced.",
        metadata={"suppressed": len(rows), "checked_at": datetime.now(UTC).isoformat(timespec="seconds")},
    )


CHECKS = [
    headers_as_before,
    few_removed_people,
    few_rejected_rows,
    few_duplicate_rows,
    has_active_recipients,
    nobody_suppressed_is_listed,
]
