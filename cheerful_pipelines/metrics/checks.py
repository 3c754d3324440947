"""What must hold for numbers and sheet, shown beside each campaign's partition.

The rules are in `consistency.py`.
"""

from collections.abc import Iterator

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore, database_of_campaign
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.metrics.counting.consistency import (
    funnel_that_widens,
    parts_that_miss_the_whole,
    shares_out_of_bounds,
)
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.export.export_tabs import read_back
from cheerful_pipelines.metrics.export.sheet_tabs import desired_tabs, problem_lines
from cheerful_pipelines.metrics.export.thread_lines import thread_lines
from cheerful_pipelines.metrics.links import metrics_page
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.orchestration.campaign_checks import CampaignCheck
from cheerful_pipelines.orchestration.failures import API_RETRY, DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

_SHOWN = 20

_RULES = {
    "parts_equal_the_whole": (
        parts_that_miss_the_whole,
        "Days, senders, steps and weeks of each number that adds up give the campaign's.",
    ),
    "rates_are_shares": (shares_out_of_bounds, "Every rate lies between 0 and 1."),
    "funnel_narrows": (funnel_that_widens, "Replied are at most delivered, delivered at most contacted."),
}


@dg.multi_asset_check(
    name="campaign_metrics_hold_together",
    # One step with three results: a step costs more than the rules do, and this stands in the way of fresh
    # numbers.
    specs=[
        dg.AssetCheckSpec(name, asset="campaign_metrics", description=words, partitions_def=CAMPAIGN_PARTITIONS)
        for name, (_, words) in _RULES.items()
    ],
    retry_policy=DATABASE_RETRY,
    pool="database",
)
def campaign_metrics_hold_together(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> Iterator[dg.AssetCheckResult]:
    """Evaluate the three rules over the stored rows of the partition's campaign."""
    with dagster_failures():
        yield from hold_together(context.partition_key, database)


def hold_together(slug: str, database: Database) -> Iterator[dg.AssetCheckResult]:
    """One result for each rule that must hold for a campaign's stored numbers."""
    rows = MetricStore(database_of_campaign(database, slug)).rows(slug=slug)
    for name, (rule, _) in _RULES.items():
        broken = rule(rows)
        yield dg.AssetCheckResult(
            check_name=name,
            asset_key="campaign_metrics",
            passed=not broken,
            severity=dg.AssetCheckSeverity.ERROR,
            metadata={
                "rows": len(rows),
                "broken": len(broken),
                "first": "; ".join(broken[:_SHOWN]) or "none",
            },
        )


@dg.asset_check(
    asset="metrics_sheet",
    name="sheet_equals_database",
    description="A sample of rows, read back from the client's sheet, shows what the database says.",
    partitions_def=CAMPAIGN_PARTITIONS,
    retry_policy=API_RETRY,
    pool="sheets",
)
def sheet_equals_database(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    settings: dg.ResourceParam[Settings],
    sheets: dg.ResourceParam[SheetsClient],
) -> dg.AssetCheckResult:
    """Read-back. A warning only: a client who edits our cells does no harm, the next export mends them."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        database = database.for_client(campaign.user_id)
        if campaign.metrics_spreadsheet_id is None:
            return dg.AssetCheckResult(passed=True, metadata={"skipped": "no sheet configured"})
        store = MetricStore(database)
        page = metrics_page(settings, campaign.slug)
        lines = thread_lines(FactStore(database).facts(campaign.slug))
        problems = problem_lines(RecipientStore(database).problems(campaign.id), ())
        desired = desired_tabs(campaign, store.rows(slug=campaign.slug), lines, problems, page_url=page)
        wrong = read_back(sheets, campaign, desired)
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"wrong_rows": len(wrong), "first": "; ".join(wrong[:_SHOWN]) or "none"},
    )


CONSISTENCY = CampaignCheck(campaign_metrics_hold_together, hold_together)
CHECKS = [campaign_metrics_hold_together, sheet_equals_database]
