"""What each class of failure asks of Dagster's three retry machines: one table, and the code that reads it.

An op's RetryPolicy repeats a step within its run; sensors ask for another run; Dagster's run retries (dagster.yaml)
repeat crashed workers only, whatever the class. Our errors become Dagster's failures here, and nowhere else.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

import dagster as dg

from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.run_retries import ended_at, is_being_repeated

API_RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that call Google or a model."""

DATABASE_RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that only read and write Postgres."""

FailureClass = Literal["transient", "throttled", "auth", "permanent", "crashed", "unknown"]


class RetryRule(NamedTuple):
    """What follows a failure of one class."""

    step_is_repeated: bool
    """Within the run, by the op's RetryPolicy; a throttled one after Retry-After."""
    next_run_after: timedelta
    """When a sensor asks again for the same work, if it is still to be done."""
    why: str


RETRIES: Mapping[FailureClass, RetryRule] = {
    "transient": RetryRule(True, timedelta(minutes=10), "it may work in a moment"),
    "throttled": RetryRule(True, timedelta(minutes=10), "mailboxes also wait for their `not_before`"),
    "auth": RetryRule(False, timedelta(days=1), "a person must reconnect; mailboxes are set aside until then"),
    "permanent": RetryRule(False, timedelta(days=1), "a person must mend a setting, a sheet or our code"),
    "crashed": RetryRule(False, timedelta(minutes=10), "Dagster's run retries have repeated it twice by then"),
    "unknown": RetryRule(True, timedelta(days=1), "a mistake of ours: repeating it all day mends nothing"),
}
"""Poison (a message that cannot be taken) ends no run: it becomes a dead letter, tried again by its own sensor."""


class FailedRun(NamedTuple):
    """The newest run of some work, which failed."""

    kind: FailureClass
    at: datetime
    run_id: str

    def key_suffix(self, now: datetime) -> str:
        """What the next run's key ends with: each failed run is followed by one more, when the table says so. Until
        then it is empty: the same work is not asked for twice under one key, and new work has a key of its own.
        """
        return f":after-{self.run_id[:8]}" if now - self.at >= RETRIES[self.kind].next_run_after else ""

    def is_to_be_left_alone(self, now: datetime) -> bool:
        """Whether not even new work is worth a run yet: the reason lasts."""
        rule = RETRIES[self.kind]
        return rule.next_run_after >= timedelta(days=1) and now - self.at < rule.next_run_after


def newest_failure(instance: dg.DagsterInstance, **which: object) -> FailedRun | None:
    """The newest finished run of some work, if it failed. `which` goes to dg.RunsFilter."""
    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    records = instance.get_run_records(dg.RunsFilter(statuses=finished, **which), limit=1)  # type: ignore[arg-type]
    if not records or records[0].dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return None
    run_id, at = records[0].dagster_run.run_id, ended_at(records[0])
    if is_being_repeated(instance, records[0].dagster_run, at, datetime.now(UTC)):
        return None  # by Dagster's run retries: one machine repeats a run, not two
    return FailedRun(_class_of(instance, run_id), at, run_id)


def _class_of(instance: dg.DagsterInstance, run_id: str) -> FailureClass:
    kind: FailureClass = "crashed"  # no step of it failed: its worker was lost, or never came
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        data = event.step_failure_data.user_failure_data if event is not None else None
        found = data.metadata.get("failure_class") if data is not None else None
        for name in RETRIES:
            if found is not None and found.value == name:
                return name
        kind = "unknown"
    return kind


LONGEST_WAIT_IN_A_RUN_SECONDS = 60.0
"""A longer Retry-After ends the run instead of holding a worker; the account's `not_before` takes over."""


@contextmanager
def dagster_failures() -> Iterator[None]:
    """Wrap the body of an asset: every CheerfulError leaves as the Failure that its class asks for."""
    try:
        yield
    except ThrottledError as error:
        wait = error.retry_after_seconds
        if wait is not None and wait <= LONGEST_WAIT_IN_A_RUN_SECONDS:
            raise dg.RetryRequested(max_retries=3, seconds_to_wait=wait) from error
        raise dg.Failure(str(error), metadata=_metadata(error, "throttled"), allow_retries=wait is None) from error
    except TransientError as error:
        raise dg.Failure(str(error), metadata=_metadata(error, "transient")) from error
    except CheerfulError as error:
        kind = "auth" if isinstance(error, AuthError) else "permanent"
        raise dg.Failure(str(error), metadata=_metadata(error, kind), allow_retries=False) from error


def _metadata(error: CheerfulError, kind: str) -> dict[str, str]:
    return {
        "failure_class": kind,
        "what_to_do": error.what_to_do or "See the message.",
    }
