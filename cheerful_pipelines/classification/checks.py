"""Checks on verdicts: each is consistent, and none is missing."""

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.consistency import problems
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.failures import dagster_failures
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.storage.engine import Database

_SHOWN = 20


@dg.asset_check(
    asset="thread_classifications",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Every verdict on a newest thread state has a label of the taxonomy and quotes words of the mail.",
)
def verdicts_are_consistent(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Labels known, quotations real."""
    with dagster_failures():
        store = VerdictStore(database)
        verdicts = store.latest_verdicts(store.campaign_id(context.partition_key))
    found = problems(verdicts)
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"verdicts": len(verdicts), "problems": len(found), "first": "\n".join(found[:_SHOWN]) or "none"},
    )


@dg.asset_check(
    asset="thread_classifications",
    partitions_def=CAMPAIGN_PARTITIONS,
    description="Every newest thread state in which a person wrote to us has a verdict by the current classifier.",
)
def every_answer_has_a_verdict(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> dg.AssetCheckResult:
    """Nothing with human words is left unjudged."""
    with dagster_failures():
        store = VerdictStore(database)
        missing = store.unjudged(store.campaign_id(context.partition_key), classifier.identity().version)
    return dg.AssetCheckResult(
        passed=not missing,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "unjudged": len(missing),
            "first": ", ".join(map(str, missing[:_SHOWN])) or "none",
            "what_to_do": "Rematerialize thread_classifications for this campaign.",
        },
    )


CHECKS = [verdicts_are_consistent, every_answer_has_a_verdict]
SENSORS: list[dg.SensorDefinition] = []
"""None of its own: the fan-out sensor of the threads requests verdicts with the threads."""
