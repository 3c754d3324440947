"""The export over real HTTP: grids that grow, dates that stay numbers, lost answers, few calls."""

import contextlib
import multiprocessing
import time
from typing import Any

import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError, NotFoundError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.keyed_tab import DesiredTab
from cheerful_pipelines.google.sheets.lease_store import only_writer
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.metrics.export.export_campaign import export_campaign
from cheerful_pipelines.metrics.export.export_tabs import ExportResult, export_tabs, read_back
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account


class Exporter:
    """Exports Threads tabs of a campaign's sheet."""

    def __init__(self, settings: Settings, campaign: Campaign) -> None:
        self.settings, self.campaign = settings, campaign
        self.sheets = SheetsClient.from_settings(settings, first_wait_seconds=0.01)

    def in_a_new_process(self, tab: DesiredTab) -> None:
        """With a connection of its own."""
        self.sheets = SheetsClient.from_settings(self.settings, first_wait_seconds=0.01)
        self(tab)

    def __call__(self, tab: DesiredTab) -> ExportResult:
        return export_tabs(self.sheets, self.settings, self.campaign, [tab])


@pytest.fixture
def export(google: LocalGoogleAdmin, google_settings: Settings, database: Database) -> Exporter:
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    an_account(database)
    return Exporter(google_settings, a_campaign(database, metrics_spreadsheet_id="out"))


def _threads(count: int, **changes: Any) -> DesiredTab:
    return DesiredTab(
        title="Threads",
        headers=("Key", "Creator", "Last message"),
        rows=tuple((f"mia/{number:04x}", f"Creator {number}", 46296.5 + number) for number in range(count)),
        key_pattern=r"\w+/\w+",
        formats={"Last message": "yyyy-mm-dd hh:mm"},
        **changes,
    )


def test_a_campaign_without_a_metrics_sheet_is_not_exported(export: Exporter, database: Database) -> None:
    campaign = a_campaign(database, slug="autumn")

    with pytest.raises(ConfigurationError, match="no metrics sheet"):
        export_campaign(database, export.sheets, export.settings, campaign, holder="run")


def test_dates_are_shown_as_dates_and_stay_equal_numbers(export: Exporter, google: LocalGoogleAdmin) -> None:
    export(_threads(2))

    assert google.sheet_values("out", "Threads", render="FORMATTED_VALUE")[1][2] == "2026-10-01 12:00"
    assert export(_threads(2)).cells_written == 0


def test_a_grid_that_is_too_small_grows(export: Exporter, google: LocalGoogleAdmin) -> None:
    export(_threads(10))
    result = export(_threads(500))

    assert result.cells_written == 490 * 3
    assert len(google.sheet_values("out", "Threads")) == 501


def test_five_thousand_threads_take_few_calls_and_none_to_write_again(
    export: Exporter, google: LocalGoogleAdmin
) -> None:
    tab = _threads(5_000)

    assert export(tab).write_requests <= 4
    assert export(tab).write_requests == 0
    assert read_back(export.sheets, export.campaign, [tab]) == []


def test_a_cell_that_somebody_overwrote_is_found_and_mended(export: Exporter, google: LocalGoogleAdmin) -> None:
    tab = _threads(3)
    export(tab)
    google.edit_cell("out", "Threads", "B2", "scribble")

    assert read_back(export.sheets, export.campaign, [tab]) == ["Threads mia/0000"]
    assert export(tab).cells_written == 1
    assert read_back(export.sheets, export.campaign, [tab]) == []


def test_a_tab_whose_name_differs_in_case_is_the_same_tab(export: Exporter, google: LocalGoogleAdmin) -> None:
    google.put_sheet("out", title="Numbers", tabs={"threads": []})

    assert export(_threads(1)).tabs_made == ()
    assert google.tabs("out") == ["threads"]


def test_a_tab_of_the_clients_with_our_name_is_refused_and_left(export: Exporter, google: LocalGoogleAdmin) -> None:
    google.put_sheet("out", title="Numbers", tabs={"Threads": [["Yarn", "Colour"], ["wool", "red"]]})

    with pytest.raises(CheerfulError, match="Rename that tab"):
        export(_threads(1))

    assert google.sheet_values("out", "Threads") == [["Yarn", "Colour"], ["wool", "red"]]


def test_a_sheet_that_is_not_there_is_said_in_words(export: Exporter, google: LocalGoogleAdmin) -> None:
    export.campaign = export.campaign.model_copy(update={"metrics_spreadsheet_id": "gone"})

    with pytest.raises(NotFoundError):
        export(_threads(1))


def test_two_exports_at_once_take_turns(database: Database) -> None:
    with only_writer(database, "out", holder="run-1"):
        with only_writer(database, "out", holder="run-1"):
            pass  # the same run, tried again
        with only_writer(database, "other", holder="run-2"):
            pass
    with (
        only_writer(database, "out", holder="run-1"),
        pytest.raises(TransientError, match="Another run"),
        only_writer(database, "out", holder="run-2"),
    ):
        pass
    with only_writer(database, "out", holder="run-2"):
        pass


def test_a_lease_of_a_dead_run_is_taken_over(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(
            sa.text("insert into sheet_lease values ('out', 'dead', clock_timestamp() - interval '1 second')")
        )

    with only_writer(database, "out", holder="run-2"):
        pass


FAULTS: tuple[dict[str, Any], ...] = (
    {"status": 429, "times": 3},
    {"status": 503, "times": 2},
    {"kind": "lost", "times": 1},
    {"kind": "reset", "times": 2},
    {"kind": "cut", "times": 1},
)


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("place", ["values:batchUpdate", ":batchUpdate", "values:batchGet"])
def test_no_row_is_doubled_lost_or_blank_whatever_fails(
    export: Exporter, google: LocalGoogleAdmin, fault: dict[str, Any], place: str
) -> None:
    """Each try may fail; what stands in the sheet is right after every one of them, and whole in the end."""
    export(_threads(30))
    for wanted in (_threads(60), _threads(45)):
        google.inject_fault(path_contains=place, **fault)
        for _ in range(6):
            with contextlib.suppress(CheerfulError):
                export(wanted)
            keys = [row[0] for row in google.sheet_values("out", "Threads")[1:] if row and row[0]]
            assert len(keys) == len(set(keys)), "doubled"
            assert {f"mia/{number:04x}" for number in range(30)} <= set(keys), "lost"
        google.clear_faults()
        assert export(wanted).cells_written == 0
        assert read_back(export.sheets, export.campaign, [wanted]) == []


def test_an_export_that_is_killed_leaves_nothing_doubled_or_lost(export: Exporter, google: LocalGoogleAdmin) -> None:
    export(_threads(40))
    fork = multiprocessing.get_context("fork")
    for number in range(12):
        wanted = _threads(40 + 5 * number)
        child = fork.Process(target=export.in_a_new_process, args=(wanted,))
        child.start()
        time.sleep(0.01 + 0.012 * number)
        child.kill()
        child.join()
        keys = [row[0] for row in google.sheet_values("out", "Threads")[1:] if row and row[0]]
        assert len(keys) == len(set(keys)), "doubled"
        assert {f"mia/{place:04x}" for place in range(40)} <= set(keys), "lost"
        assert all(row[1] and row[2] for row in google.sheet_values("out", "Threads")[1:] if row and row[0]), "half"
    export(_threads(95))
    assert read_back(export.sheets, export.campaign, [_threads(95)]) == []
