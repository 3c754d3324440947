"""The embedded default: text rules, then the shipped n-gram model. No key, no network, no dependency.

Rules and model vote together: a rule that fits adds to its label's score, as much as measured best in cross-validation.
An opt-out by rule is final; an opt-out by the model alone becomes a review, not a label.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib import resources

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.labels.table import TAXONOMY_VERSION, Label
from cheerful_pipelines.classification.local import extract, rules
from cheerful_pipelines.classification.local.language import language_of
from cheerful_pipelines.classification.local.ngram_model import NgramModel, shipped_model, softmax
from cheerful_pipelines.classification.local.normalise import normalise, quote_from
from cheerful_pipelines.classification.local.rules import Finding, findings, quote_of, sentence_around
from cheerful_pipelines.classification.models import CallFailed, ClassifierIdentity, Conversation, Verdict
from cheerful_pipelines.classification.verdict import CONFIDENCE_OF_RULES, human_words

PROVIDER = "local-rules+ngram"
LOGIC_VERSION = "2"
"""Raise it when the code here, in verdict.py, extract.py or normalise.py changes an answer."""

WEIGHT_OF_A_RULE = 3.0
"""Added to the label's raw score by each label's first rule; the model's own scores differ by 1 to 4."""
MODEL_OPT_OUT_FROM = 0.95
REVIEW_BELOW = 0.8
REVIEW_BELOW_ELSEWHERE = 0.9
"""Languages other than English were learned from a quarter of the utterances each."""


@lru_cache(maxsize=1)
def shipped_temperature() -> float:
    """What raw scores are divided by, so that of the verdicts with confidence 0.8 some 80 % are right.

    Fitted on the development half of the golden set by `training/calibrate.py`.
    """
    text = resources.files("cheerful_pipelines.classification.local").joinpath("calibration.json").read_text("utf-8")
    return float(json.loads(text)["temperature"])


class LocalClassifier:
    """Implements `Classifier`. Thread-safe; the weights are shared within the process."""

    is_paid = False

    def __init__(self, model: NgramModel | None = None, *, temperature: float | None = None) -> None:
        self._model = model or shipped_model()
        self._temperature = shipped_temperature() if temperature is None else temperature
        settings = json.dumps(
            [rules.rulebook().version, LOGIC_VERSION, WEIGHT_OF_A_RULE, REVIEW_BELOW, self._temperature]
        )
        settings_hash = hashlib.sha256(settings.encode()).hexdigest()[:12]
        parts = (PROVIDER, f"ngram-{self._model.digest}", "none", TAXONOMY_VERSION, settings_hash)
        self._identity = ClassifierIdentity(
            provider=parts[0], model=parts[1], prompt_version=parts[2], taxonomy_version=parts[3],
            settings_hash=parts[4], version=hashlib.sha256("|".join(parts).encode()).hexdigest()[:16],
        )  # fmt: skip

    def identity(self) -> ClassifierIdentity:
        """Provider `local-rules+ngram`, model `ngram-<hash of the weights>`; rules and thresholds are its settings."""
        return self._identity

    def classify(self, conversation: Conversation) -> Verdict:
        """Judge the newest human words; `unclear` where there are none."""
        judged = human_words(conversation)
        if judged is None:
            return _verdict("unclear", 0.0, "ngram", "There are no words to judge.", None, True, {})
        return self.judge(judged.message.new_words)

    def classify_many(
        self, conversations: Sequence[Conversation], budget: Budget
    ) -> Iterator[tuple[int, Verdict | CallFailed]]:
        """One after the other; the budget is not touched."""
        for position, conversation in enumerate(conversations):
            yield position, self.classify(conversation)

    def judge(self, words: str) -> Verdict:
        """One reply by itself. Total: any text gets a verdict."""
        whole = normalise(words)
        opt_out = next((item for item in findings(whole) if item.label == "opt_out"), None)
        text = rules.without_instructions(whole)
        fields = extract.fields_of(text, words)
        if opt_out is not None:
            quote = quote_from(words, quote_of(whole, opt_out))
            return _verdict("opt_out", CONFIDENCE_OF_RULES, "rules", f"Rule {opt_out.rule}.", quote, False, fields)
        if not any(letter.isalnum() for letter in text):
            why = "There are no words but those to a machine." if text != whole else "There are signs, but no words."
            return _verdict("unclear", 0.9, "rules", why, quote_from(words, text), True, fields)
        found = findings(text)
        absence = [item for item in found if item.label in ("out_of_office", "auto_reply")]
        absence.sort(key=lambda item: item.label != "out_of_office")  # an absence says more than "automatic"
        outranked = {"not_now"} if any(item.rule.startswith(rules.NOTICE) for item in absence) else set()
        if absence and all(item in absence or item.label in outranked for item in found):
            quote = quote_from(words, quote_of(text, absence[0]))
            why = f"Rule {absence[0].rule}, though no header says that a machine wrote it."
            return _verdict(absence[0].label, 0.7, "rules", why, quote, True, fields)
        return self._weighed(words, text, [item for item in found if item not in absence], fields)

    def _weighed(self, words: str, text: str, found: Sequence[Finding], fields: dict[str, object]) -> Verdict:
        """Rules and model together."""
        chances = self.chances(text, found)
        label = max(chances, key=lambda name: chances[name])
        confidence, review, why = chances[label], False, "The n-gram model"
        if label == "opt_out" and not (confidence >= MODEL_OPT_OUT_FROM and rules.speaks_of_leaving(text)):
            del chances["opt_out"]  # a guess may not silence a creator for good: a person decides
            label = max(chances, key=lambda name: chances[name])
            confidence, review, why = chances[label], True, "Perhaps an opt-out, which no rule confirms; else"
        support = next((item for item in found if item.label == label), None)
        threshold = REVIEW_BELOW if language_of(text) in ("en", "und") else REVIEW_BELOW_ELSEWHERE
        review = review or confidence < threshold or label in ("opt_out", "unclear", "unrelated")
        if support is not None:
            quote, why, source = (
                quote_of(text, support),
                f"Rule {support.rule}, weighed with the n-gram model",
                "rules+ngram",
            )
        else:
            quote, source = self._telling_sentence(text, label), "ngram"
        return _verdict(label, confidence, source, f"{why}: {label}.", quote_from(words, quote), review, fields)

    def chances(self, text: str, found: Sequence[Finding]) -> dict[str, float]:
        """Label to probability, rules counted in."""
        logits = self._model.logits(text)
        for label in {item.label for item in found}:
            logits[label] = logits.get(label, 0.0) + WEIGHT_OF_A_RULE
        if extract.address_in(text) is not None:
            logits["details_provided"] += WEIGHT_OF_A_RULE
        return softmax({label: value / self._temperature for label, value in logits.items()})

    def _telling_sentence(self, text: str, label: str) -> str:
        """A short text as a whole; of a long one, the sentence that speaks most for the label."""
        if len(text) <= rules.LONGEST_QUOTE:
            return text
        best, best_score, at = text[: rules.LONGEST_QUOTE], float("-inf"), 0
        for _ in range(8):
            _, end = sentence_around(text, at, at + 1)
            sentence = text[at:end].strip()
            score = self._model.logits(sentence)[label] if sentence else float("-inf")
            if score > best_score:
                best, best_score = sentence[: rules.LONGEST_QUOTE].strip(), score
            if end >= len(text):
                break
            at = end
        return best


def _verdict(
    label: str, confidence: float, source: str, rationale: str, quote: str | None, review: bool,
    fields: dict[str, object],
) -> Verdict:  # fmt: skip
    known: Label = label  # type: ignore[assignment]  # labels of rules and weights are the taxonomy's; a test holds that
    return Verdict(
        label=known, confidence=round(confidence, 4), confidence_source=source, rationale=rationale,
        evidence_quote=quote, flags={}, fields=fields, needs_review=review, cost_usd=0.0,
        decided_by="rules" if source == "rules" else "classifier",
    )  # fmt: skip
