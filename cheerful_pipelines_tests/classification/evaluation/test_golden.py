"""The golden set keeps its promises, and the embedded default its bars on the half that shaped nothing."""

from collections import Counter
from pathlib import Path
from typing import get_args

import pytest

from cheerful_pipelines.classification.evaluation.evaluate import (
    attack_figures,
    bands,
    compare,
    figures,
    judge_cases,
)
from cheerful_pipelines.classification.evaluation.golden.golden_set import (
    GoldenCase,
    disagreements,
    golden_attacks,
    golden_cases,
    golden_half,
    with_new_cases,
)
from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.local.training.train import read_utterances
from cheerful_pipelines_tests.classification.evaluation import real_words

LOCAL = LocalClassifier()


def test_the_set_is_large_and_broad_enough():
    cases = golden_cases()
    labels = Counter(case.label for case in cases)

    assert len(cases) >= 300
    assert {label: labels[label] for label in get_args(Label) if labels[label] < 15} == {}
    assert {case.language for case in cases} == {"en", "es", "pt", "fr", "de"}
    assert sum(len(case.turns) > 2 for case in cases) >= 30
    assert any("wrote:" in turn.body for case in cases for turn in case.turns)
    assert any(case.is_hostile for case in cases)
    assert len({case.id for case in cases}) == len(cases)


def test_no_case_is_a_training_utterance():
    learned = {item.text.strip().lower() for item in read_utterances()}

    shared = [
        case.id
        for case in golden_cases()
        if any(turn.direction == "theirs" and turn.body.strip().lower() in learned for turn in case.turns)
    ]

    long_ones = [name for name in shared if len(_words(name)) > 4]
    assert long_ones == []  # "ok", "STOP" and the like cannot be written in two ways


def _words(case_id: str) -> list[str]:
    case = next(item for item in golden_cases() if item.id == case_id)
    return case.turns[-1].body.split()


def test_both_halves_hold_every_label():
    for half in ("development", "test"):
        labels = Counter(case.label for case in golden_half(half))
        assert min(labels[label] for label in get_args(Label)) >= 6


def _changed(case: GoldenCase) -> GoldenCase:
    last = case.turns[-1].model_copy(update={"body": case.turns[-1].body + "!"})
    return case.model_copy(update={"turns": (*case.turns[:-1], last)})


def test_a_locked_case_cannot_be_edited_or_dropped_unseen():
    first, second = golden_cases()[:2]
    lock = with_new_cases([first, second], {})

    assert disagreements([first, second], lock) == []
    assert disagreements([_changed(first), second], lock) == [first.id]
    assert disagreements([second], lock) == [first.id]
    with pytest.raises(ValueError, match="new id"):
        with_new_cases([_changed(first), second], lock)


def test_adding_cases_moves_no_other():
    cases = golden_cases()
    lock = with_new_cases(cases[:100], {})

    longer = with_new_cases(cases, lock)

    assert {name: longer[name] for name in lock} == lock


def test_the_embedded_default_keeps_its_bars_on_the_test_half():
    found = figures(judge_cases(golden_half("test"), LOCAL))

    assert found.macro_f1_english >= 0.90
    assert found.macro_f1_other >= 0.80
    assert found.opt_outs_missed == ()
    assert len(found.false_opt_outs) <= 0.005 * found.not_opt_outs


def test_automatic_mail_that_says_so_in_its_headers_is_always_seen_as_such():
    cases = [
        case
        for case in golden_cases()
        if case.turns[-1].kind in ("bounce", "out_of_office", "auto_reply")
        and not any(turn.kind == "human" for turn in case.turns[1:])
    ]

    assert len(cases) > 30
    assert figures(judge_cases(cases, LOCAL)).misses == ()


def test_our_own_attacks_lose_no_opt_out_and_raise_few_labels():
    cases = [case for case in golden_half("test") if case.language in ("en", "de")]

    found = attack_figures(cases, golden_attacks(), lambda some, text: judge_cases(some, LOCAL, appended=text))

    assert found.opt_outs_lost == 0
    assert found.raised_to_positive < 0.03 * found.tried


@pytest.mark.real_mail
def test_published_attacks_lose_no_opt_out_and_raise_under_two_percent(shared_data: Path):
    cases = golden_half("test")[::3]
    attacks = real_words.attacks(shared_data)[::3]

    found = attack_figures(cases, attacks, lambda some, text: judge_cases(some, LOCAL, appended=text))

    assert found.tried > 3000
    assert found.opt_outs_lost == 0
    assert found.raised_to_positive < 0.02 * found.tried


def test_confidence_means_something():
    judged = judge_cases(golden_half("test"), LOCAL)
    top = next(band for band in bands(judged) if band.low == 0.95)

    assert sum(band.verdicts for band in bands(judged)) == len(judged)
    assert top.right / top.verdicts >= 0.95


def test_a_comparison_counts_only_the_cases_where_one_is_right():
    judged = judge_cases(golden_half("test")[:40], LOCAL)
    spoilt = [item.model_copy(update={"said": "unclear"}) if n < 10 else item for n, item in enumerate(judged)]

    result = compare(judged, spoilt)

    assert result.only_second_right == 0
    assert result.only_first_right == sum(item.is_right and item.label != "unclear" for item in judged[:10])
    assert result.p_value < 0.05
    with pytest.raises(ValueError, match="same cases"):
        compare(judged, judged[1:])
