"""What a language model may answer, and how that becomes a verdict. Pure; small and flat, as providers' schemas ask.

Nothing here is believed: quotations must occur in the mail, amounts in their quotations, and `verdict.guarded` has
the last word on labels.
"""

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.classification.local.extract import amount_of
from cheerful_pipelines.classification.local.normalise import quote_from
from cheerful_pipelines.classification.models import Verdict

_LONGEST = 400
REVIEW_BELOW = 0.7


class LlmAnswer(BaseModel):
    """The newest message of the creator, judged."""

    model_config = ConfigDict(extra="ignore")
    label: Label
    confidence: float = Field(ge=0, le=1)
    evidence_quote: str = ""
    reason: str = ""
    rate_amount: float | None = None
    rate_currency: str = ""
    rate_quote: str = ""
    address_quote: str = ""
    address_complete: bool = False
    referred_quote: str = ""
    when_quote: str = ""
    suspicious_instructions: bool = False

    @field_validator("evidence_quote", "reason", "rate_quote", "address_quote", "referred_quote", "when_quote")
    @classmethod
    def _bounded(cls, value: str) -> str:
        return value[:_LONGEST]


def verdict_of(
    answer: LlmAnswer, words: str, *, truncated: bool, redactions: int, tokens_in: int | None, tokens_out: int | None,
    cost_usd: float | None, latency_ms: float | None,
) -> Verdict:  # fmt: skip
    """The answer as a verdict on `words`, the newest message. Its own confidence is kept and named as such."""
    quote = _found(answer.evidence_quote, words)
    fields = _fields(answer, words)
    return Verdict(
        label=answer.label,
        confidence=answer.confidence,
        confidence_source="model",
        rationale=re.sub(r"(?<!\S)\S+@\S+|\d{4,}", "…", answer.reason)[:200],
        evidence_quote=quote if answer.evidence_quote else None,
        flags={
            "address_complete": answer.address_complete and "address" in fields,
            "model_suspects_instructions": answer.suspicious_instructions,
            "model_saw_truncated": truncated,
            "redactions": redactions,
        },
        fields=fields,
        needs_review=answer.confidence < REVIEW_BELOW
        or answer.label in ("unclear", "unrelated")
        or answer.suspicious_instructions
        or (bool(answer.evidence_quote) and quote is None)
        or (answer.label == "details_provided" and "address" not in fields and not quote),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_usd=cost_usd,
        latency_ms=latency_ms,
    )


def _found(quote: str, words: str) -> str | None:
    """The writer's own words for a quotation, or None where they were never written."""
    return quote_from(words, quote.strip()) if quote.strip() else None


def _fields(answer: LlmAnswer, words: str) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    rate = _found(answer.rate_quote, words)
    if rate is not None and answer.rate_amount is not None and _names_amount(rate, answer.rate_amount):
        fields["rate"] = {"amount": answer.rate_amount, "currency": answer.rate_currency[:3].upper(), "evidence": rate}
    for name, quote in (
        ("address", answer.address_quote),
        ("referred", answer.referred_quote),
        ("when", answer.when_quote),
    ):
        found = _found(quote, words)
        if found is not None:
            fields[name] = {"evidence": found}
    return fields


def _names_amount(words: str, amount: float) -> bool:
    """Whether a number of the words is the amount, written in any usual way."""
    return any(amount_of(written.lower()) == amount for written in re.findall(r"\d[\d.,]*\s?[kK]?", words))
