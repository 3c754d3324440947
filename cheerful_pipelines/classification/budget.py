"""How much may still be spent: per run, per day, per client and day. Pure arithmetic; who spent what is in the store.

Money is reserved before a call at what it may cost at most, and set right when the answer is there: so no number of
calls at once can pass a limit. A call of unknown price counts as a call, not as nothing.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """US dollars; None: no limit. `calls_a_day` holds whatever the price."""

    run_usd: float | None = None
    day_usd: float | None = None
    client_day_usd: float | None = None
    calls_a_day: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """Since midnight UTC, before this run."""

    day_usd: float = 0.0
    client_day_usd: float = 0.0
    calls: int = 0


@dataclass(slots=True)
class Budget:
    """One run's view. Not for several threads at once."""

    limits: Limits
    spent: Spent
    run_usd: float = 0.0
    calls: int = 0
    unpriced_calls: int = 0
    refused: str | None = field(default=None)
    """Which limit stopped the run, in words; None while there is room."""

    @classmethod
    def without_limits(cls) -> "Budget":
        """For a single call, and for classifiers that cost nothing."""
        return cls(limits=Limits(), spent=Spent())

    def reserve(self, most_usd: float | None) -> bool:
        """Room for one more call that costs at most this much (None: unknown)? If so it counts from now on."""
        wanted = most_usd or 0.0
        for limit, so_far, words in (
            (self.limits.run_usd, self.run_usd, "run"),
            (self.limits.day_usd, self.spent.day_usd + self.run_usd, "day"),
            (self.limits.client_day_usd, self.spent.client_day_usd + self.run_usd, "client and day"),
        ):
            if limit is not None and so_far + wanted > limit:
                self.refused = f"The budget of {limit:g} USD a {words} leaves no room for another call."
                return False
        if self.limits.calls_a_day is not None and self.spent.calls + self.calls >= self.limits.calls_a_day:
            self.refused = f"The limit of {self.limits.calls_a_day} calls a day is reached."
            return False
        self.run_usd += wanted
        self.calls += 1
        return True

    def settle(self, reserved_usd: float | None, actual_usd: float | None) -> None:
        """What the call did cost, in place of what was reserved. None: unknown, so the reservation stands."""
        if actual_usd is None:
            self.unpriced_calls += 1
            return
        self.run_usd += actual_usd - (reserved_usd or 0.0)
