"""Raw bytes of a mail to a `ParsedMessage`. What cannot be read, and what is cut, is named in `parse_error`.

fast-mail-parser (Rust) reads first, at a fortieth of the cost of the standard library's default policy; where it
refuses a mail, the standard library's tolerant policy reads it. Linear in the size of the mail, which is cut to
`mail_limits` first. No I/O.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import parsedate_to_datetime
from itertools import islice
from typing import TypeVar

import fast_mail_parser

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail import mail_limits
from cheerful_pipelines.mail.address_headers import mailboxes
from cheerful_pipelines.mail.encoded_words import decoded
from cheerful_pipelines.mail.html_text import html_to_text
from cheerful_pipelines.mail.models import Attachment, ParsedMessage
from cheerful_pipelines.mail.poison import is_of_the_message, one_message

PARSER_VERSION = "4"

_Value = TypeVar("_Value")
_ANGLED = re.compile(r"<([^<>\s]+)>")
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_PLAIN_FROM = re.compile(r"(?:([A-Za-z0-9 ]*)<)?([A-Za-z0-9._+-]+@[A-Za-z0-9.-]+)(?(1)>)")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # what a Postgres text refuses
_ATTRIBUTION = re.compile(r"\bmessage from\b", re.IGNORECASE)
_NOBODY: tuple[str, ...] = ()
_MOST_HEADER_BYTES = 1_000_000
_MAX_PARAMETER_CHARS = 4_000  # of a part's header: the standard library's time for parameters is quadratic


class _Parts:
    """What either parser found, before it is cleaned. `notes` become the `parse_error`."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.plain: list[str] = []
        self.html: list[str] = []
        self.attachments: list[Attachment] = []
        self.notes: list[str] = []

    def read(self, what: str, read: Callable[[], _Value], default: _Value) -> _Value:
        """One field; where reading it fails the rest of the mail is kept, and the field named."""
        try:
            return read()
        except BaseException as error:
            if not is_of_the_message(error):
                raise
            self.notes.append(f"{what} could not be read ({type(error).__name__})")
            return default


def parse_message(raw: bytes) -> ParsedMessage:
    """Parse. Headers decoded, text for Postgres, message ids without their angle brackets.

    Raises nothing but PoisonError, for whatever bytes.
    """
    with one_message("parse"):
        return _parsed(raw)


def _parsed(raw: bytes) -> ParsedMessage:
    mail, cut = mail_limits.bounded_mail(raw)
    parts = _read_parts(mail)
    parts.notes.extend(f"cut: {what}" for what in cut)
    headers = [(storable(name), storable(value)) for name, value in parts.headers]
    first = _first_of(headers)
    html = storable("\n".join(parts.html)) if parts.html else None
    plain = storable("\n".join(parts.plain)) if parts.plain else None
    text = plain if plain is not None else parts.read("text of its HTML", lambda: html_to_text(html or ""), "")
    name, address = parts.read("sender", lambda: _one_address(first.get("from", "")), ("", ""))
    return ParsedMessage(
        parser_version=PARSER_VERSION,
        rfc822_message_id=next(iter(message_ids(first.get("message-id", ""))), None),
        in_reply_to=tuple(message_ids(first.get("in-reply-to", ""))[: mail_limits.MAX_IDS]),
        reference_ids=tuple(message_ids(first.get("references", ""))[-mail_limits.MAX_IDS :]),
        subject=" ".join(first.get("subject", "").split()),
        from_address=address or None,
        from_key=address_key(address) if address else None,
        from_name=name or None,
        to_keys=parts.read("recipients", lambda: _recipient_keys(headers, parts.notes), _NOBODY),
        header_date=_date(first.get("date", "")),
        headers=tuple(headers),
        body_text=text,
        body_html=html,
        attachments=tuple(_listed(parts)),
        parse_error="; ".join(parts.notes) or None,
    )


def _read_parts(raw: bytes) -> _Parts:
    """By the first parser that takes the mail; the last one reads only its headers."""
    if mail_limits.is_too_much_for_any_parser(raw):
        return _parse_headers(raw, f"only its headers could be read (over {mail_limits.MAX_BOUNDARIES_AT_ALL} parts)")
    if not mail_limits.is_too_much_for_the_fast_parser(raw):
        try:
            return _parse_fast(raw)
        except BaseException as error:  # its own errors and, on odd input, a panic of its runtime
            if not is_of_the_message(error):
                raise
    try:
        return _parse_tolerant(raw)
    except Exception as error:  # a thousand parts within parts end its recursion
        return _parse_headers(raw, f"only its headers could be read ({type(error).__name__})")


def _listed(parts: _Parts) -> list[Attachment]:
    if len(parts.attachments) > mail_limits.MAX_ATTACHMENTS:
        parts.notes.append(f"cut: {len(parts.attachments) - mail_limits.MAX_ATTACHMENTS} attachments are not listed")
    return parts.attachments[: mail_limits.MAX_ATTACHMENTS]


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
    return [one for one in dict.fromkeys(found) if len(one.encode(errors="replace")) <= mail_limits.MAX_ID_BYTES]


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
        parts.notes.append("no header could be read")
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
    parts.notes.append("read by the tolerant parser")
    mail = message_from_bytes(raw)
    parts.headers = [(name, decoded(str(value))) for name, value in mail.items()]
    for part in islice(mail.walk(), mail_limits.MAX_PARTS):
        if part.is_multipart():
            continue
        _shorten_parameters(part)
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
    parts.notes.append(reason)
    mail = BytesHeaderParser().parsebytes(raw[:_MOST_HEADER_BYTES])
    parts.headers = [(name, decoded(str(value))) for name, value in mail.items()]
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


def _shorten_parameters(part: Message) -> None:
    for name in ("Content-Type", "Content-Disposition"):
        value = part.get(name)
        if value is not None and len(str(value)) > _MAX_PARAMETER_CHARS:
            del part[name]
            part[name] = str(value)[:_MAX_PARAMETER_CHARS]


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
    for name, address in _entries(header):
        if "@" in address and _is_short(address):
            return name.strip(), address.strip()
    for word in re.split(r'[\s<>"]+', header):
        if "@" in word[1:-1] and _is_short(word):
            return "", word
    return "", ""


def _recipient_keys(headers: Iterable[tuple[str, str]], notes: list[str]) -> tuple[str, ...]:
    """Keys of To, Cc and Bcc in order, each once."""
    fields = [value for name, value in headers if name.lower() in ("to", "cc", "bcc")]
    entries = (address for field in fields for _, address in _entries(field) if "@" in address)
    found = dict.fromkeys(address_key(one) for one in islice(entries, mail_limits.MAX_RECIPIENTS) if _is_short(one))
    if next(entries, None) is not None:
        notes.append(f"cut: recipients after the first {mail_limits.MAX_RECIPIENTS}")
    return tuple(found)


def _entries(header: str) -> Iterator[tuple[str, str]]:
    if (plain := _PLAIN_FROM.fullmatch(header.strip())) is not None:  # most are, and it is much quicker
        yield (plain.group(1) or "").strip(), plain.group(2)
    else:
        yield from mailboxes(header)


def _is_short(address: str) -> bool:
    return len(address.encode(errors="replace")) <= mail_limits.MAX_ADDRESS_BYTES


def _date(header: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(header)
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return found if 1970 <= found.year < 2200 else None
