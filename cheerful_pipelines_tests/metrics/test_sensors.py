"""When the portfolio is drawn again."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.metrics.counting.count_campaign import count_campaign, definitions_in_force
from cheerful_pipelines.metrics.sensors import Watermark, decide, metric_definitions, portfolio
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START
from cheerful_pipelines_tests.metrics.scenario import Scenario

HOUR = timedelta(hours=1)


def test_nothing_is_drawn_before_there_are_numbers() -> None:
    assert decide(None, None, START) == "No campaign has numbers yet."


def test_the_first_numbers_are_drawn_at_once() -> None:
    assert decide(START, None, START) == Watermark(START, START)


def test_equal_numbers_are_not_drawn_again() -> None:
    assert "newest numbers" in str(decide(START, Watermark(START, START), START + HOUR))


def test_newer_numbers_wait_until_ten_minutes_have_passed() -> None:
    newer, last = START + timedelta(minutes=1), Watermark(START, START)

    assert "0:10:00 after the last" in str(decide(newer, last, START + timedelta(minutes=9)))
    assert decide(newer, last, START + timedelta(minutes=10)) == Watermark(newer, START + timedelta(minutes=10))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def test_a_tick_requests_once_for_a_watermark(database: Database, instance: dg.DagsterInstance) -> None:
    scenario = Scenario(database)
    cursor: str | None = None

    def tick() -> list[dg.RunRequest]:
        nonlocal cursor
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"database": database})
        found: Any = portfolio(context)
        cursor = context.cursor
        return found if isinstance(found, list) else []

    assert tick() == []

    MetricStore(database).replace(scenario.campaign.id, [], computed_at=START)
    (requested,) = tick()
    (again,) = tick()

    assert str(requested.run_key).startswith(f"portfolio:{START.isoformat()}")
    assert again.run_key == requested.run_key, "Dagster does not take it twice"
    instance.report_runless_asset_event(dg.AssetMaterialization("portfolio_metrics"))
    assert tick() == []


def test_a_portfolio_that_failed_is_drawn_again(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    MetricStore(database).replace(Scenario(database).campaign.id, [], computed_at=START)
    first = dg.build_sensor_context(instance=instance, resources={"database": database})
    ((request,),) = [portfolio(first)]  # type: ignore[misc]

    @dg.job
    def draw() -> None:
        pass

    instance.report_run_failed(instance.create_run_for_job(draw, tags=dict(request.tags)), "the worker was lost")

    def keys(minutes: int) -> list[str]:
        later = real + timedelta(minutes=minutes)
        monkeypatch.setattr(helper, "now", lambda: later)
        context = dg.build_sensor_context(instance=instance, cursor=first.cursor, resources={"database": database})
        found: Any = portfolio(context)
        return [one.run_key for one in found] if isinstance(found, list) else []

    real = helper.now()
    assert keys(1) == []
    (again,) = keys(3)
    assert again != request.run_key


def test_new_definitions_ask_for_every_campaign_once_and_then_no_more(
    database: Database, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scenario(database)
    count_campaign(database, "spring")

    def tick() -> object:
        return metric_definitions(dg.build_sensor_context(instance=instance, resources={"database": database}))

    assert isinstance(tick(), dg.SkipReason)

    monkeypatch.setattr("cheerful_pipelines.metrics.counting.count_campaign.DEFINITION_VERSION", "99")
    requests = tick()
    assert isinstance(requests, list)
    ((partition, key),) = [(one.partition_key, one.run_key) for one in requests]
    assert partition == "spring"
    assert key.startswith(f"definitions:spring:{definitions_in_force()}")

    assert count_campaign(database, "spring", of="news").of == "everybody"
    assert isinstance(tick(), dg.SkipReason)
