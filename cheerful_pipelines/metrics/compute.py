"""Outcomes become metric rows, for the campaign as a whole and by day, sender, step and cohort. Pure.

What is counted stands in `definitions.py`, what happened with a recipient in `outcomes.py`. Parts of additive
metrics add up to the whole at every grain, because each recipient (and each mail) falls into exactly one
part:

    day      the day, in the campaign's time zone, on which it first happened; of mails, the day of sending
    sender   the mailbox of the first send; of mails, the mailbox that sent them
    step     the send that was answered; of mails, their number until a person answers (no sum for reach)
    cohort   the ISO week of the first send
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from zoneinfo import ZoneInfo

from cheerful_pipelines.metrics.definitions import (
    AFTER_REPLY,
    BY_KEY,
    DEFINITION_VERSION,
    DEFINITIONS,
    LABEL_DEFINITIONS,
    MetricDefinition,
)
from cheerful_pipelines.metrics.models import CampaignFacts, Grain, MetricRow, ThreadLine
from cheerful_pipelines.metrics.outcomes import Outcome, Send, recipient_outcomes

_EVENT_TIMES: dict[str, Callable[[Outcome], datetime | None]] = {
    "contacted": lambda outcome: outcome.first_send.at if outcome.first_send else None,
    "hard_bounced": lambda outcome: outcome.hard_bounced_at,
    "soft_bounced": lambda outcome: outcome.soft_bounced_at,
    "delivered": lambda outcome: outcome.delivered_at,
    "replied": lambda outcome: outcome.replied_at,
    "auto_replied": lambda outcome: outcome.auto_replied_at,
    "ooo": lambda outcome: outcome.absent_at,
    "positive": lambda outcome: outcome.positive_at,
    "opted_out": lambda outcome: outcome.opted_out_at,
    "opted_out_and_delivered": lambda outcome: outcome.opted_out_at if outcome.delivered_at else None,
    "questions": lambda outcome: (outcome.label_at or {}).get("question"),
    "negotiating": lambda outcome: (outcome.label_at or {}).get("negotiating"),
}
"""When each counted thing first happened with a recipient; None: it did not."""

_NOT_ADDITIVE_BY_STEP = ("contacted", "delivered")
"""Who got step 2 also got step 1: reach by step does not add up."""


@dataclass(frozen=True, slots=True)
class _Mail:
    """One mail of ours, however many recipients it has."""

    send: Send
    cohort: str


def compute_metrics(facts: CampaignFacts) -> list[MetricRow]:
    """All rows of one campaign, ordered by grain, key and metric.

    Equal facts give equal rows in any order.
    """
    outcomes = recipient_outcomes(facts)
    zone = ZoneInfo(facts.campaign.time_zone)
    contacted = [outcome for outcome in outcomes if outcome.sends]
    mails = _mails(contacted, zone)
    rows = [
        *_campaign_rows(facts, outcomes, len(mails)),
        *_day_rows(contacted, mails, zone),
        *_group_rows("sender", contacted, _first_sender, Counter(mail.send.sender for mail in mails)),
        *_step_rows(contacted, mails),
        *_group_rows(
            "cohort",
            contacted,
            lambda outcome: _cohort(outcome, zone),
            Counter(mail.cohort for mail in mails),
        ),
    ]
    return sorted(rows, key=lambda row: (row.grain, row.grain_key, row.metric))


def thread_lines(facts: CampaignFacts) -> list[ThreadLine]:
    """One line for each thread of the campaign with at least one message, by key."""
    known = {recipient.id: recipient for recipient in facts.recipients}
    messages = defaultdict(list)
    for message in facts.messages:
        messages[message.thread_key].append(message)
    newest = {item.thread_key: item for item in sorted(facts.verdicts, key=lambda item: item.state_version)}
    overridden = {item.thread_key: item.label for item in facts.overrides}
    lines = []
    for thread in sorted(facts.threads, key=lambda item: item.key):
        mails = messages[thread.key]
        if not mails:
            continue
        recipient = known[min(thread.recipient_ids)]
        verdict = newest.get(thread.key)
        override = overridden.get(thread.key)
        label = override or (verdict.label if verdict else None)
        sent = [mail.at for mail in mails if mail.is_sent]
        replies = {
            mail.message_id
            for mail in mails
            if mail.kind == "human" and mail.from_key not in facts.our_keys and mail.direction == "theirs"
        }
        lines.append(
            ThreadLine(
                key=thread.key,
                creator=recipient.name or recipient.handle or "",
                sheet_row=recipient.sheet_row,
                sender=thread.account_alias,
                first_sent_at=min(sent, default=None),
                last_message_at=max(mail.at for mail in mails),
                label=label,
                confidence=verdict.confidence if verdict and override is None else None,
                needs_review=verdict is not None and override is None and verdict.needs_review,
                replies=len(replies),
            )
        )
    return lines


def _campaign_rows(facts: CampaignFacts, outcomes: list[Outcome], mails: int) -> list[MetricRow]:
    counts = _counts(outcomes) | {
        "recipients": sum(not recipient.is_removed for recipient in facts.recipients),
        "recipients_removed": sum(recipient.is_removed for recipient in facts.recipients),
        "messages_sent": mails,
        "needs_review": sum(line.needs_review for line in thread_lines(facts)),
    }
    labels = Counter(f"label_{outcome.newest_label}" for outcome in outcomes if outcome.newest_label)
    return [
        *_rows("campaign", "", counts, outcomes),
        *(_row("campaign", "", item, value=labels[item.key]) for item in LABEL_DEFINITIONS),
    ]


def _day_rows(contacted: list[Outcome], mails: list[_Mail], zone: ZoneInfo) -> list[MetricRow]:
    days: dict[str, Counter[str]] = defaultdict(Counter)
    for mail in mails:
        days[_day(mail.send.at, zone)]["messages_sent"] += 1
    for outcome in contacted:
        for key, event in _EVENT_TIMES.items():
            at = event(outcome)
            if at is not None:
                days[_day(at, zone)][key] += 1
    return [row for day, counts in days.items() for row in _rows("day", day, counts, [])]


def _group_rows(
    grain: Grain, contacted: list[Outcome], part: Callable[[Outcome], str], mails: Mapping[str, int]
) -> list[MetricRow]:
    """Rows of a grain that cuts the contacted recipients into parts."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in contacted:
        groups[part(outcome)].append(outcome)
    rows: list[MetricRow] = []
    for key in sorted({*groups, *mails}):
        members = groups.get(key, [])
        rows.extend(_rows(grain, key, _counts(members) | {"messages_sent": mails.get(key, 0)}, members))
    return rows


def _step_rows(contacted: list[Outcome], mails: list[_Mail]) -> list[MetricRow]:
    steps: dict[str, Counter[str]] = defaultdict(Counter)
    for mail in mails:
        steps[_step(mail.send.step)]["messages_sent"] += 1
    for outcome in contacted:
        for send in outcome.sends:
            if send.step is not None:
                answered = send.step == outcome.reply_step
                steps[_step(send.step)]["contacted"] += 1
                # An answer is laid to a send that did not come back wherever there is one; it proves arrival.
                steps[_step(send.step)]["delivered"] += send.hard_bounced_at is None or answered
        if outcome.reply_step is not None:
            steps[_step(outcome.reply_step)]["replied"] += 1
            steps[_step(outcome.reply_step)]["positive"] += outcome.positive_at is not None
    return [row for step, counts in steps.items() for row in _rows("step", step, counts, [])]


def _rows(grain: Grain, key: str, counts: Mapping[str, int], outcomes: list[Outcome]) -> list[MetricRow]:
    """Every metric that is defined at this grain, from its counts."""
    rows = []
    for item in DEFINITIONS:
        if grain not in item.grains:
            continue
        if item.unit == "share":
            over, under = counts.get(item.numerator or "", 0), counts.get(item.denominator or "", 0)
            value = over / under if under else None
            rows.append(_row(grain, key, item, value=value, numerator=over, denominator=under))
        elif item.unit == "hours":
            hours = _hours(item.key, outcomes)
            rows.append(_row(grain, key, item, value=median(hours) if hours else None, denominator=len(hours)))
        else:
            rows.append(_row(grain, key, item, value=counts.get(item.key, 0)))
    return rows


def _row(
    grain: Grain,
    key: str,
    item: MetricDefinition,
    *,
    value: float | None,
    numerator: float | None = None,
    denominator: float | None = None,
) -> MetricRow:
    return MetricRow(
        grain=grain,
        grain_key=key,
        metric=item.key,
        value=value,
        numerator=numerator,
        denominator=denominator,
        is_additive=is_additive(item.key, grain),
        definition_version=DEFINITION_VERSION,
    )


def is_additive(metric: str, grain: Grain) -> bool:
    """Whether the parts of the metric at this grain add up to its whole."""
    return BY_KEY[metric].is_additive and not (grain == "step" and metric in _NOT_ADDITIVE_BY_STEP)


def _counts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    counts = dict.fromkeys(_EVENT_TIMES, 0)
    for outcome in outcomes:
        for key, event in _EVENT_TIMES.items():
            counts[key] += event(outcome) is not None
    return counts


def _hours(metric: str, outcomes: Iterable[Outcome]) -> list[float]:
    if metric == "median_hours_our_response":
        return [hours for outcome in outcomes for hours in outcome.response_hours]
    return [
        (outcome.replied_at - outcome.sends[0].at).total_seconds() / 3600
        for outcome in outcomes
        if outcome.replied_at is not None
    ]


def _mails(contacted: list[Outcome], zone: ZoneInfo) -> list[_Mail]:
    """Distinct mails; one with several recipients stands with the first of them."""
    found: dict[int, _Mail] = {}
    for outcome in contacted:
        for send in outcome.sends:
            found.setdefault(send.message_id, _Mail(send, _cohort(outcome, zone)))
    return list(found.values())


def _first_sender(outcome: Outcome) -> str:
    return outcome.sends[0].sender


def _cohort(outcome: Outcome, zone: ZoneInfo) -> str:
    """ISO week of the first send, such as 2026-W45."""
    year, week, _ = outcome.sends[0].at.astimezone(zone).isocalendar()
    return f"{year}-W{week:02d}"


def _day(moment: datetime, zone: ZoneInfo) -> str:
    return moment.astimezone(zone).date().isoformat()


def _step(step: int | None) -> str:
    return AFTER_REPLY if step is None else str(step)
