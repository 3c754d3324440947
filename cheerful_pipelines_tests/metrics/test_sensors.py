"""When the portfolio is drawn again."""

from datetime import timedelta

import dagster as dg
import pytest

from cheerful_pipelines.metrics.count_campaign import count_campaign, definitions_in_force
from cheerful_pipelines.metrics.sensors import Watermark, decide, metric_definitions, portfolio
from cheerful_pipelines.metrics.store import MetricStore
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


def test_a_cursor_says_the_same_after_a_restart() -> None:
    watermark = Watermark(START, START + HOUR)

    assert Watermark.from_cursor(watermark.as_cursor()) == watermark
    assert Watermark.from_cursor(None) is None


def test_a_tick_requests_once_for_a_watermark(database: Database) -> None:
    scenario = Scenario(database)

    def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
        found = portfolio(dg.build_sensor_context(cursor=cursor, resources={"database": database}))
        assert isinstance(found, dg.SensorResult | dg.SkipReason)
        return found

    assert isinstance(tick(None), dg.SkipReason)

    MetricStore(database).replace(scenario.campaign.id, [], computed_at=START)
    requested = tick(None)

    assert isinstance(requested, dg.SensorResult)
    assert [request.run_key for request in requested.run_requests or []] == [f"portfolio:{START.isoformat()}"]
    assert isinstance(tick(requested.cursor), dg.SkipReason)


def test_new_definitions_ask_for_every_campaign_once_and_then_no_more(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    Scenario(database)
    count_campaign(database, "spring")

    def tick() -> object:
        return metric_definitions(dg.build_sensor_context(resources={"database": database}))

    assert isinstance(tick(), dg.SkipReason)

    monkeypatch.setattr("cheerful_pipelines.metrics.count_campaign.DEFINITION_VERSION", "99")
    requests = tick()
    assert isinstance(requests, list)
    assert [(one.partition_key, one.run_key) for one in requests] == [
        ("spring", f"definitions:spring:{definitions_in_force()}")
    ]

    assert count_campaign(database, "spring", of="news").of == "everybody"
    assert isinstance(tick(), dg.SkipReason)
