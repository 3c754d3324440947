"""The asset `sheet_recipients`: stored recipients equal the sheet's rows. And the job that only says what would happen.

Wiring; rules are in the verbs.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import CheerfulError, SheetContentError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.redaction import without_addresses
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.orchestration.failures import API_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata, table_metadata
from cheerful_pipelines.recipients.diff import WHAT_TO_DO
from cheerful_pipelines.recipients.import_plan import ImportPlan, plan_import
from cheerful_pipelines.recipients.import_report import diff_as_markdown, problems_as_markdown
from cheerful_pipelines.recipients.models import AppliedImport
from cheerful_pipelines.recipients.own_writes import own_write
from cheerful_pipelines.recipients.problems_sheet import tab_link, write_problems_tab
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

GUARD_NAME = "nothing_lost_by_accident"


class ImportConfig(dg.Config):
    """What a person may say in the launchpad."""

    allow_removals: bool = False
    """Yes, really: let this one import remove more recipients than the guard allows."""


@dg.asset(
    key="sheet_recipients",
    partitions_def=CAMPAIGN_PARTITIONS,
    group_name="recipients",
    kinds={"googlesheets", "postgres"},
    owners=["team:cheerful-data"],
    description=(
        "The people a campaign writes to, as its Google Sheet lists them now. One run reads the sheet, adds "
        "new people, updates changed ones, brings back those listed again and softly removes those no "
        "longer there (their threads and numbers stay). Rows that cannot be taken are named with row number "
        "and reason. A sheet that would remove too many people at once stops the import before anything is "
        "written. The job `preview_recipients` tells what an import would do without doing it."
    ),
    retry_policy=API_RETRY,
    pool="sheets",
    metadata=table_metadata("campaign_recipient"),
    code_version="2",
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),  # a bad sheet stops only itself
    check_specs=[
        dg.AssetCheckSpec(
            GUARD_NAME,
            asset="sheet_recipients",
            partitions_def=CAMPAIGN_PARTITIONS,
            blocking=True,
            description="The sheet still has its e-mail column and its people: before anything is written, an "
            "import stops that would remove more than a set share of the active recipients, or all of them.",
        )
    ],
)
def sheet_recipients(
    context: dg.AssetExecutionContext,
    config: ImportConfig,
    database: dg.ResourceParam[Database],
    sheets: dg.ResourceParam[SheetsClient],
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.AssetCheckResult | dg.MaterializeResult[Any]]:
    """Plan, guard, write; then tell the client's sheet what could not be taken."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        database = database.for_client(campaign.user_id)
        store = RecipientStore(database)
        try:
            plan = plan_import(
                sheets,
                store,
                campaign,
                share=settings.removal_guard_share,
                hash_key=settings.optional_hash_key(),
                allow_removals=config.allow_removals,
            )
        except SheetContentError as error:
            yield dg.AssetCheckResult(check_name=GUARD_NAME, passed=False, description=str(error))
            raise
        yield _guard_result(plan)
        if not plan.verdict.passed:
            raise SheetContentError(plan.verdict.words, what_to_do=WHAT_TO_DO)
        applied = store.apply(
            campaign,
            plan.diff,
            plan.problems,
            expected_revision=plan.expected_revision,
            record=plan.record(context.run_id),
        )
        told = _tell_the_client(database, sheets, campaign, plan) if campaign.writes_problems_tab else "not asked for"
    yield dg.MaterializeResult(
        metadata={
            **_words(plan, applied),
            "problems_tab": told,
            "mode": settings.mode,
            "recipients_revision_before": plan.expected_revision,
            "recipients_revision_after": applied.revision,
        },
        data_version=dg.DataVersion(plan.sheet.parsed.content_hash),
    )


@dg.op(
    description="Reads the sheet and says what an import would do: counts and every changed row. Writes nothing.",
    pool="sheets",
    retry_policy=API_RETRY,
)
def preview_import(
    context: dg.OpExecutionContext,
    database: dg.ResourceParam[Database],
    sheets: dg.ResourceParam[SheetsClient],
    settings: dg.ResourceParam[Settings],
) -> None:
    """An AssetObservation of `sheet_recipients` carries what was found."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        database = database.for_client(campaign.user_id)
        plan = plan_import(
            sheets, RecipientStore(database), campaign, share=settings.removal_guard_share,
            hash_key=settings.optional_hash_key(),
        )  # fmt: skip
    context.log_event(
        dg.AssetObservation(
            asset_key="sheet_recipients",
            partition=context.partition_key,
            description="Preview of an import. Nothing was written.",
            metadata={
                **_words(plan, None),
                "would_stop": not plan.verdict.passed,
                "removal_guard": plan.verdict.words,
            },
        )
    )


@dg.job(
    partitions_def=CAMPAIGN_PARTITIONS,
    description="What an import of the campaign's sheet would do, without doing it: see the observation of "
    "sheet_recipients that the run leaves.",
)
def preview_recipients() -> None:
    """One op."""
    preview_import()


def _guard_result(plan: ImportPlan) -> dg.AssetCheckResult:
    verdict = plan.verdict
    return dg.AssetCheckResult(
        check_name=GUARD_NAME,
        passed=verdict.passed,
        description=verdict.words if verdict.passed else f"{verdict.words} {WHAT_TO_DO}",
        metadata={"removed": verdict.removed, "active_before": verdict.active_before},
    )


def _tell_the_client(database: Database, sheets: SheetsClient, campaign: Campaign, plan: ImportPlan) -> str:
    """Write the problems tab. The import stands by now, so trouble with the tab is told and fails nothing."""
    try:
        with own_write(database, sheets, campaign.spreadsheet_id) as write:
            written = write_problems_tab(sheets, campaign.slug, plan.sheet.window, plan.problems)
            write.has_changed_something = written.write_requests > 0
    except CheerfulError as error:
        logger.warning("problems_tab_not_written", campaign=campaign.slug, error=type(error).__name__)
        return f"Not written; the next import tries again. {error}"
    return f"{written.cells_written} cells written"


def _words(plan: ImportPlan, applied: AppliedImport | None) -> dict[str, dg.MetadataValue[Any]]:
    """What an import or its preview tells: counts, places, and tables without any address."""
    window, columns = plan.sheet.window, plan.sheet.parsed.columns
    return {
        **{name: dg.MetadataValue.int(count) for name, count in plan.counts.model_dump().items()},
        "changes": markdown_metadata(diff_as_markdown(plan.diff, plan.problems, applied.ids if applied else None)),
        "problems": markdown_metadata(problems_as_markdown(plan.problems)),
        "sheet": dg.MetadataValue.url(tab_link(window)),
        "tab": dg.MetadataValue.text(window.tab),
        "header_row": dg.MetadataValue.int(columns.header_row),
        "columns": dg.MetadataValue.text(
            ", ".join(f"{field}: {letter}" for field, letter in columns.layout.fields.items())
        ),
        "custom_fields": dg.MetadataValue.text(without_addresses(", ".join(columns.custom.values())) or "none"),
        "missing_columns": dg.MetadataValue.text(without_addresses(", ".join(columns.missing)) or "none"),
        "header_drift": dg.MetadataValue.text(without_addresses("; ".join(plan.drift)) or "none"),
        "sheet_drive_version": dg.MetadataValue.text(plan.sheet.drive_version),
    }


ASSETS = [sheet_recipients]
JOBS = [preview_recipients]
