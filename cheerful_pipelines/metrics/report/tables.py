"""Numbers as Markdown tables and words, for metadata and the command-line tool. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.metrics.counting.compute import Timing
from cheerful_pipelines.metrics.counting.definitions import BY_KEY, HEADLINE, VENDOR_DEFINITIONS
from cheerful_pipelines.metrics.models import MetricRow, StoredMetric

_PORTFOLIO = (
    "messages_sent",
    "contacted",
    "delivered",
    "hard_bounced",
    "replied",
    "reply_rate",
    "positive",
    "positive_rate",
    "opted_out",
)


def headline_table(rows: Sequence[MetricRow]) -> Markdown:
    """The campaign's first numbers, each with what it is made of and what it means."""
    values = {row.metric: row for row in rows if row.grain == "campaign"}
    return markdown.table(
        ("metric", "value", "made of", "95 %", "what it means"),
        [
            (BY_KEY[key].title, in_words(row), _made_of(row), _sure(row), BY_KEY[key].words)
            for key in HEADLINE
            if (row := values.get(key)) is not None
        ],
        right=(1, 2),
    )


def portfolio_table(rows: Sequence[StoredMetric]) -> Markdown:
    """All campaigns side by side."""
    return markdown.table(
        ("campaign", *(BY_KEY[key].title for key in _PORTFOLIO)),
        [
            (slug, *(in_words(values[key]) if key in values else "" for key in _PORTFOLIO))
            for slug, values in by_campaign(rows).items()
        ],
        right=range(1, len(_PORTFOLIO) + 1),
    )


def by_campaign(rows: Sequence[StoredMetric]) -> dict[str, dict[str, StoredMetric]]:
    """Campaign-wide rows by slug and metric."""
    found: dict[str, dict[str, StoredMetric]] = {}
    for row in rows:
        if row.grain == "campaign":
            found.setdefault(row.campaign_slug, {})[row.metric] = row
    return found


def in_words(row: MetricRow) -> str:
    """`12`, `34.5 %`, `26.3 h`, or a dash where there is nothing to divide by."""
    if row.value is None:
        return "–"
    unit = BY_KEY[row.metric].unit
    if unit == "share":
        return f"{row.value * 100:.1f} %"
    if unit in ("per conversation", "per mail"):
        return f"{row.value:.2f}"
    return f"{row.value:.1f} h" if unit == "hours" else f"{row.value:,.0f}"


def margin(row: MetricRow) -> str:
    """`8.1 to 11.9 %`: where a rate lies with 95 % confidence; empty for what is no rate."""
    if row.low is None or row.high is None:
        return ""
    return f"{row.low * 100:.1f} to {row.high * 100:.1f} %"


def _sure(row: MetricRow) -> str:
    return f"{margin(row)}{', too early to tell' if row.is_early else ''}".strip(", ")


class VendorRow(NamedTuple):
    """A rate in somebody's definition, in words."""

    whose: str
    title: str
    value: str
    made_of: str
    words: str
    source: str


def vendor_rows(rows: Sequence[MetricRow]) -> list[VendorRow]:
    """Our two rates first, then the same campaign in others' definitions."""
    values = {row.metric: row for row in rows if row.grain == "campaign"}
    found = [
        VendorRow("ours", BY_KEY[key].title, in_words(values[key]), _made_of(values[key]), BY_KEY[key].words, "here")
        for key in ("reply_rate", "positive_rate")
        if key in values
    ]
    for item in VENDOR_DEFINITIONS:
        over, under = (values.get(key or "") for key in (item.numerator, item.denominator))
        value, made_of = "–", ""
        if over is not None and under is not None:
            made_of = f"{over.value or 0:,.0f} / {under.value or 0:,.0f}"
            value = f"{(over.value or 0) / under.value * 100:.1f} %" if under.value else "–"
        found.append(VendorRow(item.vendor, item.title, value, made_of, item.words, item.source))
    return found


def vendor_table(rows: Sequence[MetricRow]) -> Markdown:
    """As Markdown."""
    return markdown.table(
        ("whose", "rate", "value", "made of", "in words"),
        [(one.whose, one.title, one.value, one.made_of, one.words) for one in vendor_rows(rows)],
        right=(2, 3),
    )


COHORT_DAYS = (1, 2, 3, 7, 14, 30)


def cohort_table(timings: Iterable[Timing], until: datetime) -> tuple[list[str], list[list[object]]]:
    """Header and a row for each week of first mails: the share of those reached that had answered after so many days.

    A cell is None while some of the week were not written to so long ago: unknown is not zero.
    """
    weeks: dict[str, list[Timing]] = defaultdict(list)
    for timing in timings:
        if timing.is_delivered:
            weeks[timing.cohort].append(timing)
    header = ["week", "delivered", *(f"day {day}" for day in COHORT_DAYS)]
    rows: list[list[object]] = []
    for week, members in sorted(weeks.items()):
        cells: list[object] = []
        for day in COHORT_DAYS:
            delay = timedelta(days=day)
            lived = all(item.sent_at + delay <= until for item in members)
            answered = sum(item.replied_at is not None and item.replied_at <= item.sent_at + delay for item in members)
            cells.append(f"{answered / len(members):.1%}" if lived else None)
        rows.append([week, len(members), *cells])
    return header, rows


def cohort_markdown(timings: Iterable[Timing], until: datetime) -> Markdown:
    """As Markdown; blank where the week has not lived so long."""
    header, rows = cohort_table(timings, until)
    return markdown.table(header, rows, right=range(1, len(header)))


def _made_of(row: MetricRow) -> str:
    if row.denominator is None:
        return ""
    return f"of {row.denominator:,.0f}" if row.numerator is None else f"{row.numerator:,.0f} / {row.denominator:,.0f}"
