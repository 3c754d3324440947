"""The campaign chain, declared once: the assets from stored mail to numbers, each with its function and its checks.

Derived from it are the job for one campaign (jobs.py), the run over many (bulk_refresh.py), the fan-out sensor
(sensors.py) and the last stage of a backfill (operations/backfills/backfill_plan.py). A new asset of the chain gets a
line here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import dagster as dg

from cheerful_pipelines.classification import checks as classification_checks
from cheerful_pipelines.classification.assets import (
    classify_threads,
    list_for_review,
    review_queue,
    thread_classifications,
)
from cheerful_pipelines.metrics import checks as metrics_checks
from cheerful_pipelines.metrics.assets import (
    campaign_metrics,
    campaign_report,
    count_metrics,
    metrics_sheet,
)
from cheerful_pipelines.orchestration.campaign_checks import CampaignCheck, picked
from cheerful_pipelines.threads import checks as thread_checks
from cheerful_pipelines.threads.assets import email_threads, rebuild_threads


class Step(NamedTuple):
    """One asset of the chain."""

    asset: dg.AssetsDefinition
    refresh: Callable[..., dg.MaterializeResult[Any]]
    """What materializing one campaign's partition does. Takes `slug`, `run_id` and resources by name."""
    checks: tuple[CampaignCheck, ...] = ()
    """Evaluated after it, in this order."""
    config: Mapping[str, str] | None = None
    """How the asset's own run is told to do what `refresh` does."""

    @property
    def name(self) -> str:
        """The asset's key."""
        return self.asset.key.to_user_string()

    def result(self, slug: str, run_id: str, resources: Mapping[str, Any]) -> dg.MaterializeResult[Any]:
        """Do the step for one campaign. Raises `dg.Failure` with our own error as its cause."""
        return self.refresh(slug=slug, run_id=run_id, **picked(self.refresh, resources.__getitem__))


CHAIN = (
    Step(email_threads, rebuild_threads, (thread_checks.threads_are_whole, thread_checks.attributions_are_sure)),
    Step(
        thread_classifications,
        classify_threads,
        (
            classification_checks.verdicts_are_consistent,
            classification_checks.every_answer_has_a_verdict,
            classification_checks.labels_are_mixed_as_before,
        ),
    ),
    # Counts recipients with news only; the night counts everybody.
    Step(campaign_metrics, partial(count_metrics, of="news"), (metrics_checks.CONSISTENCY,), config={"of": "news"}),
    Step(review_queue, list_for_review),
)

ONLY_ALONE = frozenset({"replayed_sample_is_equal"})
"""Checks that a run over many campaigns leaves to the runs of one and to the night, since they read raw mail again."""

REPORT, SHEET = (one.key.to_user_string() for one in (campaign_report, metrics_sheet))
"""Drawn and exported when the numbers have settled: at the first refresh, then hourly."""

CHAIN_ASSETS = tuple(step.name for step in CHAIN)
CAMPAIGN_ASSETS = (*CHAIN_ASSETS, REPORT, SHEET)
"""Everything that follows from a campaign's stored mail, in the order of the data."""
