"""The two jobs that run the chain: for one campaign, and for many."""

import dagster as dg

from cheerful_pipelines.refresh.bulk_refresh import bulk_campaign_refresh
from cheerful_pipelines.refresh.chain import CAMPAIGN_ASSETS

CAMPAIGN_REFRESH = dg.define_asset_job(
    name="campaign_refresh",
    selection=dg.AssetSelection.assets(*CAMPAIGN_ASSETS),
    description="One campaign from stored mail to numbers and, where asked for, its sheet. "
    "The fan-out sensor requests it for exactly the campaigns that new mail or an import touched.",
)

JOBS = (CAMPAIGN_REFRESH, bulk_campaign_refresh)
