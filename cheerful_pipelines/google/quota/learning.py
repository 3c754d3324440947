"""What a refusal teaches about a quota: the limit that really holds, and how much to ask for at once. Pure: no I/O.

The published limits are what a Google project gets by default; the real ones may be lower. A refusal without
Retry-After names no number, but the ledger knows how many units were accepted in the last minute: that many fit. From
there the limit grows slowly while nothing is refused, and only while it is used, so that a wrong guess costs a few
refused calls and no steady share of them.
"""

from typing import NamedTuple

MEASURED_SHARE = 0.95
"""Of what was accepted in the last minute: Google's clock is not ours."""

SMALLEST_STEP_DOWN = 0.9
LARGEST_STEP_DOWN = 0.4
LOWEST_SHARE = 0.2
"""Of the assumed limit: refusals that come at random, whatever is asked, must not bring the sync to a halt."""

SMALLEST_BATCH = 4
"""Smaller ones are no easier for Google and cost a round trip each."""

GROWTH = 0.01
"""Of the assumed limit, after each minute without a refusal in which the learned limit was used."""
GROWTH_SECONDS = 60.0
USED_SHARE = 0.8

SETTLING_SECONDS = 10.0
"""Calls that were under way when the limit was lowered may still be refused: that says nothing about the new one."""

EARLY_SHARE = 0.4
EARLY_REFUSALS = 3
"""A refusal long before the limit is a burst, or a moment's fault: only so many in a row lower the limit."""

FORGOTTEN_AFTER_SECONDS = 86_400.0
"""What was learned and not confirmed for a day is forgotten: quotas are raised, and measured by the day at most."""

BURST_PAUSE_SECONDS = 2.0
"""How long nobody asks after a request was refused that named no time; less if only some of its parts were."""


class Learned(NamedTuple):
    """What is known of one limit; `seconds` since it last changed."""

    units_a_minute: int
    batch_size: int | None = None
    """Calls in one batch request; None: never refused."""
    early_refusals: int = 0
    is_growing: bool = False
    """Its last change was a step up, and no refusal has come since."""
    seconds: float = 0.0


def after_refusal(known: Learned | None, *, assumed: int, accepted: int, batch_size: int | None) -> Learned | None:
    """What to believe after a refused call. `accepted`: units that Google took in the last minute.

    None: nothing new; the call was under way when the limit was lowered.

    >>> after_refusal(None, assumed=6000, accepted=3000, batch_size=20)
    Learned(units_a_minute=2850, batch_size=10, early_refusals=0, is_growing=False, seconds=0.0)
    >>> after_refusal(None, assumed=6000, accepted=100, batch_size=None)
    Learned(units_a_minute=6000, batch_size=None, early_refusals=1, is_growing=False, seconds=0.0)
    """
    if known is not None and known.seconds < SETTLING_SECONDS and not known.is_growing:
        return None
    now = known or Learned(assumed)
    smaller = now.batch_size
    if batch_size is not None:
        smaller = max(min(SMALLEST_BATCH, batch_size), min(batch_size, now.batch_size or batch_size) // 2)
    early = now.early_refusals + 1 if now.seconds < GROWTH_SECONDS else 1
    if accepted < EARLY_SHARE * now.units_a_minute and early < EARLY_REFUSALS:
        return Learned(now.units_a_minute, smaller, early)
    lower = min(accepted * MEASURED_SHARE, now.units_a_minute * SMALLEST_STEP_DOWN)
    lowest = max(now.units_a_minute * LARGEST_STEP_DOWN, assumed * LOWEST_SHARE)
    return Learned(min(now.units_a_minute, max(1, int(max(lower, lowest)))), smaller)


def after_use(known: Learned, *, assumed: int, used: int, limit: int) -> Learned | None:
    """What to believe when units are asked for. `used`: units counted in the last minute, of `limit` that there are.

    Returns `known` itself if nothing changes, None once nothing is left of what was learned.
    """
    if known.seconds >= FORGOTTEN_AFTER_SECONDS:
        return None
    if known.seconds < GROWTH_SECONDS or used < USED_SHARE * limit:
        return known
    units = known.units_a_minute + max(1, int(GROWTH * assumed))
    if units >= assumed and known.batch_size is None:
        return None
    batch_size = None if known.batch_size is None else known.batch_size + 1
    return Learned(min(units, assumed), batch_size, is_growing=True)
