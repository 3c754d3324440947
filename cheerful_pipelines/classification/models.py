"""What goes into a classifier and what comes out, as frozen values. No I/O."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Label = Literal[
    "opt_out", "bounce", "out_of_office", "auto_reply", "details_provided", "negotiating", "referral",
    "not_now", "not_interested", "question", "interested", "unrelated", "unclear",
]  # fmt: skip


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
    tokens_in: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
