"""Numbers as Markdown tables and words, for metadata and the command-line tool. Pure."""

from collections.abc import Sequence

from cheerful_pipelines.metrics.definitions import BY_KEY, HEADLINE
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


def headline_table(rows: Sequence[MetricRow]) -> str:
    """The campaign's first numbers, each with what it is made of and what it means."""
    values = {row.metric: row for row in rows if row.grain == "campaign"}
    lines = ["| metric | value | made of | what it means |", "|---|---:|---:|---|"]
    for key in HEADLINE:
        row, item = values.get(key), BY_KEY[key]
        if row is not None:
            lines.append(f"| {item.title} | {in_words(row)} | {_made_of(row)} | {item.words} |")
    return "\n".join(lines)


def portfolio_table(rows: Sequence[StoredMetric]) -> str:
    """All campaigns side by side."""
    lines = [
        "| campaign | " + " | ".join(BY_KEY[key].title for key in _PORTFOLIO) + " |",
        "|---|" + "---:|" * len(_PORTFOLIO),
    ]
    for slug, values in by_campaign(rows).items():
        cells = [in_words(values[key]) if key in values else "" for key in _PORTFOLIO]
        lines.append(f"| {slug} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
    return f"{row.value:.1f} h" if unit == "hours" else f"{row.value:,.0f}"


def _made_of(row: MetricRow) -> str:
    if row.denominator is None:
        return ""
    return f"of {row.denominator:,.0f}" if row.numerator is None else f"{row.numerator:,.0f} / {row.denominator:,.0f}"
