"""The entry of every command: which exceptions become a sentence, and where the rest goes. No traceback by itself.

Expected ones (the database, a file, Google, JSON, a value that a model refuses) become CheerfulErrors, which say what
to do. Anything else is a mistake of ours: one line that says how to report it, and the traceback with `--debug` or
in a file only, since it may hold addresses.
"""

import contextlib
import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
from pydantic import ValidationError
from typer.core import TyperGroup

from cheerful_pipelines.cli.tables import PrintableStream
from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError, PermanentError, TransientError
from cheerful_pipelines.core.plain_text import one_line
from cheerful_pipelines.storage.database_errors import database_error

EXIT_FAILED = 1
EXIT_BUG = 70
"""EX_SOFTWARE of sysexits.h: not the user's mistake."""


class CheerfulGroup(TyperGroup):
    """The root of all commands: output that cannot steer a terminal, expected exceptions as CheerfulErrors."""

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command. Raises CheerfulError for everything that is expected to happen."""
        with _printable_output(), expected_errors():
            return super().invoke(ctx)


@contextlib.contextmanager
def _printable_output() -> Iterator[None]:
    out, err = PrintableStream(sys.stdout), PrintableStream(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


@contextlib.contextmanager
def expected_errors() -> Iterator[None]:
    """Turn what the world does into CheerfulErrors. Programming errors, Ctrl-C and click's own pass through."""
    try:
        yield
    except (CheerfulError, BrokenPipeError):
        raise
    except Exception as error:
        ours = as_cheerful_error(error)
        if ours is None:
            raise
        raise ours from error


def as_cheerful_error(error: Exception) -> CheerfulError | None:
    """The sentence for an expected exception; None for one that nobody expects. Never repeats data of the exception."""
    found = database_error(error)
    if found is not None:
        return found
    if isinstance(error, UnicodeError):
        return PermanentError("What was given is not text in UTF-8.", what_to_do="Save the file in UTF-8.")
    if isinstance(error, OverflowError):
        return PermanentError("A number or a date is too large or too small.", what_to_do="Check what was given.")
    if isinstance(error, json.JSONDecodeError):
        return PermanentError("The file or the answer is not JSON.", what_to_do="Check what was given or configured.")
    if isinstance(error, ValidationError):
        fields = ", ".join(sorted({".".join(map(str, item["loc"])) for item in error.errors()}))
        return ConfigurationError(f"These values are not valid: {fields or error.title}.", what_to_do="Correct them.")
    if isinstance(error, ConnectionError | TimeoutError):
        return TransientError(f"A connection failed ({type(error).__name__}).", what_to_do="Try again in a moment.")
    if isinstance(error, OSError):
        return _file_error(error)
    return _service_error(error)


def _file_error(error: OSError) -> CheerfulError:
    what = one_line(error.strerror or type(error).__name__)
    name = f" {Path(str(error.filename)).name!r}" if error.filename else ""
    return PermanentError(f"The file or folder{name} cannot be used: {what}.", what_to_do="Check its path and rights.")


def _service_error(error: Exception) -> CheerfulError | None:
    """By the names of the libraries: importing them takes a second, and here is no client."""
    module, name = type(error).__module__.partition(".")[0], type(error).__name__
    if module == "dagster" and (name == "DagsterHomeNotSetError" or "DAGSTER_HOME" in str(error)):
        return ConfigurationError(
            "DAGSTER_HOME is not set, or is not the folder of a Dagster instance.",
            what_to_do='Run eval "$(./infra/dev.sh env)" first, or set DAGSTER_HOME as the daemon has it.',
        )
    if module == "obstore":
        return TransientError(
            f"The store of raw mail did not do it ({type(error).__name__}).",
            what_to_do="Check CHEERFUL_BLOB_URL and its credentials (AWS_*), then try again.",
        )
    if module in ("google", "googleapiclient", "httplib2", "gspread", "requests", "urllib3", "oauthlib"):
        return TransientError(
            f"A call to Google failed ({type(error).__name__}).",
            what_to_do="Try again in a moment; cheerful doctor tells which login or endpoint does not answer.",
        )
    return None


def run(app: Any, arguments: list[str]) -> int:
    """Run the tool as a process does. Returns its exit code; prints one sentence where something failed.

    Wrong usage, --help and Ctrl-C are click's own business: it prints them and exits.
    """
    debug, err = "--debug" in arguments, PrintableStream(sys.stderr)
    try:
        app(args=[one for one in arguments if one != "--debug"], prog_name="cheerful")
    except CheerfulError as error:
        print(f"cheerful: {error}", file=err)
        if debug:
            traceback.print_exc(file=err)
        return EXIT_FAILED
    except Exception as error:
        return _unexpected(error, err, debug=debug)
    return 0


def _unexpected(error: Exception, err: PrintableStream, *, debug: bool) -> int:
    print(
        f"cheerful: an error that nobody expected ({type(error).__name__}). Please report it, with the command and "
        f"{_kept(error)}; --debug prints it here.",
        file=err,
    )
    if debug:
        traceback.print_exc(file=err)
    return EXIT_BUG


def _kept(error: Exception) -> str:
    """Keep the traceback in a file of the user's own; it may hold addresses, so only its path is printed."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"cheerful-{datetime.now(UTC):%Y%m%dT%H%M%S}-", suffix=".log", delete=False, encoding="utf-8",
            errors="backslashreplace",
        ) as file:  # fmt: skip
            traceback.print_exception(error, file=file)
            return f"the file {file.name}"
    except OSError:
        return "what --debug prints"
