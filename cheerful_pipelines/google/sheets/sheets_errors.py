"""What an answer of Sheets, Drive or the login means for us: one error of errors.py, with advice that works. Pure.

Judged by status and reason; by Google's words only where it gives nothing else (most 400s of Sheets). Google's own
message is quoted for a 400 only: it names ranges there, and no person.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    ConfigurationError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
    UnclearAnswerError,
)
from cheerful_pipelines.core.redaction import without_addresses
from cheerful_pipelines.google.reasons import (
    API_DISABLED,
    BY_POLICY,
    SCOPE_MISSING,
    STORAGE_FULL,
    GoogleAnswer,
    google_answer,
    seconds_until_days_end,
)
from cheerful_pipelines.google.retry_after import retry_after_seconds

SCOPE_NAMES = "spreadsheets and drive.metadata.readonly"
SHEET_TYPE = "application/vnd.google-apps.spreadsheet"

_LONGEST_QUOTATION = 200
_CLOCK_WORDS = ("reasonable timeframe", "check your iat and exp", "token used too early")
_SET_CREDENTIALS = "Make new ones and set CHEERFUL_SHEETS_CREDENTIALS_FILE to them."


class _Rule(NamedTuple):
    """`what` may name {sheet}, {api} and {said} (Google's words); `what_to_do` {reader}, whom to let in, and {api}."""

    kind: type[CheerfulError]
    what: str
    what_to_do: str


_NOT_SHARED = _Rule(
    AuthError,
    "The spreadsheet {sheet} is not shared with our login, or for reading only.",
    "Open the sheet, press Share, and let in {reader} (Viewer to import, Editor to export).",
)
_API_DISABLED = _Rule(
    ConfigurationError,
    "The {api} is not enabled in the Google Cloud project that our credentials belong to.",
    "Open that project's console, APIs & Services, Library, and enable the {api}; it works after some minutes.",
)
_SCOPE_MISSING = _Rule(
    AuthError,
    "Our login does not include the permissions that spreadsheet {sheet} needs.",
    f"Sign in again with the scopes {SCOPE_NAMES}, and set CHEERFUL_SHEETS_CREDENTIALS_FILE to the new file.",
)
_BY_POLICY = _Rule(
    AuthError,
    "The Google Workspace that spreadsheet {sheet} belongs to does not allow our login or app.",
    "Ask its administrator to trust the app and to allow sharing with {reader}.",
)
_EXCEL = _Rule(
    PermanentError,
    "{sheet} is an Excel or other office file in Drive, not a Google Sheet.",
    "Open it, choose File > Save as Google Sheets, and set the campaign's sheet to the address of the new one.",
)
_TRASHED = _Rule(
    NotFoundError,
    "The spreadsheet {sheet} is in Drive's trash.",
    "Restore it from the trash, or set the campaign's sheet to another one.",
)
_PROTECTED = _Rule(
    PermanentError,
    "A range or tab of spreadsheet {sheet} that is to be written is protected.",
    "In the sheet open Data > Protect sheets and ranges, and let {reader} edit it, or remove the protection.",
)
_CELL_LIMIT = _Rule(
    PermanentError,
    "The spreadsheet {sheet} is full: Google allows ten million cells.",
    "Delete tabs, rows or columns that nobody needs, or set the campaign's sheet to a new one.",
)
_STORAGE_FULL = _Rule(
    PermanentError,
    "The Google Drive storage of the owner of spreadsheet {sheet} is full.",
    "Its owner must free storage (one.google.com/storage) or buy more.",
)
_NO_TAB = _Rule(
    NotFoundError,
    "The spreadsheet {sheet} has no such tab or range: {said}",
    "Look whether the tab was renamed or deleted; correct the campaign's tab, or the sheet.",
)
_GRID = _Rule(
    TransientError,
    "A tab of spreadsheet {sheet} became smaller while we worked on it: {said}",
    "Nothing: its size is read again with the next try. If it stays, report it as a bug.",
)
_TOO_LARGE = _Rule(
    PermanentError,
    "Google finds our request for spreadsheet {sheet} too large.",
    "Report this as a bug of ours, with the run; in the sheet a smaller range or fewer columns help.",
)
_REFUSED = _Rule(
    UnclearAnswerError,
    "Google refused the request for spreadsheet {sheet} ({status}): {said}",
    "If the sheet and the campaign's tab are right, this is a bug of ours: report it with the run.",
)

_BY_REASON: tuple[tuple[frozenset[str], _Rule], ...] = (
    (API_DISABLED, _API_DISABLED),
    (SCOPE_MISSING, _SCOPE_MISSING),
    (STORAGE_FULL, _STORAGE_FULL),
    (BY_POLICY, _BY_POLICY),
)
_BY_WORDS: tuple[tuple[str, _Rule], ...] = (
    ("insufficient authentication scopes", _SCOPE_MISSING),
    ("api has not been used in project", _API_DISABLED),
    ("not supported for this document", _EXCEL),
    ("must not be an office file", _EXCEL),
    ("protected cell or object", _PROTECTED),
    ("protected range", _PROTECTED),
    ("storage quota has been exceeded", _STORAGE_FULL),
    ("exceeds grid limits", _GRID),
    ("outside the grid", _GRID),
    ("unable to parse range", _NO_TAB),
    ("no grid with id", _NO_TAB),
    ("payload size exceeds", _TOO_LARGE),
    ("request entity too large", _TOO_LARGE),
)
"""Of 400 and 403, the first that fits. Google gives INVALID_ARGUMENT or FAILED_PRECONDITION for all of them alike."""


def error_of_answer(
    status: int,
    body: object,
    headers: Mapping[str, str],
    *,
    spreadsheet_id: str,
    reader: str,
    now: datetime | None = None,
) -> CheerfulError:
    """Turn one failed answer into our error.

    `body` is the parsed JSON, or None where it was not JSON. `reader` names who must be let in ("the service
    account ..."). An answer that is not JSON, or a 403 without any reason and status, is a proxy's or a front end's:
    it may pass. So may whatever Google gives no reason for that we know.
    """
    answer = google_answer(status, body)
    if answer.is_throttled:
        return _throttled(answer, headers, spreadsheet_id=spreadsheet_id, now=now or datetime.now(UTC))
    if status >= 500 or status in (408, 409):
        return TransientError(f"Google answered {status} for spreadsheet {spreadsheet_id}.")
    if not isinstance(body, Mapping) and status != 413:
        return UnclearAnswerError(
            f"Something that is not Google's API answered {status} for spreadsheet {spreadsheet_id}."
        )
    if status == 401:
        return AuthError("Google refused the credentials for Sheets (401).", what_to_do=_SET_CREDENTIALS)
    if status == 404:
        return NotFoundError(
            f"There is no spreadsheet {spreadsheet_id} (404): deleted, or never shared with us.",
            what_to_do=f"Compare the id with the sheet's address; share the sheet with {reader}, "
            "or correct the campaign's sheet: cheerful campaigns add with the same slug.",
        )
    rule = _rule_of(answer)
    if rule is None:
        return UnclearAnswerError(f"Google answered 403 without a reason for spreadsheet {spreadsheet_id}.")
    return _error(rule, answer, spreadsheet_id=spreadsheet_id, reader=reader)


def error_of_file(facts: Mapping[str, object], *, spreadsheet_id: str, reader: str) -> CheerfulError | None:
    """What is wrong with a file by Drive's own fields `trashed` and `mimeType`; None if nothing is."""
    rule = _TRASHED if facts.get("trashed") is True else None
    if rule is None and facts.get("mimeType") not in (None, SHEET_TYPE):
        rule = _EXCEL
    return (
        None if rule is None else _error(rule, google_answer(200, None), spreadsheet_id=spreadsheet_id, reader=reader)
    )


def login_error(details: object) -> CheerfulError:
    """Our error for a token endpoint that refused for good. `details` is read and never repeated.

    invalid_grant alone says little: "Invalid JWT" with its timeframe means the clock of this machine.
    """
    words = str(details).lower()
    if any(sign in words for sign in _CLOCK_WORDS):
        return TransientError(
            "Google finds the time of our login for Sheets wrong: the clock of this machine is off.",
            what_to_do="Set this machine's clock (NTP); the credentials are right.",
        )
    if "access_not_configured" in words:
        return _error(_API_DISABLED, google_answer(403, None), spreadsheet_id="", reader="")
    if "invalid_client" in words or "deleted_client" in words:
        return AuthError(
            "The OAuth client of our Sheets credentials was deleted, or its secret was changed.",
            what_to_do="Make a new OAuth client, sign in with it, and set CHEERFUL_SHEETS_CREDENTIALS_FILE to it.",
        )
    if "invalid_scope" in words or "unauthorized_client" in words:
        return _error(_SCOPE_MISSING, google_answer(403, None), spreadsheet_id="of any campaign", reader="")
    return AuthError(
        "Google refused the login for Sheets: it was revoked, or has expired.",
        what_to_do="Make new credentials and set CHEERFUL_SHEETS_CREDENTIALS_FILE to them.",
    )


def _throttled(
    answer: GoogleAnswer, headers: Mapping[str, str], *, spreadsheet_id: str, now: datetime
) -> ThrottledError:
    wait = retry_after_seconds(headers, answer.message)
    advice = "Nothing: it is tried again. If it stays, raise the Google project's Sheets quota."
    if answer.is_daily:
        wait = seconds_until_days_end(now) if wait is None else wait
        advice = "Nothing: it goes on when Google's day ends, at midnight Pacific time; or raise the project's quota."
    return ThrottledError(
        f"Google asked us to slow down ({answer.http_status}) for spreadsheet {spreadsheet_id}.",
        retry_after_seconds=wait,
        what_to_do=advice,
    )


def _rule_of(answer: GoogleAnswer) -> _Rule | None:
    for reasons, rule in _BY_REASON:
        if answer.reasons & reasons:
            return rule
    if answer.http_status in (400, 403):
        if "above the limit of" in answer.words and "cells" in answer.words:
            return _CELL_LIMIT
        for words, rule in _BY_WORDS:
            if words in answer.words:
                return rule
    if answer.http_status == 413:
        return _TOO_LARGE
    if answer.http_status != 403:
        return _REFUSED
    return _NOT_SHARED if answer.status or answer.reasons else None


def _error(rule: _Rule, answer: GoogleAnswer, *, spreadsheet_id: str, reader: str) -> CheerfulError:
    named = {
        "sheet": spreadsheet_id,
        "reader": reader,
        "api": "Google Drive API" if _is_drives(answer) else "Google Sheets API",
        "said": without_addresses(answer.message[:_LONGEST_QUOTATION]) or "no reason given",
        "status": answer.http_status,
    }
    return rule.kind(rule.what.format(**named), what_to_do=rule.what_to_do.format(**named))


def _is_drives(answer: GoogleAnswer) -> bool:
    """By the service it names; where it names none, only Drive sends the older reasons."""
    if answer.service:
        return answer.service.startswith("drive.")
    return "accessNotConfigured" in answer.reasons or "drive api" in answer.words
