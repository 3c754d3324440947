"""An outcome as it is stored, and back. Pure.

Short keys and whole values only: a campaign of 50,000 recipients has as many of them, each for as long as it held.
"""

import hashlib
import json
from datetime import datetime
from typing import Any

from cheerful_pipelines.metrics.counting.outcomes import Event, Outcome, Send


def document_of(outcome: Outcome) -> dict[str, Any]:
    """Everything that numbers, receipts and changes are told from, as JSON values."""
    return {
        "removed": outcome.is_removed,
        "suppressed": outcome.is_suppressed,
        "sends": [
            [
                send.message_id, send.at.isoformat(), send.sender, send.thread_key, send.conversation_key, send.step,
                _event(send.hard_bounce), _event(send.soft_bounce), send.is_first_of_mail,
            ]
            for send in outcome.sends
        ],
        "events": {key: _event(event) for key, event in sorted(outcome.events.items())},
        "reply_step": outcome.reply_step,
        "label": outcome.newest_label,
        "status": outcome.status,
        "response_hours": list(outcome.response_hours),
        "business_hours": outcome.business_hours_to_reply,
        "conversations": [outcome.conversations, outcome.conversation_messages, outcome.conversation_turns],
        "threads": list(outcome.threads),
        "review": list(outcome.review_threads),
    }  # fmt: skip


def outcome_of(recipient_id: int, document: dict[str, Any]) -> Outcome:
    """The outcome that `document_of` wrote down. Message-IDs are not kept: they are in the mail."""
    conversations, messages, turns = document["conversations"]
    return Outcome(
        recipient_id=recipient_id,
        is_removed=document["removed"],
        is_suppressed=document["suppressed"],
        sends=tuple(_send(item) for item in document["sends"]),
        events={key: _read_event(item) for key, item in document["events"].items()},
        reply_step=document["reply_step"],
        newest_label=document["label"],
        status=document["status"],
        response_hours=tuple(document["response_hours"]),
        business_hours_to_reply=document["business_hours"],
        conversations=conversations,
        conversation_messages=messages,
        conversation_turns=turns,
        threads=tuple(document["threads"]),
        review_threads=tuple(document["review"]),
    )


def hash_of(document: dict[str, Any]) -> str:
    """Equal documents, equal hashes."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _event(event: Event | None) -> list[Any] | None:
    return None if event is None else [event.at.isoformat(), event.thread_key, event.message_id]


def _read_event(item: list[Any]) -> Event:
    return Event(datetime.fromisoformat(item[0]), item[1], item[2])


def _send(item: list[Any]) -> Send:
    number, at, sender, thread_key, conversation_key, step, hard, soft, is_first = item
    return Send(
        message_id=number,
        rfc822_message_id=None,
        at=datetime.fromisoformat(at),
        sender=sender,
        thread_key=thread_key,
        conversation_key=conversation_key,
        step=step,
        hard_bounce=None if hard is None else _read_event(hard),
        soft_bounce=None if soft is None else _read_event(soft),
        is_first_of_mail=is_first,
    )
