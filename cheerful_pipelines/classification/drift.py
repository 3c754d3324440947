"""Whether what is said lately looks unlike what was said before: a warning that a person reads. Pure."""

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict

ENOUGH = 50
"""New verdicts below which nothing is said about them."""
MOST_PSI = 0.2
"""Population stability index from which a change is called large, as is usual in scoring."""


class LabelMix(BaseModel):
    """Counts by label of the last day and of the 28 days before, and how often people said otherwise."""

    model_config = ConfigDict(frozen=True)
    recent: dict[str, int]
    earlier: dict[str, int]
    overrides_recent: int = 0


def stability_index(recent: Mapping[str, int], earlier: Mapping[str, int]) -> float:
    """Sum of (p - q) ln(p / q) over the labels, with half a count added to each so that none is nothing.

    >>> stability_index({"a": 50, "b": 50}, {"a": 500, "b": 500}) < 0.001
    True
    """
    names = sorted({*recent, *earlier})
    if not names:
        return 0.0
    new_total = sum(recent.values()) + 0.5 * len(names)
    old_total = sum(earlier.values()) + 0.5 * len(names)
    index = 0.0
    for name in names:
        new = (recent.get(name, 0) + 0.5) / new_total
        old = (earlier.get(name, 0) + 0.5) / old_total
        index += (new - old) * math.log(new / old)
    return index


def warning(mix: LabelMix) -> str | None:
    """What to look at, or None. Too few new verdicts say nothing."""
    count = sum(mix.recent.values())
    if count < ENOUGH or sum(mix.earlier.values()) < ENOUGH:
        return None
    index = stability_index(mix.recent, mix.earlier)
    if index > MOST_PSI:
        return f"The mix of labels changed (index {index:.2f}, from {MOST_PSI} on it is large)."
    unclear = mix.recent.get("unclear", 0) / count
    before = mix.earlier.get("unclear", 0) / sum(mix.earlier.values())
    if unclear > 2 * before + 0.05:
        return f"{unclear:.0%} of new replies are unclear; before it was {before:.0%}."
    return None
