"""Only a real refusal of an account's authorisation asks for a person; each reason says what helps."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    ConfigurationError,
    NotFoundError,
    PermanentError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.google.gmail_errors import error_from_answer, error_from_refresh, seconds_until_days_end


def answered(status: int, reason: str = "", message: str = "", *, detail: str = "") -> CheerfulError:
    """Our error for Google's JSON."""
    error: dict[str, object] = {"code": status, "message": message}
    if reason:
        error["errors"] = [{"reason": reason, "message": message}]
    if detail:
        error["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": detail}]
    return error_from_answer(status, json.dumps({"error": error}), {}, call="getProfile")


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (answered(401, "authError"), AuthError, "Connect the account again"),
        (answered(403, "insufficientPermissions"), AuthError, "tick the box for Gmail"),
        (answered(403, detail="ACCESS_TOKEN_SCOPE_INSUFFICIENT"), AuthError, "gmail.readonly"),
        (answered(403, "domainPolicy"), AuthError, "administrator"),
        (answered(403, "accessNotConfigured"), ConfigurationError, "Enable the Gmail API"),
        (answered(403, detail="SERVICE_DISABLED"), ConfigurationError, "Enable the Gmail API"),
        (answered(400, "failedPrecondition", "Mail service not enabled"), AuthError, "switch Gmail on"),
        (answered(400, "failedPrecondition", "Precondition check failed."), TransientError, ""),
        (answered(403), TransientError, ""),
        (answered(400), TransientError, ""),
        (answered(403, "forbidden"), TransientError, ""),
        (answered(403, "forbidden", "Metadata scope does not support 'q' parameter"), AuthError, "gmail.readonly"),
        (answered(400, "invalidArgument"), PermanentError, "bug of ours"),
        (answered(404, "notFound"), NotFoundError, ""),
        (answered(503, "backendError"), TransientError, ""),
    ],
)
def test_each_answer_has_its_class_and_its_advice(error: CheerfulError, kind: type, advice: str) -> None:
    assert type(error) is kind
    assert advice in error.what_to_do


@pytest.mark.parametrize(
    ("body", "kind", "advice"),
    [
        ({"error": "invalid_grant", "error_description": "Token has been expired or revoked."}, AuthError, "Connect"),
        (
            {
                "error": "invalid_grant",
                "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim.",
            },
            TransientError,
            "Set this machine's clock",
        ),
        ({"error": "unauthorized_client", "error_description": "Client is unauthorized"}, AuthError, "Domain-wide"),
        ({"error": "deleted_client"}, ConfigurationError, "new OAuth client"),
        ({"error": "invalid_client"}, ConfigurationError, "Download"),
        ({"error": "org_internal"}, AuthError, "External"),
        ({"error": "admin_policy_enforced"}, AuthError, "trust the app"),
        ({"error": "invalid_grant", "error_description": "Account has been deleted"}, AuthError, "restore"),
        ({"error": "invalid_grant", "error_description": "Invalid email or User ID"}, AuthError, "Correct the address"),
        ({"error": "something_new"}, AuthError, "Connect"),
    ],
)
def test_each_refused_login_has_its_class_and_its_advice(body: dict[str, str], kind: type, advice: str) -> None:
    error = error_from_refresh(False, (f"{body['error']}: {body.get('error_description')}", body))

    assert type(error) is kind
    assert advice in error.what_to_do


def test_a_login_page_of_a_proxy_is_no_refusal() -> None:
    assert type(error_from_refresh(False, ("<html>502 Bad Gateway</html>",))) is TransientError


@given(st.integers(400, 599), st.binary(max_size=200))
def test_an_answer_without_a_reason_never_asks_for_a_person_unless_it_is_401(status: int, body: bytes) -> None:
    error = error_from_answer(status, body, {}, call="getProfile")

    assert isinstance(error, AuthError) == (status == 401)


@pytest.mark.parametrize("reason", ["dailyLimitExceeded", "quotaExceeded"])
def test_a_daily_limit_waits_until_the_day_ends_in_california(reason: str) -> None:
    now = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
    body = json.dumps({"error": {"message": "Daily Limit Exceeded", "errors": [{"reason": reason}]}})

    error = error_from_answer(403, body, {}, call="messages.list", now=now)

    assert isinstance(error, ThrottledError)
    assert error.retry_after_seconds == 20 * 3600  # midnight in winter is 08:00 UTC


@given(st.integers(0, 366 * 24 * 60))
def test_the_day_ends_within_a_day_and_an_hour(minutes: int) -> None:
    seconds = seconds_until_days_end(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes))

    assert 0 < seconds <= timedelta(hours=25).total_seconds()


def test_a_minutes_limit_of_the_project_is_told_from_a_mailboxes() -> None:
    words = "Quota exceeded for quota metric 'Queries' and limit 'Queries per minute{}' of service 'gmail'."
    project = answered(403, "rateLimitExceeded", words.format(""))
    mailbox = answered(403, "rateLimitExceeded", words.format(" per user"))

    assert isinstance(project, ThrottledError)
    assert isinstance(mailbox, ThrottledError)
    assert (project.of_project, mailbox.of_project) == (True, False)
    assert project.retry_after_seconds is None
