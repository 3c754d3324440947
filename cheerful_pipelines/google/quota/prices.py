"""What each Gmail call costs in quota units, and how many a minute there are: Google's two published tables. No I/O.

Source: developers.google.com/workspace/gmail/api/reference/quota, before and after 1 May 2026.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Operation = Literal["getProfile", "labels.list", "history.list", "messages.list", "messages.get"]


class QuotaPlan(BaseModel):
    """One table. A batch of n calls costs n calls."""

    model_config = ConfigDict(frozen=True)
    prices: dict[Operation, int]
    units_a_minute: int
    """Of one mailbox."""
    project_units_a_minute: int
    """Of all mailboxes together."""


SINCE_MAY_2026 = QuotaPlan(
    prices={"getProfile": 1, "labels.list": 1, "history.list": 2, "messages.list": 5, "messages.get": 20},
    units_a_minute=6_000,
    project_units_a_minute=1_200_000,
)
"""Google Cloud projects created on or after 1 May 2026."""

BEFORE_MAY_2026 = QuotaPlan(
    prices={"getProfile": 1, "labels.list": 1, "history.list": 2, "messages.list": 5, "messages.get": 5},
    units_a_minute=15_000,
    project_units_a_minute=1_200_000,
)
"""Older projects, which keep what they had."""

PLANS = {"since-2026-05": SINCE_MAY_2026, "before-2026-05": BEFORE_MAY_2026}
