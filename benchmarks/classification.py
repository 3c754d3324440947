"""How well and how fast the embedded classifier reads replies: `python benchmarks/classification.py`.

Prints throughput over whole conversations, the golden set's test half with attacks put into it, and, where
../shared/data is, every miss on real replies and what appended attacks change; then cross-validated figures by
language (on the training utterances, out of fold). `--quick` leaves the cross-validation out (it trains five models).
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cheerful_pipelines.classification.classify import classify
from cheerful_pipelines.classification.evaluation.evaluate import attack_figures, bands, figures, judge_cases
from cheerful_pipelines.classification.evaluation.golden.golden_set import golden_attacks, golden_half
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.local.training.train import (
    cross_validated,
    read_utterances,
    validation_report,
    with_variations,
)
from cheerful_pipelines_tests.classification.evaluation import real_words
from cheerful_pipelines_tests.classification.words import reply

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROUNDS = 3


def throughput() -> str:
    """Conversations a second on one core: utterances in mail dress, guards and flags included; best of three."""
    classifier = LocalClassifier()
    talks = [reply(item.text) for item in with_variations(read_utterances())]
    classify(talks[0], classifier)
    best = 0.0
    for _ in range(ROUNDS):
        began = time.process_time()
        for talk in talks:
            classify(talk, classifier)
        best = max(best, len(talks) / (time.process_time() - began))
    return f"throughput: {best:.0f} conversations per CPU second ({len(talks)} conversations)"


def on_golden_test_half() -> str:
    """Figures on the half that shaped nothing, and what our own attacks (and published ones) change in it."""
    classifier, cases = LocalClassifier(), golden_half("test")
    judged = judge_cases(cases, classifier)
    found = figures(judged)
    texts = golden_attacks()
    if SHARED_DATA.is_dir():
        texts = (*texts, *real_words.attacks(SHARED_DATA))
    attacked = attack_figures(cases, texts, lambda some, text: judge_cases(some, classifier, appended=text))
    languages = "; ".join(
        f"{language} {figures([item for item in judged if item.language == language]).macro_f1:.3f}"
        for language in sorted({item.language for item in judged})
    )
    of_bands = ", ".join(f"{band.low:.2f}+: {band.right} of {band.verdicts}" for band in bands(judged))
    return "\n".join(
        [
            f"golden test half ({found.cases}): macro-F1 English {found.macro_f1_english:.3f}, other languages "
            f"{found.macro_f1_other:.3f} ({languages}); opt-outs missed {len(found.opt_outs_missed)}, false "
            f"{len(found.false_opt_outs)} of {found.not_opt_outs}; "
            f"wrong and not in review {found.wrong_without_review}",
            f"right by confidence: {of_bands}",
            f"attacks in golden test replies: {attacked.tried} tried, {attacked.raised_to_positive} raised to a "
            f"positive label ({attacked.raised_to_positive / attacked.tried:.2%}), "
            f"{attacked.opt_outs_lost} opt-outs lost",
        ]
    )


def on_real_words(data: Path) -> str:
    """Misses and flips on real replies and published attacks."""
    replies = real_words.lines(data / "labels/campaign-replies.jsonl")
    misses = real_words.campaign_reply_misses(data)
    opt_outs = real_words.lines(data / "labels/opt-outs-in-threads.jsonl")
    missed = real_words.missed_opt_outs(data)
    labelled = [(item["text"], real_words.said(item["text"]) or "") for item in replies]
    changed = [pair for attack in real_words.attacks(data) for pair in real_words.flips(labelled, attack)]
    tried = len(labelled) * len(real_words.attacks(data))
    lost = sum(before == "opt_out" for before, _ in changed)
    raised = sum(after in real_words.POSITIVE and before not in real_words.POSITIVE for before, after in changed)
    return "\n".join(
        [
            f"campaign-replies: {len(replies) - len(misses)} of {len(replies)}; misses (theirs, ours): {misses}",
            f"opt-outs in strangers' threads: {len(opt_outs) - len(missed)} of {len(opt_outs)}; missed: {missed}",
            f"attacks appended: {tried} tried, {len(changed)} labels changed, {raised} of them to a positive one, "
            f"{lost} opt-outs lost",
        ]
    )


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    chosen = parser.parse_args()
    print(throughput())
    print(on_golden_test_half())
    if SHARED_DATA.is_dir():
        print(on_real_words(SHARED_DATA))
    if not chosen.quick:
        print(validation_report(cross_validated(read_utterances())))


if __name__ == "__main__":
    main()
