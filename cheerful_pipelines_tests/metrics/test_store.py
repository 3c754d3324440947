"""Replacing a campaign's numbers: equal rows stay, vanished rows go, older facts never win."""

from datetime import timedelta

import pytest

from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.metrics.counting.compute import compute_metrics
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.models import ReplaceCounts
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START
from cheerful_pipelines_tests.metrics.scenario import Scenario


def _a_campaign_with_one_reply(database: Database, **changes: str) -> Scenario:
    scenario = Scenario(database, **changes)  # type: ignore[arg-type]
    thread = scenario.thread(scenario.recipient("ana@creator.example"))
    thread.sent(day=0)
    thread.reply(day=1, label="interested")
    return scenario


def test_a_second_time_leaves_every_row_untouched(database: Database) -> None:
    scenario = _a_campaign_with_one_reply(database)
    store = MetricStore(database)
    rows = compute_metrics(FactStore(database).facts("spring"))

    first = store.replace(scenario.campaign.id, rows, computed_at=START)
    second = store.replace(scenario.campaign.id, rows, computed_at=START + timedelta(hours=1))

    assert first == ReplaceCounts(inserted=len(rows))
    assert second == ReplaceCounts(unchanged=len(rows))
    assert {row.computed_at for row in store.rows(slug="spring")} == {START}
    assert store.newest_computed_at() == START + timedelta(hours=1)


def test_changed_rows_change_and_vanished_rows_go(database: Database) -> None:
    scenario = _a_campaign_with_one_reply(database)
    store = MetricStore(database)
    rows = compute_metrics(FactStore(database).facts("spring"))
    store.replace(scenario.campaign.id, rows, computed_at=START)
    changed = rows[0].model_copy(update={"value": 99.0})

    counts = store.replace(scenario.campaign.id, [changed, *rows[1:-1]], computed_at=START)

    assert counts == ReplaceCounts(changed=1, unchanged=len(rows) - 2, deleted=1)
    assert len(store.rows(slug="spring")) == len(rows) - 1


def test_numbers_from_older_facts_never_replace_newer_ones(database: Database) -> None:
    scenario = _a_campaign_with_one_reply(database)
    store = MetricStore(database)
    rows = compute_metrics(FactStore(database).facts("spring"))
    store.replace(scenario.campaign.id, rows, computed_at=START)

    counts = store.replace(scenario.campaign.id, [], computed_at=START - timedelta(seconds=1))

    assert counts.is_superseded
    assert len(store.rows(slug="spring")) == len(rows)


def test_a_campaign_is_to_be_exported_while_its_numbers_are_newer_than_its_sheet(database: Database) -> None:
    scenario = _a_campaign_with_one_reply(database, metrics_spreadsheet_id="out")
    Scenario(database, slug="no-sheet")
    store = MetricStore(database)

    assert store.campaigns_to_export() == []

    store.replace(scenario.campaign.id, [], computed_at=START)

    assert store.campaigns_to_export() == ["spring"]

    store.mark_exported(scenario.campaign.id, exported_at=START, content_hash="h")

    assert store.campaigns_to_export() == []

    store.replace(scenario.campaign.id, [], computed_at=START + timedelta(hours=1))
    store.mark_exported(scenario.campaign.id, exported_at=START - timedelta(hours=1), content_hash="old")

    assert store.campaigns_to_export() == ["spring"]


def test_an_unknown_campaign_is_named(database: Database) -> None:
    with pytest.raises(NotFoundError, match="nope"):
        FactStore(database).facts("nope")
