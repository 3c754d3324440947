"""No regular expression of the package takes more than linear time, whoever writes what it reads."""

import re

import pytest

from cheerful_pipelines_tests.regular_expressions import Expression, find_all, find_attack

NOT_LINEAR = [
    (r"[^\s<>\"]+@[^\s<>\"]+", "search"),  # neighbours that take the same characters
    (r"^\W*(?:-+\s*)?forwarded", "match"),  # an optional part between them
    (r"(?:a|aa)+$", "match"),  # exponential
    (r"<(style|script)\b.*?</\1>", "search"),  # an end that never comes
]


def test_every_regular_expression_of_the_package_is_linear() -> None:
    found = find_all("cheerful_pipelines", without=["cheerful_pipelines.storage.migrations"])

    attacked = [result for one in found.expressions if (result := find_attack(one)) is not None]

    assert not attacked
    assert not found.not_checked
    assert len(found.expressions) > 500  # the rules of the classifier among them


def test_patterns_in_rules_data_calls_and_containers_are_found() -> None:
    found = {one.where for one in find_all("cheerful_pipelines.classification").expressions}

    assert "cheerful_pipelines.classification.local.rules.rulebook()" in found
    assert "cheerful_pipelines.classification.local.extract.amount_of" in found
    assert "cheerful_pipelines.classification.llm.private_words._CARD" in found


@pytest.mark.parametrize(("pattern", "method"), NOT_LINEAR)
def test_what_is_not_linear_is_told(pattern: str, method: str) -> None:
    assert find_attack(Expression("here", re.compile(pattern), method)) is not None
