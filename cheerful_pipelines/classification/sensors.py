"""Two sensors: a new classifier is evaluated before it judges, and a batch is taken in when its provider is done."""

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.golden.golden_set import golden_version
from cheerful_pipelines.classification.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.llm_store import LlmStore
from cheerful_pipelines.errors import CheerfulError
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.orchestration.retries import Work
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


class EvaluationCursor(Cursor):
    """The classifier and golden set that were evaluated."""

    evaluated: str = ""


@work_sensor(
    name="classifier_versions",
    kinds=["evaluation"],
    cursor=EvaluationCursor,
    target=dg.AssetSelection.assets("classifier_evaluation"),
    minimum_interval_seconds=60,
    description="Asks for an evaluation of a classifier (model, prompt, taxonomy, rules) that has none yet. Until it "
    "has passed, the embedded default judges.",
)
def classifier_versions(
    tick: Tick[EvaluationCursor],
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run per version, and another when the table of retries says so."""
    database = database.for_every_client()
    identity = classifier.identity()
    name = f"{identity.version}:{golden_version()}"
    if tick.cursor.evaluated == name or _was_materialized(tick, database, identity.version):
        if tick.cursor.evaluated != name:
            tick.work(database, [], up_to_date=["evaluation"])
        tick.keep(evaluated=name)
        return dg.SkipReason(f"{identity.provider} ({identity.version}) was evaluated.")
    requests = tick.requests(tick.work(database, [Work("evaluation", name)]), tags={"cheerful/trigger": "classifier"})
    return requests or dg.SkipReason(f"{identity.provider} ({identity.version}) is being evaluated, or waits.")


def _was_materialized(tick: Tick[EvaluationCursor], database: Database, version: str) -> bool:
    """Evaluated, and so that the UI shows it: a free classifier may have passed the gate on the spot."""
    if LlmStore(database).evaluation(version, golden_version()) is None:
        return False
    event = tick.instance.get_latest_materialization_event(dg.AssetKey("classifier_evaluation"))
    if event is None or event.asset_materialization is None:
        return False
    shown = event.asset_materialization.metadata.get("classifier_version")
    return shown is not None and shown.value == version


@work_sensor(
    name="llm_batch_results",
    kinds=["batch"],
    target=dg.AssetSelection.assets("batch_verdicts"),
    minimum_interval_seconds=60,
    description="Asks the provider whether batches have ended, and has ended ones taken in.",
)
def llm_batch_results(
    tick: Tick[Cursor],
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> list[dg.RunRequest] | dg.SkipReason:
    """One question per batch and tick; none without a batch."""
    database = database.for_every_client()
    store = LlmStore(database)
    batches = store.open_batches()
    units = {str(batch.id): f"batch:{batch.campaign_slug}:{batch.id}" for batch in batches}
    tick.work(database, [], up_to_date=[unit for unit in tick.failures(database) if unit not in units.values()])
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
    due = tick.work(database, [Work(units[str(batch.id)], "ended") for batch in ended])
    by_unit = {units[str(batch.id)]: batch for batch in ended}
    requests = [
        dg.RunRequest(
            partition_key=by_unit[one.unit].campaign_slug,
            run_key=one.key,
            tags={
                "cheerful/campaign": by_unit[one.unit].campaign_slug, "cheerful/trigger": "batch", **tick.tags(one)
            },
        )
        for one in due
    ]  # fmt: skip
    return requests or dg.SkipReason(f"{len(ended)} batches are being taken in, or wait for their next try.")


SENSORS = [classifier_versions, llm_batch_results]
