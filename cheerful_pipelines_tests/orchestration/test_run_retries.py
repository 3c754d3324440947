"""Exactly one machine repeats a run: Dagster's run retries, or the sensors, and nobody is alerted meanwhile."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent

from cheerful_pipelines.operations.failed_work import failed_work
from cheerful_pipelines.orchestration.run_retries import (
    BEGINS_WITHIN,
    RETRIED_BY_TAG,
    WILL_RETRY_TAG,
    is_being_repeated,
)


@dg.job
def work() -> None:
    """Nothing."""


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral(settings={"run_retries": {"enabled": True, "max_retries": 2}}) as made:
        yield made


def _under_way(instance: dg.DagsterInstance, parent: dg.DagsterRun | None = None) -> dg.DagsterRun:
    """A run under way; of a parent, its retry."""
    run = instance.create_run_for_job(work)
    instance.report_dagster_event(DagsterEvent("PIPELINE_START", "work", message=""), run.run_id)
    if parent is not None:
        instance.add_run_tags(parent.run_id, {RETRIED_BY_TAG: run.run_id})
    return run


def _tell(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[bool, bool]:
    """(a sensor may ask again, somebody is alerted)."""
    found, now = instance.get_run_by_id(run.run_id), datetime.now(UTC)
    assert found is not None
    return not is_being_repeated(instance, found, now, now), bool(failed_work(instance, now))


def test_while_dagster_repeats_a_run_no_sensor_does_and_nobody_is_alerted(instance: dg.DagsterInstance) -> None:
    first = _under_way(instance)
    instance.report_run_failed(first, "interrupted")
    assert _tell(instance, first) == (False, False)  # it is about to be repeated

    second = _under_way(instance, first)
    assert _tell(instance, first) == (False, False)  # it is being repeated
    instance.report_run_failed(second, "interrupted")
    third = _under_way(instance, second)
    assert _tell(instance, second) == (False, False)

    instance.report_run_failed(third, "interrupted")
    instance.add_run_tags(third.run_id, {WILL_RETRY_TAG: "false"})  # as after max_retries
    assert _tell(instance, third) == (True, True)  # it is the sensors' now


def test_a_retry_that_dagster_could_not_begin_is_left_to_the_sensors_at_once(instance: dg.DagsterInstance) -> None:
    run = _under_way(instance)
    instance.report_run_failed(run, "interrupted")
    instance.add_run_tags(run.run_id, {WILL_RETRY_TAG: "false"})  # "Failed to retry run"

    assert _tell(instance, run) == (True, True)


def test_a_retry_that_never_begins_is_not_waited_for_for_ever(instance: dg.DagsterInstance) -> None:
    run = _under_way(instance)
    instance.report_run_failed(run, "interrupted")
    (found,) = instance.get_runs()
    now = datetime.now(UTC)

    assert is_being_repeated(instance, found, now, now + BEGINS_WITHIN - timedelta(seconds=1))
    assert not is_being_repeated(instance, found, now, now + BEGINS_WITHIN)
