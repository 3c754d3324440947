"""`classify(conversation, classifier)`: the pure function from a conversation to a verdict, and its cache key.

No database, no clock. Whoever implements `Classifier` (the embedded default, a hosted model, a test's fake) is asked
only where a person wrote words that rules do not settle; what it says is checked before it counts.
"""

import hashlib
import json
from typing import Protocol

from cheerful_pipelines.classification.models import ClassifierIdentity, Conversation, Verdict
from cheerful_pipelines.classification.verdict import guarded, human_words, settled


class Classifier(Protocol):
    """Says what the newest human words of a conversation mean."""

    def identity(self) -> ClassifierIdentity:
        """Everything that can change an answer."""
        ...

    def classify(self, conversation: Conversation) -> Verdict:
        """A verdict on a conversation that has human words. Raises CheerfulError where none can be had."""
        ...


def classify(conversation: Conversation, classifier: Classifier) -> Verdict | None:
    """The verdict on a conversation; None where nobody and nothing has answered yet (no reply is not a label)."""
    verdict = settled(conversation)
    if verdict is not None:
        return verdict
    judged = human_words(conversation)
    if judged is None:
        return None
    return guarded(classifier.classify(conversation), judged)


def cache_key(identity: ClassifierIdentity, conversation: Conversation) -> str:
    """Same key, same verdict: the classifier's version and the exact text, in order. Times are left out: no label
    depends on them, and with them no two conversations would ever share a key.
    """
    content = [
        identity.version,
        [[message.direction, message.kind, message.subject, message.new_words] for message in conversation.messages],
    ]
    return hashlib.sha256(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()
