"""The three assets and their checks, materialized: numbers in Postgres, the client's sheet over HTTP, the portfolio."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.lease_store import only_writer
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.metrics.assets import campaign_metrics, campaign_report, metrics_sheet, portfolio_metrics
from cheerful_pipelines.metrics.checks import CHECKS
from cheerful_pipelines.metrics.export.export_tabs import refuse_live_sheet_for_local_numbers
from cheerful_pipelines.metrics.export.sheet_tabs import TAB_TITLES
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.metrics.scenario import Scenario, Thread

Run = Callable[..., dg.ExecuteInProcessResult]


@pytest.fixture
def run(database: Database, google_settings: Settings) -> Run:
    """Materialize one asset with its checks, as a run would."""
    instance = dg.DagsterInstance.ephemeral()

    def materialize(
        asset: dg.AssetsDefinition, partition: str | None = "spring", **options: Any
    ) -> dg.ExecuteInProcessResult:
        if partition:
            instance.add_dynamic_partitions("campaign", [partition])
        checks = [check for check in CHECKS if any(key.asset_key == asset.key for key in check.check_keys)]
        return dg.materialize(
            [asset, *checks], partition_key=partition, instance=instance,
            resources={
                "database": database, "settings": google_settings,
                "sheets": SheetsClient.from_settings(google_settings),
            },
            **options,
        )  # fmt: skip

    return materialize


def _metadata(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (found,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in found.metadata.items()}


def _one_reply(database: Database, *, name: str = "Ana", **changes: Any) -> tuple[Scenario, Thread]:
    scenario = Scenario(database, **changes)
    thread = scenario.thread(scenario.recipient("ana@creator.example", name=name))
    thread.sent(day=0)
    thread.reply(day=1, label="interested")
    return scenario, thread


def test_the_numbers_come_with_words_and_a_second_run_leaves_them(database: Database, run: Run) -> None:
    _one_reply(database)
    first, second = (_metadata(run(campaign_metrics), "campaign_metrics") for _ in range(2))

    assert (first["contacted"], first["replied"], first["reply_rate"]) == (1, 1, 1.0)
    assert (first["inserted"], first["unchanged"]) == (first["rows"], 0)
    assert (second["inserted"], second["changed"], second["unchanged"]) == (0, 0, first["rows"])
    assert "| Reply rate | 100.0 % | 1 / 1 |" in first["numbers"]
    assert first["mode"] == "local"


def test_the_checks_of_honest_numbers_pass(database: Database, run: Run) -> None:
    _one_reply(database)

    assert [(check.check_name, check.passed) for check in run(campaign_metrics).get_asset_check_evaluations()] == [
        ("no_change_was_missed", True),
        ("parts_equal_the_whole", True),
        ("rates_are_shares", True),
        ("funnel_narrows", True),
    ]


def test_a_campaign_without_a_sheet_says_so(database: Database, run: Run) -> None:
    _one_reply(database)
    result = run(metrics_sheet)

    assert "no sheet configured" in _metadata(result, "metrics_sheet")["skipped"]
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_the_sheet_shows_the_numbers_and_a_second_export_writes_nothing(
    database: Database, run: Run, google: LocalGoogleAdmin
) -> None:
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    _, thread = _one_reply(database, metrics_spreadsheet_id="out")
    run(campaign_metrics)

    first = run(metrics_sheet)
    second = run(metrics_sheet)

    assert _metadata(first, "metrics_sheet")["cells_written"] > 100
    assert _metadata(second, "metrics_sheet")["cells_written"] == 0
    assert _metadata(second, "metrics_sheet")["write_requests"] == 0
    assert all(check.passed for check in first.get_asset_check_evaluations())
    assert google.tabs("out") == ["Notes", *TAB_TITLES]
    header, line = google.sheet_values("out", "Threads")
    shown = dict(zip(header, line, strict=False))
    assert (shown["Key"], shown["Creator"], shown["Status"], shown["Replies"]) == (
        thread.key, "Ana", "interested", 1,
    )  # fmt: skip
    assert google.sheet_values("out", "Notes") == [["ours"]]
    assert MetricStore(database).campaigns_to_export() == []


def test_a_new_reply_changes_its_cells_and_leaves_the_clients(
    database: Database, run: Run, google: LocalGoogleAdmin, google_settings: Settings
) -> None:
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    scenario, thread = _one_reply(database, metrics_spreadsheet_id="out")
    run(campaign_metrics)
    run(metrics_sheet)
    sheets = SheetsClient.from_settings(google_settings)
    sheets.batch_update("out", [_wider(sheets, "Threads", 12)])
    sheets.update_values("out", [("'Threads'!L1:L2", [["My note"], ["call her"]])])

    thread.reply(day=2, label="details_provided")
    other = scenario.thread(scenario.recipient("ben@creator.example", name="Ben"))
    other.sent(day=2)
    run(campaign_metrics)
    result = run(metrics_sheet)

    assert 0 < _metadata(result, "metrics_sheet")["cells_written"] < 100
    assert all(check.passed for check in result.get_asset_check_evaluations())
    header, first, second = google.sheet_values("out", "Threads")
    assert dict(zip(header, first, strict=False))["Status"] == "sent details"
    assert (first[11], second[0]) == ("call her", other.key)


@pytest.mark.parametrize("name", ['=IMPORTXML("http://x.example")', "+49 30 1234", "@x", "-1"])
def test_a_name_that_looks_like_a_formula_stands_as_text(
    database: Database, run: Run, google: LocalGoogleAdmin, name: str
) -> None:
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    _one_reply(database, name=name, metrics_spreadsheet_id="out")
    run(campaign_metrics)
    run(metrics_sheet)

    assert google.sheet_values("out", "Threads")[1][1] == name
    assert _metadata(run(metrics_sheet), "metrics_sheet")["cells_written"] == 0


def test_the_recipients_tab_is_never_written(database: Database, run: Run, google: LocalGoogleAdmin) -> None:
    google.put_sheet("in", title="Creators", tabs={"summary": [["Email"], ["ana@creator.example"]]})
    _one_reply(database, spreadsheet_id="in", metrics_spreadsheet_id="in")
    run(campaign_metrics)

    result = run(metrics_sheet, raise_on_error=False)

    assert not result.success
    assert google.tabs("in") == ["summary"]
    (failure,) = [event for event in result.all_events if event.is_step_failure][:1]
    assert "Rename the recipients' tab" in str(failure.step_failure_data.error)


@pytest.mark.parametrize("endpoint", ["https://sheets.googleapis.com", "https://sheets.proxy.example"])
def test_local_numbers_never_reach_a_live_sheet(settings: Settings, endpoint: str) -> None:
    with pytest.raises(ConfigurationError, match="must not write to the live sheets"):
        refuse_live_sheet_for_local_numbers(settings.model_copy(update={"sheets_endpoint": endpoint}))

    refuse_live_sheet_for_local_numbers(settings)


def test_the_portfolio_shows_all_campaigns_and_plots_at_most_twenty_numbers(database: Database, run: Run) -> None:
    _one_reply(database)
    for number in range(14):
        _one_reply(database, slug=f"c{number:02d}")
    for slug in ("spring", *(f"c{number:02d}" for number in range(14))):
        run(campaign_metrics, slug)

    found = _metadata(run(portfolio_metrics, None), "portfolio_metrics")

    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    assert len(numbers) == 20
    assert (numbers["contacted"], numbers["replied"], numbers["reply_rate"]) == (15, 15, 1.0)
    assert found["table"].count("\n") == 16
    assert all(found[name].startswith("![") for name in ("funnels", "days", "labels", "reply_rates"))


def test_an_empty_portfolio_is_drawn_too(run: Run) -> None:
    found = _metadata(run(portfolio_metrics, None), "portfolio_metrics")

    assert found["campaigns"] == "none yet"
    assert found["contacted"] == 0


def _wider(sheets: SheetsClient, title: str, columns: int) -> dict[str, Any]:
    (tab,) = [tab for tab in sheets.tabs("out") if tab.title == title]
    grid = {"rowCount": tab.rows, "columnCount": columns}
    properties = {"sheetId": tab.sheet_id, "gridProperties": grid}
    return {
        "updateSheetProperties": {
            "properties": properties,
            "fields": "gridProperties.rowCount,gridProperties.columnCount",
        }
    }


def test_the_report_shows_pictures_weeks_and_other_definitions(database: Database, run: Run) -> None:
    _one_reply(database)

    assert "never counted" in _metadata(run(campaign_report), "campaign_report")["skipped"]

    run(campaign_metrics)
    said = _metadata(run(campaign_report), "campaign_report")

    for picture in ("funnel", "reply_curve", "days", "labels", "sender_health"):
        assert said[picture].startswith("![")
    assert "| Instantly | Reply rate | 100.0 % | 1 / 1 |" in said["other_definitions"]
    assert "2026-W40" in said["weeks"]
    assert "ana@creator.example" not in str(said)
    assert MetricStore(database).campaigns_to_report() == []


def test_a_sheet_that_another_run_writes_is_left_alone_for_now(
    database: Database, run: Run, google: LocalGoogleAdmin
) -> None:
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    _one_reply(database, metrics_spreadsheet_id="out")
    run(campaign_metrics)
    with only_writer(database, "out", holder="another-run"):
        result = run(metrics_sheet, raise_on_error=False)

    assert not result.success
    assert google.tabs("out") == ["Notes"]
