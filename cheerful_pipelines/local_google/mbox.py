"""Mail files read into messages: an mbox, or a folder of .eml files. The bytes stay; nothing is dropped."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cheerful_pipelines.local_google import mail_text

_FROM_LINE = re.compile(rb"^From [^\r\n]*\r?\n", re.M)
_HEADER_LINE = re.compile(rb">?[!-9;-~]+[ \t]*:|From ")
_MOMENT = re.compile(rb"\d:\d\d(:\d\d)?\b.{0,60}\b(19|20)\d\d\b")
_FIRST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


def read_messages(path: Path) -> Iterator[bytes]:
    """The messages of an mbox file in its order, or of a folder's .eml files in order of name."""
    if path.is_dir():
        for file in sorted(path.rglob("*.eml")):
            yield file.read_bytes()
        return
    yield from split_mbox(path.read_bytes())


def split_mbox(data: bytes) -> list[bytes]:
    """Cut at separator lines; a mail's own "From ..." sentence is not one. `>From ` is left as it stands.

    A separator starts with "From ", follows an empty line (or nothing), and names a time and a year, or has a
    header below it. Text before the first one is a message too: better a strange message than a lost one.
    """
    starts = [found for found in _FROM_LINE.finditer(data) if _is_separator(data, found)]
    if not starts:
        return [data] if data.strip() else []
    found = [data[: starts[0].start()]] if data[: starts[0].start()].strip() else []
    ends = [start.start() for start in starts[1:]] + [len(data)]
    for start, end in zip(starts, ends, strict=True):
        found.append(_without_separating_line(data[start.end() : end]))
    return found


def _is_separator(data: bytes, found: re.Match[bytes]) -> bool:
    after_empty_line = re.search(rb"(\A|\n)\r?\n\Z", data[max(0, found.start() - 4) : found.start()])
    if found.start() > 0 and not after_empty_line:
        return False
    return bool(_MOMENT.search(found[0])) or bool(_HEADER_LINE.match(data, found.end()))


def _without_separating_line(message: bytes) -> bytes:
    for end in (b"\r\n\r\n", b"\n\n"):
        if message.endswith(end):
            return message[: len(message) - len(end) // 2]
    return message


def dated(messages: Iterator[bytes]) -> Iterator[tuple[bytes, datetime]]:
    """Each message with its Date header, or, where that cannot be read, a second after the one before."""
    last = _FIRST_MOMENT
    for raw in messages:
        found = mail_text.date_of(mail_text.read_headers(raw))
        last = found or last + timedelta(seconds=1)
        yield raw, last


def is_from(raw: bytes, addresses: frozenset[str]) -> bool:
    """Whether one of the addresses (in small letters) wrote the message."""
    return not addresses.isdisjoint(mail_text.addresses(mail_text.read_headers(raw), "from"))
