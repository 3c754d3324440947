"""Many campaigns refreshed in one run: if a hundred mailboxes get mail at once, a run per campaign takes minutes.

Goes through the chain for one campaign after the other and logs what each asset's own run would: a materialization and
the checks' results for each partition, without those in `chain.ONLY_ALONE`.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.logs import get_logger, log_fields
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.orchestration.failures import DATABASE_RETRY, as_failure, failure_class_of, told
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import unit_of
from cheerful_pipelines.refresh.chain import CHAIN, Step
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

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
    resources = {"database": database, "blobs": blobs, "classifier": classifier, "settings": settings}
    failures = WorkFailureStore(database.for_every_client())
    errors: dict[str, BaseException] = {}
    for slug in config.campaigns:
        unit, watermark = unit_of(context.run, "campaign", slug)
        with log_fields(campaign=slug, partition=slug):
            try:
                for event in _refreshed(slug, context.run_id, resources):
                    context.log_event(event)  # type: ignore[arg-type]  # its annotation leaves out what it takes
                failures.clear([unit])
                logger.info("campaign_done")
            except Exception as error:
                errors[unit] = cause = _cause(error)
                logger.warning("campaign_failed", failure_class=failure_class_of(cause), error=type(cause).__name__)
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


def _refreshed(slug: str, run_id: str, resources: Mapping[str, Any]) -> Iterator[Event]:
    """Go through the chain; each event is what the asset's own run would log."""
    for step in CHAIN:
        result = step.result(slug, run_id, resources)
        yield _materialization(step, slug, result)
        for check in result.check_results or ():
            yield _evaluation(slug, check._replace(asset_key=step.asset.key))
        for checks in step.checks:
            for check in checks.results(slug, resources):
                yield _evaluation(slug, check)


def _materialization(step: Step, slug: str, result: dg.MaterializeResult[Any]) -> dg.AssetMaterialization:
    """With the tags by which Dagster tells whether a partition is stale."""
    tags = {"dagster/code_version": step.asset.code_versions_by_key[step.asset.key] or ""}
    if result.data_version is not None:
        tags |= {"dagster/data_version": result.data_version.value, "dagster/data_version_is_user_provided": "true"}
    return dg.AssetMaterialization(asset_key=step.name, partition=slug, metadata=result.metadata, tags=tags)


def _evaluation(slug: str, result: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_coercible(result.asset_key or ()),
        check_name=result.check_name or "",
        partition=slug,
        passed=bool(result.passed),
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


@dg.job(
    name="bulk_campaign_refresh",
    description="Many campaigns from stored mail to numbers in one run. The fan-out sensor asks for it if more than "
    "a handful are behind at once.",
)
def bulk_campaign_refresh() -> None:
    """Refresh the campaigns named in the config, one after the other."""
    refresh_each()
