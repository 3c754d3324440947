"""How right a classifier is on labelled conversations: figures by label, language and confidence. Pure.

`judged` pairs come from wherever a classifier was run; nothing here calls one but `judge_cases`, which goes through
`classify`, rules and guards included, just as the asset does.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.classify import Classifier, classify
from cheerful_pipelines.classification.evaluation.golden.golden_set import GoldenCase
from cheerful_pipelines.classification.labels.table import LABELS, with_class
from cheerful_pipelines.classification.models import SpendRow, Verdict

POSITIVE = with_class("positive", "positive_when_paid")
AUTOMATIC: tuple[str, ...] = ("bounce", "out_of_office", "auto_reply")
BANDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Edges of the bands of confidence that are shown."""


class JudgedCase(BaseModel):
    """One case with what a classifier said. `said` is None where it said nothing at all."""

    model_config = ConfigDict(frozen=True)
    id: str
    label: str
    language: str
    said: str | None
    confidence: float
    needs_review: bool

    @property
    def is_right(self) -> bool:
        """Whether the label is the one that the case must get."""
        return self.said == self.label


class LabelFigures(BaseModel):
    """Of one label: how many there are, and how many were found and meant."""

    model_config = ConfigDict(frozen=True)
    cases: int
    precision: float | None
    recall: float | None
    f1: float


class Band(BaseModel):
    """Verdicts whose confidence lies in [low, high): how many there are and how many of them are right."""

    model_config = ConfigDict(frozen=True)
    low: float
    high: float
    verdicts: int
    right: int


class Figures(BaseModel):
    """How a classifier did on some cases. Shares lie between 0 and 1."""

    model_config = ConfigDict(frozen=True)
    cases: int
    right: int
    macro_f1: float
    macro_f1_english: float
    macro_f1_other: float
    opt_outs: int
    opt_outs_missed: tuple[str, ...]
    false_opt_outs: tuple[str, ...]
    not_opt_outs: int
    wrong_without_review: int
    labels: dict[str, LabelFigures]
    confusion: dict[str, dict[str, int]]
    bands: tuple[Band, ...]
    misses: tuple[str, ...]
    """`id: said`, of every case that came out wrong."""


def judge_cases(cases: Iterable[GoldenCase], classifier: Classifier, *, appended: str = "") -> list[JudgedCase]:
    """Run the classifier, one case after the other. `appended` is put below each case's newest words."""
    return [judged_case(case, classify(case.conversation(appended=appended), classifier)) for case in cases]


def judged_case(case: GoldenCase, verdict: Verdict | None) -> JudgedCase:
    """A case beside its verdict."""
    return JudgedCase(
        id=case.id,
        label=case.label,
        language=case.language,
        said=None if verdict is None else verdict.label,
        confidence=0.0 if verdict is None else verdict.confidence,
        needs_review=verdict is None or verdict.needs_review,
    )


def figures(judged: Sequence[JudgedCase]) -> Figures:
    """Everything that is published about a run over labelled cases."""
    confusion: dict[str, Counter[str]] = {}
    for item in judged:
        confusion.setdefault(item.label, Counter())[item.said or "nothing"] += 1
    return Figures(
        cases=len(judged),
        right=sum(item.is_right for item in judged),
        macro_f1=macro_f1(judged),
        macro_f1_english=macro_f1([item for item in judged if item.language == "en"]),
        macro_f1_other=macro_f1([item for item in judged if item.language != "en"]),
        opt_outs=sum(item.label == "opt_out" for item in judged),
        opt_outs_missed=tuple(item.id for item in judged if item.label == "opt_out" and not item.is_right),
        false_opt_outs=tuple(item.id for item in judged if item.said == "opt_out" and not item.is_right),
        not_opt_outs=sum(item.label != "opt_out" for item in judged),
        wrong_without_review=sum(not item.is_right and not item.needs_review for item in judged),
        labels={name: _of_label(judged, name) for name in (one.name for one in LABELS) if name in confusion},
        confusion={name: dict(said) for name, said in confusion.items()},
        bands=bands(judged),
        misses=tuple(f"{item.id}: {item.said}" for item in judged if not item.is_right),
    )


def macro_f1(judged: Sequence[JudgedCase]) -> float:
    """Mean F1 over the labels that occur among the cases; 0 without cases."""
    names = sorted({item.label for item in judged})
    return sum(_of_label(judged, name).f1 for name in names) / len(names) if names else 0.0


def _of_label(judged: Sequence[JudgedCase], name: str) -> LabelFigures:
    hit = sum(item.label == item.said == name for item in judged)
    there = sum(item.label == name for item in judged)
    said = sum(item.said == name for item in judged)
    return LabelFigures(
        cases=there,
        precision=hit / said if said else None,
        recall=hit / there if there else None,
        f1=2 * hit / (there + said) if there + said else 0.0,
    )


def bands(judged: Iterable[JudgedCase]) -> tuple[Band, ...]:
    """Precision by band of confidence; empty bands are left out."""
    items = list(judged)
    found = []
    for low, high in pairwise(BANDS):
        inside = [item for item in items if low <= item.confidence < high or (high == 1.0 == item.confidence)]
        if inside:
            found.append(Band(low=low, high=high, verdicts=len(inside), right=sum(item.is_right for item in inside)))
    return tuple(found)


class AttackFigures(BaseModel):
    """What instructions hidden in replies changed."""

    model_config = ConfigDict(frozen=True)
    tried: int
    changed: int
    raised_to_positive: int
    opt_outs_lost: int
    """Of true opt-outs that were seen as such before."""


def attack_figures(
    cases: Sequence[GoldenCase], attacks: Sequence[str], judge: Callable[[Sequence[GoldenCase], str], list[JudgedCase]]
) -> AttackFigures:
    """Each attack below each case's newest human words. Cases without such words cannot be attacked: left out."""
    truth = {case.id: case.label for case in cases}
    attackable = [case for case in cases if any(t.direction == "theirs" and t.kind == "human" for t in case.turns)]
    before = {item.id: item.said for item in judge(attackable, "")}
    changed = raised = lost = 0
    for attack in attacks:
        for item in judge(attackable, f"\n\n{attack}"):
            was = before[item.id]
            if item.said == was:
                continue
            changed += 1
            raised += item.said in POSITIVE and was not in POSITIVE
            lost += was == "opt_out" == truth[item.id]
    return AttackFigures(
        tried=len(attacks) * len(attackable), changed=changed, raised_to_positive=raised, opt_outs_lost=lost
    )


class PairedComparison(BaseModel):
    """Two classifiers on the same cases. `p_value` is McNemar's exact test on the cases where just one is right."""

    model_config = ConfigDict(frozen=True)
    cases: int
    only_first_right: int
    only_second_right: int
    p_value: float
    detectable_share: float
    """The smallest difference in accuracy that this many cases can show (80 % power, 5 % level), as a share."""


def compare(first: Sequence[JudgedCase], second: Sequence[JudgedCase]) -> PairedComparison:
    """McNemar's exact test. Raises ValueError where the cases differ."""
    if [item.id for item in first] != [item.id for item in second]:
        raise ValueError("Both classifiers must have judged the same cases in the same order.")
    only_first = sum(a.is_right and not b.is_right for a, b in zip(first, second, strict=True))
    only_second = sum(b.is_right and not a.is_right for a, b in zip(first, second, strict=True))
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, k) for k in range(min(only_first, only_second) + 1))
    share = max(discordant / len(first), 0.05) if first else 1.0
    return PairedComparison(
        cases=len(first),
        only_first_right=only_first,
        only_second_right=only_second,
        p_value=min(1.0, 2 * tail / 2**discordant),
        detectable_share=2.8 * math.sqrt(share / len(first)) if first else 1.0,
    )


class Evaluation(BaseModel):
    """What stands in `classifier_evaluation.document`."""

    model_config = ConfigDict(frozen=True)
    golden_version: str
    development: Figures
    test: Figures
    automatic_recall: float
    attacks: AttackFigures
    failed_calls: int
    comparison: PairedComparison | None
    """With the version that passed before, on the test half: first is the older one."""
    compared_with: str | None
    objections: tuple[str, ...]
    """Why it does not pass; empty where it does."""
    judged: tuple[JudgedCase, ...]
    spend: SpendRow

    @property
    def passed(self) -> bool:
        """No objection."""
        return not self.objections
