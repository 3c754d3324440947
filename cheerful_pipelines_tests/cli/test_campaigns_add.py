"""`campaigns add` checks what it is given before it stores anything: the sheet is read once with the real client."""

import pytest

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import an_account
from cheerful_pipelines_tests.cli.commands import run_tool

BASE = ("campaigns", "add", "spring", "--client", "brand")


@pytest.fixture
def brand(installation: None, google: LocalGoogleAdmin, database: Database) -> Database:
    """A client with a mailbox, and a sheet with a list."""
    an_account(database)
    google.put_sheet("in", title="In", tabs={"People": [["Name", "Email"], ["Ana", "ana@creator.example"]]})
    google.put_sheet("closed", title="Closed", tabs={"People": [["Name", "Email"]]})
    google.share_sheet("closed", shared=False)
    return database


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--sheet", "none-such"), "none-such"),
        (("--sheet", "closed"), "hare"),
        (("--sheet", "https://sheets.example/spreadsheets/d/in"), "is not a Google Sheet"),
        (("--sheet", "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pubhtml"), "is not a Google Sheet"),
        (("--sheet", "in", "--tab", "Nobody"), "has no tab 'Nobody'"),
        (("--sheet", "in", "--gid", "77"), "has no tab with gid 77"),
        (("--sheet", "in", "--range", "ZZ90:ZZ99"), "lies outside"),
        (("--sheet", "in", "--range", "A1:B2:C3"), "range"),
        (("--sheet", "in", "--starts", "2026-11-02", "--ends", "2026-11-01"), "before it starts"),
        (("--sheet", "in", "--ends", "9999-12-31"), "names the year 9999"),
        (("--sheet", "in", "--starts", "0001-01-01"), "names the year 1;"),
        (("--sheet", "in", "--time-zone", "Moon/Base"), "is not a time zone"),
        (("--sheet", "in", "--metrics-sheet", "none-such"), "none-such"),
        (("--sheet", "in", "--metrics-sheet", "closed"), "hare"),
        (("--sheet", "in", "--sender", "nobody"), "has no Gmail account 'nobody'"),
    ],
)
def test_what_is_mistyped_is_refused_and_not_stored(brand: Database, words: tuple[str, ...], said: str) -> None:
    ran = run_tool(*BASE, *words)

    assert ran.code == 1, ran.output
    assert said in ran.output
    assert CampaignStore(brand).campaigns() == []


def test_a_campaign_without_a_sender_is_stored_with_a_warning(brand: Database) -> None:
    alone, sent = run_tool(*BASE, "--sheet", "in"), run_tool(*BASE, "--sender", "mia")

    assert (alone.code, sent.code) == (0, 0)
    assert "warning: spring has no sender" in alone.output
    assert "warning" not in sent.output


def test_a_list_that_has_no_columns_yet_is_stored_with_a_warning(brand: Database, google: LocalGoogleAdmin) -> None:
    google.put_sheet("empty", title="Empty", tabs={"People": [["Later"]]})

    ran = run_tool(*BASE, "--sheet", "empty", "--sender", "mia")

    assert ran.code == 0
    assert "warning: the sheet cannot be imported yet" in ran.output


def test_a_change_that_names_no_sheet_asks_google_nothing(brand: Database, google: LocalGoogleAdmin) -> None:
    run_tool(*BASE, "--sheet", "in", "--sender", "mia")
    google.share_sheet("in", shared=False)
    google.reset_counters()

    ran = run_tool(*BASE, "--status", "COMPLETED")

    assert ran.code == 0, ran.output
    assert not any("sheets" in name or "drive" in name for name in google.counters().get("calls", {}))


def test_ends_before_the_start_that_is_stored_is_refused_too(brand: Database) -> None:
    run_tool(*BASE, "--sheet", "in", "--starts", "2026-11-10", "--ends", "2026-11-20")

    assert run_tool(*BASE, "--ends", "2026-11-01").code == 1
    assert run_tool(*BASE, "--starts", "2026-12-01").code == 1
    assert run_tool(*BASE, "--ends", "").code == 0


def test_a_mailbox_that_waits_is_told_in_accounts_status_and_doctor(brand: Database, google: LocalGoogleAdmin) -> None:
    with brand.transaction() as connection:
        connection.exec_driver_sql("update gmail_account set scope = 'campaign'")
    google.add_mailbox("mia@brand.example")

    for command in ("accounts list", "status", "doctor"):
        assert "mia waits for a campaign" in run_tool(*command.split()).output, command
    run_tool(*BASE, "--sheet", "in", "--sender", "mia")
    assert "mia waits for recipients" in run_tool("accounts", "list").output
