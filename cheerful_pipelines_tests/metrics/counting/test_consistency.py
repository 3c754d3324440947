"""The rules behind the checks find false numbers and name them."""

from cheerful_pipelines.metrics.counting.consistency import (
    funnel_that_widens,
    parts_that_miss_the_whole,
    shares_out_of_bounds,
)
from cheerful_pipelines.metrics.models import Grain, MetricRow


def _row(grain: Grain, key: str, metric: str, value: float | None, *, is_additive: bool = True) -> MetricRow:
    return MetricRow(
        grain=grain, grain_key=key, metric=metric, value=value, is_additive=is_additive, definition_version="1"
    )


def test_parts_that_do_not_add_up_are_named() -> None:
    rows = [_row("campaign", "", "replied", 3), _row("day", "2026-10-01", "replied", 2)]

    assert parts_that_miss_the_whole(rows) == ["day replied: parts 2, whole 3"]


def test_what_does_not_add_up_by_definition_is_not_asked_to() -> None:
    rows = [_row("campaign", "", "contacted", 3), _row("step", "1", "contacted", 2, is_additive=False)]

    assert parts_that_miss_the_whole(rows) == []


def test_a_share_above_one_is_named_and_one_without_denominator_is_fine() -> None:
    rows = [_row("sender", "mia", "reply_rate", 1.5), _row("sender", "noa", "reply_rate", None)]

    assert shares_out_of_bounds(rows) == ["sender mia reply_rate: 1.5"]


def test_more_replies_than_deliveries_are_named_but_not_by_day() -> None:
    rows = [
        _row(grain, "k", metric, value)
        for grain in ("sender", "day")
        for metric, value in (("replied", 3), ("delivered", 2), ("contacted", 2))
    ]

    assert funnel_that_widens(rows) == ["sender k: replied 3 > delivered 2"]
