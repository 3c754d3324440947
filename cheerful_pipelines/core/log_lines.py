"""From what is logged to one line of JSON. Reads nothing but the clock.

Lines carry ids. As a second wall, whatever looks like an address is taken out of every value, long texts are cut, and
of an exception only the class and the places in the code are kept: its own text may quote a mail or a query.
"""

import json
import logging
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from cheerful_pipelines.core.redaction import without_addresses

LONGEST_TEXT = 2_000
MOST_FRAMES = 12

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


def redacted(value: Any) -> Any:
    """The same value without anything that looks like an address; long texts are cut."""
    if isinstance(value, str):
        return without_addresses(value[:LONGEST_TEXT]) if "@" in value[:LONGEST_TEXT] else value[:LONGEST_TEXT]
    if isinstance(value, Mapping):
        return {redacted(str(key)): redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redacted(item) for item in value]
    return value if isinstance(value, int | float | bool | None) else redacted(str(value))


def as_line(fields: Mapping[str, Any]) -> str:
    """One line of JSON, redacted."""
    return json.dumps(redacted(fields), ensure_ascii=False)


def exception_fields(info: ExcInfo | BaseException | bool | None) -> dict[str, Any]:
    """`exception` (class names, outermost first) and `frames`, without any text of the exception."""
    if info is True:
        import sys

        info = sys.exc_info()
    error = info[1] if isinstance(info, tuple) else info
    if not isinstance(error, BaseException):
        return {}
    names, cause, seen = [], error, set[int]()
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        names.append(type(cause).__name__)
        cause = cause.__cause__ or cause.__context__  # type: ignore[assignment]
    frames = traceback.extract_tb(error.__traceback__)[-MOST_FRAMES:]
    return {
        "exception": " < ".join(names),
        "frames": [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames],
    }


def without_exception_text(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """structlog processor: `exc_info` becomes class names and places."""
    if (info := event.pop("exc_info", None)) is not None:
        event.update(exception_fields(info))
    return event


class JsonLines(logging.Formatter):
    """Formats any record of Python's logging: ours, which are JSON already, Dagster's and those of libraries.

    `current_fields` gives what is known about the present work (run id, asset, partition, account).
    """

    def __init__(self, current_fields: Callable[[], Mapping[str, Any]] | None = None) -> None:
        super().__init__()
        if current_fields is None:
            from cheerful_pipelines.core.logs import current_fields as known  # late: that module uses this one

            current_fields = known
        self._current_fields = current_fields

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
        text = str(meta.get("orig_message") or record.getMessage())  # without Dagster's "job - run - step - "
        fields = {
            "event": text,
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            **_run_of(meta),
            **self._current_fields(),
            **exception_fields(record.exc_info),
            **_own_fields(text),
            "process": record.process,
        }
        return as_line(fields)


def _own_fields(text: str) -> Mapping[str, Any]:
    """The fields of a line that our own loggers made; else nothing."""
    if not text.startswith('{"'):
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _run_of(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What Dagster adds to each message of a run."""
    tags = meta.get("job_tags") or {}
    found = {
        "run_id": meta.get("run_id"),
        "job": meta.get("job_name"),
        "step": meta.get("step_key"),
        "partition": tags.get("dagster/partition"),
    }
    return {name: value for name, value in found.items() if value}
