"""Sheets over real HTTP against the local Google server, and what its failures become."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from cheerful_pipelines.errors import (
    AuthError,
    ConfigurationError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.recipients.sheets_client import SheetsClient
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.engine import Database

ROWS = [["Name", "Email", "Followers"], ["Ana", "ana@creator.example", 12000], [], ["Bo", "", True]]


@pytest.fixture
def sheets(google: LocalGoogleAdmin, google_settings: Settings) -> Iterator[SheetsClient]:
    google.put_sheet("creators", title="Creators", tabs={"Ana's list": ROWS, "Other": [["x"]]})
    yield SheetsClient.from_settings(google_settings, first_wait_seconds=0.01)
    google.clear_faults()


def test_a_tab_is_read_ragged_unformatted_and_with_its_name(sheets: SheetsClient) -> None:
    values = sheets.read_values("creators")

    assert values.tab == "Ana's list"
    assert values.rows == [
        ["Name", "Email", "Followers"],
        ["Ana", "ana@creator.example", 12000],
        [],
        ["Bo", "", True],
    ]


def test_a_named_tab_is_read_and_an_unknown_one_answered_with_those_there_are(
    sheets: SheetsClient,
) -> None:
    assert sheets.read_values("creators", "Other").rows == [["x"]]
    with pytest.raises(NotFoundError, match=r"no tab 'Gone'; it has \"Ana's list\", 'Other'"):
        sheets.read_values("creators", "Gone")


def test_drives_version_changes_with_the_sheet_and_only_then(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    before = sheets.drive_version("creators")
    assert sheets.drive_version("creators") == before

    sheets.update_values("creators", [("'Other'!A1", [["y"]])])

    assert sheets.drive_version("creators") != before


def test_writes_are_raw_and_twice_equals_once(sheets: SheetsClient) -> None:
    for _ in range(2):
        sheets.update_values("creators", [("'Other'!A1", [["0012", "=1+1"]]), ("'Other'!A3", [[1.5]])])

    assert sheets.read_ranges("creators", ["'Other'!A1:B3"]) == [[["0012", "=1+1"], [], [1.5]]]


def test_a_tab_can_be_added_and_its_size_is_told(sheets: SheetsClient) -> None:
    properties = {"title": "Numbers", "gridProperties": {"rowCount": 40, "columnCount": 5}}
    sheets.batch_update("creators", [{"addSheet": {"properties": properties}}])

    added = sheets.tabs("creators")[-1]
    assert (added.title, added.rows, added.columns) == ("Numbers", 40, 5)


def test_empty_work_makes_no_call(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    google.inject_fault(path_contains="/", status=500, times=100)

    sheets.update_values("creators", [])

    assert sheets.batch_update("creators", []) == []
    assert sheets.read_ranges("creators", []) == []


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 503},
        {"status": 502, "kind": "html"},
        {"status": 500, "kind": "reset"},
        {"status": 200, "kind": "cut"},
        {"status": 200, "kind": "garbage"},
        {"status": 403, "reason": "rateLimitExceeded"},
        {"status": 403, "reason": "userRateLimitExceeded"},
        {"status": 429, "retry_after": "0"},
    ],
    ids=lambda fault: f"{fault['status']}-{fault.get('kind') or fault.get('reason', '')}",
)
def test_passing_trouble_is_tried_again_and_the_read_is_whole(
    google: LocalGoogleAdmin, sheets: SheetsClient, fault: dict[str, object]
) -> None:
    sheets.drive_version("creators")
    google.inject_fault(path_contains="/spreadsheets/", times=2, **fault)  # type: ignore[arg-type]

    assert sheets.read_values("creators").rows == ROWS


@pytest.mark.parametrize("kind", ["json", "html", "reset", "cut", "garbage"])
def test_trouble_that_stays_is_an_error_and_never_an_empty_sheet(
    google: LocalGoogleAdmin, sheets: SheetsClient, kind: str
) -> None:
    google.inject_fault(path_contains="/values", status=502, kind=kind, times=50)  # type: ignore[arg-type]

    with pytest.raises(TransientError, match="creators"):
        sheets.read_values("creators")


def test_a_long_retry_after_is_handed_on_at_once_instead_of_slept_through(
    google: LocalGoogleAdmin, sheets: SheetsClient
) -> None:
    google.inject_fault(path_contains="/drive/", status=429, retry_after="900", times=50)

    with pytest.raises(ThrottledError) as caught:
        sheets.drive_version("creators")

    assert caught.value.retry_after_seconds == 900


def test_an_unknown_sheet_is_named_with_what_to_do(sheets: SheetsClient) -> None:
    for call in (sheets.drive_version, sheets.tabs, sheets.read_values):
        with pytest.raises(NotFoundError, match=r"no spreadsheet nowhere.*share"):
            call("nowhere")


def test_a_sheet_that_is_not_shared_says_with_whom_to_share_it(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    """Sheets says 403 then; Drive says 404, so that nobody learns which files there are."""
    google.share_sheet("creators", shared=False)

    with pytest.raises(AuthError, match="press Share"):
        sheets.read_values("creators")
    with pytest.raises(NotFoundError, match="never shared with us"):
        sheets.drive_version("creators")


def test_a_range_outside_the_grid_is_permanent(sheets: SheetsClient) -> None:
    with pytest.raises(PermanentError, match="400"):
        sheets.read_ranges("creators", ["'No such tab'!A1"])


def test_refused_credentials_are_for_a_person_and_work_again_after_a_new_login(
    google: LocalGoogleAdmin, sheets: SheetsClient
) -> None:
    before = sheets.drive_version("creators")
    google.revoke_token()

    with pytest.raises(AuthError, match="revoked, or has expired"):
        sheets.drive_version("creators")

    google.restore_token()
    assert sheets.drive_version("creators") == before


def test_an_expired_access_token_is_renewed_without_a_word(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    before = sheets.drive_version("creators")
    google.expire_access_token()

    assert sheets.drive_version("creators") == before


def test_an_unchanged_sheet_costs_one_call_and_an_import_three(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    sheets.drive_version("creators")
    google.reset_counters()

    sheets.drive_version("creators")
    assert google.counters()["calls"] == {"drive.files.get": 1}

    sheets.read_values("creators")
    assert sum(google.counters()["calls"].values()) == 3


def test_a_lost_answer_to_a_batch_is_not_sent_again(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    """Adding the tab a second time would fail with words that explain nothing."""
    google.inject_fault(path_contains=":batchUpdate", status=500, kind="lost", times=1)

    with pytest.raises(TransientError):
        sheets.batch_update("creators", [{"addSheet": {"properties": {"title": "Numbers"}}}])

    assert [tab.title for tab in sheets.tabs("creators")].count("Numbers") == 1


def test_a_call_inside_a_transaction_is_a_mistake_of_ours(sheets: SheetsClient, database: Database) -> None:
    with database.transaction(), pytest.raises(AssertionError, match="transaction is open"):
        sheets.drive_version("creators")


def test_live_mode_signs_in_with_the_users_file_against_any_endpoint(
    google: LocalGoogleAdmin, google_settings: Settings, sheets: SheetsClient, tmp_path: Path
) -> None:
    file = tmp_path / "sheets.json"
    file.write_text(google.sheets_credentials_json())
    here = google_settings.local_google_url
    live = Settings(
        mode="live",
        sheets_credentials_file=file,
        sheets_endpoint=here,
        drive_endpoint=here,
        token_uri=f"{here}/token",
    )

    assert SheetsClient.from_settings(live).read_values("creators").rows == ROWS


def test_a_mended_credentials_file_works_without_a_restart(
    google: LocalGoogleAdmin, google_settings: Settings, sheets: SheetsClient, tmp_path: Path
) -> None:
    file, here, good = tmp_path / "sheets.json", google_settings.local_google_url, google.sheets_credentials_json()
    file.write_text(json.dumps(json.loads(good) | {"refresh_token": "an old one"}))
    live = SheetsClient(
        Settings(
            mode="live",
            sheets_credentials_file=file,
            sheets_endpoint=here,
            drive_endpoint=here,
            token_uri=f"{here}/token",
        )
    )
    with pytest.raises(AuthError):
        live.drive_version("creators")

    file.write_text(good)

    assert live.drive_version("creators") == sheets.drive_version("creators")


@pytest.mark.parametrize("content", [None, "{}", "no json", json.dumps({"refresh_token": "x"})])
def test_missing_or_wrong_credentials_are_a_setting_to_mend_and_are_not_repeated(
    tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "sheets.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(ConfigurationError, match="CHEERFUL_SHEETS_CREDENTIALS_FILE"):
        SheetsClient(Settings(mode="live", sheets_credentials_file=file)).drive_version("creators")


def test_live_mode_without_a_credentials_file_says_which_setting() -> None:
    with pytest.raises(ConfigurationError, match="CHEERFUL_SHEETS_CREDENTIALS_FILE is not set"):
        SheetsClient(Settings(mode="live")).drive_version("creators")


def test_local_numbers_never_reach_a_live_sheet() -> None:
    sheets = SheetsClient(Settings(sheets_endpoint="https://sheets.googleapis.com"))

    with pytest.raises(ConfigurationError, match="never writes to a live sheet"):
        sheets.update_values("creators", [("A1", [["x"]])])


def test_a_local_server_that_is_away_is_passing_trouble() -> None:
    sheets = SheetsClient(Settings(local_google_url="http://127.0.0.1:9"), first_wait_seconds=0.01)

    with pytest.raises(TransientError):
        sheets.drive_version("creators")
