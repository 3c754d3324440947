"""Each way in which Google refuses a sheet has a sentence of its own and the right class; through the real gspread."""

import doctest
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import google.auth.credentials
import pytest
import requests
from google.auth.exceptions import RefreshError
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import CheerfulError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google import reasons
from cheerful_pipelines.google.sheets.models import SheetSource
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.google.sheets.sheets_errors import error_of_answer, login_error
from cheerful_pipelines.google.sheets.sheets_session import SheetsSession
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.orchestration.failures import failure_class_of
from cheerful_pipelines.orchestration.retries import wait_after

SHARE, DRIVE = "press Share, and let in", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

REFUSALS: dict[str, tuple[dict[str, Any], str, str]] = {
    "api disabled": (
        {"status": 403, "reason": "SERVICE_DISABLED", "message": "Google Sheets API has not been used in project 1."},
        "permanent", "enable the Google Sheets API",
    ),
    "api disabled, old form": (
        {"status": 403, "message": "Access Not Configured. Google Sheets API has not been used in project 1 before."},
        "permanent", "enable the Google Sheets API",
    ),
    "scope missing": (
        {"status": 403, "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
         "message": "Request had insufficient authentication scopes."},
        "auth", "scopes spreadsheets and drive.metadata.readonly",
    ),
    "api disabled, by its reason alone": (
        {"status": 403, "reason": "SERVICE_DISABLED", "message": "Denied."},
        "permanent", "enable the Google Sheets API",
    ),
    "scope missing, by its reason alone": (
        {"status": 403, "reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "message": "Denied."},
        "auth", "scopes spreadsheets",
    ),
    "not shared": ({"status": 403, "message": "The caller does not have permission"}, "auth", SHARE),
    "excel file": (
        {"status": 400, "reason": "failedPrecondition", "message": "This operation is not supported for this document"},
        "permanent", "File > Save as Google Sheets",
    ),
    "office file": (
        {"status": 400, "reason": "failedPrecondition",
         "message": "This operation is not supported for this document. The document must not be an Office file."},
        "permanent", "File > Save as Google Sheets",
    ),
    "protected": (
        {"status": 400, "message": "Invalid requests[0].updateCells: You are trying to edit a protected cell or "
         "object. Please contact the spreadsheet owner to remove protection if you need to edit."},
        "permanent", "Data > Protect sheets and ranges, and let the",
    ),
    "cell limit": (
        {"status": 400, "message": "Invalid requests[0].addSheet: This action would increase the number of cells in "
         "the workbook above the limit of 10000000 cells."},
        "permanent", "ten million cells. Delete tabs",
    ),
    "storage full": (
        {"status": 403, "message": "The user's Drive storage quota has been exceeded."}, "permanent", "free storage",
    ),
    "tab missing": (
        {"status": 400, "message": "Unable to parse range: 'Creators'!A1:C9"}, "permanent",
        "correct the campaign's tab",
    ),
    "grid": (
        {"status": 400, "message": "Range (Creators!A1:C99) exceeds grid limits. Max rows: 9, max columns: 3"},
        "transient", "read again with the next try",
    ),
    "too large": (
        {"status": 400, "message": "Request payload size exceeds the limit: 10485760 bytes."}, "permanent", "too large",
    ),
    "something else": ({"status": 400, "message": "Invalid value at 'data'"}, "unclear", "Invalid value at 'data'"),
    "not even JSON": ({"status": 403, "kind": "html"}, "unclear", "not Google's API"),
    "conflict": ({"status": 409}, "transient", "409"),
    "per minute": ({"status": 429}, "throttled", "slow down"),
}  # fmt: skip


@pytest.fixture
def sheets(google: LocalGoogleAdmin, google_settings: Settings) -> Iterator[SheetsClient]:
    google.put_sheet("creators", title="Creators", tabs={"Creators": [["Name"], ["Ana"]]})
    yield SheetsClient.from_settings(google_settings, first_wait_seconds=0.001)
    google.clear_faults()


def _refused(sheets: SheetsClient) -> CheerfulError:
    with pytest.raises(CheerfulError) as caught:
        sheets.locate(SheetSource(spreadsheet_id="creators"))
    return caught.value


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_of_sheets_says_what_helps(google: LocalGoogleAdmin, sheets: SheetsClient, name: str) -> None:
    fault, failure_class, advice = REFUSALS[name]
    google.inject_fault(path_contains="/v4/spreadsheets/", times=50, **fault)

    error = _refused(sheets)

    assert failure_class_of(error) == failure_class
    assert advice in str(error)
    assert (SHARE in str(error)) == (advice == SHARE), "nobody is sent to the Share button in vain"


@pytest.mark.parametrize(
    ("fault", "failure_class", "advice"),
    [
        ({"status": 403, "reason": "accessNotConfigured"}, "permanent", "enable the Google Drive API"),
        ({"status": 403, "reason": "insufficientPermissions"}, "auth", "scopes spreadsheets"),
        ({"status": 403, "reason": "insufficientFilePermissions"}, "auth", SHARE),
        ({"status": 403, "reason": "storageQuotaExceeded"}, "permanent", "free storage"),
        ({"status": 403, "reason": "domainPolicy"}, "auth", "administrator"),
        ({"status": 403, "reason": "userRateLimitExceeded"}, "throttled", "slow down"),
        ({"status": 403, "reason": "dailyLimitExceeded"}, "throttled", "midnight Pacific time"),
        ({"status": 403, "reason": "quotaExceeded"}, "throttled", "midnight Pacific time"),
    ],
    ids=lambda value: value["reason"] if isinstance(value, dict) else None,
)
def test_a_refusal_of_drive_is_judged_by_its_reason(
    google: LocalGoogleAdmin, sheets: SheetsClient, fault: dict[str, Any], failure_class: str, advice: str
) -> None:
    google.inject_fault(path_contains="/drive/", times=50, **fault)
    with pytest.raises(CheerfulError) as caught:
        sheets.drive_version("creators", tries=1)
    assert failure_class_of(caught.value) == failure_class
    assert advice in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, None), (401, None), (403, None), (404, None), (418, None), (400, {"error": {"code": 400}}),
        (400, {"error": {"code": 400, "message": "Bad Request", "errors": [{"reason": "badRequest"}]}}),
        (410, {"error": {"code": 410}}), (422, {}), (403, {"error": {"code": 403}}), (400, ["?"]),
    ],
)  # fmt: skip
def test_an_answer_without_a_reason_that_we_know_is_tried_again_within_minutes(status: int, body: object) -> None:
    kind = failure_class_of(error_of_answer(status, body, {}, spreadsheet_id="s", reader="us"))
    assert kind == "unclear"
    assert wait_after(kind, 1) == timedelta(minutes=1)
    assert wait_after(kind, 500) == timedelta(minutes=10)


@pytest.mark.parametrize("body", ["{}", '{"version": null}'])
def test_a_file_without_a_version_is_no_bug_of_ours(sheets: SheetsClient, body: str) -> None:
    class Odd(SheetsSession):
        def __init__(self) -> None:
            self.reader = "us"

        def request(self, *_: object, **__: object) -> requests.Response:
            answer = requests.Response()
            answer.status_code, answer._content = 200, body.encode()
            return answer

    sheets._session = Odd()
    with pytest.raises(CheerfulError) as caught:
        sheets.drive_version("creators", tries=1)
    assert failure_class_of(caught.value) == "unclear"


def test_a_file_in_the_trash_or_of_another_kind_is_known_by_drives_own_fields(
    google: LocalGoogleAdmin, sheets: SheetsClient
) -> None:
    before = sheets.drive_version("creators")
    for facts, advice in (({"trashed": True}, "Restore it from the trash"), ({"mimeType": DRIVE}, "Save as Google")):
        google.set_drive_facts("creators", **facts)
        with pytest.raises(CheerfulError, match=advice) as caught:
            sheets.drive_version("creators")
        assert failure_class_of(caught.value) == "permanent"

    google.set_drive_facts("creators")
    assert sheets.drive_version("creators") == before


@pytest.mark.parametrize(
    ("details", "failure_class", "advice"),
    [
        (("invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
          "Check your iat and exp values in the JWT claim.",), "transient", "clock"),
        (("invalid_grant: Bad Request", {"error": "invalid_grant"}), "auth", "revoked, or has expired"),
        (("invalid_grant: Invalid JWT Signature.", {}), "auth", "Make new credentials"),
        (("deleted_client: The OAuth client was deleted.", {}), "auth", "new OAuth client"),
        (("invalid_scope: Bad scope", {}), "auth", "scopes spreadsheets"),
    ],
)  # fmt: skip
def test_a_refused_login_blames_the_clock_only_for_the_clock(details: object, failure_class: str, advice: str) -> None:
    error = login_error(details)
    assert failure_class_of(error) == failure_class
    assert advice in str(error)


def test_a_daily_limit_waits_until_googles_day_ends_unless_google_names_a_time() -> None:
    body = {"error": {"code": 403, "errors": [{"reason": "dailyLimitExceeded"}]}}
    at = datetime(2026, 7, 1, 6, 0, tzinfo=UTC)
    told = error_of_answer(403, body, {}, spreadsheet_id="s", reader="us", now=at)
    assert getattr(told, "retry_after_seconds", None) == 3600
    named = error_of_answer(403, body, {"Retry-After": "7"}, spreadsheet_id="s", reader="us", now=at)
    assert getattr(named, "retry_after_seconds", None) == 7
    assert doctest.testmod(reasons).failed == 0


scrap = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.sampled_from(["reason", "SERVICE_DISABLED"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "errors", "details", "reason", "status", "message", "metadata"]), inner
        )
    ),
    max_leaves=15,
)


@given(status=st.integers(300, 599), body=scrap)
@options(deadline=None, max_examples=150)
def test_whatever_google_answers_becomes_one_of_our_errors_without_an_address(status: int, body: Any) -> None:
    error = error_of_answer(status, body, {}, spreadsheet_id="s", reader="us")
    assert isinstance(error, CheerfulError)
    told = error_of_answer(
        400, {"error": {"message": "No ava@creator.example here"}}, {}, spreadsheet_id="s", reader="us"
    )
    assert "creator.example" not in str(told)


class ClockIsWrong(google.auth.credentials.Credentials):
    """What google-auth raises when the token endpoint refuses the times in our login."""

    def refresh(self, request: object) -> None:
        words = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."
        raise RefreshError(f"invalid_grant: {words}", {"error": "invalid_grant", "error_description": words})


def test_a_wrong_clock_is_told_by_the_session_and_blames_no_credentials() -> None:
    session = SheetsSession(ClockIsWrong(), endpoint_of=lambda url: url, reader="us")  # type: ignore[no-untyped-call]

    with pytest.raises(TransientError, match="clock"):
        session.request("get", "https://sheets.googleapis.com/v4/spreadsheets/sheet1")
