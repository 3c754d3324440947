"""Handing a campaign's pending conversations in as one batch, and taking the results in. No dagster, no SQL.

Batches cost about half and take up to a day: right for backfills and for judging again after a change. What is in a
batch is not asked live meanwhile; what a batch does not answer is pending again.
"""

from collections.abc import Iterator, Sequence
from uuid import UUID

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.classify_pending import classify_and_leave, judged_state
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.models import (
    CallFailed,
    ClassificationReport,
    ClassifierIdentity,
    Conversation,
    JudgedState,
    OpenBatch,
    PendingConversation,
    SpendRow,
    Verdict,
)
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.classification.verdict import guarded, human_words
from cheerful_pipelines.core.errors import ConfigurationError, PermanentError

MOST_REQUESTS = 10_000


class _AsksNobody:
    """A classifier of the same identity that leaves everything for the batch."""

    is_paid = True

    def __init__(self, identity: ClassifierIdentity) -> None:
        self._identity = identity

    def identity(self) -> ClassifierIdentity:
        return self._identity

    def classify(self, conversation: Conversation) -> Verdict:
        raise PermanentError("This classifier only collects what a batch will be asked.")

    def classify_many(
        self, conversations: Sequence[Conversation], budget: Budget
    ) -> Iterator[tuple[int, Verdict | CallFailed]]:
        for position in range(len(conversations)):
            yield position, CallFailed(reason="left for the batch", is_for_later=True)


class HandedIn(ClassificationReport):
    """What a hand-in did. `requests` 0: there was nothing to ask, or no money for it."""

    requests: int = 0
    estimated_usd: float | None = None
    batch_id: UUID | None = None


def hand_in(
    verdicts: VerdictStore,
    llm: LlmStore,
    classifier: LlmClassifier,
    campaign_id: UUID,
    budget: Budget,
    *,
    run_id: str,
    most: int = MOST_REQUESTS,
) -> HandedIn:
    """Store what rules and earlier verdicts settle, hand in the rest as far as the budget goes. Raises CheerfulError.

    The intent is written down first: a crash in between leaves a batch that is called lost after an hour.
    """
    identity = classifier.identity()
    report, left = classify_and_leave(verdicts, _AsksNobody(identity), campaign_id, run_id=run_id)
    once: dict[str, PendingConversation] = {}
    for item, key in left:
        once.setdefault(key, item)
    chosen: dict[int, tuple[str, PendingConversation]] = {}
    for key, item in list(once.items())[:most]:
        estimate = classifier.estimate([item.conversation])
        if not budget.reserve(estimate.usd_as_batch):
            break
        chosen[item.thread_state_id] = (key, item)
    if not chosen:
        return HandedIn(**report.model_dump(exclude={"stopped_because"}), stopped_because=budget.refused)
    items = {state_id: key for state_id, (key, _) in chosen.items()}
    usd = budget.run_usd if budget.unpriced_calls == 0 and budget.run_usd else None
    batch_id = llm.begin_batch(campaign_id, identity.version, items, estimated_usd=usd, run_id=run_id)
    talks = {custom_id(state_id): item.conversation for state_id, (_, item) in chosen.items()}
    handle = classifier.submit_batch(talks)
    llm.renew_batch(batch_id, status="submitted", handle=handle)
    return HandedIn(
        **report.model_dump(exclude={"stopped_because"}), stopped_because=budget.refused, requests=len(chosen),
        estimated_usd=usd, batch_id=batch_id,
    )  # fmt: skip


def take_in(
    verdicts: VerdictStore,
    llm: LlmStore,
    classifier: LlmClassifier,
    campaign_id: UUID,
    batch: OpenBatch,
    *,
    run_id: str,
) -> ClassificationReport:
    """Store the results of an ended batch, once, with what they cost. Raises CheerfulError."""
    if batch.handle is None:
        raise ConfigurationError(
            f"The batch {batch.id} was never handed in.", what_to_do="It is given up after an hour."
        )
    items = llm.batch_items(batch.id)
    states = {item.thread_state_id: item for item in verdicts.states(items.keys())}
    talks = {custom_id(state_id): item.conversation for state_id, item in states.items()}
    outcomes = classifier.batch_outcomes(batch.handle, talks)
    judged: list[JudgedState] = []
    failed = tokens_in = tokens_out = 0
    cost: float | None = 0.0
    for state_id, item in states.items():
        outcome = outcomes[custom_id(state_id)]
        usage = outcome.usage if isinstance(outcome, CallFailed) else outcome
        tokens_in, tokens_out = tokens_in + (usage.tokens_in or 0), tokens_out + (usage.tokens_out or 0)
        cost = None if cost is None or outcome.cost_usd is None else cost + outcome.cost_usd
        words = human_words(item.conversation)
        if isinstance(outcome, CallFailed) or words is None:
            failed += 1
            continue
        judged.append(judged_state(item, items[state_id], guarded(outcome, words)))
    spend = SpendRow(calls=len(states), tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost)
    inserted = verdicts.save_batch(
        judged, _identity_of(batch, classifier), batch.id, campaign_id=campaign_id, spend=spend, run_id=run_id
    )
    return ClassificationReport(
        looked_at=len(items), classified=len(judged), inserted=inserted, failed=failed, calls=spend.calls,
        tokens_in=tokens_in, tokens_out=tokens_out, cost_usd=cost,
        needs_review=sum(item.verdict.needs_review for item in judged),
    )  # fmt: skip


def custom_id(thread_state_id: int) -> str:
    """As both providers take it: letters, digits, - and _."""
    return f"state-{thread_state_id}"


def unit_of_batch(batch: OpenBatch) -> str:
    """The unit of work that taking it in is (orchestration/retries.py)."""
    return f"batch:{batch.campaign_slug}:{batch.id}"


def _identity_of(batch: OpenBatch, classifier: LlmClassifier) -> ClassifierIdentity:
    identity = classifier.identity()
    if identity.version == batch.classifier_version:
        return identity
    return identity.model_copy(
        update={"version": batch.classifier_version, "prompt_version": "changed since the batch"}
    )  # fmt: skip
