"""HOW EVERYTHING IS, as an asset: one page, and numbers over time."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.operations.automation_state import failing_ticks, silent_daemons
from cheerful_pipelines.operations.failed_work import failed_work
from cheerful_pipelines.operations.health import (
    accounts_as_markdown,
    campaigns_as_markdown,
    failed_as_markdown,
    headline,
    health_report,
    signs,
)
from cheerful_pipelines.orchestration.failures import DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata
from cheerful_pipelines.storage.engine import Database


@dg.asset(
    key="health_report",
    group_name="operations",
    kinds={"postgres", "python"},
    owners=["team:cheerful-data"],
    description="How everything is, on one page: how far each mailbox and campaign has come, what failed and was not "
    "repaired, failing checks, money, quota, sizes and versions. Every hour; `cheerful status` shows it now.",
    retry_policy=DATABASE_RETRY,
    pool="database",
    freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=3), warn_window=timedelta(hours=2)),
    code_version="2",
)
def health_report_asset(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[None]:
    """Summarize mailboxes, campaigns, failing units, sensors and daemons as tables of metadata."""
    with dagster_failures():
        now = datetime.now(UTC)
        report = health_report(
            settings,
            database.for_every_client(),
            failed_work(context.instance, now),
            failing_ticks=failing_ticks(context.instance),
            silent_daemons=silent_daemons(context.instance, now),
        )
    return dg.MaterializeResult(
        metadata={
            **headline(report),
            "mailboxes": markdown_metadata(accounts_as_markdown(report)),
            "campaigns_table": markdown_metadata(campaigns_as_markdown(report)),
            "failed": markdown_metadata(failed_as_markdown(report)),
            "failing_sensors_daemons_and_units": "\n".join(signs(report)) or "none",
            "checks_that_fail": "\n".join(report.failing_checks) or "none",
            "versions": dg.MetadataValue.json(report.versions),
            "environment": report.environment,
            "mode": settings.mode,
        }
    )


ASSETS = [health_report_asset]
