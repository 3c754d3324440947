"""The real Google clients, pointed at the local server, as the pipeline points them."""

import json
from pathlib import Path
from typing import Any

import googleapiclient
import gspread
import requests
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build_from_document

from cheerful_pipelines.local_google.admin import LocalGoogleAdmin

DOCUMENTS = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"


def document(name: str) -> dict[str, Any]:
    """A discovery document as it ships, e.g. `gmail.v1`."""
    return json.loads((DOCUMENTS / f"{name}.json").read_text())


def credentials(text: str) -> Credentials:
    """google-auth's credentials. `from_authorized_user_info` would not do: it replaces the token_uri by Google's."""
    info = json.loads(text)
    return Credentials(
        token=None,
        refresh_token=info["refresh_token"],
        token_uri=info["token_uri"],
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )


def service(google: LocalGoogleAdmin, name: str, credentials_json: str) -> Any:
    """A google-api-python-client service whose calls, batches and uploads are all local."""
    found = document(name)
    found["rootUrl"] = f"{google.url}/"
    found["baseUrl"] = f"{google.url}/{found['servicePath']}"
    return build_from_document(found, credentials=credentials(credentials_json))


def gmail(google: LocalGoogleAdmin, address: str) -> Any:
    """Gmail of a mailbox."""
    return service(google, "gmail.v1", google.credentials_json(address))


def gspread_client(google: LocalGoogleAdmin) -> gspread.Client:
    """gspread with its host replaced."""

    class LocalHTTPClient(gspread.HTTPClient):
        def request(self, method: str, endpoint: str, *args: Any, **kwargs: Any) -> requests.Response:
            return super().request(
                method, endpoint.replace("https://sheets.googleapis.com", google.url), *args, **kwargs
            )

    return gspread.Client(auth=credentials(google.sheets_credentials_json()), http_client=LocalHTTPClient)
