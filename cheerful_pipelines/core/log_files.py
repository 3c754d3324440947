"""The log file of an installation, CHEERFUL_HOME/logs/pipeline.jsonl: one line of JSON per message, of every process.

Each line is appended by one write of its own: processes share the file without a lock, and one that was renamed or
deleted is created again. At 20 MB the file is put aside; the newest five are kept.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

NAME = "pipeline"
LARGEST_BYTES = 20_000_000
KEPT_FILES = 5

_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT
_WRITTEN = "cheerful_is_in_the_file"


class JsonLogFile(logging.Handler):
    """Appends each record once, whichever loggers hand it on: ours and Dagster's, in a run both do."""

    def __init__(
        self,
        folder: Callable[[], Path | None] | None = None,
        *,
        largest_bytes: int = LARGEST_BYTES,
        level: int | str = logging.INFO,
    ) -> None:
        super().__init__(level)
        if folder is None:  # made by Dagster, from dagster.yaml
            from cheerful_pipelines.core.logs import log_folder  # late: that module uses this one

            folder = log_folder
        self._folder, self._largest_bytes = folder, largest_bytes

    def filter(self, record: logging.LogRecord) -> bool:
        """Not what is in the file already."""
        return not getattr(record, _WRITTEN, False) and bool(super().filter(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Append it. A disk that is full or away costs the line, never the work."""
        folder = self._folder()
        if folder is None:
            return
        setattr(record, _WRITTEN, True)
        try:
            self._append(folder, (self.format(record) + "\n").encode("utf-8", "replace"))
        except OSError:
            return  # the same line goes to Dagster's event log or to stderr
        except Exception:
            self.handleError(record)

    def _append(self, folder: Path, line: bytes) -> None:
        path = folder / f"{NAME}.jsonl"
        try:
            file = os.open(path, _APPEND, 0o600)
        except FileNotFoundError:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(path, _APPEND, 0o600)
        try:
            os.write(file, line)
            size = os.fstat(file).st_size
        finally:
            os.close(file)
        if size > self._largest_bytes:
            self._put_aside(path)

    @staticmethod
    def _put_aside(path: Path) -> None:
        """Two processes that see the limit at once put aside a full and a nearly empty file: nothing is lost."""
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f"{NAME}-{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{os.getpid()}.jsonl"))
        for old in sorted(path.parent.glob(f"{NAME}-*.jsonl"))[:-KEPT_FILES]:
            old.unlink(missing_ok=True)
