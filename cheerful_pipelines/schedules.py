"""When things run by the clock. What runs because something changed stands in the domains' sensors."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.operations.jobs import blob_sweep, retention
from cheerful_pipelines.orchestration.jobs import (
    ARCHIVE_RECONCILE,
    CAMPAIGN_COUNT,
    CAMPAIGN_EXPORT,
    CAMPAIGN_REPORT,
    HEALTH,
)
from cheerful_pipelines.orchestration.work_sensor import work_tags
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.checks import thread_proof


@dg.schedule(
    job=CAMPAIGN_EXPORT,
    cron_schedule="7 * * * *",  # off the full hour, when everybody else calls Sheets
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour: each campaign whose numbers are newer than its sheet.",
)
def metrics_sheet_hourly(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a campaign with news; none where the sheet shows the newest numbers already."""
    slugs = MetricStore(database.for_every_client()).campaigns_to_export()
    if not slugs:
        yield dg.SkipReason("Every campaign's sheet shows its newest numbers.")
    for slug in slugs:
        yield dg.RunRequest(
            partition_key=slug,
            run_key=f"{slug}:{context.scheduled_execution_time.isoformat()}",
            tags={"cheerful/campaign": slug, **scheduled("export", slug, context)},
        )


@dg.schedule(
    job=CAMPAIGN_REPORT,
    cron_schedule="37 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour: pictures of each campaign whose numbers are newer than its report.",
)
def campaign_reports_hourly(
    context: dg.ScheduleEvaluationContext, database: dg.ResourceParam[Database]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a campaign with news."""
    slugs = MetricStore(database.for_every_client()).campaigns_to_report()
    if not slugs:
        yield dg.SkipReason("Every campaign's report shows its newest numbers.")
    for slug in slugs:
        yield dg.RunRequest(
            partition_key=slug,
            run_key=f"report:{slug}:{context.scheduled_execution_time.isoformat()}",
            tags={"cheerful/campaign": slug, **scheduled("report", slug, context)},
        )


@dg.schedule(
    job=ARCHIVE_RECONCILE,
    cron_schedule="20 2 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: the running month and the one before of every mailbox are compared with Gmail.",
)
def nightly_reconcile(
    context: dg.ScheduleEvaluationContext, campaigns: dg.ResourceParam[CampaignStore]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run an account, so that a mailbox that fails does not hold up the others."""
    aliases = [account.alias for account in campaigns.accounts() if account.status == "active"]
    if not aliases:
        yield dg.SkipReason("There is no active Gmail account yet.")
    first, last = months_to_reconcile(context.scheduled_execution_time)
    for alias in aliases:
        yield dg.RunRequest(
            run_key=f"reconcile:{alias}:{context.scheduled_execution_time:%Y-%m-%d}",
            tags={
                "dagster/asset_partition_range_start": f"{alias}|{first:%Y-%m-%d}",
                "dagster/asset_partition_range_end": f"{alias}|{last:%Y-%m-%d}",
                "cheerful/account": alias,
                **scheduled("reconcile", alias, context),
            },
        )


@dg.schedule(
    job=thread_proof,
    cron_schedule="50 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: a random sample of each campaign's threads is rebuilt from raw mail and compared.",
)
def nightly_proof(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run for all campaigns."""
    return dg.RunRequest(
        run_key=f"proof:{context.scheduled_execution_time:%Y-%m-%d}", tags=scheduled("proof", "", context)
    )


@dg.schedule(
    job=CAMPAIGN_COUNT,
    cron_schedule="20 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: everybody in each running campaign is counted anew, which proves the counts of news.",
)
def nightly_count(
    context: dg.ScheduleEvaluationContext, campaigns: dg.ResourceParam[CampaignStore]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run a campaign."""
    slugs = [campaign.slug for campaign in campaigns.campaigns() if campaign.status == "ACTIVE"]
    if not slugs:
        yield dg.SkipReason("There is no active campaign yet.")
    for slug in slugs:
        yield dg.RunRequest(
            partition_key=slug,
            run_key=f"count:{slug}:{context.scheduled_execution_time:%Y-%m-%d}",
            tags={"cheerful/campaign": slug, **scheduled("count", slug, context)},
        )


@dg.schedule(
    job=retention,
    cron_schedule="10 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: raw mail and the words of verdicts that are older than the settings keep them.",
)
def nightly_retention(
    context: dg.ScheduleEvaluationContext, settings: dg.ResourceParam[Settings]
) -> dg.RunRequest | dg.SkipReason:
    """One run, where anything is let go by age at all."""
    if settings.keep_raw_mail_days is None and settings.keep_rationales_days is None:
        return dg.SkipReason("Everything is kept: no setting says after how many days to let it go.")
    return dg.RunRequest(
        run_key=f"retention:{context.scheduled_execution_time:%Y-%m-%d}", tags=scheduled("retention", "", context)
    )


@dg.schedule(
    job=blob_sweep,
    cron_schedule="40 5 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: stored mail that no row names is found, and deleted a day later.",
)
def nightly_blob_sweep(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run."""
    return dg.RunRequest(
        run_key=f"sweep:{context.scheduled_execution_time:%Y-%m-%d}", tags=scheduled("blob_sweep", "", context)
    )


@dg.schedule(
    job=HEALTH,
    cron_schedule="52 * * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every hour: how everything is.",
)
def health_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run."""
    return dg.RunRequest(run_key=f"health:{context.scheduled_execution_time.isoformat()}")


def scheduled(kind: str, name: str, context: dg.ScheduleEvaluationContext) -> dict[str, str]:
    """Tags of a run that the clock asked for: the sensor `failed_schedules` repeats it if it fails."""
    unit = f"{kind}:{name}" if name else kind
    tags = work_tags(kind, {unit: context.scheduled_execution_time.isoformat()})
    return {"cheerful/trigger": "schedule", "dagster/priority": "-2", **tags}


def months_to_reconcile(now: datetime) -> tuple[date, date]:
    """First days of the previous and the running month, in UTC.

    >>> months_to_reconcile(datetime(2026, 1, 3, tzinfo=UTC))
    (datetime.date(2025, 12, 1), datetime.date(2026, 1, 1))
    """
    running = now.astimezone(UTC).date().replace(day=1)
    return (running - timedelta(days=1)).replace(day=1), running


SCHEDULES = [
    metrics_sheet_hourly,
    campaign_reports_hourly,
    health_hourly,
    nightly_blob_sweep,
    nightly_count,
    nightly_proof,
    nightly_reconcile,
    nightly_retention,
]
