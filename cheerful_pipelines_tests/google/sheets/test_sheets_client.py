"""Sheets over real HTTP against the local Google server, and what its failures become."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cheerful_pipelines.core.errors import (
    AuthError,
    ConfigurationError,
    NotFoundError,
    PermanentError,
    SheetContentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.models import Cell, SheetSource
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.google.sheets.sheets_session import open_session
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database

ROWS = [["Name", "Email", "Followers"], ["Ana", "ana@creator.example", 12000], [], ["Bo", "", True]]


@pytest.fixture
def sheets(google: LocalGoogleAdmin, google_settings: Settings) -> Iterator[SheetsClient]:
    google.put_sheet("creators", title="Creators", tabs={"Ana's list": ROWS, "Other": [["x"]]})
    yield SheetsClient.from_settings(google_settings, first_wait_seconds=0.01)
    google.clear_faults()


def _rows(sheets: SheetsClient, spreadsheet_id: str = "creators", **source: Any) -> list[list[Cell]]:
    return list(sheets.rows(sheets.locate(SheetSource(spreadsheet_id=spreadsheet_id, **source))))


def test_a_tab_is_read_ragged_and_unformatted(sheets: SheetsClient) -> None:
    assert _rows(sheets) == [
        ["Name", "Email", "Followers"],
        ["Ana", "ana@creator.example", 12000],
        [],
        ["Bo", "", True],
    ]


def test_a_tab_is_found_by_title_or_gid_and_an_unknown_one_answered_with_those_there_are(
    sheets: SheetsClient,
) -> None:
    gid = sheets.tabs("creators")[1].sheet_id

    assert _rows(sheets, tab="Other") == _rows(sheets, gid=gid) == [["x"]]
    with pytest.raises(NotFoundError, match=r"no tab 'Gone'; it has \"Ana's list\" \(gid 0\), 'Other'"):
        _rows(sheets, tab="Gone")
    with pytest.raises(NotFoundError, match="no tab with gid 99"):
        _rows(sheets, gid=99)


def test_a_range_and_a_named_range_are_read_as_they_stand(sheets: SheetsClient) -> None:
    where = {"sheetId": 0, "startRowIndex": 1, "endRowIndex": 4, "startColumnIndex": 1, "endColumnIndex": 3}
    sheets.batch_update("creators", [{"addNamedRange": {"namedRange": {"name": "people", "range": where}}}])

    assert _rows(sheets, range="A2:B2") == [["Ana", "ana@creator.example"]]
    assert _rows(sheets, range="'Ana''s list'!B:B") == [["Email"], ["ana@creator.example"]]
    assert _rows(sheets, range="people") == [["ana@creator.example", 12000], [], ["", True]]
    with pytest.raises(SheetContentError, match=r"'persons' is no range.*'people'"):
        _rows(sheets, range="persons")
    with pytest.raises(SheetContentError, match="lies outside"):
        _rows(sheets, range="A5000:B6000")


@pytest.mark.parametrize("step", [1, 2, 3, 7])
@pytest.mark.parametrize("blanks", [0, 1, 5, 40])
def test_chunks_of_any_size_give_the_same_rows(
    google: LocalGoogleAdmin, sheets: SheetsClient, monkeypatch: pytest.MonkeyPatch, step: int, blanks: int
) -> None:
    rows = [["a"], [], ["b"], *([] for _ in range(blanks)), ["c"], ["d"]]
    google.put_sheet("long", title="Long", tabs={"Long": rows})
    monkeypatch.setattr("cheerful_pipelines.google.sheets.sheets_client.ROWS_A_READ", step)

    assert _rows(sheets, "long") == rows


@pytest.mark.parametrize("fault", [{"status": 429, "retry_after": "0"}, {"status": 200, "kind": "cut"}])
def test_a_chunk_that_is_asked_for_again_skips_and_doubles_no_row(
    google: LocalGoogleAdmin, sheets: SheetsClient, monkeypatch: pytest.MonkeyPatch, fault: dict[str, object]
) -> None:
    rows = [[f"p{number}"] for number in range(50)]
    google.put_sheet("long", title="Long", tabs={"Long": rows})
    monkeypatch.setattr("cheerful_pipelines.google.sheets.sheets_client.ROWS_A_READ", 7)
    window = sheets.locate(SheetSource(spreadsheet_id="long"))
    stream = sheets.rows(window)
    read = [next(stream) for _ in range(10)]
    google.inject_fault(path_contains="/values", times=2, **fault)  # type: ignore[arg-type]

    assert [*read, *stream] == rows


def test_rows_hidden_by_a_person_or_a_filter_are_counted(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    hide = {"range": {"sheetId": 0, "dimension": "ROWS", "startIndex": 1, "endIndex": 3}}
    criteria = {"0": {"hiddenValues": ["Bo"]}}
    sheets.batch_update(
        "creators",
        [
            {"updateDimensionProperties": {**hide, "properties": {"hiddenByUser": True}, "fields": "hiddenByUser"}},
            {"setBasicFilter": {"filter": {"range": {"sheetId": 0}, "criteria": criteria}}},
        ],
    )

    assert sheets.hidden_rows(sheets.locate(SheetSource(spreadsheet_id="creators"))) == 3


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

    assert _rows(sheets) == ROWS


@pytest.mark.parametrize("kind", ["json", "html", "reset", "cut", "garbage"])
def test_trouble_that_stays_is_an_error_and_never_an_empty_sheet(
    google: LocalGoogleAdmin, sheets: SheetsClient, kind: str
) -> None:
    google.inject_fault(path_contains="/values", status=502, kind=kind, times=50)  # type: ignore[arg-type]

    with pytest.raises(TransientError, match="creators"):
        _rows(sheets)


def test_a_long_retry_after_is_handed_on_at_once_instead_of_slept_through(
    google: LocalGoogleAdmin, sheets: SheetsClient
) -> None:
    google.inject_fault(path_contains="/drive/", status=429, retry_after="900", times=50)

    with pytest.raises(ThrottledError) as caught:
        sheets.drive_version("creators")

    assert caught.value.retry_after_seconds == 900


def test_an_unknown_sheet_is_named_with_what_to_do(sheets: SheetsClient) -> None:
    for call in (sheets.drive_version, sheets.tabs, lambda it: _rows(sheets, it)):
        with pytest.raises(NotFoundError, match=r"no spreadsheet nowhere.*share"):
            call("nowhere")


def test_a_sheet_that_is_not_shared_says_with_whom_to_share_it(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    """Sheets says 403 then; Drive says 404, so that nobody learns which files there are."""
    google.share_sheet("creators", shared=False)

    with pytest.raises(AuthError, match="press Share"):
        _rows(sheets)
    with pytest.raises(NotFoundError, match="never shared with us"):
        sheets.drive_version("creators")


def test_a_range_outside_the_grid_is_permanent(sheets: SheetsClient) -> None:
    with pytest.raises(PermanentError, match="no such tab or range"):
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


def test_an_unchanged_sheet_costs_one_call_and_a_short_one_two_more(
    google: LocalGoogleAdmin, sheets: SheetsClient
) -> None:
    sheets.drive_version("creators")
    google.reset_counters()

    sheets.drive_version("creators")
    assert google.counters()["calls"] == {"drive.files.get": 1}

    _rows(sheets)
    assert sum(google.counters()["calls"].values()) == 3


def test_a_lost_answer_to_a_batch_is_not_sent_again(google: LocalGoogleAdmin, sheets: SheetsClient) -> None:
    """Adding the tab a second time would fail with words that explain nothing."""
    google.inject_fault(path_contains=":batchUpdate", status=500, kind="lost", times=1)

    with pytest.raises(TransientError):
        sheets.batch_update("creators", [{"addSheet": {"properties": {"title": "Numbers"}}}])

    assert [tab.title for tab in sheets.tabs("creators")].count("Numbers") == 1


def test_a_call_inside_a_transaction_is_a_mistake_of_ours(sheets: SheetsClient, database: Database) -> None:
    with database.transaction(), pytest.raises(RuntimeError, match="transaction is open"):
        sheets.drive_version("creators")


def test_local_mode_asks_the_local_server_and_says_where_none_answers(google_settings: Settings) -> None:
    away = google_settings.model_copy(update={"local_google_url": "http://127.0.0.1:9"})

    with pytest.raises(TransientError, match=r"gave no credentials \(ConnectionError\)\. Start it"):
        open_session(away)


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

    assert _rows(SheetsClient.from_settings(live)) == ROWS


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
