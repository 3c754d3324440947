"""From an exception to its class of failure, and from a class to what Dagster does: the one place for both.

When failed work is tried again is another question, answered by `orchestration/retries.py`. An op's RetryPolicy
repeats a step within its run; sensors request another run; Dagster's run retries (dagster.yaml) repeat crashed workers
only, whatever the class.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    StaleStateError,
    ThrottledError,
    TransientError,
    UnclearAnswerError,
)
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.orchestration.retries import FAILURE_CLASSES, FailureClass
from cheerful_pipelines.storage.passing_errors import as_passing_error

API_RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that call Google or a model."""

DATABASE_RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that only read and write Postgres."""

LONGEST_WAIT_IN_A_RUN_SECONDS = 60.0
"""A longer Retry-After ends the run instead of holding a worker; the account's `not_before` takes over."""

logger = get_logger(__name__)


def _operating_system_errors(of: type[OSError]) -> Iterator[str]:
    """The names of OSError and of what Python derives from it, such as FileExistsError and ConnectionResetError."""
    yield of.__name__
    for derived in of.__subclasses__():
        if derived.__module__ == "builtins":
            yield from _operating_system_errors(derived)


_INTERRUPTS = (KeyboardInterrupt, SystemExit, DagsterExecutionInterruptedError)
_CLASS_OF_NAME: Mapping[str, FailureClass] = {
    **dict.fromkeys(("DagsterExecutionInterruptedError", "KeyboardInterrupt", "SystemExit"), "interrupted"),
    **dict.fromkeys(("TransientError", "SlowCallError", "StaleStateError"), "transient"),
    **dict.fromkeys(("OperationalError", "InterfaceError"), "transient"),
    **dict.fromkeys(_operating_system_errors(OSError), "transient"),
    **dict.fromkeys(("DagsterUserCodeUnreachableError", "DagsterLaunchFailedError", "_InactiveRpcError"), "crashed"),
    "ThrottledError": "throttled",
    "UnclearAnswerError": "unclear",
    "AuthError": "auth",
    **dict.fromkeys(("ConfigurationError", "PermanentError", "NotFoundError", "SheetContentError"), "permanent"),
}  # fmt: skip
"""For failures of which Dagster kept the name only: those outside a body that `dagster_failures` wraps."""


class RunFailure(NamedTuple):
    """What Dagster's record says of a run that failed."""

    failure_class: FailureClass
    error: str
    """Class name of the error; empty for a crash."""
    summary: str
    what_to_do: str
    failed_units: Mapping[str, FailureClass] | None
    """In a run over many units: those that failed. None: every unit that the run was for."""


def failure_class_of(error: BaseException) -> FailureClass:
    """The class of any exception, ours or not."""
    if isinstance(error, _INTERRUPTS):
        return "interrupted"
    if isinstance(error, ThrottledError):
        return "throttled"
    if isinstance(error, UnclearAnswerError):
        return "unclear"
    if isinstance(error, TransientError | StaleStateError):  # a newer state exists: it is read again
        return "transient"
    if isinstance(error, AuthError):
        return "auth"
    if isinstance(error, CheerfulError):
        return "permanent"
    return "unknown" if as_passing_error(error) is None else "transient"


@contextmanager
def dagster_failures() -> Iterator[None]:
    """Wrap the body of an asset or op: every exception leaves as the Failure that its class asks for.

    A bug stays as it is, so that Dagster shows where it happened; so does an interrupt. The run's log gets a line of
    ours either way, which names the work (logs.py).
    """
    began = time.monotonic()
    try:
        yield
        logger.info("work_done", seconds=round(time.monotonic() - began, 2))
    except (dg.Failure, dg.RetryRequested):
        raise
    except ThrottledError as error:
        logger.warning("work_failed", failure_class="throttled", error=type(error).__name__)
        wait = error.retry_after_seconds
        if wait is not None and wait <= LONGEST_WAIT_IN_A_RUN_SECONDS:
            raise dg.RetryRequested(max_retries=3, seconds_to_wait=wait) from error
        raise as_failure(error, allow_retries=wait is None) from error
    except Exception as error:
        kind = failure_class_of(error)
        logger.warning("work_failed", failure_class=kind, error=type(error).__name__)
        if kind == "unknown":
            raise
        raise as_failure(error, allow_retries=kind == "transient") from error


def as_failure(
    error: BaseException, *, allow_retries: bool, failed_units: Mapping[str, FailureClass] | None = None
) -> dg.Failure:
    """Dagster's failure for an exception, which carries its class, what to do and, for many units, which failed."""
    text, what_to_do = told(error)
    metadata = {"failure_class": failure_class_of(error), "error": type(error).__name__, "what_to_do": what_to_do}
    if failed_units is not None:
        metadata["failed_units"] = json.dumps(dict(failed_units))
    return dg.Failure(text, metadata=metadata, allow_retries=allow_retries)


def told(error: BaseException) -> tuple[str, str]:
    """(what happened, what to do) in words that carry ids only: nothing of the text of an error that is not ours."""
    words = error if isinstance(error, CheerfulError) else as_passing_error(error)
    if words is None:
        return f"{type(error).__name__}; the log of the run says where.", "See the message."
    return str(words), words.what_to_do or "See the message."


def run_failure(instance: dg.DagsterInstance, run: dg.DagsterRun) -> RunFailure:
    """Why a run failed or was canceled, from Dagster's record of it.

    Without a failed step and without an error its worker crashed, or never came. A canceled run was interrupted.
    """
    found = RunFailure("crashed", "", "The worker was lost, or never came.", "See the log of the run.", None)
    if run.status == dg.DagsterRunStatus.CANCELED:
        return RunFailure("interrupted", "", "The run was canceled.", "It is repeated by itself.", None)
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is None:
            continue
        data = event.step_failure_data
        told = data.user_failure_data
        kind = _told(told.metadata, "failure_class") if told is not None else None
        if told is not None and kind in FAILURE_CLASSES:
            return RunFailure(
                kind, _told(told.metadata, "error") or "", told.description or "",
                _told(told.metadata, "what_to_do") or "", _units(_told(told.metadata, "failed_units")),
            )  # fmt: skip
        found = _named(data.error)
    if found.failure_class != "crashed":
        return found
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        event = entry.dagster_event
        of_run = event.event_specific_data if event is not None else None
        if (error := getattr(of_run, "error", None)) is not None:
            return _named(error)
    return found


def _named(error: object) -> RunFailure:
    """By the names of the error and of what caused it: the innermost name that is known counts."""
    kind: FailureClass = "unknown"
    name = getattr(error, "cls_name", None) or "Exception"
    cause = error
    while cause is not None:
        kind = _CLASS_OF_NAME.get(getattr(cause, "cls_name", None) or "", kind)
        cause = getattr(cause, "cause", None) or getattr(cause, "context", None)
    return RunFailure(kind, name, f"{name}; the log of the run says where.", "See the log of the run.", None)


def _told(metadata: Mapping[str, dg.MetadataValue], name: str) -> "FailureClass | None":
    found = metadata.get(name)
    return found.value if found is not None else None  # type: ignore[return-value]  # text; checked by the caller


def _units(text: str | None) -> Mapping[str, FailureClass] | None:
    if text is None:
        return None
    return {str(unit): kind for unit, kind in json.loads(text).items() if kind in FAILURE_CLASSES}
