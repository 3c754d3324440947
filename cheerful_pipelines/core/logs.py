"""Structured logging: one `get_logger`. Events carry ids, never addresses, subjects or bodies.

A line is one JSON object with what is known about the work: run_id, job, asset, partition, account, campaign, sensor.
It goes three ways, in every process and without a set-up call at its start:

    Dagster's event log   in runs: dagster.yaml names our loggers under `python_logs`
    a file                CHEERFUL_HOME/logs/pipeline.jsonl, with `context.log` and Dagster's own messages of runs
    stderr                warnings; a server's entry asks for more with `configure_logging`
"""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import structlog

from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.log_files import JsonLogFile
from cheerful_pipelines.core.log_lines import JsonLines, as_line, without_exception_text
from cheerful_pipelines.core.settings import load_settings

OUR_LOGGERS = "cheerful_pipelines"
"""Parent of every logger of ours; `managed_python_loggers` in dagster.yaml names it."""

_sources: dict[str, Callable[[], Mapping[str, str]]] = {}


class OurLogger(structlog.stdlib.BoundLogger):
    """A bound logger whose `exception` leaves the text of the exception out, also for Python's own handlers."""

    def exception(self, event: str | None = None, *args: Any, **kw: Any) -> Any:
        """An error with the class names and the places of the exception that is being handled."""
        return self._proxy_to_logger("error", event, *args, **{"exc_info": True, **kw})


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A bound logger; `logger.info("history_page_applied", account=alias, records=12)`."""
    if not structlog.is_configured():
        _configure_structlog()
    name = name if name.startswith(OUR_LOGGERS) else f"{OUR_LOGGERS}.{name}"  # of a module run by `python -m`
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))


@contextmanager
def log_fields(**ids: str | None) -> Iterator[None]:
    """Put these ids into every line of the block: `with log_fields(account=alias):`."""
    with structlog.contextvars.bound_contextvars(**{name: value for name, value in ids.items() if value is not None}):
        yield


def add_log_source(name: str, fields: Callable[[], Mapping[str, str]]) -> None:
    """Ask `fields()` for every line: what is known about the present work. A second one of a name replaces it."""
    _sources[name] = fields


def current_fields() -> dict[str, Any]:
    """What is known about the present work; what `log_fields` bound goes first."""
    found: dict[str, Any] = {}
    for fields in _sources.values():
        found |= fields()
    return found | structlog.contextvars.get_contextvars()


def configure_logging(*, level: int = logging.INFO) -> None:
    """At a server's entry: our lines from this level up to stderr, and warnings of libraries."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines(current_fields))
    handler.addFilter(_is_for_stderr)
    logging.basicConfig(level=level, handlers=[handler])


def _is_for_stderr(record: logging.LogRecord) -> bool:
    """Not what Dagster's own handlers print already, nor the small talk of libraries (alembic's plugins)."""
    if record.name.partition(".")[0].partition("-")[0] == "dagster":
        return False
    return record.name.startswith(OUR_LOGGERS) or record.levelno >= logging.WARNING


def log_folder() -> Path | None:
    """Where this installation keeps its logs; None without CHEERFUL_HOME or with settings that are wrong."""
    return _log_folder()


@lru_cache(maxsize=1)
def _log_folder() -> Path | None:
    try:
        settings = load_settings()
    except CheerfulError:
        return None  # whoever needs the settings says what is wrong
    return settings.home.resolve() / "logs" if "home" in settings.model_fields_set else None


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            _attach_handlers,
            structlog.stdlib.filter_by_level,
            _with_current_fields,
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            without_exception_text,
            _as_message,
        ],
        wrapper_class=OurLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _attach_handlers(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """With the first line of a process, whichever it is: code server, run, daemon, command line."""
    ours = logging.getLogger(OUR_LOGGERS)
    if not any(isinstance(handler, JsonLogFile) for handler in ours.handlers):
        if ours.level == logging.NOTSET:
            ours.setLevel(logging.INFO)
        file, stream = JsonLogFile(log_folder), _Stderr(logging.WARNING)
        for handler in (stream, file):
            handler.setFormatter(JsonLines(current_fields))
            ours.addHandler(handler)
    return event


def _with_current_fields(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name, value in current_fields().items():
        event.setdefault(name, value)
    return event


def _as_message(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> str:
    return as_line(event)


class _Stderr(logging.StreamHandler[Any]):
    """Where nobody else prints our lines."""

    def __init__(self, level: int) -> None:
        super().__init__(sys.stderr)
        self.setLevel(level)

    def filter(self, record: logging.LogRecord) -> bool:
        """In a run Dagster's console prints them, in a server of ours the root logger."""
        handlers = logging.getLogger(OUR_LOGGERS).handlers
        is_in_run = any(type(handler).__name__ == "DagsterLogHandler" for handler in handlers)
        return not (is_in_run or logging.getLogger().handlers) and bool(super().filter(record))
