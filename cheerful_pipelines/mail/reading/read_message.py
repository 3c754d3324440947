"""One copy of a mail to what it is: ours or theirs, what kind, its new words. Pure: a value from values.

The order of the questions is the rule: whose, then report, calendar and automatic mail, then a person's.
`READER_VERSION` changes with any rule that can change a reading; stored readings of another version are read again.
"""

import re

from cheerful_pipelines.core.errors import PoisonError
from cheerful_pipelines.mail.mail_limits import MAX_ID_BYTES
from cheerful_pipelines.mail.models import StoredMessage
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.reading import auto_replies, bounces, quoted_text
from cheerful_pipelines.mail.reading.models import Direction, MessageKind, MessageReading

READER_VERSION = "reader-4"

FORWARDED = "a forwarded mail below the writer's own words"
"""Evidence of a person's mail that passes another one on: its words are kept, and are not all the writer's."""
_FORGED = re.compile(r"\bdmarc=fail\b", re.I)
_NEVER_OURS = frozenset(("bounce", "delayed", "delivered", "complaint"))


UNREADABLE = "unreadable"
"""Begins the evidence of a reading that an exception ended; the exception's class and place follow."""


def needs_raw(stored: StoredMessage) -> bool:
    """Whether `read_message` wants the raw bytes: only mail that may be a delivery report costs a blob."""
    return bounces.may_be_report(stored.parsed.headers, stored.parsed.subject)


def wants_raw(stored: StoredMessage) -> bool:
    """`needs_raw`; True for a mail that makes even this question raise: reading it marks it."""
    try:
        with one_message("read"):
            return needs_raw(stored)
    except PoisonError:
        return True


def direction_of(label_ids: tuple[str, ...], stored: StoredMessage, identity_keys: frozenset[str]) -> Direction:
    """Ours: Gmail says SENT, or it comes from one of us and nothing speaks against it.

    The From header alone proves nothing: spam and mail that failed DMARC under our name are theirs.
    """
    if "SENT" in label_ids:
        return "ours"
    if stored.parsed.from_key is None or stored.parsed.from_key not in identity_keys or "SPAM" in label_ids:
        return "theirs"
    forged = any(
        name.lower() == "authentication-results" and _FORGED.search(value) for name, value in stored.parsed.headers
    )
    return "theirs" if forged else "ours"


def read_message(stored: StoredMessage, raw: bytes | None, identity_keys: frozenset[str]) -> MessageReading:
    """What this copy is. `raw` is asked for by `needs_raw`; without it no delivery report is recognised.

    `identity_keys` are the client's own addresses, every mailbox and alias. Raises nothing.
    """
    parsed = stored.parsed
    direction = direction_of(stored.label_ids, stored, identity_keys)
    words = quoted_text.new_words(parsed.body_text, parsed.body_html)
    # What is nothing but marked quotation is our own text coming back: no words of theirs.
    text = "" if words.only_quotation else words.text
    report = bounces.read_report(raw) if raw is not None and "SENT" not in stored.label_ids else None
    automatic = None if report else _automatic(stored, text, direction)
    kind: MessageKind = report.kind if report else automatic.kind if automatic else "human"
    absent = kind == "out_of_office"
    forwarded = FORWARDED if words.forwards else None
    return MessageReading(
        gmail_account_id=stored.gmail_account_id,
        gmail_message_id=stored.gmail_message_id,
        reader_version=READER_VERSION,
        direction="theirs" if kind in _NEVER_OURS else direction,
        kind=kind,
        evidence=report.evidence if report else automatic.evidence if automatic else forwarded,
        new_words=text,
        bounces=report.failed if report else (),
        bounced_message_id=_short(report.bounced_message_id) if report else None,
        returns_at=auto_replies.find_return(text, received_at=stored.internal_date) if absent else None,
    )


def read_or_mark(stored: StoredMessage, raw: bytes | None, identity_keys: frozenset[str]) -> MessageReading:
    """`read_message`, and for a mail that makes it raise a reading that loses nobody's answer.

    Such a mail counts as a person's, without text: nothing is concluded from it by machine, and its evidence says
    that it was not read. The same in every run, so that a replay gives the same states.
    """
    try:
        with one_message("read"):
            return read_message(stored, raw, identity_keys)
    except PoisonError as error:
        return MessageReading(
            gmail_account_id=stored.gmail_account_id,
            gmail_message_id=stored.gmail_message_id,
            reader_version=READER_VERSION,
            direction="ours" if "SENT" in stored.label_ids else "theirs",
            kind="human",
            evidence=f"{UNREADABLE}: {error.reason_code}",
            new_words="",
            bounces=(),
            bounced_message_id=None,
            returns_at=None,
        )


def _short(message_id: str | None) -> str | None:
    """The id, if an index can hold it."""
    return message_id if message_id and len(message_id.encode(errors="replace")) <= MAX_ID_BYTES else None


def is_unreadable(reading: MessageReading) -> bool:
    """Whether the mail could not be read, so that a person has to look at it."""
    return (reading.evidence or "").startswith(f"{UNREADABLE}: ")


def _automatic(stored: StoredMessage, text: str, direction: Direction) -> auto_replies.AutomaticMail | None:
    """Our own mail may carry list headers and an automatic subject and is still ours; machines' headers count."""
    types = tuple(attachment.content_type for attachment in stored.parsed.attachments)
    found = auto_replies.find_automatic(stored.parsed.headers, stored.parsed.subject, text, types)
    if (
        direction == "ours"
        and found is not None
        and (found.kind in ("list", "calendar") or "Subject" in found.evidence)
    ):
        return None
    return found
