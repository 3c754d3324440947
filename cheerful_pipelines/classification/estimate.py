"""What judging a campaign's pending conversations would take: how many, and what a paid model would charge.

Asks no model.
"""

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.classification.classify import Classifier, cache_key, without_model
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.models import Conversation
from cheerful_pipelines.classification.store import VerdictStore


class PendingWork(BaseModel):
    """Counts of conversations by who judges them, and of `calls` to a paid model; dollars None = price unknown."""

    model_config = ConfigDict(frozen=True)
    settled_by_rules: int
    judged_before: int
    """The same words were judged by the same classifier: no call."""
    to_judge: int
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = 0.0
    usd_as_batch: float | None = 0.0


def pending_work(store: VerdictStore, campaign: Campaign, classifier: Classifier) -> PendingWork:
    """What the next run of `thread_classifications` has before it, were it to judge everything that is pending."""
    identity = classifier.identity()
    settled = judged_before = 0
    talks: dict[str, Conversation] = {}
    for chunk in store.pending(campaign.id, identity.version):
        keys = [cache_key(identity, item.conversation) for item in chunk]
        known = store.earlier(set(keys))
        for key, item in zip(keys, chunk, strict=True):
            if key in known or key in talks:
                judged_before += 1
            elif without_model(item.conversation)[1] is None:
                settled += 1
            else:
                talks[key] = item.conversation
    work = PendingWork(settled_by_rules=settled, judged_before=judged_before, to_judge=len(talks))
    if not isinstance(classifier, LlmClassifier) or campaign.llm_local_only:
        return work
    return work.model_copy(update=classifier.estimate(list(talks.values())).model_dump())
