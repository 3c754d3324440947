"""Checks of one campaign's threads: states whole, replay equal, doubtful attributions named."""

import dagster as dg

from cheerful_pipelines.failures import dagster_failures
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.store import ThreadStore

_SAMPLE = 20
_MOST_LISTED = 50


@dg.asset_check(
    asset="email_threads",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Every thread of the campaign has exactly one latest state, belongs to the campaign's own client and "
    "stands in a mailbox of it.",
)
def threads_are_whole(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """All counts must be zero."""
    with dagster_failures():
        store = ThreadStore(database)
        counts = store.consistency(store.begin(context.partition_key).campaign_id)
    return dg.AssetCheckResult(passed=not any(counts.values()), metadata=dict(counts))


@dg.asset_check(
    asset="email_threads",
    partitions_def=CAMPAIGN_PARTITIONS,
    description=f"Up to {_SAMPLE} threads, made again from raw mail and events, equal the stored ones byte for byte.",
)
def replayed_sample_is_equal(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
) -> dg.AssetCheckResult:
    """Another sample at each run: the run's id is the seed."""
    with dagster_failures():
        seed = int(context.op_execution_context.run_id.replace("-", "")[:8], 16)
        report = replay_campaign(ThreadStore(database), blobs, context.partition_key, sample=_SAMPLE, seed=seed)
    return dg.AssetCheckResult(
        passed=not report.differences,
        metadata={
            "threads": report.threads,
            "states": report.states,
            "equal_threads": report.equal,
            "made_by_other_code": report.made_by_other_code,
            "different_threads": list(report.differences[:_MOST_LISTED]),
        },
    )


@dg.asset_check(
    asset="email_threads",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Threads that fit several campaigns equally well. They are listed here and counted nowhere.",
)
def attributions_are_sure(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A warning, with the ids that a person needs to decide."""
    with dagster_failures():
        store = ThreadStore(database)
        rows = store.attributions(store.begin(context.partition_key).campaign_id)
        doubtful = sorted({f"{row.gmail_account_id}/{row.gmail_thread_id}" for row in rows if row.is_ambiguous})
    return dg.AssetCheckResult(
        passed=not doubtful,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"ambiguous_threads": len(doubtful), "threads": doubtful[:_MOST_LISTED]},
    )


CHECKS = [threads_are_whole, replayed_sample_is_equal, attributions_are_sure]
