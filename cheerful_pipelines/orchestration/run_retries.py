"""Which failed runs Dagster repeats by itself, so that exactly one repeats each.

Dagster's run retries (dagster.yaml) repeat runs that were ended from outside: interrupted by a stop, killed, lost. They
say so in a tag as the run fails. Everything else, and what Dagster gave up, is asked for again by the sensors.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_BY_TAG = "dagster/auto_retry_run_id"
BEGINS_WITHIN = timedelta(minutes=15)
"""A retry begins seconds after the next start. One that has not begun by then never will: sensors and people take over.
"""


def is_being_repeated(instance: dg.DagsterInstance, run: dg.DagsterRun, ended: datetime, now: datetime) -> bool:
    """Whether Dagster has begun, or is about to begin, to repeat a failed run, and that is not over yet.

    `ended`: when the run failed. A retry that is over is the newest run of the same work, and counts instead.
    """
    if run.tags.get(WILL_RETRY_TAG) != "true":
        return False
    repeated_by = run.tags.get(RETRIED_BY_TAG)
    if repeated_by is None:
        return now - ended < BEGINS_WITHIN
    retry = instance.get_run_by_id(repeated_by)
    return retry is not None and not retry.is_finished


def ended_at(record: dg.RunRecord) -> datetime:
    """When a finished run ended, in UTC."""
    if record.end_time is not None:
        return datetime.fromtimestamp(record.end_time, UTC)
    at = record.update_timestamp
    return at if at.tzinfo else at.replace(tzinfo=UTC)
