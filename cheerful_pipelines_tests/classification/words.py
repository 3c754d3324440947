"""Conversations for tests, in one line each."""

from datetime import timedelta

from cheerful_pipelines.classification.models import Conversation, ConversationMessage
from cheerful_pipelines_tests.builders import START


def conversation(*messages: tuple[str, str, str], subject: str = "Re: A gift for you") -> Conversation:
    """`conversation(("ours", "human", "Hi!"), ("theirs", "human", "Yes!"))`, an hour apart."""
    return Conversation(
        messages=tuple(
            ConversationMessage(
                direction=direction,  # type: ignore[arg-type]
                kind=kind,
                at=START + timedelta(hours=number),
                subject=subject,
                new_words=words,
            )
            for number, (direction, kind, words) in enumerate(messages)
        )
    )


def reply(words: str) -> Conversation:
    """Our outreach, and one answer to it."""
    return conversation(("ours", "human", "We would love to send you our new serum."), ("theirs", "human", words))
