"""What an answer of Sheets or Drive means for us: one error of errors.py, in words that say what to do. Pure.

Judged by the status and the reason, not by the message: quota answers come as 403 as well as 429, and a 502
may carry HTML instead of JSON.
"""

from collections.abc import Mapping
from typing import Any

from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.redaction import without_addresses
from cheerful_pipelines.retry_after import retry_after_seconds

_THROTTLED_REASONS = frozenset(
    {
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "dailyLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
    }
)
_THROTTLED_STATUS = "RESOURCE_EXHAUSTED"
_FROM_STATUS_SERVER_ERROR = 500


def error_of_answer(
    status: int, body: object, headers: Mapping[str, str], *, spreadsheet_id: str, reader: str
) -> CheerfulError:
    """Turn one failed answer into our error.

    `body` is the parsed JSON, or None where it was not JSON. `reader` names who must be let in ("the service
    account ..."). Google's own message is quoted for a 400 only: it names ranges there, and no person.
    """
    error = _error_part(body)
    if status == 429 or (status == 403 and _is_throttled(error)):
        return ThrottledError(
            f"Google asked us to slow down ({status}) for spreadsheet {spreadsheet_id}.",
            retry_after_seconds=retry_after_seconds(headers, str(error.get("message", ""))),
            what_to_do="Nothing: it is tried again. If it stays, raise the Google project's Sheets quota.",
        )
    if status >= _FROM_STATUS_SERVER_ERROR or status == 408:
        return TransientError(f"Google answered {status} for spreadsheet {spreadsheet_id}.")
    if status == 401:
        return AuthError(
            "Google refused the credentials for Sheets (401).",
            what_to_do="Make new ones and set CHEERFUL_SHEETS_CREDENTIALS_FILE to them.",
        )
    if status == 403:
        return AuthError(
            f"The spreadsheet {spreadsheet_id} may not be read or written with our credentials (403).",
            what_to_do=f"Open the sheet, press Share, and let in {reader} (Viewer to import, Editor to export).",
        )
    if status == 404:
        return NotFoundError(
            f"There is no spreadsheet {spreadsheet_id} (404): deleted, or never shared with us.",
            what_to_do=f"Compare the id with the sheet's address; share the sheet with {reader}, "
            "or correct the campaign's sheet: cheerful campaigns add with the same slug.",
        )
    return PermanentError(
        f"Google refused the request for spreadsheet {spreadsheet_id} ({status}): {_message(error)}",
        what_to_do="Look whether the tab was renamed or deleted; correct the campaign's tab or the sheet.",
    )


def _error_part(body: object) -> Mapping[str, Any]:
    error = body.get("error") if isinstance(body, Mapping) else None
    return error if isinstance(error, Mapping) else {}


def _is_throttled(error: Mapping[str, Any]) -> bool:
    parts = [*(error.get("errors") or []), *(error.get("details") or [])]
    reasons = {part.get("reason") for part in parts if isinstance(part, Mapping)}
    if error.get("status") == _THROTTLED_STATUS or reasons & _THROTTLED_REASONS:
        return True
    # Sheets sends no errors[] as Gmail and Drive do: without any reason its quota answers are known by their words.
    return not reasons and str(error.get("message", "")).startswith("Quota exceeded")


def _message(error: Mapping[str, Any]) -> str:
    return without_addresses(str(error.get("message") or "no reason given")[:200])
