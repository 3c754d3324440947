"""What a backfill does next: which parts are over, which are asked for now. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

from cheerful_pipelines.operations.models import STAGES, Backfill, BackfillPart, BackfillState, PartState

PARTS_AT_ONCE = 2
"""Of one backfill: the live sync and other campaigns need slots, too."""
MOST_ATTEMPTS = 20
"""A mailbox month goes on over so many runs at most; each takes what its time allows."""
LOST_AFTER = timedelta(minutes=5)
"""A run that was asked for and never came into being is asked for again."""


class RunSeen(NamedTuple):
    """The newest run of a part."""

    run_id: str
    status: str
    """SUCCESS, FAILURE, CANCELED, or anything else for under way."""


class Step(NamedTuple):
    """What to write down, and what to ask for."""

    settled: dict[int, tuple[PartState, str | None]]
    """Part to its new state and run."""
    to_request: list[BackfillPart]
    """With the attempt that they are asked for with."""
    finished: BackfillState | None


def next_step(backfill: Backfill, runs: Mapping[int, RunSeen], complete: Mapping[str, datetime], now: datetime) -> Step:
    """`runs` by part; `complete`: mailbox months by partition key, and when they were last made equal to Gmail's.

    A stage begins when the one before is over. A part that failed does not hold up the others: what can be done is
    done, and the backfill ends as failed, to be started again for what is missing.
    """
    settled: dict[int, tuple[PartState, str | None]] = {}
    again: set[int] = set()
    for part in backfill.parts:
        if part.state != "requested":
            continue
        outcome = _outcome(part, runs.get(part.number), complete, now)
        if outcome == "again":
            again.add(part.number)
        elif outcome is not None:
            settled[part.number] = (outcome, runs[part.number].run_id)
    states = {part.number: settled.get(part.number, (part.state, None))[0] for part in backfill.parts}
    if backfill.state != "running":
        return Step(settled, [], None)
    current = next(
        (
            stage
            for stage in STAGES
            if any(part.stage == stage and states[part.number] in ("waiting", "requested") for part in backfill.parts)
        ),
        None,
    )
    if current is None:
        failed = any(state in ("failed", "cancelled") for state in states.values())
        return Step(settled, [], "failed" if failed else "done")
    under_way = sum(states[part.number] == "requested" and part.number not in again for part in backfill.parts)
    wanted = [part for part in backfill.parts if part.number in again]
    wanted += [part for part in backfill.parts if part.stage == current and states[part.number] == "waiting"]
    room = max(0, PARTS_AT_ONCE - under_way)
    return Step(settled, _next_attempts(wanted[:room]), None)


def _outcome(
    part: BackfillPart, run: RunSeen | None, complete: Mapping[str, datetime], now: datetime
) -> PartState | Literal["again"] | None:
    """How a part that was asked for ended: a state, `again`, or None while it is under way."""
    if run is None:
        is_lost = part.requested_at is None or now - part.requested_at > LOST_AFTER
        return "again" if is_lost else None
    if run.status == "CANCELED":
        return "cancelled"
    if run.status == "FAILURE":
        return "failed"
    if run.status != "SUCCESS":
        return None
    if part.stage != "archive":
        return "done"
    completed_at = complete.get(part.partition_key)
    if completed_at is not None and part.requested_at is not None and completed_at >= part.requested_at:
        return "done"
    return "again" if part.attempt < MOST_ATTEMPTS else "failed"


def _next_attempts(parts: Sequence[BackfillPart]) -> list[BackfillPart]:
    return [part.model_copy(update={"attempt": part.attempt + 1}) for part in parts]
