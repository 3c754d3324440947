"""What must hold for a mailbox: no backlog of dead letters, and a live mark that moves."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.gmail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.partitions import ACCOUNT_PARTITIONS
from cheerful_pipelines.storage.engine import Database

LONGEST_LAG = timedelta(hours=24)


@dg.asset_check(
    asset="gmail_messages",
    partitions_def=ACCOUNT_PARTITIONS,
    description="No message of this mailbox waits as a dead letter.",
)
def no_dead_letters(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A warning: the rest of the mailbox is in step."""
    account = CampaignStore(database).account(context.partition_key)
    backlog = DeadLetterStore(database).backlog(account.id)
    return dg.AssetCheckResult(
        passed=not backlog,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"waiting": sum(backlog.values()), "by_reason": dg.MetadataValue.json(backlog)},
    )


@dg.asset_check(
    asset="gmail_messages",
    partitions_def=ACCOUNT_PARTITIONS,
    description="The live mark is set, and the account does not wait for a person to reconnect it.",
)
def live_mark_stands(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Lag is judged by the mark's own time: a quiet mailbox moves it with every sync."""
    campaigns = CampaignStore(database)
    account = campaigns.account(context.partition_key)
    mark = campaigns.account_mark(account.id)
    lag = None if mark.live_marked_at is None else datetime.now(UTC) - mark.live_marked_at
    return dg.AssetCheckResult(
        passed=mark.live_history_id is not None and account.status == "active" and (lag or timedelta()) < LONGEST_LAG,
        metadata={"status": account.status, "lag_minutes": -1.0 if lag is None else round(lag.total_seconds() / 60, 1)},
    )


CHECKS = [no_dead_letters, live_mark_stands]
