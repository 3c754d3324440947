"""Long runs of combining marks, for which Unicode normalisation takes quadratic time. Pure; linear."""

import re
import unicodedata

MAX_MARKS = 30
"""Marks on one letter; the limit of Unicode's own Stream-Safe Text Format (UAX 15)."""
_RUN = re.compile(r"[^\w\s\x00-\x7f]{31,}")  # marks are no letters; punctuation and emoji are told apart below


def without_long_runs_of_marks(text: str) -> str:
    """The text with at most MAX_MARKS combining marks in a row; to be called before `unicodedata.normalize`."""
    return text if text.isascii() else _RUN.sub(lambda found: _shortened(found[0]), text)


def _shortened(run: str) -> str:
    kept: list[str] = []
    marks = 0
    for char in run:
        marks = marks + 1 if unicodedata.combining(char) else 0
        if marks <= MAX_MARKS:
            kept.append(char)
    return "".join(kept)
