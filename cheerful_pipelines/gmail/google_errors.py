"""Google's answers and the transport's accidents become our errors here: one table, judged by reason, not by status.

Pure but for the exception classes of the libraries; see google-apis notes in `failures.py` for what each class does.
"""

import json
from typing import Any

from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.retry_after import retry_after_seconds

_THROTTLED_REASONS = frozenset(
    (
        "rateLimitExceeded",
        "userRateLimitExceeded",
        "quotaExceeded",
        "dailyLimitExceeded",
        "RATE_LIMIT_EXCEEDED",
    )
)
_AUTH_REASONS = frozenset(("authError", "insufficientPermissions", "forbidden", "domainPolicy"))
_RECONNECT = "Connect the account again: cheerful accounts add."


def error_from_answer(status: int, body: bytes | str, headers: dict[str, str], *, call: str) -> CheerfulError:
    """Our error for an HTTP error answer. `call` names the operation; the answer's own words are not repeated."""
    message, reasons = _details(body)
    wait = retry_after_seconds(headers, message)
    named = ", ".join(sorted(reasons)) or "no reason given"
    if status == 429 or (status == 403 and reasons & _THROTTLED_REASONS):
        return ThrottledError(f"Gmail throttles {call} ({status} {named}).", retry_after_seconds=wait)
    if status == 401 or (status == 403 and (reasons & _AUTH_REASONS or not reasons)):
        return AuthError(f"Gmail refuses {call} ({status} {named}).", what_to_do=_RECONNECT)
    if status == 404:
        return NotFoundError(f"Gmail does not know what {call} asked for (404).")
    if status >= 500 or (status == 400 and "failedPrecondition" in reasons):
        return TransientError(f"Gmail could not answer {call} ({status} {named}).")
    return PermanentError(
        f"Gmail refuses {call} ({status} {named}).",
        what_to_do="The request itself is wrong; this is a bug of ours.",
    )


def error_from_refresh(retryable: bool, details: object) -> CheerfulError:
    """Our error for a token endpoint that refused: a dead token needs a person, a busy endpoint only time."""
    if retryable:
        return TransientError("The token endpoint could not answer.")
    text = str(details)
    code = next(
        (name for name in ("invalid_grant", "unauthorized_client", "invalid_client") if name in text),
        "refused",
    )
    return AuthError(f"Google refuses the account's credentials ({code}).", what_to_do=_RECONNECT)


def _details(body: bytes | str) -> tuple[str, set[str]]:
    """(message, reasons) of an error body; an HTML page or a cut body has neither."""
    try:
        error: Any = json.loads(body)["error"]
        if not isinstance(error, dict):
            return "", set()
        reasons = {str(item.get("reason")) for item in error.get("errors", []) if isinstance(item, dict)}
        reasons |= {
            str(item["reason"]) for item in error.get("details", []) if isinstance(item, dict) and "reason" in item
        }
        return str(error.get("message", "")), reasons
    except (ValueError, KeyError, TypeError):
        return "", set()
