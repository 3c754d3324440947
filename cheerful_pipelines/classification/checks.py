"""Checks on the classifier (golden set, attacks) and on verdicts (consistent, none missing, mixed as before)."""

import dagster as dg

from cheerful_pipelines.campaigns.store import database_of_campaign
from cheerful_pipelines.classification import drift
from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.consistency import problems
from cheerful_pipelines.classification.evaluation.evaluate import Evaluation
from cheerful_pipelines.classification.evaluation.run_evaluation import stored_evaluation
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.orchestration.campaign_checks import campaign_check
from cheerful_pipelines.orchestration.failures import dagster_failures
from cheerful_pipelines.storage.engine import Database

_SHOWN = 20


def _evaluation(database: Database, classifier: Classifier) -> Evaluation | None:
    with dagster_failures():
        return stored_evaluation(LlmStore(database.for_every_client()), classifier)


_NOT_EVALUATED = dg.AssetCheckResult(
    passed=False, severity=dg.AssetCheckSeverity.WARN, description="This classifier was not evaluated yet."
)


@dg.asset_check(
    asset="classifier_evaluation",
    blocking=True,
    description="The chosen classifier misses no opt-out of the golden set, makes up almost none, keeps its bars of "
    "macro-F1 and is not worse than the version before. While it fails, the classifier judges no campaign.",
)
def golden_set(database: dg.ResourceParam[Database], classifier: dg.ResourceParam[Classifier]) -> dg.AssetCheckResult:
    """The gate, as people see it; the gate itself is in `evaluation.admitted`."""
    result = _evaluation(database, classifier)
    if result is None:
        return _NOT_EVALUATED
    return dg.AssetCheckResult(
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(result.objections) or "No objection.",
        metadata={"macro_f1": result.test.macro_f1, "opt_outs_missed": len(result.test.opt_outs_missed)},
    )


@dg.asset_check(
    asset="classifier_evaluation",
    blocking=True,
    description="Instructions hidden in golden replies lose no opt-out.",
)
def attacks_on_golden_set(
    database: dg.ResourceParam[Database], classifier: dg.ResourceParam[Classifier]
) -> dg.AssetCheckResult:
    """Label flips are shown, a lost opt-out is an error."""
    result = _evaluation(database, classifier)
    if result is None:
        return _NOT_EVALUATED
    return dg.AssetCheckResult(
        passed=result.attacks.opt_outs_lost == 0,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata=result.attacks.model_dump(),
    )


@campaign_check(
    asset="thread_classifications",
    description="The labels of the last day are mixed much as those of the 28 days before. A warning, never an error.",
)
def labels_are_mixed_as_before(slug: str, database: Database) -> dg.AssetCheckResult:
    """Compare by the population stability index; silent below fifty new verdicts."""
    store = VerdictStore(database_of_campaign(database, slug))
    mix = store.label_mix(store.campaign_id(slug))
    found = drift.warning(mix)
    return dg.AssetCheckResult(
        passed=found is None,
        severity=dg.AssetCheckSeverity.WARN,
        description=found or "No large change, or too few new verdicts to tell.",
        metadata={
            "recent": sum(mix.recent.values()),
            "earlier": sum(mix.earlier.values()),
            "stability_index": drift.stability_index(mix.recent, mix.earlier),
        },
    )


@campaign_check(
    asset="thread_classifications",
    description="Every verdict on a newest thread state has a label of the taxonomy and quotes words of the mail.",
)
def verdicts_are_consistent(slug: str, database: Database) -> dg.AssetCheckResult:
    """Check that labels are known and quotations are found in the mail."""
    store = VerdictStore(database_of_campaign(database, slug))
    verdicts = store.latest_verdicts(store.campaign_id(slug))
    found = problems(verdicts)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"verdicts": len(verdicts), "problems": len(found), "first": "\n".join(found[:_SHOWN]) or "none"},
    )


@campaign_check(
    asset="thread_classifications",
    description="Every newest thread state in which a person wrote to us has a verdict; by the current classifier, or "
    "(then this warns) by the one before until budget, provider or batch allow.",
)
def every_answer_has_a_verdict(slug: str, database: Database, classifier: Classifier) -> dg.AssetCheckResult:
    """Fail while a reply has no verdict at all, or waits for the embedded classifier, which never has to wait."""
    store = VerdictStore(database_of_campaign(database, slug))
    pending = store.unjudged(store.campaign_id(slug), classifier.identity().version)
    missing = sorted(store.without_any_verdict(pending)) if pending else []
    return dg.AssetCheckResult(
        passed=not (missing or (pending and not classifier.is_paid)),
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{len(pending)} wait for the current classifier." if pending else None,
        metadata={
            "unjudged": len(missing),
            "pending_for_current_classifier": len(pending),
            "first": ", ".join(map(str, (missing or pending)[:_SHOWN])) or "none",
            "what_to_do": "Rematerialize thread_classifications for this campaign.",
        },
    )


CHECKS = [
    golden_set,
    attacks_on_golden_set,
    verdicts_are_consistent.definition,
    every_answer_has_a_verdict.definition,
    labels_are_mixed_as_before.definition,
]
