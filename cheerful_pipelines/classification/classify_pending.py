"""One run over a campaign: read a chunk, judge it with no transaction open, write it, go on. No dagster, no SQL.

What rules settle and what was judged before is written first. What a paid model says is written verdict by verdict,
as it comes: a killed run has paid in vain for no more than the calls under way.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from uuid import UUID

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.classify import Classifier, cache_key, without_model
from cheerful_pipelines.classification.models import (
    CallFailed,
    ClassificationReport,
    JudgedState,
    PendingConversation,
    SpendRow,
    Verdict,
)
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.classification.verdict import Judged, guarded
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.logs import get_logger

_logger = get_logger(__name__)

CHUNK = 200
_CHUNK_PAID = 1_000  # a chunk ends with calls waiting for the slowest
_FAILURES_OF_A_SICK_PROVIDER = 5
_SHARE_OF_A_SICK_PROVIDER = 0.5


def classify_pending(
    store: VerdictStore,
    classifier: Classifier,
    campaign_id: UUID,
    *,
    run_id: str | None,
    budget: Budget | None = None,
    fallback: Classifier | None = None,
) -> ClassificationReport:
    """Give every latest state that needs one a verdict. What was found is kept if something later fails.

    `fallback` judges what a paid classifier could not, under its own version: the conversation stays pending for
    the other, and nobody waits for the first word on it. Raises TransientError where most calls failed; AuthError,
    ConfigurationError and PermanentError where none can succeed.
    """
    run = _Run(store, classifier, campaign_id, run_id, budget or Budget.without_limits())
    try:
        run.everything()
    finally:
        run.use_fallback(fallback)
    report = run.report.model_copy(update={"stopped_because": run.budget.refused})
    asked = report.classified + report.failed
    if report.failed >= _FAILURES_OF_A_SICK_PROVIDER and report.failed > _SHARE_OF_A_SICK_PROVIDER * asked:
        raise TransientError(
            f"{report.failed} of {asked} calls failed; {report.inserted} verdicts are stored, the rest is pending.",
            what_to_do="It is tried again; should it last, look at the provider's status page.",
        )
    return report


def classify_and_leave(
    store: VerdictStore, classifier: Classifier, campaign_id: UUID, *, run_id: str | None
) -> tuple[ClassificationReport, list[tuple[PendingConversation, str]]]:
    """As `classify_pending`, without a fallback; and what got no verdict though it has words, with its cache key."""
    run = _Run(store, classifier, campaign_id, run_id, Budget.without_limits())
    run.everything()
    return run.report, run.left


class _Run:
    """What a run knows so far."""

    def __init__(
        self, store: VerdictStore, classifier: Classifier, campaign_id: UUID, run_id: str | None, budget: Budget
    ) -> None:
        self.report = ClassificationReport()
        self.identity = classifier.identity()
        self.budget = budget
        self.left: list[tuple[PendingConversation, str]] = []
        self._store = store
        self._classifier = classifier
        self._campaign_id = campaign_id
        self._run_id = run_id
        self._known: dict[str, Verdict] = {}  # by cache key, so that twins are judged once

    def everything(self) -> None:
        """Chunk after chunk until nothing is pending. What got no verdict though it has words is in `left`."""
        size = _CHUNK_PAID if self._classifier.is_paid else CHUNK
        for chunk in self._store.pending(self._campaign_id, self.identity.version, chunk_size=size):
            self._chunk(chunk)
            _logger.info("verdicts_stored", looked_at=self.report.looked_at, inserted=self.report.inserted)

    def _chunk(self, chunk: Sequence[PendingConversation]) -> None:
        keys = [cache_key(self.identity, item.conversation) for item in chunk]
        self._known.update(self._store.earlier(set(keys) - self._known.keys()))
        done: list[JudgedState] = []
        to_ask: dict[str, tuple[Judged, list[PendingConversation]]] = {}
        counts: Counter[str] = Counter(looked_at=len(chunk))
        for item, key in zip(chunk, keys, strict=True):
            verdict = self._known.get(key)
            if verdict is not None:
                done.append(judged_state(item, key, free_of_charge(verdict)))
                counts["cached"] += 1
                continue
            if key in to_ask:
                to_ask[key][1].append(item)
                continue
            verdict, judged = without_model(item.conversation)
            if judged is not None:
                to_ask[key] = (judged, [item])
            elif verdict is None:
                counts["skipped_no_words"] += 1
            else:
                self._known[key] = verdict
                done.append(judged_state(item, key, verdict))
                counts["classified"] += 1
        self._add(done, counts, self._save(done))
        self._ask(to_ask)

    def _ask(self, to_ask: Mapping[str, tuple[Judged, list[PendingConversation]]]) -> None:
        """The classifier's answers, stored one by one where they cost something."""
        keys = list(to_ask)
        free: list[JudgedState] = []
        counts: Counter[str] = Counter()
        talks = [to_ask[key][1][0].conversation for key in keys]
        for position, outcome in self._classifier.classify_many(talks, self.budget):
            judged, twins = to_ask[keys[position]]
            if isinstance(outcome, CallFailed):
                self._note_failure(outcome, len(twins))
                self.left += [(twin, keys[position]) for twin in twins]
                continue
            verdict = guarded(outcome, judged)
            self._known[keys[position]] = verdict
            states = [judged_state(twins[0], keys[position], verdict)]
            states += [judged_state(twin, keys[position], free_of_charge(verdict)) for twin in twins[1:]]
            found = Counter(classified=1, cached=len(twins) - 1)
            if self._classifier.is_paid:
                spend = spend_of(verdict)
                self._add(states, found, self._save(states, spend), spend)
            else:
                free += states
                counts += found
        self._add(free, counts, self._save(free))

    def use_fallback(self, fallback: Classifier | None) -> None:
        """A first word on conversations that nobody has judged yet."""
        if fallback is None or not self.left:
            return
        identity = fallback.identity()
        unjudged = self._store.without_any_verdict([item.thread_state_id for item, _ in self.left])
        judged = []
        for item, _ in self.left:
            verdict, words = without_model(item.conversation)
            if words is not None:
                verdict = guarded(fallback.classify(item.conversation), words)
            if item.thread_state_id in unjudged and verdict is not None:
                judged.append(judged_state(item, cache_key(identity, item.conversation), verdict))
        count = self._store.save(judged, identity, run_id=self._run_id)
        self.report = self.report.model_copy(update={"judged_by_fallback": count})

    def _note_failure(self, outcome: CallFailed, twins: int) -> None:
        if outcome.is_for_later:
            self._add([], Counter(left_pending=twins), 0)
            return
        spend = SpendRow(
            calls=1, tokens_in=outcome.usage.tokens_in, tokens_out=outcome.usage.tokens_out, cost_usd=outcome.cost_usd
        )
        self._save([], spend)
        self._add([], Counter(failed=twins), 0, spend)

    def _save(self, judged: Sequence[JudgedState], spend: SpendRow | None = None) -> int:
        return self._store.save(
            judged, self.identity, run_id=self._run_id, campaign_id=self._campaign_id, spend=spend
        )  # fmt: skip

    def _add(
        self, judged: Sequence[JudgedState], counts: Mapping[str, int], inserted: int, spend: SpendRow | None = None
    ) -> None:
        before = self.report
        cost = before.cost_usd
        if spend is not None:
            cost = None if cost is None or spend.cost_usd is None else cost + spend.cost_usd
        self.report = before.model_copy(
            update={
                **{name: getattr(before, name) + count for name, count in counts.items()},
                "inserted": before.inserted + inserted,
                "needs_review": before.needs_review + sum(item.verdict.needs_review for item in judged),
                "labels": dict(Counter(before.labels) + Counter(item.verdict.label for item in judged)),
                "calls": before.calls + (spend.calls if spend else 0),
                "tokens_in": before.tokens_in + (spend.tokens_in if spend else 0),
                "tokens_out": before.tokens_out + (spend.tokens_out if spend else 0),
                "cost_usd": cost,
            }
        )


def judged_state(item: PendingConversation, key: str, verdict: Verdict) -> JudgedState:
    """A verdict on a state, ready to be stored."""
    return JudgedState(
        thread_state_id=item.thread_state_id, gmail_account_id=item.gmail_account_id,
        gmail_thread_id=item.gmail_thread_id, cache_key=key, verdict=verdict,
    )  # fmt: skip


def free_of_charge(verdict: Verdict) -> Verdict:
    """The same verdict on an equal conversation: nothing was asked for it."""
    return verdict.model_copy(update={"cost_usd": 0.0, "tokens_in": 0, "tokens_out": 0, "latency_ms": None})


def spend_of(verdict: Verdict) -> SpendRow:
    """What one verdict took."""
    return SpendRow(
        calls=1, tokens_in=verdict.tokens_in or 0, tokens_out=verdict.tokens_out or 0, cost_usd=verdict.cost_usd
    )
