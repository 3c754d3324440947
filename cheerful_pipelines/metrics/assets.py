"""HOW THE CAMPAIGN WENT, as assets: the numbers, the client's sheet, and all campaigns side by side.

Bodies call verbs and stores; what a number means stands in `definitions.py`.
"""

from collections.abc import Sequence
from typing import Literal

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore, database_of_campaign
from cheerful_pipelines.core.markdown import code, paragraphs
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.metrics.counting.curves import whole_hour
from cheerful_pipelines.metrics.counting.definitions import BY_KEY, DEFINITION_VERSION, HEADLINE
from cheerful_pipelines.metrics.counting.outcome_store import OutcomeStore
from cheerful_pipelines.metrics.counting.receipts import changes_as_markdown
from cheerful_pipelines.metrics.export.export_campaign import export_campaign
from cheerful_pipelines.metrics.links import sheet_url
from cheerful_pipelines.metrics.models import MetricRow, StoredMetric
from cheerful_pipelines.metrics.report.tables import (
    by_campaign,
    cohort_markdown,
    headline_table,
    portfolio_table,
    vendor_table,
)
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.orchestration.failures import API_RETRY, DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata, table_metadata
from cheerful_pipelines.storage.engine import Database

_OWNERS = ["team:cheerful-data"]
_MOST_CAMPAIGN_RATES = 11  # with the nine totals: 20 numbers, as many as Dagster's plots stay readable with
_TOTALS = (
    "messages_sent",
    "contacted",
    "delivered",
    "hard_bounced",
    "replied",
    "positive",
    "opted_out",
    "needs_review",
)


class CountConfig(dg.Config):
    """Whom to count anew. `news`: only recipients who have some, as the sensors ask for it; the numbers are equal."""

    of: Literal["everybody", "news"] = "everybody"


@dg.asset(
    key="campaign_metrics",
    group_name="metrics",
    kinds={"postgres", "python"},
    owners=_OWNERS,
    description="The campaign's numbers: whom we wrote to, whom it reached, who answered and what they "
    "meant, as a whole and by day, sender, step and week. Every rate carries its numerator, denominator and "
    "definition version. "
    "Rematerialize to count everybody again from the stored mail; nothing is fetched.",
    partitions_def=CAMPAIGN_PARTITIONS,
    check_specs=[
        dg.AssetCheckSpec(
            "no_change_was_missed",
            asset="campaign_metrics",
            description="A count of everybody found nobody changed whom the counts of news had passed over. "
            "Every night it is put to the test.",
            partitions_def=CAMPAIGN_PARTITIONS,
        )
    ],
    deps=[
        dg.AssetDep("thread_classifications", partition_mapping=dg.IdentityPartitionMapping()),
        dg.AssetDep("sheet_recipients", partition_mapping=dg.IdentityPartitionMapping()),
        dg.AssetDep("sheet_overrides", partition_mapping=dg.IdentityPartitionMapping()),
    ],
    retry_policy=DATABASE_RETRY,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    pool="database",
    metadata=table_metadata(
        "campaign_metric",
        {
            name: [("thread_classifications", "label"), ("email_threads", "state"), ("sheet_recipients", "email_key")]
            for name in ("value", "numerator", "denominator")
        },
    ),
    code_version=DEFINITION_VERSION,
)
def campaign_metrics(
    context: dg.AssetExecutionContext,
    config: CountConfig,
    database: dg.ResourceParam[Database],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult:  # type: ignore[type-arg]  # with a check beside it, Dagster takes no [None]
    """Facts in, rows out; rows that did not change are left untouched."""
    return count_metrics(context.partition_key, context.run_id, database, settings, of=config.of)


def count_metrics(
    slug: str, run_id: str, database: Database, settings: Settings, *, of: Literal["everybody", "news"]
) -> dg.MaterializeResult[None]:
    """What materializing `campaign_metrics` does for one campaign (see refresh/chain.py)."""
    with dagster_failures():
        database = database_of_campaign(database, slug)
        report = count_campaign(database, slug, of=of, run_id=run_id)
        rows = MetricStore(database).rows(slug=slug, grains=["campaign"])
    return dg.MaterializeResult(
        metadata={
            **headline_numbers(rows),
            **report.rows.model_dump(exclude={"is_superseded"}),
            **report.model_dump(include={"recipients_in", "threads_in", "messages_in", "without_news"}),
            "rows": report.rows.inserted + report.rows.changed + report.rows.unchanged,
            "counted": report.of,
            "outcomes_changed": report.outcomes_changed,
            "newer_numbers_stood_there": report.rows.is_superseded,
            "numbers": markdown_metadata(headline_table(rows)),
            "what_changed": markdown_metadata(changes_as_markdown(report.changes)),
            "receipts": markdown_metadata(
                paragraphs("Who is behind a number:", code(f"cheerful metrics explain {slug} reply_rate"))
            ),
            "definition_version": DEFINITION_VERSION,
            "mode": settings.mode,
        },
        check_results=[
            dg.AssetCheckResult(
                check_name="no_change_was_missed",
                passed=report.without_news == 0,
                severity=dg.AssetCheckSeverity.ERROR,
                metadata={"counted": report.of, "missed": report.without_news},
            )
        ],
    )


@dg.asset(
    key="campaign_report",
    group_name="metrics",
    kinds={"postgres", "matplotlib"},
    owners=_OWNERS,
    description="One campaign to look at: its funnel, how long replies take (with band), days, what replies meant, "
    "how the senders fare; weeks side by side; and the same campaign under other vendors' definitions.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("campaign_metrics", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=DATABASE_RETRY,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    pool="database",
    code_version=DEFINITION_VERSION,
)
def campaign_report(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """Stored numbers and waiting times of one campaign, drawn."""
    from cheerful_pipelines.metrics.report.campaign_plots import campaign_plots  # matplotlib costs a second at import

    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        database = database.for_client(campaign.user_id)
        store = MetricStore(database)
        known_at = CampaignStore(database).campaign_mark(campaign.id).metrics_computed_at
        if known_at is None:
            return dg.MaterializeResult(metadata={"skipped": "the campaign was never counted", "mode": settings.mode})
        rows = store.rows(slug=campaign.slug)
        timings = OutcomeStore(database).timings(campaign.id)
        pictures = campaign_plots(rows, timings, known_at)
        store.mark_reported(campaign.id, reported_at=known_at)
    return dg.MaterializeResult(
        metadata={
            **headline_numbers(rows),
            **{name: markdown_metadata(markdown) for name, markdown in pictures.items()},
            "numbers": markdown_metadata(headline_table(rows)),
            "weeks": markdown_metadata(cohort_markdown(timings, whole_hour(known_at))),
            "other_definitions": markdown_metadata(vendor_table(rows)),
            "counted_at": dg.MetadataValue.timestamp(known_at),
            "definition_version": DEFINITION_VERSION,
            "mode": settings.mode,
        }
    )


@dg.asset(
    key="metrics_sheet",
    group_name="metrics",
    kinds={"googlesheets", "python"},
    owners=_OWNERS,
    description="The client's Google Sheet with the campaign's numbers and one row a thread. We write "
    "only our own columns, in rows found by their key, and only cells that differ; clients may sort, filter "
    "and add what they like. A campaign without a sheet of its own for numbers says so and does nothing.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("campaign_metrics", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=API_RETRY,
    backfill_policy=dg.BackfillPolicy.multi_run(),
    pool="sheets",
    code_version="1",
)
def metrics_sheet(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    settings: dg.ResourceParam[Settings],
    sheets: dg.ResourceParam[SheetsClient],
) -> dg.MaterializeResult[None]:
    """Read the sheet, write what differs, remember when."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        if campaign.metrics_spreadsheet_id is None:
            skipped = "no sheet configured: this campaign has no metrics_spreadsheet_id"
            return dg.MaterializeResult(metadata={"skipped": skipped, "cells_written": 0, "mode": settings.mode})
        result, overrides = export_campaign(database, sheets, settings, campaign, holder=context.run_id)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(result.content_hash),
        metadata={
            **result.model_dump(include={"cells_written", "rows", "write_requests"}),
            "tabs": ", ".join(result.tabs),
            "tabs_made": ", ".join(result.tabs_made) or "none",
            "overrides_set": overrides.set,
            "overrides_taken_back": overrides.taken_back,
            "override_problems": " ".join(overrides.problems) or "none",
            "sheet": dg.MetadataValue.url(sheet_url(campaign.metrics_spreadsheet_id)),
            "mode": settings.mode,
        },
    )


@dg.asset(
    key="portfolio_metrics",
    group_name="metrics",
    kinds={"postgres", "matplotlib"},
    owners=_OWNERS,
    description="All campaigns side by side: a table, pictures of the funnels, of sends and replies by day, "
    "of what replies meant and of reply rates with their margins, and totals that Dagster plots over time.",
    deps=[dg.AssetDep("campaign_metrics", partition_mapping=dg.AllPartitionMapping())],
    retry_policy=DATABASE_RETRY,
    pool="database",
    code_version=DEFINITION_VERSION,
)
def portfolio_metrics(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[None]:
    """Stored numbers of every campaign, drawn."""
    from cheerful_pipelines.metrics.report.plots import portfolio_plots  # matplotlib costs a second at import

    with dagster_failures():
        rows = MetricStore(database.for_every_client()).rows(grains=["campaign", "day"])
    return dg.MaterializeResult(
        metadata={
            **portfolio_numbers(rows),
            "campaigns": ", ".join(by_campaign(rows)) or "none yet",
            "table": markdown_metadata(portfolio_table(rows)),
            **{name: markdown_metadata(markdown) for name, markdown in portfolio_plots(rows).items()},
            "definition_version": DEFINITION_VERSION,
            "mode": settings.mode,
        }
    )


def portfolio_numbers(rows: list[StoredMetric]) -> dict[str, float]:
    """At most 20 numbers under stable names: totals, and the reply rates of the campaigns that reached
    most.
    """
    campaigns = by_campaign(rows)
    totals = {key: sum(values[key].value or 0 for values in campaigns.values() if key in values) for key in _TOTALS}
    numbers = dict(totals)
    if totals["delivered"]:
        numbers["reply_rate"] = totals["replied"] / totals["delivered"]
    largest = sorted(campaigns, key=lambda slug: (-(campaigns[slug]["delivered"].value or 0), slug))
    for slug in largest[:_MOST_CAMPAIGN_RATES]:
        rate = campaigns[slug]["reply_rate"].value
        if rate is not None:
            numbers[f"reply_rate_{slug}"] = rate
    return numbers


def headline_numbers(rows: Sequence[MetricRow]) -> dict[str, float | int]:
    """The campaign's first numbers under their keys; counts as whole numbers, no key where there is no
    value yet.
    """
    return {
        row.metric: int(row.value)
        if row.value.is_integer() and BY_KEY[row.metric].unit != "share"
        else round(row.value, 4)
        for row in rows
        if row.grain == "campaign" and row.metric in HEADLINE and row.value is not None
    }


ASSETS = [campaign_metrics, campaign_report, metrics_sheet, portfolio_metrics]
