"""One run over a campaign: read a chunk, judge it with no transaction open, write it, go on. No dagster, no SQL."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from cheerful_pipelines.classification.classify import Classifier, cache_key, classify
from cheerful_pipelines.classification.models import (
    ClassificationReport,
    JudgedState,
    PendingConversation,
    Verdict,
)
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.logs import get_logger

_logger = get_logger(__name__)


def classify_pending(
    store: VerdictStore, classifier: Classifier, campaign_id: UUID, *, run_id: str | None
) -> ClassificationReport:
    """Give every latest state that needs one a verdict. What a chunk has found is kept if a later one fails."""
    identity = classifier.identity()
    known: dict[str, Verdict] = {}
    total = ClassificationReport()
    for chunk in store.pending(campaign_id, identity.version):
        keys = [cache_key(identity, item.conversation) for item in chunk]
        known.update(store.earlier(set(keys) - known.keys()))
        judged, part = _judge(chunk, keys, known, classifier)
        part = part.model_copy(update={"inserted": store.save(judged, identity, run_id=run_id)})
        total = _added(total, part)
        _logger.info("verdicts_stored", looked_at=part.looked_at, inserted=part.inserted)
    return total


def _judge(
    chunk: Sequence[PendingConversation], keys: Sequence[str], known: dict[str, Verdict], classifier: Classifier
) -> tuple[list[JudgedState], ClassificationReport]:
    """Verdicts for a chunk; `known` grows by what is new, so that twins within a run are judged once."""
    judged: list[JudgedState] = []
    classified = cached = 0
    cost: float | None = 0.0
    for item, key in zip(chunk, keys, strict=True):
        verdict = known.get(key)
        if verdict is None:
            verdict = classify(item.conversation, classifier)
            if verdict is None:
                continue
            known[key] = verdict
            classified += 1
            cost = None if cost is None or verdict.cost_usd is None else cost + verdict.cost_usd
        else:
            cached += 1
            verdict = verdict.model_copy(update={"cost_usd": 0.0, "tokens_in": 0, "tokens_out": 0, "latency_ms": None})
        judged.append(
            JudgedState(
                thread_state_id=item.thread_state_id, gmail_account_id=item.gmail_account_id,
                gmail_thread_id=item.gmail_thread_id, cache_key=key, verdict=verdict,
            )
        )  # fmt: skip
    return judged, ClassificationReport(
        looked_at=len(chunk),
        classified=classified,
        cached=cached,
        skipped_no_words=len(chunk) - len(judged),
        needs_review=sum(item.verdict.needs_review for item in judged),
        cost_usd=cost,
        labels=dict(Counter(item.verdict.label for item in judged)),
    )


def _added(one: ClassificationReport, two: ClassificationReport) -> ClassificationReport:
    cost = None if one.cost_usd is None or two.cost_usd is None else one.cost_usd + two.cost_usd
    return ClassificationReport(
        looked_at=one.looked_at + two.looked_at,
        classified=one.classified + two.classified,
        cached=one.cached + two.cached,
        skipped_no_words=one.skipped_no_words + two.skipped_no_words,
        needs_review=one.needs_review + two.needs_review,
        inserted=one.inserted + two.inserted,
        cost_usd=cost,
        labels=dict(Counter(one.labels) + Counter(two.labels)),
    )
