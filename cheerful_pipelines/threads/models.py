"""Thread documents and attributions as frozen values. No I/O.

A `ThreadDocument` is what a thread state says; its canonical JSON is hashed, so its field order is part of it.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.mail.reading.models import Direction, MessageKind


class ThreadMessage(BaseModel):
    """One message within a thread document: a reference and what it is, never its text."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    at: datetime
    direction: Direction
    kind: MessageKind
    from_key: str | None
    rfc822_message_id: str | None
    new_words_sha256: str | None  # None: no new words


class ThreadDocument(BaseModel):
    """The state of one Gmail thread of one account: messages in order of time, drafts and deleted ones left out."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_thread_id: str
    messages: tuple[ThreadMessage, ...]
    participant_keys: tuple[str, ...]
    waiting_on: Literal["us", "them", "nobody"]
    newest_inbound_id: str | None  # newest inbound message of any kind
    newest_human_id: str | None  # newest inbound message written by a person


class ThreadState(BaseModel):
    """One stored version. `id` is the version token that a writer must hold."""

    model_config = ConfigDict(frozen=True)
    id: int
    gmail_account_id: UUID
    gmail_thread_id: str
    version: int
    document: ThreadDocument
    state_hash: str
    reason: str
    cause_ingest_seq: int
    cause_gmail_message_id: str
    code_version: str
    created_at: datetime


class ThreadAttribution(BaseModel):
    """Why a thread belongs to a campaign, and to which recipient of it."""

    model_config = ConfigDict(frozen=True)
    campaign_id: UUID
    gmail_account_id: UUID
    gmail_thread_id: str
    recipient_id: int
    rule: Literal["written_to", "wrote_to_us", "joined_by_headers"]
    confidence: float
    is_ambiguous: bool
    conversation_key: str
    conversation_is_guess: bool = False
    """No header joins the thread to its conversation, only its subject and its people (subjects.py)."""
