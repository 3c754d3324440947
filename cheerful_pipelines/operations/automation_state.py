"""What Dagster's record says of sensors, schedules and daemons: whose ticks fail, who is not heard of. Ids only."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorTick, TickStatus

from cheerful_pipelines.core import errors
from cheerful_pipelines.core.redaction import without_addresses
from cheerful_pipelines.operations.models import FailingTicks, SilentDaemon

SILENT_AFTER = timedelta(minutes=3)
"""Daemons beat every half minute; a busy machine may delay some of them."""
_TICKS_READ = 5
"""The newest may be under way, or was when its daemon was killed."""
_GOOD = [TickStatus.SUCCESS, TickStatus.SKIPPED]
_MOST_COUNTED = 100
_LONGEST_ERROR = 300
_OURS = {
    name for name, found in vars(errors).items() if isinstance(found, type) and issubclass(found, errors.CheerfulError)
}

NamedError = tuple[str, str]
"""(class name, sentence without private words)."""


def failing_ticks(instance: dg.DagsterInstance) -> list[FailingTicks]:
    """Sensors and schedules that are switched on and whose newest finished tick failed, by name."""
    if instance.schedule_storage is None:  # an instance in memory has no sensors
        return []
    states = [one for one in instance.all_instigator_state() if one.status != InstigatorStatus.STOPPED]
    newest = _newest(instance, states)
    failing = [one for one in states if (tick := newest.get(one.selector_id)) and tick.status == TickStatus.FAILURE]
    found = [_described(instance, state, newest[state.selector_id]) for state in failing]
    return sorted(found, key=lambda one: one.name)


def silent_daemons(instance: dg.DagsterInstance, now: datetime) -> list[SilentDaemon]:
    """Daemons that were heard of and no longer are, or that report errors. Nothing where none has ever run."""
    found = []
    for name, status in sorted(instance.get_daemon_statuses().items()):
        beat = status.last_heartbeat
        if not status.required or beat is None:
            continue
        at = datetime.fromtimestamp(beat.timestamp, UTC)
        if now - at > SILENT_AFTER:
            found.append(SilentDaemon(name=name, last_beat_at=at, error=None))
        elif beat.errors:
            found.append(SilentDaemon(name=name, last_beat_at=at, error=": ".join(named_error(beat.errors[0]))))
    return found


def automation_signs_here(now: datetime) -> tuple[list[FailingTicks], list[SilentDaemon]]:
    """Of the installation that DAGSTER_HOME names."""
    with dg.DagsterInstance.get() as instance:
        return failing_ticks(instance), silent_daemons(instance, now)


def _newest(instance: dg.DagsterInstance, states: Sequence[InstigatorState]) -> Mapping[str, InstigatorTick]:
    """The newest finished tick of each, by selector. One query: asked for states, Dagster's own batch query fails."""
    selectors = [state.selector_id for state in states]
    if not selectors:
        return {}
    several = instance.get_batch_ticks(selectors, _TICKS_READ)
    finished = {key: [one for one in ticks if one.status != TickStatus.STARTED] for key, ticks in several.items()}
    return {key: max(ticks, key=lambda one: one.timestamp) for key, ticks in finished.items() if ticks}


def _described(instance: dg.DagsterInstance, state: InstigatorState, newest: InstigatorTick) -> FailingTicks:
    """With the number of failures since the last good tick."""
    origin, selector = state.instigator_origin_id, state.selector_id
    good = instance.get_ticks(origin, selector, limit=1, statuses=_GOOD)
    failed = instance.get_ticks(
        origin, selector, after=good[0].timestamp if good else None, limit=_MOST_COUNTED, statuses=[TickStatus.FAILURE]
    )
    error = newest.tick_data.error
    name, words = named_error(error) if error is not None else ("", "No error was recorded.")
    return FailingTicks(
        name=state.instigator_name,
        kind="schedule" if state.instigator_type.value == "SCHEDULE" else "sensor",
        since=datetime.fromtimestamp(min([one.timestamp for one in failed], default=newest.timestamp), UTC),
        count=max(1, len(failed)),
        error=name,
        words=words,
    )


def named_error(error: object) -> NamedError:
    """Of an error as Dagster keeps it: the class, and what it says if it is ours, since only ours carry ids alone."""
    named = list(_chain(error))
    for found in named:
        name = getattr(found, "cls_name", None) or ""
        if name in _OURS:
            text = str(getattr(found, "message", "")).strip().partition(": ")[2]
            return name, without_addresses(text[:_LONGEST_ERROR]) or name
    innermost = getattr(named[-1], "cls_name", None) or "Exception"
    return innermost, "Not an error of ours; the tick in Dagster has the rest."


def _chain(error: object) -> Iterator[object]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = getattr(error, "cause", None) or getattr(error, "context", None)
