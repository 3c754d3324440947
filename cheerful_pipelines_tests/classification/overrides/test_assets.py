"""The asset `sheet_overrides`; tests/test_flow.py shows what a corrected label does to the numbers."""

from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.pipeline import Pipeline


def test_a_sheet_that_cannot_be_read_is_reported_and_fails_nothing(
    pipeline: Pipeline, google: LocalGoogleAdmin, database: Database
) -> None:
    google.put_sheet("in", title="Creators", tabs={"Creators": [["Name", "Email"], ["Ana", "ana@creator.example"]]})
    an_account(database)
    a_campaign(database, spreadsheet_id="in", metrics_spreadsheet_id="gone")

    assert pipeline.run("sheet_overrides", "spring").success

    told = pipeline.metadata("sheet_overrides", "spring")["overrides"]
    assert told.startswith("Not read; the next import tries again.")


def test_a_campaign_without_a_metrics_sheet_has_no_overrides_to_read(
    pipeline: Pipeline, google: LocalGoogleAdmin, database: Database
) -> None:
    google.put_sheet("in", title="Creators", tabs={"Creators": [["Name", "Email"]]})
    an_account(database)
    a_campaign(database, spreadsheet_id="in")

    pipeline.run("sheet_overrides", "spring")

    assert pipeline.metadata("sheet_overrides", "spring")["overrides"] == "0 set, 0 taken back."
