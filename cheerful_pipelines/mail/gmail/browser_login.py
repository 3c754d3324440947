"""The browser flow: a person signs in to a mailbox and lets us read it. What comes back is authorized-user JSON.

Google's own library does the flow; here stand the scope that is asked for and what a refusal means.
"""

import json
from pathlib import Path

from cheerful_pipelines.core.errors import AuthError, ConfigurationError

SCOPES = ("https://www.googleapis.com/auth/gmail.readonly",)
ENOUGH = frozenset(
    {*SCOPES, "https://www.googleapis.com/auth/gmail.modify", "https://mail.google.com/"},
)
"""Any of these lets mail be read."""

_WAIT_SECONDS = 300


def authorize(
    client_secrets: Path, *, address: str, open_browser: bool = True, port: int = 0, token_uri: str | None = None
) -> str:
    """Send the person to Google and wait for them. Returns the credentials as JSON, to be sealed and stored.

    `token_uri`: where tokens are fetched, instead of the address that the client's file names.
    Raises AuthError where they refused or left out the scope, ConfigurationError for a file that is no client's.
    """
    from google_auth_oauthlib.flow import InstalledAppFlow, WSGITimeoutError
    from oauthlib.oauth2 import OAuth2Error

    try:
        flow = InstalledAppFlow.from_client_secrets_file(str(client_secrets), scopes=list(SCOPES))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{client_secrets.name} is no OAuth client file.",
            what_to_do="Download the JSON of a client of type Desktop from your Google Cloud project.",
        ) from error
    if token_uri:
        flow.client_config["token_uri"] = token_uri
    try:
        credentials = flow.run_local_server(
            port=port,
            open_browser=open_browser,
            timeout_seconds=_WAIT_SECONDS,
            login_hint=address,
            access_type="offline",
            prompt="consent",  # without it Google gives no refresh token the second time
        )
    except WSGITimeoutError:
        raise AuthError("Nobody signed in within five minutes.", what_to_do="Start again.") from None
    except Warning:  # what oauthlib raises where other scopes were granted than asked for
        raise missing_scope() from None
    except OAuth2Error as error:
        raise AuthError(f"Google did not let us in ({error.error}).", what_to_do="Start again and allow it.") from None
    require_scope(credentials.granted_scopes)
    found = json.loads(credentials.to_json())
    return json.dumps({**found, "type": "authorized_user", "token": None})


def require_scope(granted: object) -> None:
    """Raise AuthError where it is known what was granted, and that is not enough to read mail."""
    if isinstance(granted, list | tuple | set | frozenset) and granted and ENOUGH.isdisjoint(granted):
        raise missing_scope()


def missing_scope() -> AuthError:
    """Somebody left the box for the mailbox unticked."""
    return AuthError(
        "The login does not allow us to read mail (gmail.readonly was not granted).",
        what_to_do="Connect again, and tick the box for reading mail.",
    )
