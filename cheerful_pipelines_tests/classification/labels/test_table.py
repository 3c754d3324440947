"""One table of labels: complete, without contradictions, and really what everything else reads."""

import re
from pathlib import Path
from typing import get_args

import pytest

import cheerful_pipelines
from cheerful_pipelines.classification.evaluation.evaluate import POSITIVE
from cheerful_pipelines.classification.labels.creator_status import suggested_status
from cheerful_pipelines.classification.labels.table import (
    LABEL,
    LABEL_OF_KIND,
    LABELS,
    SHOWN_LABELS,
    Label,
    meaning_hash,
    written_labels,
)
from cheerful_pipelines.classification.overrides.overrides_in_sheet import label_of
from cheerful_pipelines.classification.review import REASONS
from cheerful_pipelines.metrics.counting.definitions import BY_KEY, positive_labels

PACKAGE = Path(cheerful_pipelines.__file__).parent
ELSEWHERE = {
    "classification/local": "rules, language and training data of the embedded model",
    "classification/evaluation": "what must never be missed in the golden set",
    "classification/verdict.py": "guards: what may become what",
    "classification/labels/table.py": "the table",
    "metrics/counting/outcomes.py": "opt-outs are counted by event, not by label",
    "demo": "the demo's own truth, which the numbers are compared with",
}


def test_every_label_has_one_row_in_the_order_of_precedence() -> None:
    assert [one.name for one in LABELS] == list(get_args(Label))


def test_places_titles_and_what_people_write_are_each_used_once() -> None:
    assert sorted(one.shown_at for one in LABELS) == list(range(1, len(LABELS) + 1))
    assert [one.shown_at for one in SHOWN_LABELS] == list(range(1, len(LABELS) + 1))
    for values in ([one.title for one in LABELS], [one.colour for one in LABELS]):
        assert len(set(values)) == len(LABELS)
    claimed = [name for one in LABELS for name in {one.name.replace("_", " "), one.title, *one.aliases}]
    assert sorted(claimed) == sorted(written_labels())
    kinds = [kind for one in LABELS for kind in one.kinds]
    assert len(kinds) == len(LABEL_OF_KIND)


@pytest.mark.parametrize("label", LABELS, ids=lambda one: one.name)
def test_what_follows_from_a_label_is_read_from_its_row(label: object) -> None:
    row = LABEL[label.name]  # type: ignore[attr-defined]

    assert all(label_of(written.upper()) == row.name for written in (row.name, row.title, *row.aliases))
    assert row.stake in REASONS
    assert suggested_status("CONTACTED", row.name, {}) == (row.creator_status or "CONTACTED")
    for flag, status in row.status_if.items():
        assert suggested_status("CONTACTED", row.name, {flag: True}) == status
    assert row.title in BY_KEY[f"label_{row.name}"].title
    assert (row.name in positive_labels("GIFTING")) == (row.metric_class == "positive")
    assert (row.name in positive_labels("PAID_PROMOTION")) == row.metric_class.startswith("positive")
    assert (row.name in POSITIVE) == row.metric_class.startswith("positive")


def test_titles_and_colours_do_not_make_replies_be_judged_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from cheerful_pipelines.classification.labels import table

    before = meaning_hash()
    repainted = tuple(one._replace(colour="#000000", title=one.title.upper(), shown_at=0) for one in LABELS)
    monkeypatch.setattr(table, "LABELS", repainted)
    assert meaning_hash() == before
    monkeypatch.setattr(table, "LABELS", (LABELS[0]._replace(definition="Something else."), *LABELS[1:]))
    assert meaning_hash() != before


def test_no_other_module_lists_labels() -> None:
    """A module that names four labels or more keeps a list of its own, which the next label would miss."""
    names = re.compile("|".join(rf'"{one.name}"' for one in LABELS if one.name not in LABEL_OF_KIND))
    found = {
        str(path.relative_to(PACKAGE)): len(set(names.findall(path.read_text("utf-8"))))
        for path in PACKAGE.rglob("*.py")
        if not any(str(path.relative_to(PACKAGE)).startswith(folder) for folder in ELSEWHERE)
    }

    assert {name: count for name, count in found.items() if count >= 4} == {}
    assert all((PACKAGE / folder).exists() for folder in ELSEWHERE)
