"""Checks of one campaign's threads: states whole, replay equal, doubtful attributions named."""

import zlib

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore, database_of_campaign
from cheerful_pipelines.orchestration.campaign_checks import campaign_check
from cheerful_pipelines.orchestration.failures import DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.store import ThreadStore

_SAMPLE = 50
_MOST_LISTED = 50


@campaign_check(
    asset="email_threads",
    description="Every thread of the campaign has exactly one latest state, belongs to the campaign's own client and "
    "stands in a mailbox of it.",
)
def threads_are_whole(slug: str, database: Database) -> dg.AssetCheckResult:
    """Count the threads that break one of these rules: all counts must be zero."""
    store = ThreadStore(database_of_campaign(database, slug))
    counts = store.consistency(store.begin(slug).campaign_id)
    return dg.AssetCheckResult(passed=not any(counts.values()), metadata=dict(counts))


@dg.asset_check(
    asset="email_threads",
    partitions_def=CAMPAIGN_PARTITIONS,
    description=f"Up to {_SAMPLE} threads, rebuilt from raw mail and events, equal the stored ones byte for byte.",
)
def replayed_sample_is_equal(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
) -> dg.AssetCheckResult:
    """Replay another sample at each run, and every night: the run's id is the seed."""
    with dagster_failures():
        return _replayed(database, blobs, context.partition_key, run_id=context.op_execution_context.run_id)


@campaign_check(
    asset="email_threads",
    description="Threads that fit several campaigns equally well. They are listed here and counted nowhere.",
)
def attributions_are_sure(slug: str, database: Database) -> dg.AssetCheckResult:
    """Warn about ambiguous threads, with the ids that a person needs to decide."""
    store = ThreadStore(database_of_campaign(database, slug))
    rows = store.attributions(store.begin(slug).campaign_id)
    ambiguous = sorted({f"{row.gmail_account_id}/{row.gmail_thread_id}" for row in rows if row.is_ambiguous})
    return dg.AssetCheckResult(
        passed=not ambiguous,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"ambiguous_threads": len(ambiguous), "threads": ambiguous[:_MOST_LISTED]},
    )


def _replayed(database: Database, blobs: BlobStore, slug: str, *, run_id: str) -> dg.AssetCheckResult:
    store = ThreadStore(database_of_campaign(database, slug))
    report = replay_campaign(store, blobs, slug, sample=_SAMPLE, seed=zlib.crc32(f"{run_id} {slug}".encode()))
    return dg.AssetCheckResult(
        passed=not report.differences,
        metadata={
            "proof": f"{report.equal} threads with all their states were rebuilt from raw mail and events and came "
            f"out byte for byte; {len(report.differences)} did not, {report.made_by_other_code} were made by older "
            "code and not compared.",
            "threads": report.threads,
            "states": report.states,
            "equal_threads": report.equal,
            "made_by_other_code": report.made_by_other_code,
            "different_threads": list(report.differences[:_MOST_LISTED]),
            "unreadable_messages": list(report.unreadable[:_MOST_LISTED]),
        },
    )


@dg.op(retry_policy=DATABASE_RETRY, pool="database", description="Replay a sample of each campaign's threads.")
def prove_each_campaign(
    context: dg.OpExecutionContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    campaigns: dg.ResourceParam[CampaignStore],
) -> None:
    """Dagster has no partitioned run of checks alone: the results are logged for each campaign's partition."""
    with dagster_failures():
        for slug in [one.slug for one in campaigns.campaigns() if one.status != "DRAFT"]:
            result = _replayed(database, blobs, slug, run_id=context.run_id)
            context.log_event(  # its annotation leaves out what its code takes
                dg.AssetCheckEvaluation(  # type: ignore[arg-type]
                    asset_key=dg.AssetKey("email_threads"),
                    check_name="replayed_sample_is_equal",
                    passed=bool(result.passed),
                    metadata=result.metadata,
                    severity=result.severity,
                    partition=slug,
                )
            )


@dg.job(description="Make a random sample of each campaign's thread states again from raw mail, and compare.")
def thread_proof() -> None:
    """Every night."""
    prove_each_campaign()


JOBS = [thread_proof]
CHECKS = [threads_are_whole.definition, replayed_sample_is_equal, attributions_are_sure.definition]
