"""Waiting times: the published example, the rules that hold for any data, and young campaigns."""

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.metrics.counting.business_hours import business_hours
from cheerful_pipelines.metrics.counting.compute import Timing, metric_rows
from cheerful_pipelines.metrics.counting.curves import (
    Waiting,
    hours_until_share,
    reply_curve,
    share_after,
    waited,
    whole_hour,
)
from cheerful_pipelines.metrics.models import MetricRow
from cheerful_pipelines.metrics.report.tables import cohort_table
from cheerful_pipelines_tests.builders import START

# Freireich et al. 1963: weeks of remission under 6-MP, 21 patients; the standard example of survival analysis.
RELAPSED = (6, 6, 6, 7, 10, 13, 16, 22, 23)
CENSORED = (6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35)
PUBLISHED = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
REMISSIONS = [Waiting(t, True) for t in RELAPSED] + [Waiting(t, False) for t in CENSORED]

waits = st.lists(st.builds(Waiting, st.integers(0, 400).map(float), st.booleans()), max_size=40)


def test_the_curve_is_the_published_one() -> None:
    points = {point.hours: point for point in reply_curve(REMISSIONS)}

    assert {t: round(1 - point.share, 3) for t, point in points.items()} == PUBLISHED
    assert [points[t].at_risk for t in sorted(points)] == [21, 17, 15, 12, 11, 7, 6]
    # The log-log band at 23 weeks as survival packages print it: S = 0.448, 0.188 to 0.680.
    assert (1 - points[23].high, 1 - points[23].low) == pytest.approx((0.188, 0.680), abs=0.002)


@given(waits, st.randoms(use_true_random=False))
def test_a_curve_never_falls_stays_a_share_and_knows_no_order(some: list[Waiting], random: object) -> None:
    points = reply_curve(some)
    shuffled = random.sample(some, len(some))  # type: ignore[attr-defined]

    assert reply_curve(shuffled) == points
    assert all(
        0 <= point.low <= point.share + 1e-9 and point.share <= point.high + 1e-9 <= 1 + 1e-8 for point in points
    )
    assert all(a.share <= b.share + 1e-12 for a, b in itertools.pairwise(points))
    answered = sum(wait.has_replied for wait in some)
    if points:
        assert points[-1].share >= answered / len(some) - 1e-9, "who is still waited for may answer yet"


def test_without_anyone_left_to_wait_for_it_is_the_plain_share() -> None:
    everybody = [Waiting(float(n), n % 2 == 0) for n in range(1, 9)]
    late = [Waiting(wait.hours if wait.has_replied else 900.0, wait.has_replied) for wait in everybody]

    assert reply_curve(late)[-1].share == pytest.approx(0.5)
    assert hours_until_share(late, 0.5) == 8
    assert hours_until_share(late, 0.9) is None
    assert share_after([], timedelta(days=30)) is None


def test_a_wait_is_told_to_the_last_full_hour() -> None:
    until = whole_hour(START + timedelta(hours=5, minutes=59))

    assert waited(START, None, until) == Waiting(5.0, False)
    assert waited(START, START + timedelta(hours=5.5), until) == Waiting(5.5, True)
    assert waited(START + timedelta(days=3), None, until) == Waiting(0.0, False)


def _timings(count: int, *, age_days: float, replied: int, now: datetime) -> list[Timing]:
    sent = now - timedelta(days=age_days)
    return [
        Timing("mia", "2026-W40", sent, sent + timedelta(hours=12) if n < replied else None, True, 4.0, ())
        for n in range(count)
    ]


def _rates(timings: list[Timing], replied: int, now: datetime) -> dict[str, MetricRow]:
    counts = {
        ("campaign", "", "delivered"): len(timings), ("campaign", "", "contacted"): len(timings),
        ("campaign", "", "replied"): replied,
    }  # fmt: skip
    return {row.metric: row for row in metric_rows(counts, timings, now) if row.grain == "campaign"}  # type: ignore[arg-type]


def test_a_young_or_small_campaign_is_too_early_to_tell() -> None:
    now = datetime(2026, 11, 20, 9, tzinfo=UTC)
    old = _timings(80, age_days=40, replied=20, now=now)

    assert not _rates(old, 20, now)["reply_rate"].is_early
    assert _rates(old[:30], 20, now)["reply_rate"].is_early, "fewer than fifty"
    assert _rates(_timings(80, age_days=2, replied=20, now=now), 20, now)["reply_rate"].is_early, "two days old"
    assert not _rates(old, 20, now)["expected_reply_rate"].is_early
    assert _rates(_timings(80, age_days=20, replied=20, now=now), 20, now)["expected_reply_rate"].is_early


def test_the_expected_rate_is_above_what_a_growing_campaign_shows() -> None:
    """Half were written to an hour ago: they pull the plain rate down, not the expected one."""
    now = datetime(2026, 11, 20, 9, tzinfo=UTC)
    timings = [*_timings(60, age_days=40, replied=30, now=now), *_timings(60, age_days=0.04, replied=0, now=now)]

    rows = _rates(timings, 30, now)

    assert rows["reply_rate"].value == 0.25
    assert rows["expected_reply_rate"].value == pytest.approx(0.5)
    low, high = rows["expected_reply_rate"].low, rows["expected_reply_rate"].high
    assert low is not None
    assert high is not None
    assert low < 0.5 < high


def test_weeks_that_have_not_lived_so_long_are_blank_not_zero() -> None:
    now = datetime(2026, 11, 20, 9, tzinfo=UTC)
    header, rows = cohort_table(_timings(10, age_days=8, replied=5, now=now), now)

    assert dict(zip(header, rows[0], strict=True)) == {
        "week": "2026-W40", "delivered": 10, "day 1": "50.0%", "day 2": "50.0%", "day 3": "50.0%", "day 7": "50.0%",
        "day 14": None, "day 30": None,
    }  # fmt: skip


BERLIN = ZoneInfo("Europe/Berlin")
SPRING = datetime(2026, 3, 20, tzinfo=BERLIN)
instants = st.integers(0, 31 * 24 * 60).map(lambda minutes: SPRING.astimezone(UTC) + timedelta(minutes=minutes))


@given(instants, instants, instants)
def test_hours_of_work_add_up_over_any_moment_between(a: datetime, b: datetime, c: datetime) -> None:
    """Also over the change to summer time of 29 March 2026."""
    first, middle, last = sorted((a, b, c))

    whole = business_hours(first, last, BERLIN)

    assert whole == pytest.approx(business_hours(first, middle, BERLIN) + business_hours(middle, last, BERLIN))
    assert 0 <= whole <= (last - first).total_seconds() / 3600 + 1e-9
