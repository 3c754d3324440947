"""Many campaigns brought up to date in one run: where a hundred mailboxes get mail at once, runs of one cost minutes.

Does what `campaign_refresh` does for one, by the same functions, one campaign after the other, and logs what each
asset's own run would: a materialization and the checks' results for each partition. The replay of a sample stays with
the runs of one and with the night.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cheerful_pipelines.classification import checks as classification_checks
from cheerful_pipelines.classification.assets import classifications_result, review_result
from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.errors import TransientError
from cheerful_pipelines.failures import DATABASE_RETRY, as_failure, failure_class_of, told
from cheerful_pipelines.logs import get_logger, log_fields
from cheerful_pipelines.metrics import checks as metrics_checks
from cheerful_pipelines.metrics.assets import metrics_result
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import unit_of
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads import checks as thread_checks
from cheerful_pipelines.threads.assets import threads_result

logger = get_logger(__name__)

CAMPAIGNS_TAG = "cheerful/campaigns"

Event = dg.AssetMaterialization | dg.AssetCheckEvaluation


class ManyCampaigns(dg.Config):
    """Which campaigns to bring up to date, by slug."""

    campaigns: list[str]


@dg.op(retry_policy=DATABASE_RETRY, pool="database", description="Threads, verdicts, numbers and review queue of each.")
def refresh_each(
    context: dg.OpExecutionContext,
    config: ManyCampaigns,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> None:
    """A campaign that fails does not hold up the others: its failure is written down, and only it is asked for again.

    The run fails in the end and names them, and nothing is repeated within it.
    """
    failures = WorkFailureStore(database.for_every_client())
    errors: dict[str, BaseException] = {}
    for slug in config.campaigns:
        unit, watermark = unit_of(context.run, "campaign", slug)
        with log_fields(campaign=slug, partition=slug):
            try:
                for event in _refreshed(slug, database, blobs, classifier, settings, run_id=context.run_id):
                    context.log_event(event)  # type: ignore[arg-type]  # its annotation leaves out what it takes
                failures.clear([unit])
            except Exception as error:
                errors[unit] = cause = _cause(error)
                context.log.warning(f"{slug}: {told(cause)[0]}")
                _record(failures, unit, cause, run_id=context.run_id, watermark=watermark)
    if errors:
        worst = next(iter(errors.values()))
        classes = {unit: failure_class_of(error) for unit, error in errors.items()}
        raise as_failure(worst, allow_retries=False, failed_units=classes) from worst


def _cause(error: Exception) -> BaseException:
    """Our own error behind Dagster's."""
    is_dagsters = isinstance(error, dg.Failure | dg.RetryRequested)
    return error.__cause__ if is_dagsters and error.__cause__ is not None else error


def _record(failures: WorkFailureStore, unit: str, error: BaseException, *, run_id: str, watermark: str | None) -> None:
    """Where even this fails (the database is away) the run's failure tells which campaigns are meant."""
    summary, what_to_do = told(error)
    try:
        failures.record(
            unit, failure_class_of(error), at=datetime.now(UTC), error=type(error).__name__, summary=summary,
            what_to_do=what_to_do, run_id=run_id, watermark=watermark,
        )  # fmt: skip
    except TransientError as second:
        logger.warning("failure_not_recorded", unit=unit, error=type(second).__name__)


def _refreshed(
    slug: str, database: Database, blobs: BlobStore, classifier: Classifier, settings: Settings, *, run_id: str
) -> Iterator[Event]:
    threads = threads_result(slug, database, blobs, settings, run_id=run_id)
    yield _materialization("email_threads", slug, threads)
    yield _evaluation("email_threads", "threads_are_whole", slug, thread_checks.whole(database, slug))
    yield _evaluation("email_threads", "attributions_are_sure", slug, thread_checks.sure(database, slug))
    verdicts = classifications_result(slug, database, classifier, settings, run_id=run_id)
    yield _materialization("thread_classifications", slug, verdicts)
    for name, result in (
        ("verdicts_are_consistent", classification_checks.consistent(database, slug)),
        ("every_answer_has_a_verdict", classification_checks.judged(database, classifier, slug)),
        ("labels_are_mixed_as_before", classification_checks.mixed_as_before(database, slug)),
    ):
        yield _evaluation("thread_classifications", name, slug, result)
    numbers = metrics_result(slug, database, settings, of="news", run_id=run_id)
    yield _materialization("campaign_metrics", slug, numbers)
    for result in (*(numbers.check_results or ()), *metrics_checks.hold_together(database, slug)):
        yield _evaluation("campaign_metrics", result.check_name or "", slug, result)
    yield _materialization("review_queue", slug, review_result(slug, database, settings))


def _materialization(asset: str, slug: str, result: dg.MaterializeResult[Any]) -> dg.AssetMaterialization:
    tags = {} if result.data_version is None else {"dagster/data_version": result.data_version.value}
    return dg.AssetMaterialization(asset_key=asset, partition=slug, metadata=result.metadata, tags=tags)


def _evaluation(asset: str, name: str, slug: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset), check_name=name, partition=slug, passed=bool(result.passed),
        metadata=result.metadata, severity=result.severity, description=result.description,
    )  # fmt: skip


@dg.job(
    name="campaigns_refresh",
    description="Many campaigns from stored mail to numbers in one run. The fan-out sensor asks for it where more than "
    "a handful are behind at once.",
)
def campaigns_refresh() -> None:
    """One op."""
    refresh_each()
