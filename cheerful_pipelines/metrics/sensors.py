"""When the portfolio is drawn again (some time after any count, not after each), and what new definitions ask for."""

from datetime import datetime, timedelta
from typing import NamedTuple

import dagster as dg

from cheerful_pipelines.metrics.counting.count_campaign import definitions_in_force
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.orchestration.retries import Work
from cheerful_pipelines.orchestration.work_sensor import Cursor, Moment, Tick, work_sensor
from cheerful_pipelines.storage.engine import Database

PAUSE_BETWEEN_PORTFOLIOS = timedelta(minutes=10)
"""Drawing costs seconds of CPU, and nobody reads portfolio plots more often."""


class Watermark(NamedTuple):
    """The last request: which numbers it saw, and when it was made."""

    computed_at: datetime
    requested_at: datetime


class PortfolioCursor(Cursor):
    """The last request."""

    computed_at: Moment | None = None
    requested_at: Moment | None = None

    @property
    def last(self) -> Watermark | None:
        """None before the first."""
        if self.computed_at is None or self.requested_at is None:
            return None
        return Watermark(self.computed_at, self.requested_at)


def decide(newest_computed_at: datetime | None, last: Watermark | None, now: datetime) -> Watermark | str:
    """The watermark of a request to make, or the reason for none in words."""
    if newest_computed_at is None:
        return "No campaign has numbers yet."
    if last is not None and newest_computed_at <= last.computed_at:
        return "The portfolio shows every campaign's newest numbers."
    if last is not None and now - last.requested_at < PAUSE_BETWEEN_PORTFOLIOS:
        return f"There are newer numbers; the next portfolio comes {PAUSE_BETWEEN_PORTFOLIOS} after the last."
    return Watermark(newest_computed_at, now)


@work_sensor(
    name="portfolio",
    kinds=["portfolio"],
    cursor=PortfolioCursor,
    target=dg.AssetSelection.assets("portfolio_metrics"),
    minimum_interval_seconds=30,
    description="Draws the portfolio again when campaigns have newer numbers, at most every ten minutes.",
)
def portfolio(tick: Tick[PortfolioCursor], database: dg.ResourceParam[Database]) -> list[dg.RunRequest] | dg.SkipReason:
    """One query a tick. What was requested stays to be done until it is drawn, whatever fails meanwhile."""
    database = database.for_every_client()
    last = tick.cursor.last
    decided = decide(MetricStore(database).newest_computed_at(), last, tick.now)
    if isinstance(decided, Watermark):
        last = decided
        tick.keep(computed_at=last.computed_at, requested_at=last.requested_at)
    if last is None or _was_drawn_since(tick, last.requested_at):
        tick.work(database, [], up_to_date=["portfolio"])
        return dg.SkipReason(str(decided))
    due = tick.work(database, [Work("portfolio", last.computed_at.isoformat())])
    requests = tick.requests(due, tags={"cheerful/trigger": "sensor"})
    return requests or dg.SkipReason("The portfolio is being drawn, or waits for its next try.")


def _was_drawn_since(tick: Tick[PortfolioCursor], requested_at: datetime) -> bool:
    event = tick.instance.get_latest_materialization_event(dg.AssetKey("portfolio_metrics"))
    return event is not None and event.timestamp >= requested_at.timestamp()


@work_sensor(
    name="metric_definitions",
    kinds=["definitions"],
    target=dg.AssetSelection.assets("campaign_metrics"),
    minimum_interval_seconds=60,
    description="Counts every campaign anew whose numbers were counted by older definitions.",
)
def metric_definitions(tick: Tick[Cursor], database: dg.ResourceParam[Database]) -> list[dg.RunRequest] | dg.SkipReason:
    """One query a tick. After a change of definitions each campaign is asked for."""
    database = database.for_every_client()
    slugs = MetricStore(database).campaigns_of_other_definitions(definitions_in_force())
    work = [Work(f"definitions:{slug}", definitions_in_force()) for slug in slugs]
    units = {one.unit for one in work}
    up_to_date = [unit for unit in tick.failures(database) if unit not in units]
    due = tick.work(database, work, up_to_date=up_to_date)
    if not work:
        return dg.SkipReason(f"Every campaign is counted by definitions {definitions_in_force()}.")
    requests = [
        request
        for one in due
        for request in tick.requests([one], tags={"cheerful/campaign": one.name, "cheerful/trigger": "definitions"})
    ]
    return requests or dg.SkipReason(f"{len(work)} campaigns are being counted, or wait for their next try.")


SENSORS = [portfolio, metric_definitions]
