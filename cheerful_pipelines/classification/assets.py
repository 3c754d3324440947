"""WHAT IT MEANT, as assets: how good the classifier is, what each answer means, and what a person should look at.

The work is in the plain modules beside this one; here it meets Dagster.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore, database_of_campaign
from cheerful_pipelines.classification.choice import budget_of
from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.evaluation.evaluation_report import evaluation_numbers, evaluation_tables
from cheerful_pipelines.classification.evaluation.run_evaluation import admitted, evaluate_and_store
from cheerful_pipelines.classification.labels.label_changes import changes_as_markdown, label_changes
from cheerful_pipelines.classification.labels.table import LABELS, meaning_hash
from cheerful_pipelines.classification.llm.batch_run import MOST_REQUESTS, hand_in, take_in, unit_of_batch
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.models import ClassificationReport, ClassifierIdentity, EffectiveLabel
from cheerful_pipelines.classification.review import queue, queue_as_markdown
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.core.settings import Settings, classifier_setting
from cheerful_pipelines.orchestration.failures import API_RETRY, DATABASE_RETRY, dagster_failures
from cheerful_pipelines.orchestration.partitions import CAMPAIGN_PARTITIONS
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata, table_metadata
from cheerful_pipelines.orchestration.work_sensor import work_of
from cheerful_pipelines.storage.engine import Database

_OWNERS = ["team:cheerful-data"]
_FILES_THAT_DECIDE = (
    "local/rule_patterns.txt",
    "local/rules.py",
    "verdict.py",
    "local/ngram_weights.json.gz",
    "local/calibration.json",
    "llm/prompt.md",
    "llm/prompt.py",
    "llm/llm_answer.py",
)


def _code_version() -> str:
    """Hash of taxonomy, rules, weights, prompt and the model's name: a change of any shows stale partitions."""
    folder = resources.files("cheerful_pipelines.classification")
    digest = hashlib.sha256(f"{classifier_setting()} {meaning_hash()}".encode())
    for name in _FILES_THAT_DECIDE:
        digest.update(folder.joinpath(name).read_bytes())
    return digest.hexdigest()[:12]


@dg.asset(
    key="classifier_evaluation",
    group_name="classification",
    kinds={"python"},
    owners=_OWNERS,
    description="How well the chosen classifier reads the golden set: several hundred conversations written for this "
    "project, in five languages, some of them hostile, in two locked halves. Published are figures on the half that "
    "shaped nothing. A classifier that fails here judges no campaign. A hosted model is asked some hundred times.",
    retry_policy=API_RETRY,
    pool="llm",
    code_version=_code_version(),
)
def classifier_evaluation(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """The whole golden set through rules, classifier and guards; then the attacks."""
    with dagster_failures():
        llm = LlmStore(database.for_every_client())
        budget = budget_of(settings, llm, None, classifier)
        result = evaluate_and_store(llm, classifier, budget, run_id=context.run_id)
    return dg.MaterializeResult(
        metadata={
            **evaluation_numbers(result),
            **{name: markdown_metadata(text) for name, text in evaluation_tables(result).items()},
            **_identity_metadata(classifier.identity()),
            "mode": settings.mode,
        },
        data_version=dg.DataVersion(classifier.identity().version),
    )


@dg.asset(
    key="thread_classifications",
    group_name="classification",
    kinds={"postgres", "python"},
    owners=_OWNERS,
    description=f"What each answer means: one of {len(LABELS)} labels (interested, details provided, opted out, ...) "
    "with a confidence, a quotation that shows why, and whether a person should look at it. Verdicts are kept for "
    "good; a person's override outranks them. Rematerialize to judge what has no verdict by the current classifier.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[
        dg.AssetDep("email_threads", partition_mapping=dg.IdentityPartitionMapping()),
        dg.AssetDep("classifier_evaluation"),
    ],
    retry_policy=API_RETRY,
    pool="llm",
    metadata=table_metadata(
        "thread_verdict",
        {
            "gmail_thread_id": [("email_threads", "gmail_thread_id")],
            "thread_state_id": [("email_threads", "id")],
            "label": [("email_threads", "state")],
            "evidence_quote": [("email_threads", "state")],
        },
    ),
    code_version=_code_version(),
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def thread_classifications(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """Give each of one campaign's latest thread states a verdict."""
    return classify_threads(context.partition_key, context.run_id, database, classifier, settings)


def classify_threads(
    slug: str, run_id: str, database: Database, classifier: Classifier, settings: Settings
) -> dg.MaterializeResult[Any]:
    """What materializing `thread_classifications` does for one campaign (see refresh/chain.py)."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(slug)
        # What was spent today counts for all clients together.
        store, llm = VerdictStore(database.for_client(campaign.user_id)), LlmStore(database.for_every_client())
        embedded = LocalClassifier()
        judge, instead = admitted(llm, _for(campaign, classifier), embedded, run_id=run_id)
        before = store.effective_labels(campaign.id)
        report = classify_pending(
            store,
            judge,
            campaign.id,
            run_id=run_id,
            budget=budget_of(settings, llm, campaign.id, judge),
            fallback=embedded if judge.is_paid else None,
        )
        labels = store.effective_labels(campaign.id)
    return dg.MaterializeResult(
        metadata={
            **_metadata(report, labels, judge.identity(), settings),
            "label_changes": markdown_metadata(changes_as_markdown(label_changes(before, labels))),
            **({"judged_instead": instead} if instead else {}),
        },
        data_version=dg.DataVersion(_fingerprint(labels)),
    )


@dg.asset(
    key="review_queue",
    group_name="classification",
    kinds={"postgres"},
    owners=_OWNERS,
    description="Conversations that a person should look at, by what is at stake: what may be an opt-out first, then "
    "what would be shipped or paid, then the oldest. Answer with `cheerful override`, or in the column Override of the "
    "client's sheet; what a person has said leaves the queue.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("thread_classifications", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=DATABASE_RETRY,
    pool="database",
    code_version="1",
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def review_queue(
    context: dg.AssetExecutionContext, database: dg.ResourceParam[Database], settings: dg.ResourceParam[Settings]
) -> dg.MaterializeResult[Any]:
    """List what a person should look at: ids and reasons only."""
    return list_for_review(context.partition_key, context.run_id, database, settings)


def list_for_review(slug: str, run_id: str, database: Database, settings: Settings) -> dg.MaterializeResult[Any]:
    """What materializing `review_queue` does for one campaign (see refresh/chain.py)."""
    with dagster_failures():
        store = VerdictStore(database_of_campaign(database, slug))
        entries = queue(store.to_review(store.campaign_id(slug)))
    stakes = Counter(entry.stake for entry in entries)
    return dg.MaterializeResult(
        metadata={
            "waiting": len(entries),
            "may_be_opt_outs": stakes[1],
            "queue": markdown_metadata(queue_as_markdown(entries)),
            "mode": settings.mode,
        },
        data_version=dg.DataVersion(
            hashlib.sha256("\n".join(f"{e.stake} {e.item.gmail_thread_id}" for e in entries).encode()).hexdigest()[:16]
        ),
    )


class BatchConfig(dg.Config):
    """What a person may say in the launchpad."""

    max_requests: int = MOST_REQUESTS
    """Conversations to hand in at most; what is over stays pending."""


@dg.asset(
    key="classification_batches",
    group_name="classification",
    kinds={"python"},
    owners=_OWNERS,
    description="Hands a campaign's pending conversations to the provider as one batch: about half the price, results "
    "within a day. For backfills and after a change of prompt or model. The sensor llm_batch_results asks for "
    "batch_verdicts when the provider is done. Needs a hosted model of Anthropic or OpenAI.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("email_threads", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=API_RETRY,  # the intent is stored first, so that a second try hands in nothing twice
    pool="llm",
    code_version=_code_version(),
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def classification_batches(
    context: dg.AssetExecutionContext,
    config: BatchConfig,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """Settle what needs no model, hand in the rest as far as the budget goes."""
    with dagster_failures():
        campaign = CampaignStore(database).campaign(context.partition_key)
        store, llm = VerdictStore(database.for_client(campaign.user_id)), LlmStore(database.for_every_client())
        judge, instead = admitted(llm, _for(campaign, classifier), LocalClassifier(), run_id=context.run_id)
        if not isinstance(judge, LlmClassifier):
            raise ConfigurationError(
                instead or f"{campaign.slug} is judged by the embedded classifier, which needs no batch.",
                what_to_do="Materialize thread_classifications instead.",
            )
        budget = budget_of(settings, llm, campaign.id, judge)
        done = hand_in(store, llm, judge, campaign.id, budget, run_id=context.run_id, most=config.max_requests)
    known = {} if done.estimated_usd is None else {"estimated_usd": done.estimated_usd}
    return dg.MaterializeResult(
        metadata={
            **known,
            "requests": done.requests,
            "settled_without_a_model": done.inserted,
            "left_pending": done.left_pending - done.requests,
            "stopped_because": done.stopped_because or "nothing",
            **_identity_metadata(judge.identity()),
            "mode": settings.mode,
        }
    )


@dg.asset(
    key="batch_verdicts",
    group_name="classification",
    kinds={"postgres", "python"},
    owners=_OWNERS,
    description="Takes in the results of a campaign's ended batches: verdicts and what they cost, each batch once. "
    "What a batch could not answer is pending again.",
    partitions_def=CAMPAIGN_PARTITIONS,
    deps=[dg.AssetDep("classification_batches", partition_mapping=dg.IdentityPartitionMapping())],
    retry_policy=API_RETRY,
    pool="llm",
    code_version="1",
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
)
def batch_verdicts(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    classifier: dg.ResourceParam[Classifier],
    settings: dg.ResourceParam[Settings],
) -> dg.MaterializeResult[Any]:
    """The ended batches that the run was asked for, or all of the campaign, then the labels as they now are.

    Each has a run of its own: one whose results do not come holds up no other.
    """
    with dagster_failures():
        store = VerdictStore(database_of_campaign(database, context.partition_key))
        llm = LlmStore(database.for_every_client())
        campaign_id = store.campaign_id(context.partition_key)
        before = store.effective_labels(campaign_id)
        asked = {unit for unit in work_of(context.run) if unit.startswith("batch:")}
        ended = [
            batch
            for batch in llm.open_batches(campaign_id)
            if batch.status == "ended" and (not asked or unit_of_batch(batch) in asked)
        ]
        if ended and not isinstance(classifier, LlmClassifier):
            raise ConfigurationError(
                "A batch is with a provider that CHEERFUL_CLASSIFIER no longer names.",
                what_to_do="Set it back until the batch is taken in.",
            )
        reports = [
            take_in(store, llm, classifier, campaign_id, batch, run_id=context.run_id)
            for batch in ended
            if isinstance(classifier, LlmClassifier)
        ]
        labels = store.effective_labels(campaign_id)
    costs = [report.cost_usd for report in reports]
    known = {} if any(cost is None for cost in costs) else {"cost_usd": sum(cost or 0.0 for cost in costs)}
    return dg.MaterializeResult(
        metadata={
            **known,
            "batches": len(ended),
            "inserted": sum(report.inserted for report in reports),
            "failed": sum(report.failed for report in reports),
            "label_changes": markdown_metadata(changes_as_markdown(label_changes(before, labels))),
            "mode": settings.mode,
        },
        data_version=dg.DataVersion(_fingerprint(labels)),
    )


def _for(campaign: Campaign, classifier: Classifier) -> Classifier:
    """A campaign whose mail stays here is judged here."""
    return LocalClassifier() if campaign.llm_local_only and classifier.is_paid else classifier


def _identity_metadata(identity: ClassifierIdentity) -> dict[str, Any]:
    return {
        "provider": identity.provider,
        "model": identity.model,
        "prompt_version": identity.prompt_version,
        "taxonomy_version": identity.taxonomy_version,
        "classifier_version": identity.version,
    }


def _metadata(
    report: ClassificationReport, labels: Sequence[EffectiveLabel], identity: ClassifierIdentity, settings: Settings
) -> dict[str, Any]:
    cost = {} if report.cost_usd is None else {"cost_usd": report.cost_usd}  # unknown is left out, never shown as 0
    return {
        **report.model_dump(exclude={"labels", "cost_usd", "stopped_because"}),
        **cost,
        "stopped_because": report.stopped_because or "nothing",
        "threads_with_verdict": len(labels),
        "threads_needing_review": sum(item.needs_review for item in labels),
        "overrides": sum(item.is_override for item in labels),
        "labels": markdown_metadata(_label_table(report, labels)),
        **_identity_metadata(identity),
        "mode": settings.mode,
    }


def _label_table(report: ClassificationReport, labels: Sequence[EffectiveLabel]) -> Markdown:
    now: Counter[str] = Counter(item.label for item in labels)
    return markdown.table(
        ("label", "threads now", "judged in this run"),
        [
            (label, now[label], report.labels.get(label, 0))
            for label in sorted({*now, *report.labels}, key=lambda name: (-now[name], name))
        ],
        right=(1, 2),
    )


def _fingerprint(labels: Sequence[EffectiveLabel]) -> str:
    """Same labels on the same threads, same data version: what stands downstream is not stale."""
    lines = sorted(
        f"{item.gmail_account_id} {item.gmail_thread_id} {item.label} {item.needs_review}" for item in labels
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


ASSETS = [classifier_evaluation, thread_classifications, review_queue, classification_batches, batch_verdicts]
