"""What goes into a classifier and what comes out, as frozen values. No I/O."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.labels.table import Label


class ConversationMessage(BaseModel):
    """One message as a classifier sees it: who, when, what kind, the new words only."""

    model_config = ConfigDict(frozen=True)
    direction: Literal["ours", "theirs"]
    kind: str
    at: datetime
    subject: str
    new_words: str


class Conversation(BaseModel):
    """The messages of one thread in order of time. The newest inbound one is what is judged."""

    model_config = ConfigDict(frozen=True)
    messages: tuple[ConversationMessage, ...]


class ClassifierIdentity(BaseModel):
    """Everything that can change an answer. `version` is its hash and stands in every verdict."""

    model_config = ConfigDict(frozen=True)
    provider: str
    model: str
    prompt_version: str
    taxonomy_version: str
    settings_hash: str
    version: str


class Verdict(BaseModel):
    """What a reply means, and why we think so. `evidence_quote` occurs in the newest inbound words."""

    model_config = ConfigDict(frozen=True)
    label: Label
    confidence: float
    confidence_source: str
    rationale: str
    evidence_quote: str | None
    flags: dict[str, Any]
    fields: dict[str, Any]
    needs_review: bool
    decided_by: Literal["classifier", "rules"] = "classifier"
    """`rules`: settled before any model was asked (a bounce, an absence, a complaint, an opt-out)."""
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None


class Usage(BaseModel):
    """Tokens of one call, re-asks included. Cached ones are among `tokens_in`."""

    model_config = ConfigDict(frozen=True)
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0


class CallFailed(BaseModel):
    """No verdict, and why; what it used all the same. Never stored as a verdict: the conversation stays pending."""

    model_config = ConfigDict(frozen=True)
    reason: str
    usage: Usage = Usage()
    cost_usd: float | None = 0.0
    is_for_later: bool = False
    """Nothing was asked: the budget is used up, or the provider is away."""


class PendingConversation(BaseModel):
    """A thread state that the current classifier has not judged yet, with what is to be judged."""

    model_config = ConfigDict(frozen=True)
    thread_state_id: int
    gmail_account_id: UUID
    gmail_thread_id: str
    conversation: Conversation


class JudgedState(BaseModel):
    """A verdict ready to be stored."""

    model_config = ConfigDict(frozen=True)
    thread_state_id: int
    gmail_account_id: UUID
    gmail_thread_id: str
    cache_key: str
    verdict: Verdict


class SpendRow(BaseModel):
    """Calls that were made, whether they gave verdicts or not."""

    model_config = ConfigDict(frozen=True)
    calls: int
    tokens_in: int
    tokens_out: int
    cost_usd: float | None


class OpenBatch(BaseModel):
    """A batch that a provider has or is getting, and that was not taken in yet."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    campaign_slug: str
    classifier_version: str
    status: str
    handle: str | None
    requests: int


class StoredEvaluation(BaseModel):
    """How a version did on the golden set. `document` is an `Evaluation` of evaluate.py."""

    model_config = ConfigDict(frozen=True)
    classifier_version: str
    provider: str
    model: str
    passed: bool
    document: dict[str, Any]
    created_at: datetime


class EffectiveLabel(BaseModel):
    """What a thread counts as: a person's word where there is one, else the newest verdict."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_thread_id: str
    label: Label
    is_override: bool
    confidence: float | None  # None: a person said so
    needs_review: bool
    thread_state_id: int | None = None  # the state that was judged; None: only a person said something
    model_label: Label | None = None  # what the newest verdict says, override or not


class Override(BaseModel):
    """A person's word on a thread; revoked ones are kept."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    account: str
    gmail_thread_id: str
    label: Label
    author: str
    reason: str
    source: Literal["command", "sheet"]
    created_at: datetime
    revoked_at: datetime | None


class StoredVerdict(BaseModel):
    """One row of the verdict history beside the words it was read from; for checks."""

    model_config = ConfigDict(frozen=True)
    thread_state_id: int
    label: str
    evidence_quote: str | None
    inbound_words: tuple[str, ...]


class ClassificationReport(BaseModel):
    """What one run over a campaign did."""

    model_config = ConfigDict(frozen=True)
    looked_at: int = 0
    classified: int = 0  # judged anew
    cached: int = 0  # taken over from an equal conversation
    skipped_no_words: int = 0  # nothing to judge: only delays, receipts, empty mails
    needs_review: int = 0
    inserted: int = 0
    cost_usd: float | None = 0.0  # None: at least one call of unknown price
    labels: dict[str, int] = {}  # of the new verdicts
    calls: int = 0  # of a paid model
    tokens_in: int = 0
    tokens_out: int = 0
    failed: int = 0  # asked in vain; still pending
    left_pending: int = 0  # not asked: no budget, or the provider is away
    judged_by_fallback: int = 0  # of those, judged by the embedded default meanwhile
    stopped_because: str | None = None
