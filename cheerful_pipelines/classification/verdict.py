"""What holds for a verdict whoever gave it: which words are judged, what is settled without a model, what is checked.

Pure. A model's answer passes `guarded` before anybody sees it: it can add an opt-out and never take one away, and it
can quote only what was written.
"""

import re
from dataclasses import dataclass
from typing import Any

from cheerful_pipelines.classification.labels.table import LABEL_OF_KIND, Label
from cheerful_pipelines.classification.local import extract, rules
from cheerful_pipelines.classification.local.language import language_of
from cheerful_pipelines.classification.local.normalise import fold, normalise, quote_from
from cheerful_pipelines.classification.models import Conversation, ConversationMessage, Verdict

CONFIDENCE_OF_RULES = 0.97
"""Given to what headers or wording settle. A figure of our own making: `confidence_source` says so."""

GUARD_VERSION = "2"
"""Raise it when the guards below change what a model's answer becomes."""

_ACCEPTED = re.compile(r"^\W*(accepted|confirmed|aceptad[oa]|aceit[oa]|acceptee?|angenommen|zugesagt)\b")
_OPT_OUT_SUBJECT = re.compile(
    r"^\W*(please )?(unsubscribe|stop|remove( me)?|opt[ -]?out|baja|descadastrar|abmelden|desinscription)( me)?\W*$"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """The message whose words count, and those around it that bear on the label."""

    message: ConversationMessage
    normalised: str
    earlier_words: tuple[str, ...]  # of people, before it
    later_automatic: tuple[str, ...]  # kinds of automatic mail after it


def human_words(conversation: Conversation) -> Judged | None:
    """The newest message that a person wrote to us and that has words; None without one."""
    human = [
        number
        for number, message in enumerate(conversation.messages)
        if message.direction == "theirs" and message.kind == "human" and normalise(message.new_words)
    ]
    if not human:
        return None
    newest = conversation.messages[human[-1]]
    return Judged(
        message=newest,
        normalised=normalise(newest.new_words),
        earlier_words=tuple(conversation.messages[number].new_words for number in human[:-1]),
        later_automatic=tuple(
            message.kind
            for message in conversation.messages[human[-1] + 1 :]
            if message.direction == "theirs" and message.kind != "human"
        ),
    )


def settled(conversation: Conversation) -> Verdict | None:
    """What needs no model: a complaint, an opt-out as the subject of an empty mail, automatic mail alone."""
    theirs = [message for message in conversation.messages if message.direction == "theirs"]
    if any(message.kind == "complaint" for message in theirs):
        return _by_rules("opt_out", "The provider reports that our mail was marked as spam (feedback loop).")
    if any(message.kind == "human" and not normalise(message.new_words)
           and _OPT_OUT_SUBJECT.search(fold(normalise(message.subject))) for message in theirs):  # fmt: skip
        return _by_rules("opt_out", "The mail has no words of its own, and its subject asks us to stop.")
    if human_words(conversation) is not None:
        return None
    automatic = [message for message in theirs if message.kind in LABEL_OF_KIND]
    if not automatic:
        return None
    newest = automatic[-1]
    if newest.kind == "calendar" and _ACCEPTED.search(fold(normalise(newest.subject))):
        return _by_rules("interested", "A meeting with us was accepted.", confidence=0.8)
    label = LABEL_OF_KIND[newest.kind]
    return _by_rules(
        label, f"The newest mail to us is {newest.kind.replace('_', ' ')}, and no person answered.",
        needs_review=label in ("unclear", "unrelated"),
    )  # fmt: skip


def settled_opt_out(judged: Judged) -> Verdict | None:
    """An opt-out that a rule finds in the newest words: no model is asked, whatever else they say."""
    found = opt_out_finding(judged.normalised)
    if found is None:
        return None
    words = judged.message.new_words
    return _by_rules("opt_out", f"Rule {found.rule}.").model_copy(
        update={
            "evidence_quote": quote_from(words, rules.quote_of(judged.normalised, found)),
            "fields": extract.fields_of(judged.normalised, words),
        }
    )


def _by_rules(
    label: Label, rationale: str, *, confidence: float = CONFIDENCE_OF_RULES, needs_review: bool = False
) -> Verdict:
    return Verdict(
        label=label, confidence=confidence, confidence_source="rules", rationale=rationale, evidence_quote=None,
        flags={}, fields={}, needs_review=needs_review, decided_by="rules", cost_usd=0.0,
    )  # fmt: skip


def flags_of(judged: Judged) -> dict[str, Any]:
    """What is true of the words whatever they mean. The same for every classifier."""
    text = judged.normalised[: rules.READ_AT_MOST]
    return {
        "has_question": "?" in text,
        "address_given": extract.address_in(text) is not None,
        "rate_asked": extract.asks_for_rate(text),
        "language": language_of(text),
        "via_representative": extract.speaks_for_another(text),
        "suspicious_instructions": rules.looks_like_instructions(judged.normalised),
        "opted_out_before": any(opt_out_finding(normalise(words)) for words in judged.earlier_words),
        "truncated": len(judged.normalised) > rules.READ_AT_MOST,
        "later_automatic": list(judged.later_automatic),
    }


def opt_out_finding(normalised: str) -> rules.Finding | None:
    """The first wording by which the writer asks not to be contacted."""
    return next((item for item in rules.findings(normalised) if item.label == "opt_out"), None)


def guarded(proposed: Verdict, judged: Judged) -> Verdict:
    """A classifier's verdict after the checks: flags are ours, the ratchet holds, evidence occurs in the text."""
    flags = {**proposed.flags, **flags_of(judged)}
    changes: dict[str, Any] = {"flags": flags, "rationale": proposed.rationale[:200]}
    review = proposed.needs_review or flags["suspicious_instructions"]
    quote = proposed.evidence_quote
    if quote is not None and (not quote or quote not in judged.message.new_words):
        quote, review = None, True
        changes["confidence"] = min(proposed.confidence, 0.3)
    if proposed.label != "opt_out":
        found = opt_out_finding(judged.normalised)
        if found is not None:
            changes.update(
                label="opt_out", confidence=CONFIDENCE_OF_RULES, confidence_source="rules", decided_by="rules"
            )
            changes["rationale"] = f"Rule {found.rule} outranks the model, which said {proposed.label}."
            quote = quote_from(judged.message.new_words, rules.quote_of(judged.normalised, found))
        elif flags["opted_out_before"]:
            changes.update(
                label="opt_out", confidence=CONFIDENCE_OF_RULES, confidence_source="rules", decided_by="rules"
            )
            changes["rationale"] = f"Opted out earlier in the thread; the newest words alone read as {proposed.label}."
            quote, review = None, True
    changes["fields"] = {
        name: value for name, value in proposed.fields.items() if _occurs(value, judged.message.new_words)
    }
    return proposed.model_copy(update={**changes, "evidence_quote": quote, "needs_review": bool(review)})


def _occurs(field: Any, words: str) -> bool:
    return isinstance(field, dict) and bool(field.get("evidence")) and str(field["evidence"]) in words
