"""The signed-in HTTP connection below GmailClient, and what the libraries' exceptions mean for us.

Importing this file imports Google's libraries (a third of a second), so gmail_client.py does it with the first call.
"""

import http.client
import json
from typing import Any, NamedTuple

import google_auth_httplib2
import httplib2
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2 import service_account
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document
from googleapiclient.discovery_cache import get_static_doc
from googleapiclient.errors import HttpError

from cheerful_pipelines.core.errors import CheerfulError, TransientError
from cheerful_pipelines.google.deadlines import WatchedConnection
from cheerful_pipelines.google.gmail_errors import error_from_answer, error_from_refresh
from cheerful_pipelines.mail.gmail.browser_login import SCOPES
from cheerful_pipelines.mail.gmail.credentials import credentials_info, damaged

_PASSING = (
    OSError,
    http.client.HTTPException,
    httplib2.HttpLib2Error,
    TransportError,
    ValueError,
    KeyError,
)


class Transport(NamedTuple):
    """One thread's way to Gmail: the users resource and its messages, and the signed-in HTTP connection below."""

    users: Any
    messages: Any
    http: Any


class _Plain(WatchedConnection, httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
    """http, for the local server and proxies."""


class _Encrypted(WatchedConnection, httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
    """https."""


class WatchedHttp(httplib2.Http):  # type: ignore[misc]
    """httplib2 whose connections can be ended at a deadline (google/deadlines.py), token refreshes included."""

    def request(self, uri: str, *args: Any, **kwargs: Any) -> Any:
        """As httplib2's own."""
        kwargs["connection_type"] = _Encrypted if uri.startswith("https:") else _Plain
        return super().request(uri, *args, **kwargs)


def connect(
    credentials_json: str, address: str, *, endpoint: str | None, token_uri: str | None, idle_seconds: float
) -> Transport:
    """The Gmail v1 service from the packaged discovery document, calls and batches to `endpoint`.

    `token_uri`: where tokens are fetched, instead of the address that the credentials name.
    `idle_seconds`: the time-out of a single read, connect or TLS handshake.
    """
    document = json.loads(get_static_doc("gmail", "v1"))
    if endpoint is not None:
        document["rootUrl"] = document["baseUrl"] = f"{endpoint}/"
    transport = google_auth_httplib2.AuthorizedHttp(
        _credentials(credentials_json, address, token_uri), http=WatchedHttp(timeout=idle_seconds)
    )
    users = build_from_document(document, http=transport).users()
    # messages() builds a class anew at each call, which costs more than the call: it is kept.
    return Transport(users, users.messages(), transport)


def _credentials(credentials_json: str, address: str, token_uri: str | None) -> Any:
    """Raises AuthError for credentials that no login can be made of."""
    info = credentials_info(credentials_json)
    info["token_uri"] = token_uri or info.get("token_uri") or "https://oauth2.googleapis.com/token"
    if info.get("type") == "service_account":
        try:
            return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
                info, scopes=list(SCOPES), subject=address
            )  # fmt: skip
        except ValueError:  # google-auth's MalformedError is one, and so is a key that is none
            raise damaged("its private key cannot be read") from None
    # Named one by one: from_authorized_user_info ignores the file's own token_uri.
    return Credentials(  # type: ignore[no-untyped-call]
        token=None,
        refresh_token=info["refresh_token"],
        token_uri=info["token_uri"],
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )


def translated(error: Exception, operation: str) -> CheerfulError:
    """Our error for whatever the libraries raised; what none of them raises is raised again as it is."""
    if isinstance(error, CheerfulError):
        return error
    if isinstance(error, HttpError):
        headers = {str(name): str(value) for name, value in error.resp.items()}
        return error_from_answer(int(error.resp.status), error.content, headers, call=operation)
    if isinstance(error, RefreshError):
        return error_from_refresh(bool(error.retryable), error.args)
    if isinstance(error, _PASSING):
        return TransientError(f"The connection to Gmail broke during {operation} ({type(error).__name__}).")
    raise error
