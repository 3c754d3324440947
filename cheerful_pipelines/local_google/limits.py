"""A Gmail that is slow and counts: latency, quota a minute and mailbox, and what it says when that is used up.

Off until somebody asks for it over /local/set_limits. In memory; a restart is without limits again.
"""

import time
from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Literal

_MINUTE = 60.0


@dataclass
class Limits:
    """What is enforced. Units are Google's table of 1 May 2026; `get_units` sets another price for messages.get."""

    latency_ms: float = 0.0
    part_ms: float = 0.0
    """More for each part of a batch: Gmail works on them, too."""
    units_a_minute: int | None = None
    window: Literal["rolling", "fixed"] = "rolling"
    refusal: Literal["429", "403"] = "429"
    """429 with Retry-After, or 403 userRateLimitExceeded without."""
    get_units: int | None = None

    def seconds(self, parts: int) -> float:
        """How long an answer takes."""
        return (self.latency_ms + self.part_ms * parts) / 1000


class Meter:
    """Units by mailbox in the minute; answers how long until a call fits."""

    def __init__(self) -> None:
        self.limits = Limits()
        self.refused = 0
        self._spent: dict[str, deque[tuple[float, int]]] = defaultdict(deque)
        self._window_began: dict[str, float] = {}

    def set(self, limits: Limits) -> None:
        """Other limits, from nought."""
        self.limits = limits
        self.refused = 0
        self._spent.clear()
        self._window_began.clear()

    def price(self, name: str, units: int) -> int:
        """What a call costs here."""
        is_get = name == "gmail.users.messages.get"
        return self.limits.get_units if is_get and self.limits.get_units is not None else units

    def seconds_until(self, mailbox: str, units: int) -> float:
        """0: the call is let in and counted. Else it is refused, and this long is left of the window."""
        most = self.limits.units_a_minute
        if most is None or not mailbox:
            return 0.0
        now, spent = time.monotonic(), self._spent[mailbox]
        if self.limits.window == "fixed":
            began = self._window_began.setdefault(mailbox, now)
            if now >= began + _MINUTE:
                self._window_began[mailbox] = now - (now - began) % _MINUTE
                spent.clear()
            ends = self._window_began[mailbox] + _MINUTE
        else:
            while spent and spent[0][0] <= now - _MINUTE:
                spent.popleft()
            ends = spent[0][0] + _MINUTE if spent else now
        if sum(count for _, count in spent) + units <= most:
            spent.append((now, units))
            return 0.0
        self.refused += 1
        return max(0.1, ends - now)
