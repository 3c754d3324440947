"""Plain aligned columns for the terminal, and text that cannot steer it."""

import io
from collections.abc import Sequence
from typing import Any, TextIO

from cheerful_pipelines.core.plain_text import one_line, printable


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """One line a row; None is a dash. A line break or a control character in a cell stays in its cell."""
    texts = [["-" if cell is None else one_line(cell) for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(headings), *texts]) for column in range(len(headings))]
    for line in [list(headings), *texts]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


class PrintableStream(io.TextIOBase):
    """A terminal's stream, through which no escape sequence from a cell, a header or a mail comes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it without control characters; returns how many characters were given."""
        self._stream.write(printable(text))
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's own."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """It is."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's own."""
        return self._stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """The stream's own."""
        return self._stream.errors

    @property
    def buffer(self) -> Any:
        """Bytes pass by: commands print text."""
        return self._stream.buffer
