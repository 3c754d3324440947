"""Raw bytes to headers and parts, for the readers that need more than the parsed message. Pure; never raises.

The standard library's compat32 reads the structure: it is the one policy that takes any bytes.
"""

import email
import email.policy
import re
from collections.abc import Iterator
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.parser import BytesHeaderParser

from cheerful_pipelines.mail.encoded_words import is_decodable

_LONGEST_MAIL = 1_000_000
"""A report says what failed at its top; below stands a copy of the mail, with all that was attached to it."""
_LONGEST_TEXT = 60_000
"""So much of a part's text is looked at: delivery reports say what failed at their top."""


def read_parts(raw: bytes) -> Message:
    """The MIME tree of a raw mail's beginning; odd bytes give an odd tree, never an error."""
    raw = raw[:_LONGEST_MAIL]
    try:
        return email.message_from_bytes(raw, policy=email.policy.compat32)
    except RecursionError:  # parts within parts, a thousand deep: the headers are all that is read of it
        return BytesHeaderParser(policy=email.policy.compat32).parsebytes(raw)


def walk(root: Message) -> Iterator[Message]:
    """Every part, the root first; the mail inside a message/rfc822 part is not entered.

    A loop and not a recursion: hostile mail nests thousands deep.
    """
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        if part.get_content_type() in ("message/rfc822", "message/delivery-status", "message/global"):
            continue
        payload = payload_of(part)
        if isinstance(payload, list):
            waiting.extend(item for item in reversed(payload) if isinstance(item, Message))


def payload_of(part: Message) -> object:
    """Parts of a multipart, or text as it stands; empty where its charset is none that Python could even look up."""
    try:
        return part.get_payload()
    except (ValueError, LookupError, AssertionError):
        return ""


def text_of(part: Message) -> str:
    """Decoded text of a leaf part, cut to a readable length; empty for a multipart."""
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        payload = None
    if not isinstance(payload, bytes):
        inner = payload_of(part)
        if isinstance(inner, list):
            return "\n\n".join(_as_written(item) for item in inner[:50])[:_LONGEST_TEXT]
        return str(inner or "")[:_LONGEST_TEXT]
    try:
        return payload[:_LONGEST_TEXT].decode(part.get_content_charset("utf-8") or "utf-8", errors="replace")
    except (LookupError, ValueError):
        return payload[:_LONGEST_TEXT].decode("latin-1")


def _as_written(root: Message) -> str:
    """Header lines and text of every part. `str(root)` would encode anew, and raises where a charset is a wrong one."""
    lines: list[str] = []
    for part in walk(root):
        lines.extend(f"{name}: {value}" for name, value in part.items())
        payload = payload_of(part)
        lines.extend(["", payload] if isinstance(payload, str) else [""])
    return "\n".join(lines)


def header_text(part: Message, name: str) -> str:
    """A header's first value, encoded words decoded, unfolded; empty where absent."""
    value = part.get(name)
    if value is None:
        return ""
    if not is_decodable(str(value)):
        return " ".join(str(value).split())
    try:
        pieces = [
            piece.decode(charset or "utf-8", errors="replace") if isinstance(piece, bytes) else piece
            for piece, charset in decode_header(str(value))
        ]
        text = "".join(pieces)
    except (ValueError, LookupError, AssertionError, TypeError, AttributeError, MessageError):
        text = str(value)
    return re.sub(r"\s+", " ", text).strip()
