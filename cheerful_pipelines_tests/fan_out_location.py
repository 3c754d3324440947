"""A code location with the fan-out and its two jobs, for tests that let Dagster's own daemon look."""

from typing import Any

import dagster as dg

from cheerful_pipelines.classification.assets import ASSETS as CLASSIFICATION_ASSETS
from cheerful_pipelines.metrics.assets import ASSETS as METRIC_ASSETS
from cheerful_pipelines.refresh.bulk_refresh import bulk_campaign_refresh
from cheerful_pipelines.refresh.jobs import CAMPAIGN_REFRESH
from cheerful_pipelines.refresh.sensors import campaign_fanout
from cheerful_pipelines.threads.assets import ASSETS as THREAD_ASSETS

RESOURCES: dict[str, Any] = {}
"""Set by the test."""


@dg.definitions
def defs() -> dg.Definitions:
    """Made anew for each look, with what the test has set."""
    return dg.Definitions(
        assets=[*THREAD_ASSETS, *CLASSIFICATION_ASSETS, *METRIC_ASSETS],
        jobs=[CAMPAIGN_REFRESH, bulk_campaign_refresh],
        sensors=[campaign_fanout],
        resources=RESOURCES,
        executor=dg.in_process_executor,
    )
