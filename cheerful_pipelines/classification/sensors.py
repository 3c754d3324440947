"""Two sensors: a new classifier is evaluated before it judges, and a batch is taken in when its provider is done."""

from collections.abc import Mapping

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.evaluation.golden.golden_set import golden_version
from cheerful_pipelines.classification.llm.batch_run import unit_of_batch
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.models import OpenBatch
from cheerful_pipelines.core.errors import SlowCallError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.orchestration.failures import failure_class_of, told
from cheerful_pipelines.orchestration.retries import Work, may_be_tried
from cheerful_pipelines.orchestration.side_by_side import SideBySide, whom_to_poll
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_sensor
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

BATCHES_A_TICK = 100
QUESTIONS_AT_ONCE = 8
QUESTION_SECONDS_A_TICK = 25.0
"""Dagster ends a tick after 60 s. A question ends by itself (llm_deadlines.py)."""
SILENT_QUESTIONS = 3
"""A batch that got no answer so often in a row waits by the table; before that it is asked last in each tick."""

_QUESTIONS = SideBySide(at_once=QUESTIONS_AT_ONCE, seconds=QUESTION_SECONDS_A_TICK)


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


class BatchCursor(Cursor):
    """Where the questions stopped."""

    go_on_at: str = ""
    not_reached: tuple[str, ...] = ()
    silent: dict[str, int] = {}  # noqa: RUF012  # a field of a frozen model, which pydantic copies
    """Questions in a row that were not answered, by batch."""


@work_sensor(
    name="llm_batch_results",
    kinds=["batch"],
    cursor=BatchCursor,
    target=dg.AssetSelection.assets("batch_verdicts"),
    minimum_interval_seconds=60,
    description="Asks the provider, side by side, whether batches have ended, and has ended ones taken in.",
)
def llm_batch_results(
    tick: Tick[BatchCursor],
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
) -> list[dg.RunRequest] | dg.SkipReason:
    """One question per batch and tick; none without a batch. A batch that gets no answer delays itself only."""
    database = database.for_every_client()
    batches = {str(batch.id): batch for batch in LlmStore(database).open_batches()}
    units = {unit_of_batch(batch) for batch in batches.values()}
    tick.work(database, [], up_to_date=[unit for unit in tick.failures(database) if unit not in units])
    if not batches:
        return dg.SkipReason("No batch is under way.")
    if not isinstance(classifier, LlmClassifier):
        return dg.SkipReason(f"{len(batches)} batches wait for a provider that CHEERFUL_CLASSIFIER no longer names.")
    over, troubles = _ask(tick, batches, classifier, database)
    ended = {unit_of_batch(one): one for name, one in batches.items() if one.status == "ended" or name in over}
    if not ended:
        return dg.SkipReason("; ".join(troubles) or f"{len(batches)} batches are with the provider.")
    requests = [
        dg.RunRequest(
            partition_key=ended[one.unit].campaign_slug,
            run_key=one.key,
            tags={"cheerful/campaign": ended[one.unit].campaign_slug, "cheerful/trigger": "batch", **tick.tags(one)},
        )
        for one in tick.work(database, [Work(unit, "ended") for unit in ended])
    ]
    return requests or dg.SkipReason(f"{len(ended)} batches are being taken in, or wait for their next try.")


def _ask(
    tick: Tick[BatchCursor], batches: Mapping[str, OpenBatch], classifier: LlmClassifier, database: Database
) -> tuple[set[str], list[str]]:
    """(batches that the provider is done with, why others gave no answer). Whoever gave none is asked last."""
    failures, cursor, store = tick.failures(database), tick.cursor, LlmStore(database)
    handles = {
        name: batch.handle
        for name, batch in batches.items()
        if batch.status == "submitted" and batch.handle is not None
        and ((before := failures.get(unit_of_batch(batch))) is None or may_be_tried(before, tick.now))
    }  # fmt: skip
    turn = whom_to_poll(
        list(handles), go_on_at=cursor.go_on_at, not_reached=cursor.not_reached, slow=cursor.silent, most=BATCHES_A_TICK
    )
    answers = _QUESTIONS.ask(turn.names, lambda name: classifier.batch_has_ended(handles[name]), slow=cursor.silent)
    over, answered, errors = set[str](), list[str](), dict[str, BaseException]()
    for name in (*answers.late, *answers.hanging):
        errors[name] = SlowCallError("The provider did not answer in time how a batch is.")
    for name, answer in answers.answered.items():
        if isinstance(answer, BaseException):
            errors[name] = answer
            continue
        is_over, handle = answer
        store.renew_batch(batches[name].id, status="ended" if is_over else "submitted", handle=handle)
        answered.append(unit_of_batch(batches[name]))
        over |= {name} if is_over else set()
    tick.work(database, [], up_to_date=answered)
    for name, error in errors.items():
        _note_silence(tick, batches[name], error, database)
    silent = {name: cursor.silent.get(name, 0) + 1 for name in errors}
    others = {name: count for name, count in cursor.silent.items() if name not in turn.names and name in batches}
    tick.keep(go_on_at=turn.go_on_at, not_reached=tuple(answers.not_asked), silent={**others, **silent})
    return over, sorted({told(error)[0] for error in errors.values()})


def _note_silence(tick: Tick[BatchCursor], batch: OpenBatch, error: BaseException, database: Database) -> None:
    """What an unanswered question means for its batch. A passing one counts only after some in a row."""
    logger.warning("batch_not_asked", batch=str(batch.id), error=type(error).__name__)
    kind = failure_class_of(error)
    if kind == "transient" and tick.cursor.silent.get(str(batch.id), 0) + 1 < SILENT_QUESTIONS:
        return
    summary, what_to_do = told(error)
    WorkFailureStore(database).record(
        unit_of_batch(batch), kind, at=tick.now, error=type(error).__name__, summary=summary, what_to_do=what_to_do
    )


SENSORS = [classifier_versions, llm_batch_results]
