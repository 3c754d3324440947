"""Events of one thread to the states it went through. Pure: the same events and readings, the same bytes.

A state is a `ThreadDocument`; a new version is made by each event that changes it, in the order of `ingest_seq`.
Drafts, deleted mail and mail in the bin are left out. The newest document depends on what is known, not on when it
arrived; the versions in between say what was known when.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC
from typing import Literal

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.mail.models import MessageEvent, StoredMessage
from cheerful_pipelines.mail.reading.models import MessageReading
from cheerful_pipelines.mail.reading.read_message import READER_VERSION, direction_of
from cheerful_pipelines.threads.models import ThreadDocument, ThreadMessage

STATE_VERSION = f"state-1/{READER_VERSION}"
"""Code version of every state: what made the document."""

_LEFT_OUT = frozenset(("DRAFT", "TRASH"))
_MACHINES = frozenset(
    ("bounce", "delayed", "delivered", "complaint", "list", "calendar", "out_of_office", "auto_reply")
)
_THEIRS_ALWAYS = frozenset(("bounce", "delayed", "delivered", "complaint"))
_ENDS_WAITING = frozenset(("bounce", "complaint"))
_REASONS = {"added": "message added", "labels": "labels changed", "deleted": "message deleted"}


class StateVersion(BaseModel):
    """One version in the making: the document, its hash, and the event that caused it."""

    model_config = ConfigDict(frozen=True)
    version: int
    document: ThreadDocument
    state_json: str
    state_hash: str
    reason: str
    cause_ingest_seq: int
    cause_gmail_message_id: str


def canonical_json(document: ThreadDocument) -> str:
    """The document as bytes that can be compared: sorted keys, no white space, times in UTC."""
    content = document.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def state_hash(state_json: str) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(state_json.encode()).hexdigest()


def fold(
    events: Iterable[MessageEvent],
    messages: Mapping[str, StoredMessage],
    readings: Mapping[str, MessageReading],
    identity_keys: frozenset[str],
) -> list[StateVersion]:
    """Every version of one thread, oldest first. `messages` and `readings` by Gmail message id.

    Events of messages that are not given are passed over: they could not be stored, and a dead letter says why.
    """
    labels: dict[str, tuple[str, ...]] = {}
    gone: set[str] = set()
    versions: list[StateVersion] = []
    for event in sorted(events, key=lambda item: item.ingest_seq):
        if event.gmail_message_id not in messages or event.gmail_message_id not in readings:
            continue
        _apply(event, labels, gone)
        document = _document(event, labels, messages, readings, identity_keys)
        if not versions and not document.messages:
            continue
        state_json = canonical_json(document)
        if versions and versions[-1].state_json == state_json:
            continue
        versions.append(
            StateVersion(
                version=len(versions) + 1,
                document=document,
                state_json=state_json,
                state_hash=state_hash(state_json),
                reason=_REASONS[event.kind],
                cause_ingest_seq=event.ingest_seq,
                cause_gmail_message_id=event.gmail_message_id,
            )
        )
    return versions


def _apply(event: MessageEvent, labels: dict[str, tuple[str, ...]], gone: set[str]) -> None:
    """What is there after the event. New labels do not bring a deleted mail back; adding it again does."""
    name = event.gmail_message_id
    if event.kind == "deleted":
        gone.add(name)
        labels.pop(name, None)
    elif event.kind == "added" or name not in gone:
        gone.discard(name)
        labels[name] = event.label_ids


def _document(
    event: MessageEvent,
    labels: Mapping[str, tuple[str, ...]],
    messages: Mapping[str, StoredMessage],
    readings: Mapping[str, MessageReading],
    identity_keys: frozenset[str],
) -> ThreadDocument:
    shown = [
        _thread_message(messages[message_id], readings[message_id], label_ids, identity_keys)
        for message_id, label_ids in labels.items()
        if not _LEFT_OUT & set(label_ids)
    ]
    # Two mails of one second: their ids decide, so that arrival cannot.
    shown.sort(key=lambda item: (item.at, item.gmail_message_id))
    participants = {key for item in shown for key in _participants(messages[item.gmail_message_id])}
    inbound = [item for item in shown if item.direction == "theirs"]
    human = [item for item in inbound if item.kind not in _MACHINES]
    return ThreadDocument(
        gmail_account_id=event.gmail_account_id,
        gmail_thread_id=event.gmail_thread_id,
        messages=tuple(shown),
        participant_keys=tuple(sorted(participants)),
        waiting_on=_waiting_on(shown),
        newest_inbound_id=inbound[-1].gmail_message_id if inbound else None,
        newest_human_id=human[-1].gmail_message_id if human else None,
    )


def _thread_message(
    stored: StoredMessage, reading: MessageReading, label_ids: tuple[str, ...], identity_keys: frozenset[str]
) -> ThreadMessage:
    direction = direction_of(label_ids, stored, identity_keys)
    words = reading.new_words
    return ThreadMessage(
        gmail_message_id=stored.gmail_message_id,
        at=stored.internal_date.astimezone(UTC),
        direction="theirs" if reading.kind in _THEIRS_ALWAYS else direction,
        kind=reading.kind,
        from_key=stored.parsed.from_key,
        rfc822_message_id=stored.parsed.rfc822_message_id,
        new_words_sha256=hashlib.sha256(words.encode()).hexdigest() if words.strip() else None,
    )


def _participants(stored: StoredMessage) -> tuple[str, ...]:
    sender = (stored.parsed.from_key,) if stored.parsed.from_key else ()
    return (*sender, *stored.parsed.to_keys)


def _waiting_on(shown: Sequence[ThreadMessage]) -> Literal["us", "them", "nobody"]:
    """Who has to move. Machines' mail is passed over, but a bounce ends the waiting: nobody got our words."""
    for message in reversed(shown):
        if message.direction == "theirs" and message.kind in _ENDS_WAITING:
            return "nobody"
        if message.direction == "ours" and message.kind == "human":
            return "them"
        if message.direction == "theirs" and message.kind == "human":
            return "us"
    return "nobody"
