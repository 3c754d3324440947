"""Fits the temperature of the embedded default on the golden set's development half: `python -m ...calibrate`.

One number divides all raw scores: it changes how sure the classifier is, and no label that the model alone decides.
Prints how far confidence and precision lie apart before and after, on both halves.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from cheerful_pipelines.classification.evaluation.evaluate import JudgedCase, judge_cases
from cheerful_pipelines.classification.evaluation.golden.golden_set import GoldenCase, golden_half, golden_version
from cheerful_pipelines.classification.local import rules
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.local.normalise import normalise
from cheerful_pipelines.classification.local.rules import findings
from cheerful_pipelines.classification.verdict import human_words

CALIBRATION = Path(__file__).parent.parent / "calibration.json"
_TRIED = [round(0.2 + 0.05 * step, 2) for step in range(57)]  # 0.2 to 3.0


def log_loss(cases: Sequence[GoldenCase], temperature: float) -> float:
    """Mean negative logarithm of the chance given to the right label, where rules alone do not settle it."""
    classifier = LocalClassifier(temperature=temperature)
    losses = []
    for case in cases:
        judged = human_words(case.conversation())
        if judged is None or classifier.judge(judged.message.new_words).decided_by == "rules":
            continue
        text = rules.without_instructions(normalise(judged.message.new_words))
        chances = classifier.chances(text, findings(text))
        losses.append(-math.log(max(chances.get(case.label, 0.0), 1e-6)))
    return sum(losses) / len(losses)


def calibration_error(judged: Sequence[JudgedCase], *, bins: int = 10) -> float:
    """Expected calibration error: how far confidence and precision lie apart, weighted by the verdicts in each bin."""
    total = 0.0
    for number in range(bins):
        inside = [
            item for item in judged if number / bins <= item.confidence < (number + 1) / bins + (number == bins - 1)
        ]
        if inside:
            gap = sum(item.confidence for item in inside) - sum(item.is_right for item in inside)
            total += abs(gap)
    return total / len(judged) if judged else 0.0


def main() -> None:
    """Fit, print, write."""
    development = golden_half("development")
    best = min(_TRIED, key=lambda temperature: log_loss(development, temperature))
    lines = [f"temperature {best}"]
    for half in ("development", "test"):
        before, after = (
            calibration_error(judge_cases(golden_half(half), LocalClassifier(temperature=value)))
            for value in (1.0, best)
        )
        lines.append(f"{half}: calibration error {before:.3f} without, {after:.3f} with")
    CALIBRATION.write_text(
        json.dumps({"temperature": best, "golden_version": golden_version()}, indent=1) + "\n", encoding="utf-8"
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
