"""The launchpad's side of operations: a campaign's backfill with a typed config."""

from datetime import UTC, datetime

import dagster as dg
from pydantic import Field

from cheerful_pipelines.campaigns.store import database_of_campaign
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.operations.backfills.request_backfill import estimate_as_markdown, request_backfill
from cheerful_pipelines.operations.retention import let_go
from cheerful_pipelines.operations.sweep import sweep_blobs
from cheerful_pipelines.orchestration.failures import API_RETRY, DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


class BackfillConfig(dg.Config):
    """What to bring up to date, and since when."""

    campaign: str = Field(description="The campaign's slug, as its partition is named.")
    since: str = Field(default="", description="First month of mail: 2026-10. Default: the campaign's start.")
    until: str = Field(default="", description="Last month of mail: 2026-11. Default: now.")
    only: list[str] = Field(
        default_factory=list, description="Stages (sheet, archive, campaign) or asset names. Default: everything."
    )
    estimate_only: bool = Field(default=False, description="Only say what it would take; start nothing.")


@dg.op(
    retry_policy=API_RETRY, pool="gmail", out=dg.Out(str),
    description="Plan the backfill, say what it would take, and hand it to the sensor campaign_backfills.",
)  # fmt: skip
def ask_for_backfill(
    context: dg.OpExecutionContext,
    config: BackfillConfig,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> dg.Output[str]:
    """The estimate stands in the output's metadata; the runs carry the tag cheerful/backfill."""
    with dagster_failures():
        found = request_backfill(
            settings, database_of_campaign(database, config.campaign), blobs, gmail_clients, config.campaign,
            since=config.since, until=config.until, only=config.only, estimate_only=config.estimate_only,
            requested_by=f"run {context.run_id}",
        )  # fmt: skip
    number = "only estimated" if found.number is None else str(found.number)
    context.log.info(
        f"Backfill of {found.plan.slug}: {found.estimate.partitions} partitions, {found.estimate.messages} messages, "
        f"{found.estimate.quota_units} quota units, about {found.estimate.minutes} minutes; {number}"
    )
    return dg.Output(
        number,
        metadata={
            "backfill": number,
            "estimate": markdown_metadata(estimate_as_markdown(found.plan, found.estimate)),
            **found.estimate.model_dump(exclude={"skipped_accounts", "llm_usd"}),
            "runs": dg.MetadataValue.url(
                f"{settings.web_url.rstrip('/')}/runs?q[]=tag%3Acheerful%2Fbackfill%3D{number}"
            ),
        },
    )


@dg.job(
    name="campaign_backfill",
    description="Bring one campaign up to date: its sheet, the mail of its senders month by month, its threads, "
    "classifications and numbers. Says first what it would take; safe beside the live sync and when started twice.",
)
def campaign_backfill() -> None:
    """One op: the runs that do the work are the sensor's."""
    ask_for_backfill()


@dg.op(retry_policy=DATABASE_RETRY, pool="database", description="Let go what is older than the settings keep it.")
def let_go_by_age(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
) -> None:
    """Nothing, unless CHEERFUL_KEEP_RAW_MAIL_DAYS or CHEERFUL_KEEP_RATIONALES_DAYS say so."""
    with dagster_failures():
        gone = let_go(settings, database, blobs, datetime.now(UTC))
    context.log.info(f"{gone.raw_mails} raw mails and {gone.rationales} rationales were let go")


@dg.job(
    name="retention",
    description="Let go raw mail and the words of verdicts by age: CHEERFUL_KEEP_RAW_MAIL_DAYS and "
    "CHEERFUL_KEEP_RATIONALES_DAYS. Rows, labels and numbers stay.",
)
def retention() -> None:
    """Every night."""
    let_go_by_age()


@dg.op(retry_policy=DATABASE_RETRY, pool="database", description="Delete stored mail that no row names, after a day.")
def sweep_raw_mail(
    context: dg.OpExecutionContext, database: dg.ResourceParam[Database], blobs: dg.ResourceParam[BlobStore]
) -> None:
    """Set aside first, so that a mail that is stored at this very moment loses nothing (sweep.py)."""
    with dagster_failures():
        swept = sweep_blobs(database, blobs, datetime.now(UTC))
    context.log.info(
        f"{swept.looked_at} stored mails: {swept.set_aside} without a row set aside, {swept.taken_back} taken back, "
        f"{swept.deleted} deleted"
    )


@dg.job(
    name="blob_sweep",
    description="Find stored mail that no row names (left by a crash, an erasure or a deletion by age), and delete it "
    "after a day.",
)
def blob_sweep() -> None:
    """Every night."""
    sweep_raw_mail()


JOBS = [campaign_backfill, retention, blob_sweep]
