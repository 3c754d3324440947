"""Two sensors: a new classifier is evaluated before it judges, and a batch is taken in when its provider is done."""

from datetime import UTC, datetime

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.golden.golden_set import golden_version
from cheerful_pipelines.classification.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.llm_store import LlmStore
from cheerful_pipelines.errors import CheerfulError
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


@dg.sensor(
    name="classifier_versions",
    target=dg.AssetSelection.assets("classifier_evaluation"),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for an evaluation of a classifier (model, prompt, taxonomy, rules) that has none yet. Until it "
    "has passed, the embedded default judges.",
)
def classifier_versions(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> dg.RunRequest | dg.SkipReason:
    """One run a version and day: an evaluation that failed for a passing reason is tried again tomorrow."""
    version = classifier.identity().version
    name = f"{version}:{golden_version()}"
    if context.cursor == name:
        return dg.SkipReason(f"{classifier.identity().provider} ({version}) was evaluated.")
    if _was_materialized(context, database, version):
        context.update_cursor(name)
        return dg.SkipReason(f"{classifier.identity().provider} ({version}) was evaluated.")
    return dg.RunRequest(
        run_key=f"evaluation:{name}:{datetime.now(UTC):%Y-%m-%d}", tags={"cheerful/trigger": "classifier"}
    )


def _was_materialized(context: dg.SensorEvaluationContext, database: Database, version: str) -> bool:
    """Evaluated, and so that the UI shows it: a free classifier may have passed the gate on the spot."""
    if LlmStore(database.for_every_client()).evaluation(version, golden_version()) is None:
        return False
    event = context.instance.get_latest_materialization_event(dg.AssetKey("classifier_evaluation"))
    if event is None or event.asset_materialization is None:
        return False
    shown = event.asset_materialization.metadata.get("classifier_version")
    return shown is not None and shown.value == version


@dg.sensor(
    name="llm_batch_results",
    target=dg.AssetSelection.assets("batch_verdicts"),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks the provider whether batches have ended, and has ended ones taken in.",
)
def llm_batch_results(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> dg.SensorResult | dg.SkipReason:
    """One question a batch and tick; none without a batch."""
    store = LlmStore(database.for_every_client())
    batches = store.open_batches()
    if not batches:
        return dg.SkipReason("No batch is under way.")
    if not isinstance(classifier, LlmClassifier):
        return dg.SkipReason(f"{len(batches)} batches wait for a provider that CHEERFUL_CLASSIFIER no longer names.")
    ended, troubles = [], []
    for batch in batches:
        if batch.status == "submitted" and batch.handle is not None:
            try:
                is_over, handle = classifier.batch_has_ended(batch.handle)
            except CheerfulError as error:  # the others are asked all the same; this one at the next tick
                logger.warning("batch_not_asked", batch=str(batch.id), error=type(error).__name__)
                troubles.append(str(error))
                continue
            store.renew_batch(batch.id, status="ended" if is_over else "submitted", handle=handle)
            if is_over:
                ended.append(batch)
        elif batch.status == "ended":
            ended.append(batch)
    if not ended:
        return dg.SkipReason("; ".join(troubles) or f"{len(batches)} batches are with the provider.")
    # A take-in that failed for a passing reason is asked for again every ten minutes.
    now = datetime.now(UTC)
    window = f"{now:%Y-%m-%dT%H}:{now.minute // 10}"
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                partition_key=batch.campaign_slug,
                run_key=f"batch:{batch.id}:{window}",
                tags={"cheerful/campaign": batch.campaign_slug, "cheerful/trigger": "batch"},
            )
            for batch in ended
        ]
    )


SENSORS = [classifier_versions, llm_batch_results]
