"""What a language model is told: the fixed instructions of `prompt.md`, and one conversation as marked evidence. Pure.

The newest words are kept longest; what is cut is said. A marker's code is new for each call, so that no mail can
write the marker that ends it.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from cheerful_pipelines.classification.labels.table import LABELS
from cheerful_pipelines.classification.llm.private_words import without_private_words
from cheerful_pipelines.classification.local.normalise import normalise
from cheerful_pipelines.classification.models import Conversation

NEWEST_AT_MOST = 6_000
OLDER_AT_MOST = 2_000
MESSAGES_AT_MOST = 12
"""Characters of the newest message and of each older one, and messages: the first and the newest."""
SETTLED_WITHOUT_MODEL = frozenset({"bounce", "out_of_office", "auto_reply"})
"""Labels that rules give; a model hears of them only as a last resort."""

_MARKERS = re.compile(
    r"[<\[{]{1,3}\s*+(?:/\s*+)?(?:message|conversation|evidence|system|inst\w*|\|)[^>\]}\n]{0,60}[>\]}]{1,3}", re.I
)


@dataclass(frozen=True, slots=True)
class RenderedConversation:
    """What is sent about one conversation."""

    text: str
    redactions: int
    is_truncated: bool


@lru_cache(maxsize=1)
def instructions() -> str:
    """The fixed part, the same for every conversation: providers can cache it."""
    text = resources.files("cheerful_pipelines.classification.llm").joinpath("prompt.md").read_text("utf-8")
    labels = "\n".join(f"{place}. `{item.name}`: {item.definition} For instance: “{item.example}”"
                       for place, item in enumerate(LABELS, start=1))  # fmt: skip
    return text.replace("{labels}", labels)


def prompt_version() -> str:
    """PROMPT_VERSION: hash of everything that is said besides the mail, caps included."""
    parts = (instructions(), NEWEST_AT_MOST, OLDER_AT_MOST, MESSAGES_AT_MOST, _MARKERS.pattern)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def render(conversation: Conversation, *, code: str) -> RenderedConversation:
    """The conversation between markers with `code`, private words taken out, hidden characters gone."""
    messages = list(conversation.messages)
    is_truncated = len(messages) > MESSAGES_AT_MOST
    if is_truncated:
        messages = [messages[0], *messages[-(MESSAGES_AT_MOST - 1) :]]
    newest = max(
        (n for n, item in enumerate(messages) if item.direction == "theirs" and item.kind == "human"), default=-1
    )
    parts, redactions = [], 0
    for number, message in enumerate(messages):
        limit = NEWEST_AT_MOST if number == newest else OLDER_AT_MOST
        words, count = without_private_words(normalise(message.new_words))
        redactions += count
        is_truncated = is_truncated or len(words) > limit
        which = f"{message.direction.upper()}{', NEWEST' if number == newest else ''}, {message.kind.replace('_', ' ')}"
        parts.append(f"[[{code} {number + 1}: {which}]]\n{_harmless(_cut(words, limit))}")
    text = "\n".join([f"[[{code} BEGIN OF EVIDENCE]]", *parts, f"[[{code} END OF EVIDENCE]]"])
    return RenderedConversation(text=text, redactions=redactions, is_truncated=is_truncated)


def _cut(words: str, limit: int) -> str:
    """Beginning and end: people say it early, and ask at the end."""
    if len(words) <= limit:
        return words
    tail = limit // 3
    return f"{words[: limit - tail]}\n(… {len(words) - limit} characters left out …)\n{words[-tail:]}"


def _harmless(words: str) -> str:
    """Whatever looks like a marker of any chat format loses its brackets."""
    return _MARKERS.sub(lambda match: re.sub(r"[<>\[\]{}|]", " ", match.group()), words)
