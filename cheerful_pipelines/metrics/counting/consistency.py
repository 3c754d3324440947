"""What must hold between the numbers of one campaign, whatever the mail says. Pure; `checks.py` shows the
result.
"""

from collections import defaultdict
from collections.abc import Iterable

from cheerful_pipelines.metrics.counting.definitions import BY_KEY
from cheerful_pipelines.metrics.models import Grain, MetricRow

_NARROWING: tuple[str, ...] = ("replied", "delivered", "contacted")


def parts_that_miss_the_whole(rows: Iterable[MetricRow]) -> list[str]:
    """`grain metric: parts 3, whole 4` for each additive metric whose parts do not add up to the
    campaign's value.
    """
    parts: dict[tuple[Grain, str], float] = defaultdict(float)
    whole: dict[str, float] = {}
    for row in rows:
        if row.grain == "campaign":
            whole[row.metric] = row.value or 0
        elif row.is_additive:
            parts[row.grain, row.metric] += row.value or 0
    return [
        f"{grain} {metric}: parts {total:g}, whole {whole.get(metric, 0):g}"
        for (grain, metric), total in sorted(parts.items())
        if total != whole.get(metric, 0)
    ]


def shares_out_of_bounds(rows: Iterable[MetricRow]) -> list[str]:
    """`grain key metric: value` for each share that is not within 0 and 1."""
    return [
        f"{row.grain} {row.grain_key} {row.metric}: {row.value:g}"
        for row in rows
        if row.metric in BY_KEY and BY_KEY[row.metric].unit == "share"
        if row.value is not None and not 0 <= row.value <= 1
    ]


def funnel_that_widens(rows: Iterable[MetricRow]) -> list[str]:
    """`grain key: replied 3 > delivered 2` wherever a later stage holds more recipients than the one before.

    Not by day: that day's replies answer mails of other days.
    """
    counts: dict[tuple[Grain, str], dict[str, float]] = defaultdict(dict)
    for row in rows:
        if row.grain != "day" and row.metric in _NARROWING:
            counts[row.grain, row.grain_key][row.metric] = row.value or 0
    return [
        f"{grain} {key}: {inner} {found[inner]:g} > {outer} {found[outer]:g}"
        for (grain, key), found in sorted(counts.items())
        for inner, outer in (("replied", "delivered"), ("delivered", "contacted"))
        if found.get(inner, 0) > found.get(outer, 0)
    ]
