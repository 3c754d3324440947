"""What the server needs to know of a mail's bytes: headers, base subject, snippet, date. Total: it never raises.

This is Gmail's side of the table, so it shares no code with the pipeline's parser: a mistake in one must not
hide behind the same mistake in the other.
"""

import email
import html
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import Message
from email.utils import getaddresses, mktime_tz, parsedate_tz

_HEADER_END = re.compile(rb"\r?\n\r?\n")
_HEADER = re.compile(r"^([!-9;-~]+)[ \t]*:(.*)$", re.S)
_IDS = re.compile(r"<([^<>\s]+)>")
_REPLY_PREFIX = re.compile(r"^\s*((re|fwd?|aw|sv|antw|wg|tr|rv|vs)(\[\d+\])?\s*:\s*)+", re.I)
_TAG = re.compile(r"<(style|script)\b(?:[^<]++|<(?!/\1>))*+(?:</\1>|\Z)|<[^<>]*+>", re.I)
_SNIPPET_SOURCE_BYTES = 20_000


def read_headers(raw: bytes) -> list[tuple[str, str]]:
    """(name, value) in order, unfolded, encoded words left as they stand. Lines that are no header are passed over."""
    end = _HEADER_END.search(raw)
    head = raw[: end.start()] if end else raw
    found: list[tuple[str, str]] = []
    for line in _decode(head).replace("\r\n", "\n").split("\n"):
        if line[:1] in (" ", "\t") and found:
            found[-1] = (found[-1][0], f"{found[-1][1]} {line.strip()}".strip())
        elif match := _HEADER.match(line):
            found.append((match[1], match[2].strip()))
    return found


def _decode(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def header(headers: list[tuple[str, str]], name: str) -> str:
    """First value of a header, "" where it is absent."""
    wanted = name.lower()
    return next((value for key, value in headers if key.lower() == wanted), "")


def decoded(value: str) -> str:
    """A header's value with its encoded words read; as it stands where they cannot be."""
    if "=?" not in value:
        return value
    try:
        return str(make_header(decode_header(value)))
    except (ValueError, LookupError, UnicodeError, email.errors.MessageError):
        return value


def message_ids(value: str) -> list[str]:
    """The ids in a References, In-Reply-To or Message-ID header, without brackets."""
    return _IDS.findall(value)


def base_subject(subject: str) -> str:
    """The subject without reply and forward prefixes, blanks squeezed, in small letters."""
    return " ".join(_REPLY_PREFIX.sub("", subject).split()).casefold()


def addresses(headers: list[tuple[str, str]], *names: str) -> list[str]:
    """The bare addresses in the named headers, in small letters."""
    values = [value for key, value in headers if key.lower() in names]
    return [address.strip().lower() for _, address in getaddresses(values) if "@" in address]


def date_of(headers: list[tuple[str, str]]) -> datetime | None:
    """The Date header; None where it is missing, unreadable or outside 1980 to 2100."""
    try:
        parts = parsedate_tz(header(headers, "date"))
        if parts is None:
            return None
        found = datetime.fromtimestamp(mktime_tz(parts), UTC)
    except (ValueError, OverflowError, OSError, TypeError, IndexError):
        return None
    return found if 1980 <= found.year <= 2100 else None


def parsed(raw: bytes) -> Message:
    """The MIME tree."""
    return email.message_from_bytes(raw)


def snippet(raw: bytes) -> str:
    """The first words of the text, at most 200 characters, HTML-escaped as Gmail gives them."""
    try:
        text = _first_text(parsed(raw[:_SNIPPET_SOURCE_BYTES]))
    except (ValueError, LookupError, AttributeError, TypeError, RecursionError):
        text = ""
    return html.escape(" ".join(text.replace("\0", "").split())[:200])


def _first_text(message: Message) -> str:
    fallback = ""
    for part in message.walk():
        if part.is_multipart() or part.get_content_maintype() != "text":
            continue
        payload = part.get_payload(decode=True)
        text = _decode(payload) if isinstance(payload, bytes) else ""
        if part.get_content_subtype() == "plain" and text.strip():
            return text
        fallback = fallback or html.unescape(_TAG.sub(" ", text))
    return fallback
