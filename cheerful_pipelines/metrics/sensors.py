"""When the portfolio is drawn again (some time after any count, not after each), and what new definitions ask for."""

import json
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import dagster as dg

from cheerful_pipelines.metrics.count_campaign import definitions_in_force
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.engine import Database

PAUSE_BETWEEN_PORTFOLIOS = timedelta(minutes=10)
"""Drawing costs seconds of CPU, and nobody reads portfolio plots more often."""


class Watermark(NamedTuple):
    """The last request: which numbers it saw, and when it was made."""

    computed_at: datetime
    requested_at: datetime

    def as_cursor(self) -> str:
        """For Dagster to keep."""
        return json.dumps([self.computed_at.isoformat(), self.requested_at.isoformat()])

    @classmethod
    def from_cursor(cls, cursor: str | None) -> "Watermark | None":
        """What Dagster kept; None before the first request."""
        if not cursor:
            return None
        computed_at, requested_at = json.loads(cursor)
        return cls(datetime.fromisoformat(computed_at), datetime.fromisoformat(requested_at))


def decide(newest_computed_at: datetime | None, last: Watermark | None, now: datetime) -> Watermark | str:
    """The watermark of a request to make, or the reason for none in words."""
    if newest_computed_at is None:
        return "No campaign has numbers yet."
    if last is not None and newest_computed_at <= last.computed_at:
        return "The portfolio shows every campaign's newest numbers."
    if last is not None and now - last.requested_at < PAUSE_BETWEEN_PORTFOLIOS:
        return f"There are newer numbers; the next portfolio comes {PAUSE_BETWEEN_PORTFOLIOS} after the last."
    return Watermark(newest_computed_at, now)


@dg.sensor(
    name="portfolio",
    target=dg.AssetSelection.assets("portfolio_metrics"),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Draws the portfolio again when campaigns have newer numbers, at most every ten minutes.",
)
def portfolio(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
) -> dg.SensorResult | dg.SkipReason:
    """One query a tick."""
    newest = MetricStore(database.for_every_client()).newest_computed_at()
    decided = decide(newest, Watermark.from_cursor(context.cursor), datetime.now(UTC))
    if isinstance(decided, str):
        return dg.SkipReason(decided)
    request = dg.RunRequest(run_key=f"portfolio:{decided.computed_at.isoformat()}", tags={"cheerful/trigger": "sensor"})
    return dg.SensorResult(run_requests=[request], cursor=decided.as_cursor())


@dg.sensor(
    name="metric_definitions",
    target=dg.AssetSelection.assets("campaign_metrics"),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Counts every campaign anew whose numbers were counted by older definitions.",
)
def metric_definitions(
    _context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
) -> list[dg.RunRequest] | dg.SkipReason:
    """One query a tick. After a change of definitions each campaign is asked for once."""
    slugs = MetricStore(database.for_every_client()).campaigns_of_other_definitions(definitions_in_force())
    if not slugs:
        return dg.SkipReason(f"Every campaign is counted by definitions {definitions_in_force()}.")
    return [
        dg.RunRequest(
            run_key=f"definitions:{slug}:{definitions_in_force()}",
            partition_key=slug,
            tags={"cheerful/campaign": slug, "cheerful/trigger": "definitions"},
        )
        for slug in slugs
    ]


SENSORS = [portfolio, metric_definitions]
