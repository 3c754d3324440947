"""Which classifier the settings ask for, and what it may spend. Loads nothing that is not used."""

from uuid import UUID

from cheerful_pipelines.classification.budget import Budget, Limits
from cheerful_pipelines.classification.classify import Classifier
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier, LlmOptions, Provider
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.core.settings import Settings

_PROVIDERS: dict[str, Provider] = {
    "anthropic": "anthropic", "openai": "openai", "openai-compatible": "openai-compatible",
}  # fmt: skip


def chosen_classifier(settings: Settings) -> Classifier:
    """`CHEERFUL_CLASSIFIER`: the embedded default, or a language model."""
    if settings.classifier == "local":
        return LocalClassifier()
    return LlmClassifier(llm_options(settings))


def llm_options(settings: Settings) -> LlmOptions:
    """The settings of a language model. The settings have been validated."""
    provider, _, model = settings.classifier.partition(":")
    return LlmOptions(
        provider=_PROVIDERS[provider],
        model=model,
        api_key=settings.llm_api_key.get_secret_value() if settings.llm_api_key else None,
        base_url=settings.llm_base_url,
        at_once=settings.llm_at_once,
        timeout_seconds=settings.llm_timeout_seconds,
        usd_per_million_tokens_in=settings.llm_usd_per_million_tokens_in,
        usd_per_million_tokens_out=settings.llm_usd_per_million_tokens_out,
    )


def budget_of(settings: Settings, store: LlmStore, campaign_id: UUID | None, classifier: Classifier) -> Budget:
    """What a run may spend, given what was spent today. Without limits for what costs nothing."""
    if not classifier.is_paid:
        return Budget.without_limits()
    limits = Limits(
        run_usd=settings.llm_budget_run_usd,
        day_usd=settings.llm_budget_day_usd,
        client_day_usd=settings.llm_budget_client_day_usd,
        calls_a_day=settings.llm_calls_per_day,
    )
    return Budget(limits=limits, spent=store.spent_today(campaign_id))
