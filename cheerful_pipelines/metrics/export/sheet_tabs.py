"""What the client's sheet says: numbers, threads and problems as the rows of six tabs. Pure.

No word of any mail and no address stands here. Dates are serial numbers in the campaign's time zone, shares
are numbers between 0 and 1; formats make them readable.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.classification.labels.table import LABEL
from cheerful_pipelines.classification.overrides.overrides_in_sheet import OVERRIDE_HEADER, REASON_HEADER
from cheerful_pipelines.google.sheets.keyed_tab import KEY_HEADER, DesiredTab
from cheerful_pipelines.google.sheets.models import Cell
from cheerful_pipelines.metrics.counting.definitions import BY_KEY, DEFINITION_VERSION, DEFINITIONS
from cheerful_pipelines.metrics.models import Grain, StoredMetric, ThreadLine
from cheerful_pipelines.recipients.import_report import PROBLEM_WORDS
from cheerful_pipelines.recipients.models import RowProblem

_SHEET_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
_DAY = "yyyy-mm-dd"
_MOMENT = "yyyy-mm-dd hh:mm"
_SHARE = "0.0%"

TAB_TITLES = ("Summary", "Daily", "Senders", "Threads", "Problems", "About")

_DAILY = ("messages_sent", "contacted", "delivered", "hard_bounced", "replied", "positive", "opted_out")


class ProblemLine(NamedTuple):
    """One row of the tab Problems."""

    where: str
    what: str
    why: str
    key: str


_SENDERS = (
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


def desired_tabs(
    campaign: Campaign,
    metrics: Sequence[StoredMetric],
    lines: Sequence[ThreadLine],
    problems: Sequence[ProblemLine],
    *,
    page_url: str,
) -> list[DesiredTab]:
    """The six tabs, in order. `page_url` leads to the campaign's numbers in Dagster's UI."""
    zone = ZoneInfo(campaign.time_zone)
    return [
        _summary(metrics),
        _by_part("Daily", "day", "Day", _DAILY, metrics),
        _by_part("Senders", "sender", "Sender", _SENDERS, metrics),
        _threads(lines, zone),
        _problems(problems),
        _about(campaign, metrics, zone, page_url),
    ]


def serial(moment: datetime, zone: ZoneInfo) -> float:
    """Days since 1899-12-30 by the clock of the zone: how sheets count time. To the second.

    >>> serial(datetime(2026, 10, 1, 12, tzinfo=UTC), ZoneInfo("UTC"))
    46296.5
    """
    local = moment.astimezone(zone).replace(tzinfo=UTC)
    return round((local - _SHEET_EPOCH).total_seconds() / 86400, 5)


def _summary(metrics: Sequence[StoredMetric]) -> DesiredTab:
    values = {row.metric: row for row in metrics if row.grain == "campaign"}
    rows = []
    for item in DEFINITIONS:
        row = values.get(item.key)
        if row is not None:
            parts = (row.numerator, row.denominator, row.low, row.high)
            early = "too early to tell" if row.is_early else ""
            rows.append(
                (
                    item.title,
                    _number(row.value),
                    *map(_number, parts),
                    early,
                    item.unit,
                    item.words,
                    f"metric/{item.key}",
                )
            )
    shares = {f"metric/{item.key}": _SHARE for item in DEFINITIONS if item.unit == "share"}
    return DesiredTab(
        title="Summary",
        headers=(
            "Metric", "Value", "Numerator", "Denominator", "95 % from", "95 % to", "Remark", "Unit", "What it means",
            KEY_HEADER,
        ),
        rows=tuple(rows),
        key_pattern=r"metric/\w+",
        formats={"95 % from": _SHARE, "95 % to": _SHARE},
        cell_formats={("Value", key): pattern for key, pattern in shares.items()},
    )  # fmt: skip


def _by_part(
    title: str, grain: Grain, first_header: str, keys: Sequence[str], metrics: Sequence[StoredMetric]
) -> DesiredTab:
    values: dict[str, dict[str, float | None]] = defaultdict(dict)
    for row in metrics:
        if row.grain == grain:
            values[row.grain_key][row.metric] = row.value
    rows = [
        (
            _day_serial(part) if grain == "day" else part,
            *(_number(found.get(key)) for key in keys),
            f"{grain}/{part}",
        )
        for part, found in sorted(values.items())
    ]
    formats = {BY_KEY[key].title: _SHARE for key in keys if BY_KEY[key].unit == "share"}
    return DesiredTab(
        title=title,
        headers=(first_header, *(BY_KEY[key].title for key in keys), KEY_HEADER),
        rows=tuple(rows),
        key_pattern=rf"{grain}/.+",
        formats=formats | ({first_header: _DAY} if grain == "day" else {}),
    )


def _threads(lines: Sequence[ThreadLine], zone: ZoneInfo) -> DesiredTab:
    rows = [
        (
            line.key,
            line.creator,
            line.sheet_row,
            line.sender,
            None if line.first_sent_at is None else serial(line.first_sent_at, zone),
            serial(line.last_message_at, zone),
            _label_words(line.label),
            _number(line.confidence),
            "yes" if line.needs_review else "",
            line.replies,
        )
        for line in lines
    ]
    headers = (
        KEY_HEADER,
        "Creator",
        "Row",
        "Sender",
        "Sent",
        "Last message",
        "Status",
        "Confidence",
        "Needs review",
        "Replies",
    )
    return DesiredTab(
        title="Threads",
        headers=headers,
        rows=tuple(rows),
        key_pattern=r"[^\s/]+/[0-9A-Za-z_-]+",
        client_headers=(OVERRIDE_HEADER, REASON_HEADER),
        formats={"Sent": _MOMENT, "Last message": _MOMENT, "Confidence": "0%"},
    )


def problem_lines(rows: Sequence[RowProblem], override_problems: Sequence[str]) -> list[ProblemLine]:
    """What the last import could not take, and what stands under Override and cannot be read. No names."""
    found = [
        ProblemLine(f"row {item.sheet_row}", PROBLEM_WORDS[item.kind], item.reason, f"row/{item.sheet_row}/{item.kind}")
        for item in rows
    ]
    found += [
        ProblemLine("tab Threads", "an override that was not taken", words, f"override/{number}")
        for number, words in enumerate(override_problems, start=1)
    ]
    return found


def _problems(problems: Sequence[ProblemLine]) -> DesiredTab:
    return DesiredTab(
        title="Problems",
        headers=("Where", "What", "Why", KEY_HEADER),
        rows=tuple(problems),
        key_pattern=r"(row|override)/[\w/]+",
        fills_gaps=True,
    )


def _about(campaign: Campaign, metrics: Sequence[StoredMetric], zone: ZoneInfo, page_url: str) -> DesiredTab:
    changed = max((row.computed_at for row in metrics), default=None)
    facts: list[tuple[str, Cell, str]] = [
        ("Campaign", campaign.name, "about/campaign"),
        ("Definitions, version", DEFINITION_VERSION, "about/definition_version"),
        ("Numbers last changed", None if changed is None else _moment_words(changed, zone), "about/changed"),
        ("Time zone of days and times", campaign.time_zone, "about/time_zone"),
        ("Where the numbers come from", page_url, "about/page"),
        (
            "How we write here",
            "We write only the columns that we made, in the rows with our Key. Sort, filter, colour, "
            "and add columns and notes as you like; please leave the Key column as it is.",
            "about/how",
        ),
        *((f"{item.title} is counted as", item.formula, f"about/{item.key}") for item in DEFINITIONS),
    ]
    return DesiredTab(title="About", headers=("What", "Says", KEY_HEADER), rows=tuple(facts), key_pattern=r"about/\w+")


def _label_words(label: str | None) -> str:
    return "" if label is None else LABEL[label].title if label in LABEL else label


def _moment_words(moment: datetime, zone: ZoneInfo) -> str:
    return f"{moment.astimezone(zone):%Y-%m-%d %H:%M:%S}"


def _day_serial(day: str) -> int:
    return (date.fromisoformat(day) - _SHEET_EPOCH.date()).days


def _number(value: float | None) -> Cell:
    """Whole numbers as such; shares to six digits, so that what is read back is what was written."""
    if value is None:
        return None
    return int(value) if float(value).is_integer() else round(value, 6)
