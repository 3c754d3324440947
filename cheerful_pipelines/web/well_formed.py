"""Whether a request is one at all: its path, its GraphQL, a websocket's message. Pure.

Whatever comes from outside is read here first, so that Dagster, GraphQL and Postgres get values of the type that they
expect. They would answer the rest with 500 and a traceback: variables that are no object, a text with a NUL character
(no Postgres text can hold one), one half of a surrogate pair (no UTF-8 can hold it), lists within lists without end.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

from cheerful_pipelines.core.errors import PermanentError

MAX_PATH_BYTES = 4_096
MAX_QUERY_STRING_BYTES = 32_768
MAX_BODY_BYTES = 5_000_000
_MAX_DEPTH = 64
_MAX_VALUES = 500_000
"""Of one JSON or YAML value: YAML's aliases make many of few bytes."""
_MAX_ID_LENGTH = 200
_LOG_FILES = ("out", "err")
MESSAGE_TYPES = ("connection_init", "connection_terminate", "start", "stop")
"""What a client says in the protocol graphql-ws, as Dagster's UI speaks it."""


class MalformedError(PermanentError):
    """What was sent is not what it should be. `status` is the HTTP status; `operation_id` that of a message."""

    def __init__(self, message: str, *, status: int = 400, operation_id: str | None = None) -> None:
        super().__init__(message)
        self.status, self.operation_id = status, operation_id


class GraphQLRequest(NamedTuple):
    """What is to be executed."""

    query: str
    variables: dict[str, Any] | None
    operation_name: str | None


def check_target(path: bytes, query_string: bytes) -> None:
    """Raise MalformedError for a path or a query string that is too long, not UTF-8, or holds a NUL character.

    >>> check_target(b"/runs/caf%C3%A9", b"q=a+b")
    """
    if len(path) > MAX_PATH_BYTES or len(query_string) > MAX_QUERY_STRING_BYTES:
        raise MalformedError("The address is too long.", status=414)
    for part in (path, query_string):
        try:
            text = unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            raise MalformedError("The address is not text in UTF-8.") from None
        if "\0" in text:
            raise MalformedError("The address holds a NUL character.")


def check_log_path(path: str) -> None:
    """Raise MalformedError unless the path leads to the output of one step: names, then `out` or `err`.

    >>> check_log_path("RUN/compute_logs/work/err")
    """
    *names, kind = path.split("/")
    if kind not in _LOG_FILES or not names or any(name in ("", ".", "..") for name in names):
        raise MalformedError("There is no such log.", status=404)


def check_value(value: Any, what: str) -> None:
    """Raise MalformedError if a text in a JSON value cannot be stored, or if the value is too deep or too large."""
    pending, seen = [(value, 0)], 0
    while pending:
        one, depth = pending.pop()
        seen += 1
        if seen > _MAX_VALUES:
            raise MalformedError(f"{what} holds too many values.")
        if depth > _MAX_DEPTH:
            raise MalformedError(f"{what} is nested too deeply.")
        if isinstance(one, str):
            check_text(one, what)
        elif isinstance(one, list):
            pending += [(item, depth + 1) for item in one]
        elif isinstance(one, dict):
            pending += [(item, depth + 1) for pair in one.items() for item in pair]


def check_text(text: str, what: str) -> None:
    """Raise MalformedError if no UTF-8 or no Postgres can hold the text."""
    if "\0" in text:
        raise MalformedError(f"{what} holds a NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise MalformedError(f"{what} is not text in UTF-8.") from None


def read_json(content: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object. Raises MalformedError for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise MalformedError(f"{what} is not valid JSON.") from None
    if not isinstance(found, dict):
        raise MalformedError(f"{what} is not a JSON object.")
    check_value(found, what)
    return found


def check_run_config(value: Any) -> None:
    """Raise MalformedError unless the run config of a launch, read from YAML or JSON, is an object; or nothing."""
    if value and not (isinstance(value, dict) and all(isinstance(key, str) for key in value)):
        raise MalformedError("The run config is not an object in YAML or JSON.")
    check_value(value, "The run config")


def read_request(fields: Mapping[str, Any]) -> GraphQLRequest:
    """Of the fields of a body or of a query string; variables may be JSON in a text. Raises MalformedError."""
    query, variables, name = (fields.get(key) for key in ("query", "variables", "operationName"))
    if isinstance(variables, str):
        variables = read_json(variables, "The variables")
    return _request(query, variables, name)


def read_message(text: str | None) -> dict[str, Any]:
    """A message of a websocket, with the fields that its type needs. Raises MalformedError."""
    if text is None:
        raise MalformedError("The message is not text.")
    message = read_json(text, "The message")
    kind, operation_id = message.get("type"), message.get("id")
    if operation_id is not None and not (isinstance(operation_id, str) and 0 < len(operation_id) <= _MAX_ID_LENGTH):
        raise MalformedError(f"The id of a message is a text of 1 to {_MAX_ID_LENGTH} characters.")
    if kind not in MESSAGE_TYPES:
        raise MalformedError(f"A message is one of {', '.join(MESSAGE_TYPES)}.", operation_id=operation_id)
    if kind in ("start", "stop") and operation_id is None:
        raise MalformedError(f"A message of the type {kind} needs an id.")
    if kind == "start":
        payload = message.get("payload")
        if not isinstance(payload, dict):
            raise MalformedError("The payload is not an object.", operation_id=operation_id)
        try:
            _request(payload.get("query"), payload.get("variables"), payload.get("operation_name"))
        except MalformedError as error:
            raise MalformedError(str(error), operation_id=operation_id) from None
    return message


def _request(query: Any, variables: Any, operation_name: Any) -> GraphQLRequest:
    if query is None:
        raise MalformedError("The request names no query.")
    if not isinstance(query, str) or not isinstance(operation_name, str | None):
        raise MalformedError("Query and operation name are texts.")
    if not isinstance(variables, dict | None):
        raise MalformedError("The variables are an object.")
    check_text(query, "The query")
    check_text(operation_name or "", "The operation name")
    return GraphQLRequest(query, variables, operation_name)
