"""Puts everything together. No logic, no I/O at import: resources read the environment when a run or tick starts.

`build_defs(database=..., sheets=...)` swaps resources for tests.
"""

from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.sensors import SENSORS as CAMPAIGN_SENSORS
from cheerful_pipelines.classification.assets import ASSETS as CLASSIFICATION_ASSETS
from cheerful_pipelines.classification.checks import CHECKS as CLASSIFICATION_CHECKS
from cheerful_pipelines.classification.overrides.assets import ASSETS as OVERRIDE_ASSETS
from cheerful_pipelines.classification.sensors import SENSORS as CLASSIFICATION_SENSORS
from cheerful_pipelines.mail.gmail.assets import ASSETS as GMAIL_ASSETS
from cheerful_pipelines.mail.gmail.checks import CHECKS as GMAIL_CHECKS
from cheerful_pipelines.mail.gmail.sensors import JOBS as GMAIL_JOBS
from cheerful_pipelines.mail.gmail.sensors import SENSORS as GMAIL_SENSORS
from cheerful_pipelines.metrics.assets import ASSETS as METRIC_ASSETS
from cheerful_pipelines.metrics.checks import CHECKS as METRIC_CHECKS
from cheerful_pipelines.metrics.sensors import SENSORS as METRIC_SENSORS
from cheerful_pipelines.operations.assets import ASSETS as OPERATION_ASSETS
from cheerful_pipelines.operations.jobs import JOBS as OPERATION_JOBS
from cheerful_pipelines.operations.schedule_sensors import SENSORS as ORCHESTRATION_SENSORS
from cheerful_pipelines.operations.sensors import SENSORS as OPERATION_SENSORS
from cheerful_pipelines.orchestration.jobs import JOBS
from cheerful_pipelines.orchestration.run_fields import name_runs_in_logs
from cheerful_pipelines.recipients.assets import ASSETS as RECIPIENT_ASSETS
from cheerful_pipelines.recipients.assets import JOBS as RECIPIENT_JOBS
from cheerful_pipelines.recipients.checks import CHECKS as RECIPIENT_CHECKS
from cheerful_pipelines.recipients.sensors import SENSORS as RECIPIENT_SENSORS
from cheerful_pipelines.refresh.jobs import JOBS as REFRESH_JOBS
from cheerful_pipelines.refresh.sensors import SENSORS as REFRESH_SENSORS
from cheerful_pipelines.resources import RESOURCES
from cheerful_pipelines.schedules import SCHEDULES
from cheerful_pipelines.threads.assets import ASSETS as THREAD_ASSETS
from cheerful_pipelines.threads.checks import CHECKS as THREAD_CHECKS
from cheerful_pipelines.threads.checks import JOBS as THREAD_JOBS


def build_defs(**overrides: Any) -> dg.Definitions:
    """All definitions; `overrides` replace resources by key (see resources.py)."""
    name_runs_in_logs()  # every process of a run loads its definitions here
    return dg.Definitions(
        assets=[
            *RECIPIENT_ASSETS,
            *GMAIL_ASSETS,
            *THREAD_ASSETS,
            *CLASSIFICATION_ASSETS,
            *OVERRIDE_ASSETS,
            *METRIC_ASSETS,
            *OPERATION_ASSETS,
        ],
        asset_checks=[
            *RECIPIENT_CHECKS,
            *GMAIL_CHECKS,
            *THREAD_CHECKS,
            *CLASSIFICATION_CHECKS,
            *METRIC_CHECKS,
        ],
        sensors=[
            *CAMPAIGN_SENSORS,
            *RECIPIENT_SENSORS,
            *GMAIL_SENSORS,
            *REFRESH_SENSORS,
            *CLASSIFICATION_SENSORS,
            *METRIC_SENSORS,
            *OPERATION_SENSORS,
            *ORCHESTRATION_SENSORS,
        ],
        schedules=SCHEDULES,
        jobs=[*JOBS, *RECIPIENT_JOBS, *GMAIL_JOBS, *THREAD_JOBS, *REFRESH_JOBS, *OPERATION_JOBS],
        resources={**RESOURCES, **overrides},
        # A process a step costs three times a run; every step of ours is short or waits for the network.
        executor=dg.in_process_executor,
    )


defs = build_defs()
