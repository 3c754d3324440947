"""Markdown from data: the one place where tables and texts for Dagster's metadata are built. Pure.

Everything that is not already `Markdown` is escaped, so a cell `![](http://...)` is shown and never loaded. Functions
that return Markdown say so in their type; `markdown_metadata` (table_metadata.py) takes nothing else.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Literal

from cheerful_pipelines.core.plain_text import one_line

Align = Literal["left", "right"]


class Markdown(str):
    """Text whose data is escaped already: it may be rendered."""

    __slots__ = ()


# Only where Markdown would take it for a sign: `#REF!` within a cell stays readable. Within a word GFM takes an
# underscore literally; everywhere else it may be emphasis.
_SPECIAL = re.compile(r"[\\`*\[\]|~]|!(?=\[)|^#|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|(?<=\])\(")
_ANGLES = {"<": "&lt;", ">": "&gt;"}  # entities, since a renderer that allows HTML does not heed a backslash


def escaped(value: object) -> Markdown:
    """The value as literal text on one line; Markdown passes through unchanged, but on one line.

    >>> escaped("![x](http://a.example) | b")
    '\\\\!\\\\[x\\\\]\\\\(http://a.example) \\\\| b'
    """
    text = one_line(value)
    if isinstance(value, Markdown):
        return Markdown(text)
    text = _SPECIAL.sub(lambda found: "\\" + found.group(), text)
    return Markdown(re.sub(r"[<>]", lambda found: _ANGLES[found.group()], text))


def table(
    headers: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    right: Iterable[int] = (),
    most: int | None = None,
    more: str = "and {count} more.",
) -> Markdown:
    """A pipe table; None is an empty cell, `right` numbers the columns (from 0) that are aligned to the right.

    After `most` rows a sentence says how many there are besides: `more` with `{count}`.
    """
    found = list(rows)
    flush = frozenset(right)
    lines = [_line(headers), "|" + "".join("---:|" if n in flush else "---|" for n in range(len(headers)))]
    lines += [_line(row) for row in islice(found, most)]
    if most is not None and len(found) > most:
        lines.append("\n" + more.format(count=len(found) - most))
    return Markdown("\n".join(lines))


def bullets(items: Iterable[object]) -> Markdown:
    """A list, an item a line."""
    return Markdown("\n".join(f"- {escaped(item)}" for item in items))


def paragraphs(*parts: object) -> Markdown:
    """Texts one below the other, each escaped unless it is Markdown already."""
    return Markdown("\n\n".join(part if isinstance(part, Markdown) else escaped(part) for part in parts))


def code(text: object) -> Markdown:
    """Inline code, such as a command to copy.

    >>> code("cheerful status")
    '`cheerful status`'
    """
    plain = one_line(text).replace("`", "'")
    return Markdown(f"`{plain}`")


def link(text: object, url: str) -> Markdown:
    """A link to an address of ours or Google's. Raises ValueError for anything but http and https."""
    if re.fullmatch(r"https?://[^\s<>()\[\]\\`|]+", url) is None:
        raise ValueError("not an address that can be linked")
    return Markdown(f"[{escaped(text)}]({url})")


def image(words: object, content_base64: str) -> Markdown:
    """A picture that is part of the page: nothing is loaded. `content_base64` is a PNG."""
    return Markdown(f"![{escaped(words)}](data:image/png;base64,{content_base64})")


def _line(cells: Sequence[object]) -> str:
    return "| " + " | ".join("" if cell is None else escaped(cell) for cell in cells) + " |"
