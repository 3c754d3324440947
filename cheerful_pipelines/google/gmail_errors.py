"""Google's answers become our errors here: one table, judged by reason, not by status. Pure: no I/O.

Only a real refusal of the account's authorisation is an AuthError (the account becomes needs_reauth). Whatever Google
does not give a reason for may pass, and a wrong request of ours is never the account's fault.
Sources: developers.google.com/workspace/gmail/api/guides/handle-errors; the reasons of google.api.ErrorReason
(SERVICE_DISABLED, ACCESS_TOKEN_SCOPE_INSUFFICIENT); OAuth's errors: developers.google.com/identity/protocols/oauth2.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    ConfigurationError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.google.reasons import BY_DAY, BY_MINUTE, seconds_until_days_end
from cheerful_pipelines.google.retry_after import retry_after_seconds

_RECONNECT = "Connect the account again: cheerful accounts add."


class _Rule(NamedTuple):
    kind: type[CheerfulError]
    what: str
    what_to_do: str


_NO_SCOPE = _Rule(
    AuthError,
    "The login does not include the permission to read mail",
    "Connect the account again and tick the box for Gmail: cheerful accounts add. For a service account, add the scope "
    "gmail.readonly to its domain-wide delegation.",
)
_API_OFF = _Rule(
    ConfigurationError,
    "The Gmail API is not enabled in the Google Cloud project of our credentials",
    "Enable the Gmail API in that project's console (APIs & Services > Library); it takes some minutes.",
)
_POLICY = _Rule(
    AuthError,
    "The Google Workspace of this account does not allow this app",
    "Ask its administrator to trust the app (Admin console > Security > API controls), then connect the account again.",
)
_NO_MAIL = _Rule(
    AuthError,
    "The Google account has no Gmail mailbox: without licence, suspended, or Gmail is switched off",
    "Ask the Workspace administrator to restore the account or switch Gmail on for it; or take the account out of "
    "its campaigns.",
)
_SUSPENDED = _Rule(
    AuthError,
    "The Google account is suspended or was deleted",
    "Ask the Workspace administrator to restore it, then connect it again; or take the account out of its campaigns.",
)
_BY_REASON: Mapping[tuple[int, str], _Rule] = {
    (403, "insufficientPermissions"): _NO_SCOPE,
    (403, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"): _NO_SCOPE,
    (403, "accessNotConfigured"): _API_OFF,
    (403, "SERVICE_DISABLED"): _API_OFF,
    (403, "domainPolicy"): _POLICY,
    (403, "delegationDenied"): _POLICY,
    (403, "accountDisabled"): _SUSPENDED,
    (403, "accountDeleted"): _SUSPENDED,
    (403, "authError"): _Rule(AuthError, "Google refuses the account's login", _RECONNECT),
}
_METADATA_ONLY = "metadata scope"
"""Gmail refuses a search, or a message as it was sent, to a login with gmail.metadata alone: 403 `forbidden`."""
_NO_MAIL_WORDS = ("mail service not enabled", "mail service is not enabled", "gmail is not enabled")

_CLOCK = _Rule(
    TransientError,
    "Google finds our login's time wrong: the clock of this machine is off",
    "Set this machine's clock (NTP); nothing is wrong with the account.",
)
_BY_REFRESH_WORDS: tuple[tuple[str, _Rule], ...] = (
    ("reasonable timeframe", _CLOCK),
    ("check your iat and exp", _CLOCK),
    ("token used too early", _CLOCK),
    ("account has been deleted", _SUSPENDED),
    ("account has been disabled", _SUSPENDED),
    ("account_deleted", _SUSPENDED),
    ("account disabled", _SUSPENDED),
    (
        "invalid email or user id",
        _Rule(
            AuthError,
            "The service account may not act for this address: there is no such user in the Workspace",
            "Correct the address of the account: cheerful accounts add.",
        ),
    ),
    (
        "unauthorized_client",
        _Rule(
            AuthError,
            "The client is not authorized for this account",
            "For a service account: add its client id with the scope gmail.readonly in the Workspace's Admin console "
            "(Security > API controls > Domain-wide delegation). Otherwise connect the account again.",
        ),
    ),
    (
        "deleted_client",
        _Rule(
            ConfigurationError,
            "The OAuth client of our credentials was deleted in the Google Cloud project",
            "Make a new OAuth client there and connect its accounts again: cheerful accounts add.",
        ),
    ),
    (
        "invalid_client",
        _Rule(
            ConfigurationError,
            "Google does not know the OAuth client of our credentials, or its secret was changed",
            "Download the client's JSON again from the Google Cloud console and connect its accounts again.",
        ),
    ),
    (
        "org_internal",
        _Rule(
            AuthError,
            "The OAuth client serves its own organisation only",
            "Set the consent screen's user type to External, or use a client of the account's own organisation.",
        ),
    ),
    ("admin_policy_enforced", _POLICY),
    ("access_not_configured", _API_OFF),
    (
        "invalid_rapt",
        _Rule(AuthError, "The Workspace asks for a new login after some hours (invalid_rapt)", _RECONNECT),
    ),
    (
        "invalid_scope",
        _Rule(
            ConfigurationError,
            "Google does not grant the scope that we ask for (invalid_scope)",
            "Add gmail.readonly to the consent screen, or to the service account's domain-wide delegation.",
        ),
    ),
    (
        "invalid_grant",
        _Rule(AuthError, "The account's login was revoked or has expired", _RECONNECT),
    ),
)
"""Of the token endpoint's answer, the first that fits: invalid_grant alone says the least."""


_OAUTH_CODES = (
    "invalid_grant", "unauthorized_client", "deleted_client", "invalid_client", "org_internal",
    "admin_policy_enforced", "invalid_scope", "access_denied", "unsupported_grant_type", "invalid_request",
)  # fmt: skip


def error_from_answer(
    status: int, body: bytes | str, headers: dict[str, str], *, call: str, now: datetime | None = None
) -> CheerfulError:
    """Our error for an HTTP error answer. `call` names the operation; the answer's own words are not repeated.

    Returns ThrottledError for limits, AuthError if a person must reconnect or restore the account, ConfigurationError
    if our Google Cloud project is not set up, NotFoundError for 404, PermanentError for a request that is wrong by
    its reason, and TransientError for the rest: a 400 or 403 without a reason too, which Google's front ends and
    proxies also send while something is broken. It says nothing about the account, and may pass.
    """
    message, reasons = _details(body)
    named = ", ".join(sorted(reasons)) or "no reason given"
    if status == 429 or (status == 403 and reasons & (BY_MINUTE | BY_DAY)):
        return _throttled(status, message, reasons, headers, call=call, named=named, now=now)
    for reason in sorted(reasons):
        if rule := _BY_REASON.get((status, reason)):
            return _error(rule, f"{call}, {status} {reason}")
    if status in (400, 403) and any(words in message.lower() for words in _NO_MAIL_WORDS):
        return _error(_NO_MAIL, f"{call}, {status} {named}")
    if status == 403 and _METADATA_ONLY in message.lower():
        return _error(_NO_SCOPE, f"{call}, {status} {named}")
    if status == 401:
        return AuthError(f"Gmail refuses {call} ({status} {named}).", what_to_do=_RECONNECT)
    if status == 404:
        return NotFoundError(f"Gmail does not know what {call} asked for (404).")
    if status >= 500 or status == 408 or not reasons or reasons <= {"failedPrecondition", "forbidden"}:
        return TransientError(f"Gmail could not answer {call} ({status} {named}).")
    return PermanentError(
        f"Gmail refuses {call} ({status} {named}).",
        what_to_do="The request itself is wrong; this is a bug of ours. The account need not be connected again.",
    )


def error_from_refresh(retryable: bool, details: object) -> CheerfulError:
    """Our error for a token endpoint that refused: each reason with what helps against it."""
    if retryable:
        return TransientError("The token endpoint could not answer.")
    text = str(details).lower()
    code = next((word for word in _OAUTH_CODES if word in text), "no code given")
    for words, rule in _BY_REFRESH_WORDS:
        if words in text:
            return _error(rule, f"login, {code}")
    if "error" in text and "{" in text:
        return AuthError(f"Google refuses the account's credentials ({code}).", what_to_do=_RECONNECT)
    return TransientError("The token endpoint answered with something that is not an error of OAuth's.")


def _throttled(
    status: int,
    message: str,
    reasons: set[str],
    headers: dict[str, str],
    *,
    call: str,
    named: str,
    now: datetime | None,
) -> ThrottledError:
    wait, words = retry_after_seconds(headers, message), message.lower()
    is_daily = bool(reasons & BY_DAY and "per minute" not in words) or "per day" in words
    if is_daily and wait is None:
        wait = seconds_until_days_end(now or datetime.now(UTC))
    return ThrottledError(
        f"Gmail throttles {call} ({status} {named}).",
        retry_after_seconds=wait,
        of_project="per minute" in words and "per user" not in words and "userRateLimitExceeded" not in reasons,
        what_to_do="Nothing: it goes on when Google's day ends, at midnight Pacific time." if is_daily else "",
    )


def _error(rule: _Rule, where: str) -> CheerfulError:
    return rule.kind(f"{rule.what} ({where}).", what_to_do=rule.what_to_do)


def _details(body: bytes | str) -> tuple[str, set[str]]:
    """(message, reasons) of an error body; an HTML page or a cut body has neither."""
    try:
        error: Any = json.loads(body)["error"]
        if not isinstance(error, dict):
            return "", set()
        items = [*(error.get("errors") or []), *(error.get("details") or [])]
        return str(error.get("message", "")), {
            str(item["reason"]) for item in items if isinstance(item, dict) and item.get("reason")
        }
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", set()
