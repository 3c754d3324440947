"""Structured logging: one set-up, one `get_logger`. Events carry ids, never addresses, subjects or bodies."""

import logging
from typing import cast

import structlog


def configure_logging(*, level: int = logging.INFO) -> None:
    """Send structlog through the standard library as JSON lines. Call once per process, at its entry."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=level, format="%(message)s")


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A bound logger; `logger.info("history_page_applied", account=alias, records=12)`."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
