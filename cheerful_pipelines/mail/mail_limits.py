"""How much of one mail is read, and the cutting of what is larger, before any parser or regular expression sees it.

Cutting touches only the copy that is parsed: the raw bytes are stored whole. Every limit is several times what real
mail needs, and what was cut is named in `parse_error`. Pure, linear in the size of the mail.
"""

import re
from typing import NamedTuple

UNCHECKED_HEAD_BYTES = 32_768
"""Heads up to this size are parsed as they are: in so few bytes no parser in use becomes slow."""
MAX_HEADER_BYTES = 65_536
"""Of one header. RFC 5322 allows lines of 998 bytes; the longest real headers (ARC, DKIM) have some 4 KB."""
MAX_ADDRESS_HEADER_BYTES = 262_144
"""Of one From, To, Cc or Bcc: 2,000 recipients of 130 bytes each."""
MAX_HEAD_BYTES = 1_000_000
"""Of all headers that no rule of ours reads. Gmail refuses incoming heads above 500 KB."""
MAX_HEADERS = 2_000
"""Headers that no rule of ours reads. Mail that crossed many servers has some 200."""
MAX_SAME_HEADER = 20
"""Repetitions of a header that our rules read; of most of them the first one counts."""
MAX_ENCODED_WORDS = 4_000
"""In one header: the names of 2,000 recipients in two encoded words each. The parser's time grows with the square."""
MAX_ENCODED_WORDS_IN_BODY = 5_000
"""Beginnings of encoded words below the head: only names of attachments have them."""
MAX_RECIPIENTS = 2_000
"""Google Workspace's own limit of recipients per message."""
MAX_ADDRESS_BYTES = 320
"""RFC 5321: 64 for the local part, 255 for the domain. An index row of Postgres ends at 2,704 bytes."""
MAX_ID_BYTES = 998
"""Of a Message-ID: the longest line that RFC 5322 allows. An index row of Postgres ends at 2,704 bytes."""
MAX_IDS = 200
"""Of a References header; longer ones are an attack or a bug, and the newest ids matter."""
MAX_ATTACHMENTS = 1_000
"""Attachments that are listed; Gmail's 25 MB hold a few dozen useful ones."""
MAX_BOUNDARIES = 200
"""Multiparts in one mail. The fast parser overflows the stack, which ends the process, at some ten thousand."""
MAX_BOUNDARIES_AT_ALL = 2_000
"""Multiparts beyond which no parser is asked for more than the headers."""
MAX_PARTS = 10_000
"""Parts that the tolerant parser is asked for."""

_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ADDRESS_HEADERS = frozenset((b"from", b"to", b"cc", b"bcc", b"reply-to", b"sender"))
_NEWEST_LAST = frozenset((b"references", b"in-reply-to"))
_READ_BY_RULES = _ADDRESS_HEADERS | _NEWEST_LAST | frozenset(
    (
        b"subject", b"date", b"message-id", b"mime-version", b"content-type", b"content-transfer-encoding",
        b"content-disposition", b"auto-submitted", b"precedence", b"list-id", b"list-unsubscribe", b"feedback-id",
        b"return-path", b"authentication-results", b"x-failed-recipients", b"x-original-from", b"x-original-sender",
        b"x-autoreply", b"x-auto-reply", b"x-autorespond",
    )
)  # fmt: skip


class Bounded(NamedTuple):
    """A mail to parse, and what is missing of it."""

    raw: bytes
    cut: tuple[str, ...]


def bounded_mail(raw: bytes) -> Bounded:
    """The mail with a head that any parser reads in time; itself where nothing is too large."""
    end = _HEAD_END.search(raw)
    head = raw[: end.start()] if end else raw
    if len(head) <= UNCHECKED_HEAD_BYTES:
        return Bounded(raw, ())
    kept, cut = _bounded_head(head)
    return Bounded(kept + raw[len(head) :], tuple(cut))


def is_too_much_for_the_fast_parser(raw: bytes) -> bool:
    """Whether its time would grow with the square, or its recursion end the process."""
    return (
        raw.count(b"=?") > MAX_ENCODED_WORDS_IN_BODY + MAX_ENCODED_WORDS
        or raw.lower().count(b"boundary") > MAX_BOUNDARIES
    )


def is_too_much_for_any_parser(raw: bytes) -> bool:
    """Whether only its headers can be read: the standard library's time grows with parts times lines."""
    return raw.lower().count(b"boundary") > MAX_BOUNDARIES_AT_ALL


def _bounded_head(head: bytes) -> tuple[bytes, list[str]]:
    """Headers that our rules read come through whatever stands before them; of the others, the first ones."""
    kept: list[bytes] = []
    seen: dict[bytes, int] = {}
    others, other_bytes = 0, 0
    cut: dict[str, None] = {}
    for header in _headers(head):
        name = header.partition(b":")[0].strip().lower()
        if name in _READ_BY_RULES:
            seen[name] = seen.get(name, 0) + 1
            if seen[name] > MAX_SAME_HEADER:
                cut[f"{name.decode()} headers after the first {MAX_SAME_HEADER}"] = None
                continue
        else:
            others, other_bytes = others + 1, other_bytes + min(len(header), MAX_HEADER_BYTES)
            if others > MAX_HEADERS or other_bytes > MAX_HEAD_BYTES:
                cut["headers after the first thousands"] = None
                continue
        shorter = _bounded_header(name, header)
        if len(shorter) < len(header):
            label = name.decode() if name in _READ_BY_RULES else "another"
            cut[f"{label} header of {len(header)} bytes"] = None
        kept.append(shorter)
    return b"\n".join(kept), list(cut)[:10]


def _headers(head: bytes) -> list[bytes]:
    """Each header with its folded lines."""
    found: list[list[bytes]] = []
    for line in head.split(b"\n"):
        if found and line[:1] in (b" ", b"\t"):
            found[-1].append(line)
        else:
            found.append([line])
    return [b"\n".join(lines) for lines in found]


def _bounded_header(name: bytes, header: bytes) -> bytes:
    limit = MAX_ADDRESS_HEADER_BYTES if name in _ADDRESS_HEADERS else MAX_HEADER_BYTES
    if len(header) > limit and name in _NEWEST_LAST:
        header = name + b": " + header[-limit:].partition(b" ")[2]
    header = header[:limit]
    if header.count(b"=?") > MAX_ENCODED_WORDS:
        header = b"=?".join(header.split(b"=?", MAX_ENCODED_WORDS)[:MAX_ENCODED_WORDS])
    return header
