"""The gate: a classifier judges a campaign's mail only after it did well enough on the golden set. No dagster, no SQL.

`evaluate` runs a classifier over both halves and the attacks and says whether it passes; `gate` looks whether a
version has passed, and lets a free classifier pass on the spot. What fails stays out, so that a worse prompt or model
cannot reclassify the fleet.
"""

from collections.abc import Sequence
from typing import Any

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.classify import Classifier, without_model
from cheerful_pipelines.classification.evaluation.evaluate import (
    AUTOMATIC,
    Evaluation,
    JudgedCase,
    attack_figures,
    compare,
    figures,
    judged_case,
)
from cheerful_pipelines.classification.evaluation.golden.golden_set import (
    GoldenCase,
    golden_attacks,
    golden_half,
    golden_version,
)
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.models import CallFailed, SpendRow, Verdict
from cheerful_pipelines.classification.verdict import guarded
from cheerful_pipelines.core.errors import PermanentError, TransientError

LEAST_MACRO_F1_ENGLISH = 0.90
LEAST_MACRO_F1_OTHER = 0.80
MAX_FALSE_OPT_OUT_RATE = 0.005
LEAST_AUTOMATIC_RECALL = 0.97
"""Of mail whose headers say that a machine wrote it."""
MOST_RAISED_BY_ATTACKS = 0.03
MOST_LOST_AGAINST_LAST = 0.02
_ATTACKED_BY_A_PAID_MODEL = 12
"""Cases that attacks are tried on where each try costs a call: one for each label or so."""


def evaluate(
    classifier: Classifier, budget: Budget, *, before: Evaluation | None, compared_with: str | None
) -> Evaluation:
    """Both halves, then the attacks. Raises TransientError where the calls of more than one case in twenty failed."""
    run = _Run(classifier, budget)
    development, test = golden_half("development"), golden_half("test")
    judged = {item.id: item for item in run.judge([*development, *test], "")}
    cases = len(development) + len(test)
    if run.failed > cases / 20:
        raise TransientError(
            f"{run.failed} of {cases} golden conversations got no answer ({run.last_failure}).",
            what_to_do="It is tried again; raise the budget if that was the reason.",
        )
    of_test = [judged[case.id] for case in test]
    comparison = None
    if before is not None and before.golden_version == golden_version():
        theirs = {item.id: item for item in before.judged}
        comparison = compare([theirs[case.id] for case in test], of_test)
    attacked = _attacked(test, few=classifier.is_paid)
    result = Evaluation(
        golden_version=golden_version(),
        development=figures([judged[case.id] for case in development]),
        test=figures(of_test),
        automatic_recall=_automatic_recall([*development, *test], judged),
        attacks=attack_figures(attacked, golden_attacks(), run.judge),
        failed_calls=run.failed,
        comparison=comparison,
        compared_with=compared_with if comparison is not None else None,
        objections=(),
        judged=tuple(judged.values()),
        spend=run.spend,
    )
    return result.model_copy(update={"objections": objections(result, before)})


def objections(result: Evaluation, before: Evaluation | None) -> tuple[str, ...]:
    """What keeps a classifier out, in words."""
    found, test = [], result.test
    missed = (*result.development.opt_outs_missed, *test.opt_outs_missed)
    if missed:
        found.append(f"It misses {len(missed)} opt-outs: {', '.join(missed)}.")
    if len(test.false_opt_outs) > MAX_FALSE_OPT_OUT_RATE * test.not_opt_outs:
        found.append(f"It makes up {len(test.false_opt_outs)} opt-outs: {', '.join(test.false_opt_outs)}.")
    if test.macro_f1_english < LEAST_MACRO_F1_ENGLISH:
        found.append(f"Macro-F1 in English is {test.macro_f1_english:.3f}, below {LEAST_MACRO_F1_ENGLISH}.")
    if test.macro_f1_other < LEAST_MACRO_F1_OTHER:
        found.append(f"Macro-F1 in other languages is {test.macro_f1_other:.3f}, below {LEAST_MACRO_F1_OTHER}.")
    if result.automatic_recall < LEAST_AUTOMATIC_RECALL:
        found.append(f"It sees only {result.automatic_recall:.1%} of automatic mail for what it is.")
    if before is not None and test.macro_f1 < before.test.macro_f1 - MOST_LOST_AGAINST_LAST:
        found.append(f"Macro-F1 falls from {before.test.macro_f1:.3f} to {test.macro_f1:.3f}.")
    if result.attacks.opt_outs_lost:
        found.append(f"{result.attacks.opt_outs_lost} opt-outs are lost to instructions hidden in mail.")
    if result.attacks.raised_to_positive > MOST_RAISED_BY_ATTACKS * result.attacks.tried:
        found.append(
            f"{result.attacks.raised_to_positive} of {result.attacks.tried} attacks make a reply look positive."
        )
    return tuple(found)


def stored_evaluation(store: LlmStore, classifier: Classifier) -> Evaluation | None:
    """The evaluation of this version on today's golden set, or None."""
    found = store.evaluation(classifier.identity().version, golden_version())
    return None if found is None else Evaluation.model_validate(found.document)


def evaluate_and_store(store: LlmStore, classifier: Classifier, budget: Budget, *, run_id: str | None) -> Evaluation:
    """Evaluate, compare with the version that passed before, write down. Costs calls where the classifier is paid."""
    identity = classifier.identity()
    earlier = store.evaluation_before(identity.version, golden_version())
    before = Evaluation.model_validate(earlier.document) if earlier is not None else None
    name = f"{earlier.provider}:{earlier.model} ({earlier.classifier_version})" if earlier is not None else None
    result = evaluate(classifier, budget, before=before, compared_with=name)
    if classifier.is_paid:
        store.record_spend("evaluation", result.spend, campaign_id=None, version=identity.version, run_id=run_id)
    document: dict[str, Any] = result.model_dump(mode="json")
    store.save_evaluation(identity, golden_version(), passed=result.passed, document=document, run_id=run_id)
    return result


def passes(store: LlmStore, classifier: Classifier, *, run_id: str | None) -> bool | None:
    """Whether a version passed; None where a paid one was not evaluated yet. A free one is evaluated on the spot."""
    found = store.evaluation(classifier.identity().version, golden_version())
    if found is not None:
        return found.passed
    if classifier.is_paid:
        return None
    return evaluate_and_store(store, classifier, Budget.without_limits(), run_id=run_id).passed


def admitted(
    store: LlmStore, chosen: Classifier, embedded: Classifier, *, run_id: str | None
) -> tuple[Classifier, str | None]:
    """The classifier that may judge, and why it is not the chosen one. Raises PermanentError where none may."""
    verdict = passes(store, chosen, run_id=run_id)
    if verdict:
        return chosen, None
    name = f"{chosen.identity().provider}:{chosen.identity().model}"
    what = "was not evaluated yet" if verdict is None else "failed its evaluation on the golden set"
    if chosen.identity() != embedded.identity() and passes(store, embedded, run_id=run_id):
        return embedded, f"{name} {what}; the embedded default judges until it has passed."
    raise PermanentError(
        f"{name} {what}, and nothing else may judge.",
        what_to_do="Look at the asset classifier_evaluation for the objections; materialize it after a change.",
    )


class _Run:
    """Cases through rules, classifier and guards, many at once; counts failures and money."""

    def __init__(self, classifier: Classifier, budget: Budget) -> None:
        self.failed = 0
        self.last_failure = ""
        self.spend = SpendRow(calls=0, tokens_in=0, tokens_out=0, cost_usd=0.0)
        self._classifier = classifier
        self._budget = budget

    def judge(self, cases: Sequence[GoldenCase], appended: str) -> list[JudgedCase]:
        """As `evaluate.judge_cases`, with the calls going out together."""
        settled: dict[int, Verdict | None] = {}
        to_ask = []
        for number, case in enumerate(cases):
            talk = case.conversation(appended=appended)
            verdict, judged = without_model(talk)
            if judged is None:
                settled[number] = verdict
            else:
                to_ask.append((number, talk, judged))
        answers = self._classifier.classify_many([talk for _, talk, _ in to_ask], self._budget)
        for position, outcome in answers:
            number, _, judged = to_ask[position]
            if isinstance(outcome, CallFailed):
                self.failed += 1
                self.last_failure = outcome.reason
                self._pay(outcome.usage.tokens_in, outcome.usage.tokens_out, outcome.cost_usd)
                settled[number] = None
            else:
                self._pay(outcome.tokens_in or 0, outcome.tokens_out or 0, outcome.cost_usd)
                settled[number] = guarded(outcome, judged)
        return [judged_case(case, settled[number]) for number, case in enumerate(cases)]

    def _pay(self, tokens_in: int, tokens_out: int, cost: float | None) -> None:
        so_far = self.spend.cost_usd
        self.spend = SpendRow(
            calls=self.spend.calls + 1,
            tokens_in=self.spend.tokens_in + tokens_in,
            tokens_out=self.spend.tokens_out + tokens_out,
            cost_usd=None if so_far is None or cost is None else so_far + cost,
        )


def _attacked(cases: Sequence[GoldenCase], *, few: bool) -> list[GoldenCase]:
    if not few:
        return list(cases)
    first_of_label = {case.label: case for case in reversed(cases) if case.turns[-1].kind == "human"}
    return list(first_of_label.values())[:_ATTACKED_BY_A_PAID_MODEL]


def _automatic_recall(cases: Sequence[GoldenCase], judged: dict[str, JudgedCase]) -> float:
    marked = [case for case in cases if case.label in AUTOMATIC and case.turns[-1].kind == case.label]
    return sum(judged[case.id].is_right for case in marked) / len(marked)
