"""The signed-in gspread HTTP client behind SheetsClient: credentials, endpoints, one request and its errors.

Importing this file imports gspread and google-auth (a third of a second), so sheets_client.py does it with
the first call. Tries and waits stand there; what an answer means in sheets_errors.py.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import gspread
import requests
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2.credentials import Credentials as UserCredentials
from google.oauth2.service_account import Credentials as ServiceAccountCredentials

from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_errors import error_of_answer, login_error
from cheerful_pipelines.google.watched_requests import watched

SCOPES = (
    "https://www.googleapis.com/auth/spreadsheets",
    "https://www.googleapis.com/auth/drive.metadata.readonly",
)
TIMEOUT_SECONDS = (10.0, 60.0)
"""(to connect, between two reads); the whole call has a limit of its own in sheets_client.py."""
_GOOGLE_TOKEN_URI = "https://oauth2.googleapis.com/token"  # noqa: S105  an address, no secret


class SheetsSession(gspread.HTTPClient):
    """gspread's HTTP client with our endpoints, time limits and errors. `reader`: whom to share with."""

    def __init__(self, credentials: Any, *, endpoint_of: Callable[[str], str], reader: str) -> None:
        # The login has connections of its own, which are watched as well: a hanging login ends with its call.
        login = Request(watched(requests.Session()))
        super().__init__(credentials, session=watched(AuthorizedSession(credentials, auth_request=login)))  # type: ignore[no-untyped-call]
        self.reader = reader
        self._endpoint_of = endpoint_of

    def request(self, method: str, endpoint: str, *args: Any, **kwargs: Any) -> requests.Response:
        """One request; every failure leaves as one of our errors. The spreadsheet is named by its id."""
        spreadsheet_id = endpoint.partition("/spreadsheets/")[2] or endpoint.partition("/files/")[2]
        spreadsheet_id = unquote(spreadsheet_id.split("/")[0].split(":")[0])
        parameters = dict(zip(("params", "data", "json", "files", "headers"), args, strict=False)) | kwargs
        try:
            answer: requests.Response = self.session.request(
                method, self._endpoint_of(endpoint), timeout=TIMEOUT_SECONDS, **parameters
            )
        except requests.RequestException as error:  # reset, timeout, cut body, unreachable
            raise TransientError(
                f"The connection to Google failed ({type(error).__name__}) for spreadsheet {spreadsheet_id}."
            ) from None
        except GoogleAuthError as error:
            raise _login_error(error) from None
        parsed = _json_or_none(answer.content)
        if not answer.ok:
            raise error_of_answer(
                answer.status_code, parsed, answer.headers, spreadsheet_id=spreadsheet_id, reader=self.reader
            )
        if not isinstance(parsed, dict):
            raise TransientError(f"Google's answer for spreadsheet {spreadsheet_id} is no JSON object.")
        return answer

    def spreadsheet(self, spreadsheet_id: str, params: dict[str, Any]) -> dict[str, Any]:
        """What gspread calls the metadata: tabs and their sizes."""
        return dict(self.fetch_sheet_metadata(spreadsheet_id, params))


def open_session(settings: Settings) -> SheetsSession:
    """Sign in with the user's file (live) or the local server's own. Raises ConfigurationError."""
    info = _credentials_info(settings)
    token_uri = settings.google_endpoint("token") or info.get("token_uri") or _GOOGLE_TOKEN_URI
    if info.get("type") == "service_account":
        credentials = ServiceAccountCredentials.from_service_account_info(  # type: ignore[no-untyped-call]
            {**info, "token_uri": token_uri}, scopes=SCOPES
        )
        reader = f"the service account {info.get('client_email', '')}".strip()
    else:
        credentials = UserCredentials(  # type: ignore[no-untyped-call]
            token=None,
            refresh_token=info["refresh_token"],
            token_uri=token_uri,
            client_id=info["client_id"],
            client_secret=info["client_secret"],
        )
        reader = "the Google account whose login CHEERFUL_SHEETS_CREDENTIALS_FILE holds"
    endpoints = {
        "https://sheets.googleapis.com": settings.google_endpoint("sheets"),
        "https://www.googleapis.com": settings.google_endpoint("drive"),
    }

    def endpoint_of(url: str) -> str:
        for host, ours in endpoints.items():
            if ours and url.startswith(f"{host}/"):
                return ours + url.removeprefix(host)
        return url

    return SheetsSession(credentials, endpoint_of=endpoint_of, reader=reader)


def _credentials_info(settings: Settings) -> dict[str, Any]:
    text = _local_credentials(settings) if settings.mode == "local" else _credentials_file(settings)
    info = _json_or_none(text.encode())
    wanted = {"refresh_token", "client_id", "client_secret"}
    if not isinstance(info, dict) or not (info.get("type") == "service_account" or wanted <= info.keys()):
        raise ConfigurationError(
            "The Sheets credentials are neither authorized-user nor service-account JSON.",
            what_to_do="Set CHEERFUL_SHEETS_CREDENTIALS_FILE to the file that Google gave you.",
        )
    return info


def _local_credentials(settings: Settings) -> str:
    """Asked of the local server over HTTP, as any client of it would: nothing of the server is imported here."""
    session = watched(requests.Session())
    session.trust_env = False  # the environment's proxies are for the world outside
    try:
        answer = session.post(
            f"{settings.local_google_url.rstrip('/')}/local/credentials", json={}, timeout=TIMEOUT_SECONDS
        )
        answer.raise_for_status()
    except requests.RequestException as error:
        raise TransientError(
            f"The local Google server at {settings.local_google_url} gave no credentials ({type(error).__name__}).",
            what_to_do="Start it: ./infra/dev.sh start",
        ) from None
    return answer.text


def _credentials_file(settings: Settings) -> str:
    file = settings.sheets_credentials_file
    if file is None:
        raise ConfigurationError(
            "CHEERFUL_SHEETS_CREDENTIALS_FILE is not set, so no sheet can be read in live mode.",
            what_to_do="Set it to an authorized-user or service-account JSON file.",
        )
    try:
        return file.read_text()
    except OSError as error:
        raise ConfigurationError(
            f"The file of CHEERFUL_SHEETS_CREDENTIALS_FILE cannot be read ({type(error).__name__}).",
            what_to_do="Check its path and its permissions.",
        ) from None


def _login_error(error: GoogleAuthError) -> CheerfulError:
    """A refused refresh, by its reason; everything else of a login may pass. Its body is never repeated."""
    if isinstance(error, RefreshError) and not error.retryable:
        return login_error(error.args)
    return TransientError(f"The login at Google failed ({type(error).__name__}).")


def _json_or_none(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None
