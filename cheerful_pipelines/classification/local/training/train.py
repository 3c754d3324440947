"""Learns the shipped n-gram weights from `utterances.jsonl`. Run it as a module: `python -m ...training.train`.

Needs numpy (pandas brings it); run time does not. Same utterances, same weights: there is no chance in it. Prints
cross-validated figures, in which a held-out utterance appears in none of its variations on the training side.
"""

import argparse
import base64
import gzip
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.local.ngram_model import NgramModel, features
from cheerful_pipelines.classification.local.training.variations import variations
from cheerful_pipelines.classification.models import Verdict

HERE = Path(__file__).parent
WEIGHTS = HERE.parent / "ngram_weights.json.gz"
FOLDS = 5
STEPS = 300
PENALTY = 5e-5
SMALLEST_DOCUMENT_COUNT = 2
MOST_FEATURES = 30_000


@dataclass(frozen=True)
class Utterance:
    """One invented reply; `group` is shared with its variations, so that they are never split over folds."""

    text: str
    label: str
    language: str
    group: int


def read_utterances(path: Path = HERE / "utterances.jsonl") -> list[Utterance]:
    """The hand-written core, in file order."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Utterance(**json.loads(line), group=number) for number, line in enumerate(lines)]


def with_variations(core: Sequence[Utterance]) -> list[Utterance]:
    """Each utterance as it stands and dressed as a mail: greeting, thanks, sign-off, which mean nothing."""
    return [
        Utterance(text, item.label, item.language, item.group)
        for item in core
        for text in (item.text, *variations(item.text, item.language, item.group))
    ]


def learn(items: Sequence[Utterance]) -> dict[str, Any]:
    """Multinomial logistic regression with an L2 penalty, in the dual (texts are fewer than features)."""
    labels = sorted({item.label for item in items})
    found = [features(item.text) for item in items]
    counts = Counter(name for names in found for name in names)
    names = sorted(name for name, count in counts.items() if count >= SMALLEST_DOCUMENT_COUNT)
    names = sorted(sorted(names, key=lambda name: (-counts[name], name))[:MOST_FEATURES])
    index = {name: number for number, name in enumerate(names)}
    idf = np.array([1 + math.log(len(items) / counts[name]) for name in names])
    matrix = np.zeros((len(items), len(names)), dtype=np.float32)
    for row, present in enumerate(found):
        columns = [index[name] for name in present if name in index]
        matrix[row, columns] = idf[columns]
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    target = np.array([[float(item.label == label) for label in labels] for item in items])
    balance = (len(items) / len(labels) / target.sum(axis=0))[target.argmax(axis=1)]
    alpha = _dual(np.asarray(matrix @ matrix.T, dtype=np.float64), target, balance)
    weights = np.asarray(matrix.T, dtype=np.float64) @ alpha * idf[:, None]
    return _document(labels, names, weights, idf)


def _dual(kernel: Any, target: Any, balance: Any) -> Any:
    """Nesterov's accelerated gradient on the dual coefficients; the kernel's largest eigenvalue sets the step."""
    size = len(target)
    alpha = np.zeros_like(target)
    ahead = alpha
    vector = np.ones(size)
    for _ in range(30):
        vector = kernel @ vector
        vector /= np.linalg.norm(vector)
    largest = float(vector @ kernel @ vector)
    step = 1.0 / (0.5 * largest * float(balance.max()) / size + PENALTY)
    for number in range(STEPS):
        raw = kernel @ ahead
        raw -= raw.max(axis=1, keepdims=True)
        chance = np.exp(raw)
        chance /= chance.sum(axis=1, keepdims=True)
        gradient = (chance - target) * balance[:, None] / size + PENALTY * ahead
        following = ahead - step * gradient
        ahead = following + number / (number + 3) * (following - alpha)
        alpha = following
    return alpha


def _document(labels: list[str], names: list[str], weights: Any, idf: Any) -> dict[str, Any]:
    """Weights as bytes around 128, the squared idf as one byte beside them."""
    scale = float(np.abs(weights).max()) / 127
    norm_scale = float((idf**2).max()) / 255
    rows = np.concatenate(
        [np.rint(weights / scale) + 128, np.maximum(np.rint(idf**2 / norm_scale), 1)[:, None]], axis=1
    ).astype(np.uint8)
    return {
        "labels": labels,
        "scale": scale,
        "norm_scale": norm_scale,
        "features": "\n".join(names),
        "rows": base64.b85encode(rows.tobytes()).decode(),
    }


@dataclass(frozen=True)
class Judged:
    """One utterance, and what a classifier says that never saw it or its variations."""

    utterance: Utterance
    by_model: str  # the n-gram model alone
    verdict: Verdict  # rules and model together


def cross_validated(core: Sequence[Utterance]) -> list[Judged]:
    """Every core utterance, judged out of fold. The rules are the same in every fold: a person wrote them."""
    judged = []
    for fold in range(FOLDS):
        training = [item for item in core if item.group % FOLDS != fold]
        model = NgramModel(learn(with_variations(training)), "cross-validation")
        classifier = LocalClassifier(model)
        for item in core:
            if item.group % FOLDS == fold:
                scores = model.scores(item.text)
                best = max(scores, key=lambda label: scores[label])
                judged.append(Judged(item, best, classifier.judge(item.text)))
    return judged


def macro_f1(pairs: Sequence[tuple[str, str]]) -> float:
    """Mean F1 over the labels that occur in the truth; pairs of (truth, said)."""
    scores = []
    for label in sorted({truth for truth, _ in pairs}):
        hit = sum(truth == said == label for truth, said in pairs)
        wrong = sum(truth != said and label in (truth, said) for truth, said in pairs)
        scores.append(2 * hit / (2 * hit + wrong))
    return sum(scores) / len(scores)


def validation_report(judged: Sequence[Judged]) -> str:
    """Figures by language, opt-outs missed and made up, and how right the confidence is."""
    lines = []
    for language in ("en", "es", "pt", "fr", "de"):
        part = [item for item in judged if item.utterance.language == language]
        alone = macro_f1([(item.utterance.label, item.by_model) for item in part])
        both = macro_f1([(item.utterance.label, item.verdict.label) for item in part])
        lines.append(f"{language}: macro-F1 {both:.3f} with rules, {alone:.3f} without, on {len(part)}")
    missed = [item for item in judged if item.utterance.label == "opt_out" != item.verdict.label]
    unseen = sum(not item.verdict.needs_review for item in missed)
    made_up = sum(item.verdict.label == "opt_out" != item.utterance.label for item in judged)
    lines.append(f"opt-outs missed {len(missed)} ({unseen} of them not in review), made up {made_up}")
    for low, high in ((0.0, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01)):
        band = [item for item in judged if low <= item.verdict.confidence < high]
        right = sum(item.verdict.label == item.utterance.label for item in band) / max(len(band), 1)
        lines.append(f"confidence {low:.1f} to {min(high, 1.0):.1f}: {right:.3f} right of {len(band)}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip-validation", action="store_true")
    chosen = parser.parse_args(arguments)
    core = read_utterances()
    say = sys.stdout.write
    if not chosen.skip_validation:
        say(validation_report(cross_validated(core)) + "\n")
    content = json.dumps(learn(with_variations(core)), ensure_ascii=False, sort_keys=True).encode()
    WEIGHTS.write_bytes(gzip.compress(content, mtime=0))
    say(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size / 1024:.0f} KiB\n")


if __name__ == "__main__":
    main()
