"""What is behind a number, and what made it change: outcomes, read the way they are counted. Pure."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.metrics.counting.compute import Part, contributions
from cheerful_pipelines.metrics.counting.definitions import BY_KEY, MetricDefinition
from cheerful_pipelines.metrics.counting.outcomes import Event, Outcome
from cheerful_pipelines.metrics.models import OutcomeChange


class Receipt(NamedTuple):
    """One recipient behind a number: how much of it, what made it so, and their threads (`alias/gmail_thread_id`)."""

    recipient_id: int
    adds: int
    event: Event | None
    threads: tuple[str, ...]


class Receipts(NamedTuple):
    """Everyone behind a number; of a rate both parts."""

    definition: MetricDefinition
    counted: list[Receipt]
    of: list[Receipt] | None
    """The denominator's, of a rate."""


def explain(outcomes: Iterable[Outcome], metric: str, part: Part, time_zone: str) -> Receipts:
    """The recipients behind one number of a campaign. Raises ConfigurationError for a metric or part that is none."""
    item = _definition(metric, part)
    everyone, zone = list(outcomes), ZoneInfo(time_zone)
    if item.unit in ("recipients", "messages", "threads"):
        return Receipts(item, _behind(everyone, metric, part, zone), None)
    numerator = item.numerator or "replied"  # waiting times and the expected rate are told from replies
    denominator = item.denominator or ("delivered" if item.key == "expected_reply_rate" else None)
    of = None if denominator is None else _behind(everyone, denominator, part, zone)
    return Receipts(item, _behind(everyone, numerator, part, zone), of)


def changes_between(before: Outcome | None, after: Outcome | None) -> list[OutcomeChange]:
    """What began or ceased to be counted of one recipient."""
    old = dict(before.events) if before else {}
    new = dict(after.events) if after else {}
    recipient_id = (after or before or Outcome(0)).recipient_id
    found = [_change(recipient_id, key, new[key], counts_now=True) for key in sorted(new.keys() - old.keys())]
    found += [_change(recipient_id, key, old[key], counts_now=False) for key in sorted(old.keys() - new.keys())]
    if before and after and before.newest_label != after.newest_label:
        event = new.get("replied") or old.get("replied")
        for label, counts_now in ((after.newest_label, True), (before.newest_label, False)):
            if label is not None and event is not None:
                found.append(_change(recipient_id, f"label_{label}", event, counts_now=counts_now))
    return found


def changes_as_markdown(changes: Sequence[OutcomeChange], *, most: int = 20) -> Markdown:
    """A table of ids and metrics: never an address or a word of a mail."""
    if not changes:
        return Markdown("nothing")
    return markdown.table(
        ("recipient", "counts now", "no longer", "thread", "when it happened"),
        [
            (
                item.recipient_id,
                BY_KEY[item.metric].title if item.counts_now else "",
                "" if item.counts_now else BY_KEY[item.metric].title,
                item.thread_key or "a person said so",
                f"{item.happened_at:%Y-%m-%d %H:%M}",
            )
            for item in changes
        ],
        right=(0,),
        most=most,
    )


def _definition(metric: str, part: Part) -> MetricDefinition:
    item = BY_KEY.get(metric)
    if item is None:
        near = ", ".join(sorted(BY_KEY))
        raise ConfigurationError(f"There is no metric {metric!r}.", what_to_do=f"One of: {near}.")
    if part[0] not in item.grains:
        raise ConfigurationError(
            f"{metric} is not counted by {part[0]}.", what_to_do=f"It is by: {', '.join(item.grains)}."
        )
    return item


def _behind(outcomes: Sequence[Outcome], metric: str, part: Part, zone: ZoneInfo) -> list[Receipt]:
    found = []
    for outcome in outcomes:
        count = contributions(outcome, zone).get((*part, metric), 0)
        if count:
            threads = outcome.review_threads if metric == "needs_review" else outcome.threads
            found.append(Receipt(outcome.recipient_id, count, outcome.events.get(metric), threads))
    return found


def _change(recipient_id: int, metric: str, event: Event, *, counts_now: bool) -> OutcomeChange:
    return OutcomeChange(
        recipient_id=recipient_id, metric=metric, counts_now=counts_now, happened_at=event.at,
        thread_key=event.thread_key, message_id=event.message_id,
    )  # fmt: skip
