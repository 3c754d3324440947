"""The asset `sheet_recipients`: stored recipients equal the sheet's rows. Wiring; rules are in the verbs."""

from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.failures import API_RETRY, dagster_failures
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.recipients.diff import compare, guard_removals
from cheerful_pipelines.recipients.models import ParsedSheet, RecipientDiff, SheetValues
from cheerful_pipelines.recipients.parse_rows import parse_rows
from cheerful_pipelines.recipients.problems_table import problems_as_markdown
from cheerful_pipelines.recipients.sheets_client import SheetsClient
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.engine import Database


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
        "written."
    ),
    retry_policy=API_RETRY,
    pool="sheets",
    code_version="1",
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),  # a bad sheet stops only itself
)
def sheet_recipients(
    context: dg.AssetExecutionContext,
    config: ImportConfig,
    database: dg.ResourceParam[Database],
    sheets: dg.ResourceParam[SheetsClient],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """Read, parse, compare, guard, write."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        # The version comes first: an edit between the two reads shows as a newer version at the next tick.
        drive_version = sheets.drive_version(campaign.spreadsheet_id)
        values = sheets.read_values(campaign.spreadsheet_id, campaign.sheet_tab)
        parsed = parse_rows(values.rows, column_mapping=campaign.column_mapping)
        store = RecipientStore(database)
        stored = store.current(campaign.id)
        diff = compare(stored.recipients, parsed.recipients)
        guard_removals(diff, share=settings.removal_guard_share, allow_removals=config.allow_removals)
        revision = store.apply(
            campaign.id,
            diff,
            parsed.problems,
            expected_revision=stored.revision,
            content_hash=parsed.content_hash,
            drive_version=drive_version,
            run_id=context.run_id,
        )
    metadata = {
        **_counts(parsed, diff),
        **_words(campaign, values, parsed),
        "mode": settings.mode,
        "sheet_drive_version": drive_version,
        "recipients_revision_before": stored.revision,
        "recipients_revision_after": revision,
    }
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(parsed.content_hash))


def _counts(parsed: ParsedSheet, diff: RecipientDiff) -> dict[str, int]:
    """rows = active + rejected + duplicates + no_address + blank."""
    return {
        "rows": parsed.rows,
        "active": len(parsed.recipients),
        "added": len(diff.added),
        "changed": len(diff.changed),
        "reactivated": len(diff.reactivated),
        "removed": len(diff.removed),
        "moved": len(diff.moved),
        "unchanged": diff.unchanged,
        "rejected": parsed.count("rejected"),
        "duplicates": parsed.count("duplicate"),
        "no_address": parsed.count("no_address"),
        "blank": parsed.blank,
        "cells_with_more_addresses": parsed.count("extra_address"),
    }


def _words(campaign: Campaign, values: SheetValues, parsed: ParsedSheet) -> dict[str, dg.MetadataValue[Any]]:
    link = f"https://docs.google.com/spreadsheets/d/{campaign.spreadsheet_id}/edit#gid={values.sheet_id}"
    columns = parsed.columns
    return {
        "sheet": dg.MetadataValue.url(link),
        "tab": dg.MetadataValue.text(values.tab),
        "header_row": dg.MetadataValue.int(columns.header_row),
        "custom_fields": dg.MetadataValue.text(", ".join(columns.custom.values()) or "none"),
        "missing_columns": dg.MetadataValue.text(", ".join(columns.missing) or "none"),
        "problems": dg.MetadataValue.md(problems_as_markdown(parsed.problems)),
    }


ASSETS = [sheet_recipients]
