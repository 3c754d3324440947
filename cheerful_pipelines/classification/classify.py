"""`classify(conversation, classifier)`: the pure function from a conversation to a verdict, and its cache key.

No database, no clock. Whoever implements `Classifier` (the embedded default, a hosted model, a test's fake) is asked
only where a person wrote words that rules do not settle; what it says is checked before it counts.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Protocol

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.models import CallFailed, ClassifierIdentity, Conversation, Verdict
from cheerful_pipelines.classification.verdict import Judged, guarded, human_words, settled, settled_opt_out


class Classifier(Protocol):
    """Says what the newest human words of a conversation mean."""

    @property
    def is_paid(self) -> bool:
        """Whether an answer costs money or somebody's machine: such answers are stored one by one, as they come."""
        ...

    def identity(self) -> ClassifierIdentity:
        """Everything that can change an answer."""
        ...

    def classify(self, conversation: Conversation) -> Verdict:
        """A verdict on a conversation that has human words. Raises CheerfulError where none can be had."""
        ...

    def classify_many(
        self, conversations: Sequence[Conversation], budget: Budget
    ) -> Iterator[tuple[int, Verdict | CallFailed]]:
        """(position, verdict or why there is none) in any order. Raises CheerfulError where no call can succeed."""
        ...


def classify(conversation: Conversation, classifier: Classifier) -> Verdict | None:
    """The verdict on a conversation; None where nobody and nothing has answered yet (no reply is not a label)."""
    verdict, judged = without_model(conversation)
    if judged is None:
        return verdict
    return guarded(classifier.classify(conversation), judged)


def without_model(conversation: Conversation) -> tuple[Verdict | None, Judged | None]:
    """What needs no model: (verdict, None), or (None, None) without words; else (None, the words to be judged)."""
    verdict = settled(conversation)
    if verdict is not None:
        return verdict, None
    judged = human_words(conversation)
    if judged is None:
        return None, None
    opt_out = settled_opt_out(judged)
    return (guarded(opt_out, judged), None) if opt_out is not None else (None, judged)


def cache_key(identity: ClassifierIdentity, conversation: Conversation) -> str:
    """Same key, same verdict: the classifier's version and the exact text, in order. Times are left out: no label
    depends on them, and with them no two conversations would ever share a key.
    """
    content = [
        identity.version,
        [[message.direction, message.kind, message.subject, message.new_words] for message in conversation.messages],
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
