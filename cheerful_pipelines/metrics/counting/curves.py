"""How long replies take, with those who have not answered yet taken into account. Pure.

The estimate is that of E. L. Kaplan and P. Meier (1958), its variance Greenwood's, its band the log-log one of
Kalbfleisch and Prentice, which never leaves 0 to 1. Times are hours.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from math import exp, log, sqrt
from typing import NamedTuple

AT_RISK_AT_LEAST = 5
"""Where fewer are still waited for, the curve says little; it is not read beyond."""


class Waiting(NamedTuple):
    """One whom a mail reached: hours until the first reply, or hours waited so far."""

    hours: float
    has_replied: bool


class CurvePoint(NamedTuple):
    """The share that has answered within so many hours, its 95 % band, and how many were still waited for."""

    hours: float
    share: float
    low: float
    high: float
    at_risk: int


def waited(sent_at: datetime, replied_at: datetime | None, until: datetime) -> Waiting:
    """One wait as known at `until`."""
    end = replied_at if replied_at is not None else max(until, sent_at)
    return Waiting((end - sent_at).total_seconds() / 3600, replied_at is not None)


def whole_hour(moment: datetime) -> datetime:
    """The last full hour: numbers that depend on the time of day change once an hour, not with each look."""
    return moment.replace(minute=0, second=0, microsecond=0)


def reply_curve(waits: Iterable[Waiting], *, z: float = 1.96) -> list[CurvePoint]:
    """The share that has answered, one point at each time at which somebody did, by time.

    >>> [(point.hours, round(point.share, 3)) for point in reply_curve([Waiting(1, True), Waiting(2, False)])]
    [(1, 0.5)]
    """
    replies, ends = Counter[float](), Counter[float]()
    for wait in waits:
        ends[wait.hours] += 1
        replies[wait.hours] += wait.has_replied
    at_risk, survival, variance = sum(ends.values()), 1.0, 0.0
    points = []
    for hours in sorted(ends):
        found = replies[hours]
        if found:
            survival *= 1 - found / at_risk
            if found < at_risk:
                variance += found / (at_risk * (at_risk - found))
            points.append(CurvePoint(hours, 1 - survival, *_band(survival, variance, z), at_risk))
        at_risk -= ends[hours]
    return points


def _band(survival: float, variance: float, z: float) -> tuple[float, float]:
    """Low and high of the share that has answered."""
    if not 0 < survival < 1:
        return 1 - survival, 1 - survival
    reach = z * sqrt(variance) / abs(log(survival))
    return 1 - survival ** exp(-reach), 1 - survival ** exp(reach)


def share_after(waits: Sequence[Waiting], delay: timedelta) -> CurvePoint | None:
    """The curve `delay` after the first mail, or where it ends if nobody was waited for so long; None without a reply.

    The point's `at_risk` is that of the last reply it rests on.
    """
    hours = delay.total_seconds() / 3600
    points = [point for point in reply_curve(waits) if point.at_risk >= AT_RISK_AT_LEAST and point.hours <= hours]
    return points[-1] if points else None


def hours_until_share(waits: Sequence[Waiting], share: float) -> float | None:
    """After how many hours so many have answered; None while it is fewer."""
    return next((point.hours for point in reply_curve(waits) if point.share >= share - 1e-12), None)
