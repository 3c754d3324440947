"""Plain HTTP to the local server, for tests that look at the wire itself."""

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

from cheerful_pipelines.local_google.admin import LocalGoogleAdmin


def access_token(google: LocalGoogleAdmin, credentials_json: str) -> str:
    """A fresh access token."""
    info = json.loads(credentials_json)
    form = {"grant_type": "refresh_token", "refresh_token": info["refresh_token"]}
    status, body = send("POST", info["token_uri"], content=urlencode(form).encode())
    assert status == 200
    return body["access_token"]


def send(
    method: str, url: str, *, token: str = "", content: bytes | None = None, content_type: str = "application/json"
) -> tuple[int, Any]:
    """(status, JSON or text)."""
    request = urllib.request.Request(url, data=content, method=method, headers={"Content-Type": content_type})
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, _read(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, _read(error.read())


def _read(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")
