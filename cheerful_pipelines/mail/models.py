"""Mail as frozen values between client, parser, store and the threads. No I/O."""

import re
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from pydantic import BaseModel, ConfigDict

LARGEST_ID = 2**64 - 1
"""Gmail's ids are unsigned 64-bit numbers; a larger one is a fault of who answers, and no mark may be set to it."""
_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_MAX_LABEL_CHARS = 225  # of a label's name at Gmail; ids are shorter


def is_id(text: object) -> bool:
    """Whether a message's or thread's id can be asked for and stored; Gmail's are hexadecimal numbers."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def is_label(text: object) -> bool:
    """Whether a label's id can be stored."""
    return isinstance(text, str) and len(text) <= _MAX_LABEL_CHARS and text.isprintable()


class FetchedMessage(BaseModel):
    """What messages.get(format=raw) gave, decoded."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    gmail_thread_id: str
    label_ids: tuple[str, ...]
    history_id: int
    internal_date: datetime
    raw: bytes


class MessageRef(NamedTuple):
    """What a list says of a message: no more than its id and its thread's."""

    gmail_message_id: str
    gmail_thread_id: str


class Attachment(BaseModel):
    """Name, type and digest of one attachment; its bytes stay in the raw mail."""

    model_config = ConfigDict(frozen=True)
    filename: str
    content_type: str
    size: int
    sha256: str


class ParsedMessage(BaseModel):
    """What the raw bytes say. Parsing never raises: `parse_error` names what could not be read."""

    model_config = ConfigDict(frozen=True)
    parser_version: str
    parse_error: str | None
    rfc822_message_id: str | None
    in_reply_to: tuple[str, ...]
    reference_ids: tuple[str, ...]
    subject: str
    from_address: str | None
    from_key: str | None
    from_name: str | None
    to_keys: tuple[str, ...]
    header_date: datetime | None
    headers: tuple[tuple[str, str], ...]
    body_text: str
    body_html: str | None
    attachments: tuple[Attachment, ...]


class ParsedMail(NamedTuple):
    """A fetched message with what its bytes say."""

    fetched: FetchedMessage
    parsed: ParsedMessage


class StoredMessage(BaseModel):
    """One copy of a mail in one mailbox, as stored: what threads, classification and metrics read."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_message_id: str
    gmail_thread_id: str
    message_id: int
    label_ids: tuple[str, ...]
    internal_date: datetime
    raw_sha256: str
    deleted_at: datetime | None
    ingest_seq: int
    parsed: ParsedMessage


class MessageEvent(BaseModel):
    """One thing that happened to one copy, in the order of `ingest_seq`. Thread states are a fold over these."""

    model_config = ConfigDict(frozen=True)
    ingest_seq: int
    gmail_account_id: UUID
    gmail_message_id: str
    gmail_thread_id: str
    kind: Literal["added", "labels", "deleted"]
    label_ids: tuple[str, ...]
    created_at: datetime


class StoreReport(BaseModel):
    """What one `MailStore.apply` did. A second call with the same mail counts all as unchanged."""

    model_config = ConfigDict(frozen=True)
    inserted: int = 0
    relabelled: int = 0
    unchanged: int = 0
    deleted: int = 0
    drafts: int = 0
    dead: int = 0
    passed_over: int = 0


class LabelChange(BaseModel):
    """The labels of one message after a history record, or as listings show them."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    label_ids: tuple[str, ...]
    if_seq: int | None = None
    """Only if the copy's newest event is still this one: a listing may be older than what history told meanwhile."""


class StoredLabels(NamedTuple):
    """Labels of a stored copy, and the number of its newest event."""

    label_ids: tuple[str, ...]
    ingest_seq: int


class SyncTarget(BaseModel):
    """What the sensor needs of one account: how far it is, and whether it may be asked now."""

    model_config = ConfigDict(frozen=True)
    alias: str
    status: str
    not_before: datetime | None
    has_mark: bool = True  # without one its sync fails, in words
    live_history_id: int | None
    progress: int = 0  # grows with each sync that stored some and left some
    first_needed: datetime | None  # start of its earliest campaign
    has_new_recipients: bool = False  # somebody whose mail was not looked for in this mailbox yet


class DeadLetter(BaseModel):
    """One message that could not be taken, due for another try."""

    model_config = ConfigDict(frozen=True)
    id: int
    gmail_account_id: UUID
    gmail_message_id: str
    stage: str
    attempts: int


class Poisoned(NamedTuple):
    """A message that could not be handled at a stage ("parse" or "store"), and why: it becomes a dead letter."""

    gmail_message_id: str
    stage: str
    reason_code: str
