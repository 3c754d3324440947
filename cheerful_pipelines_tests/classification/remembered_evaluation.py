"""The evaluation of the embedded classifier, made once a test process: it is the same for every database."""

from collections.abc import Callable
from typing import Any

from cheerful_pipelines.classification.evaluation.evaluate import Evaluation
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier


def remembering(evaluate: Callable[..., Evaluation]) -> Callable[..., Evaluation]:
    """`evaluate`, but the embedded classifier with nothing to be compared with is evaluated the first time only."""
    known: dict[str, Evaluation] = {}

    def evaluation(classifier: Any, budget: Any, *, before: Evaluation | None, compared_with: str | None) -> Evaluation:
        if before is not None or not isinstance(classifier, LocalClassifier):
            return evaluate(classifier, budget, before=before, compared_with=compared_with)
        version = classifier.identity().version
        if version not in known:
            known[version] = evaluate(classifier, budget, before=None, compared_with=None)
        return known[version]

    return evaluation
