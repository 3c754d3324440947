"""POST /token on the wire: the refresh-token grant, the code of a browser login, the JWT grant of service accounts.

GET /o/oauth2/auth is the login page: it asks nobody, and lets in whomever `login_hint` names.

A JWT's signature is not checked: this server knows no keys, and it is no lock. Its expiry and its subject are.
"""

import base64
import json
import time
from typing import Any
from urllib.parse import urlencode

from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Route, parse_query
from cheerful_pipelines.local_google.mailboxes import Mailboxes
from cheerful_pipelines.local_google.tokens import LIFETIME_SECONDS, SHEETS_SUBJECT, Tokens

CLIENT_ID = "local-google.apps.example"
CLIENT_SECRET = "local"  # noqa: S105  (no secret: the server is on this machine)
_ALL_SCOPES = "https://www.googleapis.com/auth/gmail.readonly"
_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_JWT_OF_ANOTHER_TIME = (
    "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. "
    "Check your iat and exp values in the JWT claim."
)
_CLOCK_SKEW_SECONDS = 300


class TokenApi:
    """The token endpoint."""

    def __init__(self, tokens: Tokens, mailboxes: Mailboxes) -> None:
        self._tokens = tokens
        self._mailboxes = mailboxes

    def routes(self) -> list[Route]:
        """The login page and the token endpoint."""
        return [
            Route("token", "GET", "/o/oauth2/auth", "oauth2.auth", self.login),
            Route("token", "POST", "/token", "oauth2.token", self.token),
        ]

    def login(self, call: Call) -> Answer:
        """Back to the program that asked, with a code or a refusal."""
        subject, back = call.first("login_hint").lower(), call.first("redirect_uri")
        if not back.startswith(("http://localhost:", "http://127.0.0.1:")):
            raise GoogleError(400, "redirect_uri is not on this machine.")
        state = {"state": call.first("state")}
        if not self._mailboxes.exists(subject):
            return Answer(302, None, (("Location", f"{back}?{urlencode({**state, 'error': 'access_denied'})}"),))
        code = base64.urlsafe_b64encode(subject.encode()).decode()
        found = {**state, "code": code, "scope": self._tokens.scopes_of(subject, call.first("scope"))}
        return Answer(302, None, (("Location", f"{back}?{urlencode(found)}"),))

    def token(self, call: Call) -> Answer:
        form = {name: values[0] for name, values in parse_query(call.content.decode("utf-8", "replace")).items()}
        grant = form.get("grant_type", "")
        if grant == "refresh_token":
            subject = self._tokens.subject_of_refresh_token(form.get("refresh_token", ""))
            if subject is None:
                return _refused("invalid_grant", "Token has been expired or revoked.")
            return self._granted(subject)
        if grant == "authorization_code":
            try:
                subject = base64.urlsafe_b64decode(form.get("code", "")).decode()
            except ValueError:
                return _refused("invalid_grant", "Malformed auth code.")
            return self._granted(subject, refresh_token=self._tokens.refresh_token_for(subject))
        if grant == _JWT_GRANT:
            return self._from_jwt(form.get("assertion", ""))
        return _refused("unsupported_grant_type", f"Invalid grant_type: {grant}")

    def _from_jwt(self, assertion: str) -> Answer:
        claims = _claims(assertion)
        if claims is None or not _is_of_this_hour(claims):
            return _refused("invalid_grant", _JWT_OF_ANOTHER_TIME)
        subject = str(claims.get("sub") or SHEETS_SUBJECT).lower()
        if claims.get("sub") and subject == str(claims.get("iss", "")).lower():
            subject = SHEETS_SUBJECT
        if subject != SHEETS_SUBJECT and not self._mailboxes.exists(subject):
            return _refused("invalid_grant", "Invalid email or User ID")
        if self._tokens.subject_of_refresh_token(self._tokens.refresh_token_for(subject)) is None:
            return _refused("invalid_grant", "Token has been expired or revoked.")
        return self._granted(subject)

    def _granted(self, subject: str, **more: str) -> Answer:
        body = {
            "access_token": self._tokens.new_access_token(subject), "expires_in": LIFETIME_SECONDS,
            "token_type": "Bearer", "scope": self._tokens.scopes_of(subject, _ALL_SCOPES),
            **more,
        }  # fmt: skip
        return Answer(body=body)


def _refused(error: str, description: str) -> Answer:
    return Answer(400, {"error": error, "error_description": description})


def _is_of_this_hour(claims: dict[str, Any]) -> bool:
    issued, expires = claims.get("iat"), claims.get("exp")
    if not isinstance(issued, int | float) or not isinstance(expires, int | float):
        return False
    now = time.time()
    return issued <= now + _CLOCK_SKEW_SECONDS and expires > now and expires - issued <= 3600 + _CLOCK_SKEW_SECONDS


def _claims(assertion: str) -> dict[str, Any] | None:
    pieces = assertion.split(".")
    try:
        found = json.loads(base64.urlsafe_b64decode(pieces[1] + "=" * (-len(pieces[1]) % 4)))
    except (IndexError, ValueError):
        return None
    return found if isinstance(found, dict) else None
