"""Calls to Supabase Auth, each with a limit of wall-clock time and of size: a server that hangs or drips ends, too."""

import json
from typing import Any, NamedTuple

import requests
from urllib3.exceptions import HTTPError

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.google.deadlines import Limit, finish_within
from cheerful_pipelines.google.watched_requests import watched

MAX_SECONDS = 10.0
_READ_SECONDS = 3.0
_MAX_BYTES = 262_144


class Answer(NamedTuple):
    """A status, and the JSON object that came with it (empty if the body was none)."""

    status: int
    content: dict[str, Any]


def call(method: str, url: str, *, seconds: float = MAX_SECONDS, **more: Any) -> Answer:
    """Ask once; redirects are not followed. Raises TransientError if the whole answer is not there within `seconds`."""

    def ask() -> Answer:
        timeout = (min(_READ_SECONDS, seconds), min(_READ_SECONDS, seconds) if method == "GET" else seconds)
        with (
            watched(requests.Session()) as session,
            session.request(method, url, timeout=timeout, allow_redirects=False, stream=True, **more) as answer,
        ):
            return Answer(answer.status_code, _json_object(_read(answer)))

    try:
        return finish_within(Limit(seconds), ask, name="Supabase Auth")
    except (TransientError, requests.RequestException, HTTPError, OSError) as error:
        raise TransientError(
            f"Supabase Auth does not answer ({type(error).__name__}).", what_to_do="Try again in a minute."
        ) from None


def _read(answer: requests.Response) -> bytes:
    body = b""
    while chunk := answer.raw.read1(8_192, decode_content=True):  # what is there, not what was asked for
        body += chunk
        if len(body) > _MAX_BYTES:
            raise requests.RequestException("too long")
    return body


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
