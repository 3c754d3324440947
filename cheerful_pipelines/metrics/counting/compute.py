"""Outcomes become metric rows, for the campaign as a whole and by day, sender, step and cohort. Pure.

What is counted stands in `definitions.py`, what happened with a recipient in `outcomes.py`. Each outcome adds to
counts that belong to it alone (`contributions`), so that a changed outcome changes the campaign's numbers by the
difference of two contributions, and a receipt can name the outcomes behind a number. Parts of additive metrics add
up to the whole at every grain, because each recipient (and each mail) falls into exactly one part:

    day      the day, in the campaign's time zone, on which it first happened; of mails, the day of sending
    sender   the mailbox of the first send; of mails, the mailbox that sent them
    step     the send that was answered; of mails, their number until a person answers (no sum for reach)
    cohort   the ISO week of the first send
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from statistics import median, quantiles
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cheerful_pipelines.metrics.counting.curves import Waiting, hours_until_share, share_after, waited, whole_hour
from cheerful_pipelines.metrics.counting.definitions import (
    AFTER_REPLY,
    BY_KEY,
    DEFINITION_VERSION,
    EARLY_BELOW,
    EARLY_DAYS,
    EXPECTED_AFTER_DAYS,
    MetricDefinition,
)
from cheerful_pipelines.metrics.counting.intervals import wilson_interval
from cheerful_pipelines.metrics.counting.outcomes import Outcome, recipient_outcomes
from cheerful_pipelines.metrics.models import CampaignFacts, Grain, MetricRow

Part = tuple[Grain, str]
"""A grain and a key of it: ("day", "2026-11-01"), ("campaign", "")."""

CountKey = tuple[Grain, str, str]
"""A part and a metric that is counted."""

WHOLE: Part = ("campaign", "")
_NOT_ADDITIVE_BY_STEP = ("contacted", "delivered")
"""Who got step 2 also got step 1: reach by step does not add up."""
_COUNTED_UNITS = ("recipients", "messages", "threads")


class Timing(NamedTuple):
    """What waiting times are told from: one contacted recipient. Times to reply only of those who replied."""

    sender: str
    cohort: str
    sent_at: datetime
    replied_at: datetime | None
    is_delivered: bool
    business_hours_to_reply: float | None
    response_hours: tuple[float, ...]


def compute_metrics(facts: CampaignFacts) -> list[MetricRow]:
    """All rows of one campaign, ordered by grain, key and metric.

    Equal facts give equal rows in any order.
    """
    return rows_of_outcomes(recipient_outcomes(facts), facts.campaign.time_zone, facts.read_at)


def rows_of_outcomes(outcomes: Iterable[Outcome], time_zone: str, known_at: datetime) -> list[MetricRow]:
    """All rows of one campaign from everyone's outcome, as known at a moment."""
    zone, counts, timings = ZoneInfo(time_zone), Counter[CountKey](), []
    for outcome in outcomes:
        counts.update(contributions(outcome, zone))
        timing = timing_of(outcome, zone)
        if timing is not None:
            timings.append(timing)
    return metric_rows(counts, timings, known_at)


def contributions(outcome: Outcome, zone: ZoneInfo) -> Counter[CountKey]:
    """What one recipient adds to the counts of the campaign and of its parts."""
    counts = Counter[CountKey]()
    whole = "recipients_removed" if outcome.is_removed else "recipients"
    counts[*WHOLE, whole] = 1
    if outcome.is_suppressed:
        counts[*WHOLE, "recipients_suppressed"] = 1
    first = outcome.first_send
    if first is None:
        return counts
    own: tuple[Part, ...] = (WHOLE, ("sender", first.sender), ("cohort", cohort_of(first.at, zone)))
    for metric, event in outcome.events.items():
        _add(counts, metric, (*own, ("day", _day(event.at, zone))))
    for metric in ("conversations", "conversation_messages", "conversation_turns"):
        _add(counts, metric, own, getattr(outcome, metric))
    for send in outcome.sends:
        if send.is_first_of_mail:
            parts: tuple[Part, ...] = (
                WHOLE, ("day", _day(send.at, zone)), ("sender", send.sender), own[2], ("step", _step(send.step)),
            )  # fmt: skip
            _add(counts, "messages_sent", parts)
    _add_steps(counts, outcome)
    _add(counts, "needs_review", (WHOLE,), len(outcome.review_threads))
    if outcome.newest_label is not None:
        counts[*WHOLE, f"label_{outcome.newest_label}"] = 1
    if outcome.status is not None:
        counts[*WHOLE, f"status_{outcome.status.lower()}"] = 1
    return counts


def _add_steps(counts: Counter[CountKey], outcome: Outcome) -> None:
    for send in outcome.sends:
        if send.step is not None:
            part: tuple[Part, ...] = (("step", _step(send.step)),)
            _add(counts, "contacted", part)
            # An answer is laid to a send that did not come back wherever there is one; it proves arrival.
            if send.hard_bounce is None or send.step == outcome.reply_step:
                _add(counts, "delivered", part)
    if outcome.reply_step is not None:
        part = (("step", _step(outcome.reply_step)),)
        _add(counts, "replied", part)
        _add(counts, "positive", part, int("positive" in outcome.events))


def timing_of(outcome: Outcome, zone: ZoneInfo) -> Timing | None:
    """The times of one contacted recipient; None for one to whom we never wrote."""
    first = outcome.first_send
    if first is None:
        return None
    replied = outcome.events.get("replied")
    return Timing(
        sender=first.sender,
        cohort=cohort_of(first.at, zone),
        sent_at=first.at,
        replied_at=replied.at if replied else None,
        is_delivered="delivered" in outcome.events,
        business_hours_to_reply=outcome.business_hours_to_reply,
        response_hours=outcome.response_hours,
    )


def metric_rows(counts: Mapping[CountKey, int], timings: Sequence[Timing], known_at: datetime) -> list[MetricRow]:
    """Counts and times as rows, every metric that is defined at a grain for each of its parts."""
    by_part: dict[Part, dict[str, int]] = defaultdict(dict)
    by_part[WHOLE] = {}
    for (grain, key, metric), count in counts.items():
        if count:
            by_part[grain, key][metric] = count
    groups: dict[Part, list[Timing]] = defaultdict(list)
    for timing in timings:
        for part in (WHOLE, ("sender", timing.sender), ("cohort", timing.cohort)):
            groups[part].append(timing)
    until = whole_hour(known_at)
    rows = [
        row for part, found in by_part.items() for row in _rows(part, found, _Times(groups.get(part, []), until))
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row.grain, row.grain_key, row.metric))


def waits_of(timings: Iterable[Timing], until: datetime) -> list[Waiting]:
    """How long each of those whom a mail reached waited, or has waited, before answering."""
    return [waited(item.sent_at, item.replied_at, until) for item in timings if item.is_delivered]


def is_additive(metric: str, grain: Grain) -> bool:
    """Whether the parts of the metric at this grain add up to its whole."""
    return BY_KEY[metric].is_additive and not (grain == "step" and metric in _NOT_ADDITIVE_BY_STEP)


def cohort_of(moment: datetime, zone: ZoneInfo) -> str:
    """ISO week such as 2026-W45."""
    year, week, _ = moment.astimezone(zone).isocalendar()
    return f"{year}-W{week:02d}"


class _Times:
    """The waiting times of one part of the campaign."""

    def __init__(self, timings: Sequence[Timing], until: datetime) -> None:
        self._timings = timings
        self._until = until
        self.waits = waits_of(timings, until)

    @property
    def is_young(self) -> bool:
        """Whether fewer than half of those reached were first written to EARLY_DAYS ago or longer."""
        old = self._until - timedelta(days=EARLY_DAYS)
        reached = [item for item in self._timings if item.is_delivered]
        return 2 * sum(item.sent_at <= old for item in reached) < len(reached)

    @property
    def longest(self) -> float:
        """Hours since the oldest first mail."""
        return max((wait.hours for wait in self.waits if not wait.has_replied), default=0.0)

    def hours(self, metric: str) -> list[float]:
        """The values that a metric in hours summarises."""
        if metric == "median_hours_our_response":
            return [hours for item in self._timings for hours in item.response_hours]
        if metric == "median_business_hours_to_first_reply":
            return [item.business_hours_to_reply for item in self._timings if item.business_hours_to_reply is not None]
        return [
            (item.replied_at - item.sent_at).total_seconds() / 3600
            for item in self._timings
            if item.replied_at is not None
        ]


def _rows(part: Part, counts: Mapping[str, int], times: _Times) -> list[MetricRow]:
    """Every metric that is defined at the part's grain."""
    rows = []
    for item in BY_KEY.values():
        if part[0] not in item.grains:
            continue
        if item.key == "expected_reply_rate":
            rows.append(_expected(part, item, times))
        elif item.unit == "share":
            rows.append(_share(part, item, counts, times))
        elif item.unit in ("per conversation", "per mail"):
            over, under = counts.get(item.numerator or "", 0), counts.get(item.denominator or "", 0)
            value = over / under if under else None
            rows.append(_row(part, item, value=value, numerator=over, denominator=under))
        elif item.key == "median_hours_to_reply_of_all":
            value = hours_until_share(times.waits, 0.5)
            rows.append(_row(part, item, value=value, denominator=len(times.waits)))
        elif item.unit == "hours":
            hours = times.hours(item.key)
            rows.append(_row(part, item, value=_summary(item.key, hours), denominator=len(hours)))
        else:
            rows.append(_row(part, item, value=counts.get(item.key, 0)))
    return rows


def _share(part: Part, item: MetricDefinition, counts: Mapping[str, int], times: _Times) -> MetricRow:
    over, under = counts.get(item.numerator or "", 0), counts.get(item.denominator or "", 0)
    if not under:
        return _row(part, item, value=None, numerator=over, denominator=under)
    low, high = wilson_interval(over, under)
    return _row(
        part, item, value=over / under, numerator=over, denominator=under, low=low, high=high,
        is_early=under < EARLY_BELOW or (part[0] != "step" and times.is_young),
    )  # fmt: skip


def _expected(part: Part, item: MetricDefinition, times: _Times) -> MetricRow:
    delay = timedelta(days=EXPECTED_AFTER_DAYS)
    point = share_after(times.waits, delay)
    if point is None:
        return _row(part, item, value=None, denominator=len(times.waits), is_early=bool(times.waits))
    return _row(
        part, item, value=point.share, denominator=len(times.waits), low=point.low, high=point.high,
        is_early=len(times.waits) < EARLY_BELOW or times.longest * 3600 < delay.total_seconds(),
    )  # fmt: skip


def _summary(metric: str, hours: Sequence[float]) -> float | None:
    if not hours:
        return None
    if metric.startswith("p90"):
        return quantiles(hours, n=10, method="inclusive")[-1] if len(hours) > 1 else hours[0]
    return median(hours)


def _row(
    part: Part,
    item: MetricDefinition,
    *,
    value: float | None,
    numerator: float | None = None,
    denominator: float | None = None,
    low: float | None = None,
    high: float | None = None,
    is_early: bool = False,
) -> MetricRow:
    return MetricRow(
        grain=part[0],
        grain_key=part[1],
        metric=item.key,
        value=value,
        numerator=numerator,
        denominator=denominator,
        low=low,
        high=high,
        is_early=is_early,
        is_additive=is_additive(item.key, part[0]),
        definition_version=DEFINITION_VERSION,
    )


_GRAINS: dict[str, frozenset[str]] = {
    key: frozenset(item.grains) for key, item in BY_KEY.items() if item.unit in _COUNTED_UNITS
}


def _add(counts: Counter[CountKey], metric: str, parts: Iterable[Part], count: int = 1) -> None:
    """Add to those parts at whose grain the metric is defined."""
    grains = _GRAINS[metric]
    for grain, key in parts:
        if count and grain in grains:
            counts[grain, key, metric] += count


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).date().isoformat()


def _step(step: int | None) -> str:
    return AFTER_REPLY if step is None else str(step)
