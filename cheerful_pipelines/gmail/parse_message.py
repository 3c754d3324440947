"""Raw bytes of a mail to a `ParsedMessage`. Never raises: what cannot be read is named in `parse_error`.

fast-mail-parser (Rust) reads first, at a fortieth of the cost of the standard library's default policy; where it
refuses a mail, the standard library's tolerant policy reads it. No I/O.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email import message_from_bytes
from email.header import decode_header, make_header
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, parsedate_to_datetime

import fast_mail_parser

from cheerful_pipelines.addresses import address_key
from cheerful_pipelines.gmail.html_text import html_to_text
from cheerful_pipelines.gmail.models import Attachment, ParsedMessage

PARSER_VERSION = "4"

_ANGLED = re.compile(r"<([^<>\s]+)>")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_PLAIN_FROM = re.compile(r"\s*(?:([A-Za-z0-9 ]*)<)?([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)(?(1)>)\s*")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what a Postgres text refuses
_ATTRIBUTION = re.compile(r"\bmessage from\b", re.IGNORECASE)
_MOST_HEADER_BYTES = 1_000_000
_MOST_IDS = 200  # a References header longer than that is an attack or a bug; the newest ids matter


class _Parts:
    """What either parser found, before it is cleaned."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.plain: list[str] = []
        self.html: list[str] = []
        self.attachments: list[Attachment] = []
        self.error: str | None = None


def parse_message(raw: bytes) -> ParsedMessage:
    """Parse. Headers decoded, text for Postgres, message ids without their angle brackets."""
    try:
        parts = _parse_fast(raw)
    except Exception:  # the parser's own errors and, on odd input, a panic of its runtime
        try:
            parts = _parse_tolerant(raw)
        except Exception as error:  # a thousand parts within parts end its recursion
            parts = _parse_headers(raw, f"only its headers could be read ({type(error).__name__})")
    headers = [(storable(name), storable(value)) for name, value in parts.headers]
    first = _first_of(headers)
    html = storable("\n".join(parts.html)) if parts.html else None
    text = storable("\n".join(parts.plain)) if parts.plain else html_to_text(html or "")
    name, address = _one_address(first.get("from", ""))
    return ParsedMessage(
        parser_version=PARSER_VERSION,
        parse_error=parts.error,
        rfc822_message_id=next(iter(message_ids(first.get("message-id", ""))), None),
        in_reply_to=tuple(message_ids(first.get("in-reply-to", ""))),
        reference_ids=tuple(message_ids(first.get("references", ""))[-_MOST_IDS:]),
        subject=" ".join(first.get("subject", "").split()),
        from_address=address or None,
        from_key=address_key(address) if address else None,
        from_name=name or None,
        to_keys=tuple(_recipient_keys(headers)),
        header_date=_date(first.get("date", "")),
        headers=tuple(headers),
        body_text=text,
        body_html=html,
        attachments=tuple(parts.attachments),
    )


def message_ids(header: str) -> list[str]:
    """Message ids of a header, in order, without brackets, each once.

    `In-Reply-To: Message from A <a@b.example> of "Mon, 1 Jan" <id@host>` is an old client's prose: the first
    bracket there holds an address. Ids without an @ exist in the wild and are kept.
    """
    found = _ANGLED.findall(header)
    if _ATTRIBUTION.search(header) and len(found) > 1:
        found = found[1:]
    if not found and "@" in header and len(header.split()) == 1:
        found = [header.strip().strip("<>")]
    return list(dict.fromkeys(found))


def storable(text: str) -> str:
    """Text as Postgres takes it: NUL and lone surrogates become the replacement character."""
    if text.isascii() and "\x00" not in text:  # nearly always, and much cheaper to know
        return text
    return _UNSTORABLE.sub("\ufffd", text)


def _parse_fast(raw: bytes) -> _Parts:
    mail = fast_mail_parser.parse_email(_with_readable_header(raw))
    parts = _Parts()
    parts.headers = [(name, value) for name, values in mail.headers.items() for value in values]
    parts.plain, parts.html = list(mail.text_plain), list(mail.text_html)
    for item in mail.attachments:
        parts.attachments.append(_attachment(item.filename or "", item.mimetype or "", bytes(item.content)))
    if not parts.headers and raw.strip():
        parts.error = "no header could be read"
    return parts


def _with_readable_header(raw: bytes) -> bytes:
    """The mail with a header in UTF-8. Old clients send 8-bit headers in their own charset, mostly Western European;
    the parser would leave the letters out."""
    end = _HEADER_END.search(raw)
    head = raw[: end.start()] if end else raw
    if head.isascii():
        return raw
    try:
        head.decode()
    except UnicodeDecodeError:
        return head.decode("cp1252", "replace").encode() + raw[len(head) :]
    return raw


def _parse_tolerant(raw: bytes) -> _Parts:
    parts = _Parts()
    parts.error = "read by the tolerant parser"
    mail = message_from_bytes(raw)
    parts.headers = [(name, _decoded(value)) for name, value in mail.items()]
    for part in mail.walk():
        if part.is_multipart():
            continue
        content = _content(part)
        kind = part.get_content_type()
        if part.get_filename() or not kind.startswith("text/"):
            parts.attachments.append(_attachment(str(part.get_filename() or ""), kind, content))
        elif kind == "text/html":
            parts.html.append(_text(part, content))
        else:
            parts.plain.append(_text(part, content))
    return parts


def _parse_headers(raw: bytes, reason: str) -> _Parts:
    parts = _Parts()
    parts.error = reason
    mail = BytesHeaderParser().parsebytes(raw[:_MOST_HEADER_BYTES])
    parts.headers = [(name, _decoded(value)) for name, value in mail.items()]
    return parts


def _content(part: Message) -> bytes:
    try:
        content = part.get_payload(decode=True)
    except (ValueError, LookupError, AssertionError):
        content = None
    return content if isinstance(content, bytes) else b""


def _text(part: Message, content: bytes) -> str:
    try:
        return content.decode(part.get_content_charset() or "utf-8", "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


def _decoded(value: object) -> str:
    try:
        return str(make_header(decode_header(str(value))))
    except (LookupError, ValueError, UnicodeError):
        return str(value)


def _attachment(filename: str, content_type: str, content: bytes) -> Attachment:
    name = storable(re.split(r"[\\/]", filename)[-1]).strip()[:200]  # a name, never a path
    return Attachment(
        filename=name,
        content_type=storable(content_type)[:200],
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def _first_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """First non-empty value of each header, by lower-cased name."""
    found: dict[str, str] = {}
    for name, value in headers:
        if value.strip():
            found.setdefault(name.lower(), value)
    return found


def _one_address(header: str) -> tuple[str, str]:
    """(display name, address) of a From header; the first usable one."""
    if (plain := _PLAIN_FROM.fullmatch(header)) is not None:  # most are; the library takes fifty times as long
        return (plain.group(1) or "").strip(), plain.group(2)
    for name, address in getaddresses([header]):
        if "@" in address:
            return name.strip(), address.strip()
    match = re.search(r"[^\s<>\"]+@[^\s<>\"]+", header)
    return ("", match.group(0)) if match else ("", "")


def _recipient_keys(headers: Iterable[tuple[str, str]]) -> list[str]:
    fields = [value for name, value in headers if name.lower() in ("to", "cc", "bcc")]
    plain = [match.group(2) for value in fields if (match := _PLAIN_FROM.fullmatch(value)) is not None]
    found = plain if len(plain) == len(fields) else [address for _, address in getaddresses(fields)]
    return list(dict.fromkeys(address_key(address) for address in found if "@" in address))


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found if 1970 <= found.year < 2200 else None
