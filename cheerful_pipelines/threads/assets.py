"""The asset of the threads. The work is in `process.py`; here it meets Dagster."""

from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.store import database_of_campaign
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.orchestration.failures import DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.table_metadata import table_metadata
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.process import ProcessReport, process_campaign
from cheerful_pipelines.threads.states import STATE_VERSION
from cheerful_pipelines.threads.store import ThreadStore


@dg.asset(
    key="email_threads",
    group_name="threads",
    kinds={"postgres", "python"},
    owners=["team:cheerful-data"],
    description="Every conversation with a recipient of the campaign: who wrote when, what kind of mail it was, who "
    "has to move next. Each change adds a version; nothing is overwritten.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[
        dg.AssetDep("sheet_recipients", partition_mapping=dg.IdentityPartitionMapping()),
        # Mailboxes and campaigns are many to many: the fan-out sensor knows the edge, lineage shows it whole.
        dg.AssetDep("gmail_messages", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("gmail_archive", partition_mapping=dg.AllPartitionMapping()),
    ],
    retry_policy=DATABASE_RETRY,
    pool="database",
    metadata=table_metadata(
        "gmail_thread_state",
        {
            "gmail_thread_id": [("gmail_messages", "gmail_thread_id")],
            "state": [
                ("gmail_messages", "label_ids"),
                ("gmail_messages", "internal_date"),
                ("gmail_messages", "headers"),
            ],
            "cause_gmail_message_id": [("gmail_messages", "gmail_message_id")],
        },
    ),
    code_version=STATE_VERSION,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def email_threads(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """Rebuild one campaign's threads, from stored mail to states."""
    return rebuild_threads(context.partition_key, context.run_id, database, blobs, settings)


def rebuild_threads(
    slug: str, run_id: str, database: Database, blobs: BlobStore, settings: Settings
) -> dg.MaterializeResult[Any]:
    """What materializing `email_threads` does for one campaign (see refresh/chain.py)."""
    with dagster_failures():
        report = process_campaign(ThreadStore(database_of_campaign(database, slug)), blobs, slug, run_id=run_id)
    return dg.MaterializeResult(
        metadata=_metadata(report, settings),
        # What the states follow from: mail up to a number, an import, and the rules.
        data_version=dg.DataVersion(f"{report.processed_seq_after}-{report.recipients_revision}-{STATE_VERSION}"),
    )


def _metadata(report: ProcessReport, settings: Settings) -> dict[str, Any]:
    kinds = report.kinds
    return {
        "threads_seen": report.threads_seen,
        "threads_touched": report.threads_touched,
        "threads_attributed": report.threads_attributed,
        "states_inserted": report.states_inserted,
        "messages_read": report.messages_read,
        "humans": kinds.get("human", 0),
        "bounces": kinds.get("bounce", 0),
        "auto_replies": kinds.get("auto_reply", 0) + kinds.get("out_of_office", 0),
        "other_automatic": sum(
            kinds.get(kind, 0) for kind in ("delayed", "complaint", "list", "delivered", "calendar")
        ),
        "ambiguous": report.ambiguous,
        "processed_seq_before": report.processed_seq_before,
        "processed_seq_after": report.processed_seq_after,
        "all_threads_looked_at": report.full,
        "mode": settings.mode,
    }


ASSETS = [email_threads]
