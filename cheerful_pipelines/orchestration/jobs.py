"""Named selections of assets. What an asset does belongs in its domain; when a job runs, in sensors and schedules."""

import dagster as dg

SHEET_IMPORT = dg.define_asset_job(
    name="sheet_import",
    selection=dg.AssetSelection.assets("sheet_recipients", "sheet_overrides"),
    description="Read one campaign's recipients from its sheet, and the labels that its client corrected.",
)

CAMPAIGN_EXPORT = dg.define_asset_job(
    name="campaign_export",
    selection=dg.AssetSelection.assets("metrics_sheet"),
    description="Write one campaign's numbers into the client's sheet.",
)

CAMPAIGN_COUNT = dg.define_asset_job(
    name="campaign_count",
    selection=dg.AssetSelection.assets("campaign_metrics"),
    description="Count everybody in one campaign anew from stored mail.",
)

CAMPAIGN_REPORT = dg.define_asset_job(
    name="campaign_report_job",
    selection=dg.AssetSelection.assets("campaign_report"),
    description="Draw one campaign.",
)

ARCHIVE_RECONCILE = dg.define_asset_job(
    name="archive_reconcile",
    selection=dg.AssetSelection.assets("gmail_archive").without_checks(),  # the asset evaluates them itself
    description="Make stored mailbox months equal to Gmail's.",
)

HEALTH = dg.define_asset_job(
    name="health",
    selection=dg.AssetSelection.assets("health_report"),
    description="Write down how everything is.",
)

JOBS = [HEALTH, SHEET_IMPORT, CAMPAIGN_COUNT, CAMPAIGN_EXPORT, CAMPAIGN_REPORT, ARCHIVE_RECONCILE]
