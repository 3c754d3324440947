"""The asset of the verdicts. The work is in `classify_pending.py`; here it meets Dagster."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

import dagster as dg

from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.models import ClassificationReport, ClassifierIdentity, EffectiveLabel
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.failures import API_RETRY, dagster_failures
from cheerful_pipelines.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.engine import Database


def _code_version() -> str:
    """Hash of the taxonomy, the rules and the weights: a change of any shows stale partitions in the UI."""
    folder = resources.files("cheerful_pipelines.classification")
    digest = hashlib.sha256()
    for name in ("taxonomy.json", "rule_patterns.txt", "rules.py", "verdict.py", "ngram_weights.json.gz"):
        digest.update(folder.joinpath(name).read_bytes())
    return digest.hexdigest()[:12]


@dg.asset(
    key="thread_classifications",
    group_name="classification",
    kinds={"postgres", "python"},
    owners=["team:cheerful-data"],
    description="What each answer means: one of 13 labels (interested, details provided, opted out, ...) with a "
    "confidence, a quotation that shows why, and whether a person should look at it. Verdicts are kept for good; a "
    "person's override outranks them. Rematerialize to judge what has no verdict by the current classifier.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("email_threads", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=API_RETRY,
    pool="llm",
    code_version=_code_version(),
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def thread_classifications(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """One campaign's latest thread states, each with a verdict."""
    with dagster_failures():
        store = VerdictStore(database)
        campaign_id = store.campaign_id(context.partition_key)
        report = classify_pending(store, classifier, campaign_id, run_id=context.run_id)
        labels = store.effective_labels(campaign_id)
    return dg.MaterializeResult(
        metadata=_metadata(report, labels, classifier.identity(), settings),
        data_version=dg.DataVersion(_fingerprint(labels)),
    )


def _metadata(
    report: ClassificationReport, labels: Sequence[EffectiveLabel], identity: ClassifierIdentity, settings: Settings
) -> dict[str, Any]:
    cost = {} if report.cost_usd is None else {"cost_usd": report.cost_usd}  # unknown is left out, never shown as 0
    return {
        **report.model_dump(exclude={"labels", "cost_usd"}),
        **cost,
        "threads_with_verdict": len(labels),
        "threads_needing_review": sum(item.needs_review for item in labels),
        "overrides": sum(item.is_override for item in labels),
        "labels": dg.MetadataValue.md(_label_table(report, labels)),
        "provider": identity.provider,
        "model": identity.model,
        "taxonomy_version": identity.taxonomy_version,
        "classifier_version": identity.version,
        "mode": settings.mode,
    }


def _label_table(report: ClassificationReport, labels: Sequence[EffectiveLabel]) -> str:
    now: Counter[str] = Counter(item.label for item in labels)
    lines = [
        f"| {label} | {now[label]} | {report.labels.get(label, 0)} |"
        for label in sorted({*now, *report.labels}, key=lambda name: (-now[name], name))
    ]
    return "\n".join(["| label | threads now | judged in this run |", "|---|---:|---:|", *lines])


def _fingerprint(labels: Sequence[EffectiveLabel]) -> str:
    """Same labels on the same threads, same data version: what stands downstream is not stale."""
    lines = sorted(
        f"{item.gmail_account_id} {item.gmail_thread_id} {item.label} {item.needs_review}" for item in labels
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


ASSETS = [thread_classifications]
