"""Text as the rules and the model see it: one spelling for what looks alike, nothing that cannot be seen.

`normalise` keeps words and line breaks; `fold` drops case and accents without moving a character, so that a match
in folded text points at the same place in the normalised text; `quote_from` leads back to the writer's own words.
"""

import re
import unicodedata
from functools import lru_cache

from cheerful_pipelines.core.combining_marks import without_long_runs_of_marks

_LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u0060\u00b4\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    }
)
# Zero width, soft hyphen, bidirectional controls, byte order mark, tags: they hide or turn text round.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f\x00-\x08\x0e-\x1f]"
)
_LINE_BREAKS = re.compile("\r\n?|[\x0b\x0c\u0085\u2028\u2029]")
_BLANKS = re.compile(r"[^\S\n]+")
_PASSES = 4  # each pass can only bring out what the one before uncovered; text settles after two in practice


@lru_cache(maxsize=32)  # one reply is looked at from several sides
def normalise(text: str) -> str:
    """NFKC, straight quotes and dashes, nothing invisible, single blanks, `\\n` line ends. Idempotent and total."""
    if text.isascii():
        return _squeeze(text)
    text = without_long_runs_of_marks(text)
    for _ in range(_PASSES):
        before = text
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text).translate(_LOOKALIKES))
        text = _squeeze(text)
        if text == before:
            break
    return text


def _squeeze(text: str) -> str:
    text = _LINE_BREAKS.sub("\n", _INVISIBLE.sub("", text))
    return "\n".join(_BLANKS.sub(" ", line).strip() for line in text.split("\n")).strip()


def _fold_table() -> dict[int, str]:
    """One letter to one letter: lower case without its accent. Letters whose folding has another length stay."""
    table = {}
    for code in range(0x2000):
        base = unicodedata.normalize("NFD", chr(code))[0].lower()
        if len(base) == 1 and base != chr(code):
            table[code] = base
    return table


_FOLD = _fold_table()


def fold(normalised: str) -> str:
    """Lower case, no accents, same length: position n stays position n."""
    return normalised.translate(_FOLD)


def quote_from(original: str, normalised_quote: str) -> str | None:
    """The writer's own words for a piece of normalised text: that piece, or the line that holds it, or None."""
    if not normalised_quote:
        return None
    if normalised_quote in original:
        return normalised_quote
    for line in original.splitlines():
        if normalised_quote in normalise(line):
            return line.strip() or None
    first = normalised_quote.split("\n", 1)[0].strip()
    if first and first != normalised_quote:
        return quote_from(original, first)
    return None
