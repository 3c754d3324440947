"""How long one piece of work with Google is tried: tries, and wall-clock time over all of them together.

Eight tries of a minute each, with the waits between them, held a run for 35 minutes: so the time of all tries has a
limit of its own, and a mailbox's work has one above that. Time spent waiting for quota counts for the latter only.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import tenacity

from cheerful_pipelines.core.errors import OutOfTimeError, SlowCallError, ThrottledError, TransientError
from cheerful_pipelines.google.deadlines import LONGEST_CALL_SECONDS, Limit
from cheerful_pipelines.google.quota.allowance import LONGEST_SLEEP_SECONDS

TOTAL_SECONDS = LONGEST_CALL_SECONDS
"""All tries of one call and the waits between them: longer than a window of Google's quota, which is a minute."""

SLOW_TRIES = 2
"""Who was cut off at a deadline twice in succession, with nothing coming in between, is slow: not asked again now."""

LONGEST_BACKOFF_SECONDS = 32.0


class Patience:
    """One piece of work: when it must be over, and whether another try is worth it."""

    def __init__(
        self,
        tries: int,
        *,
        total_seconds: float = TOTAL_SECONDS,
        ends_at: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ends_at`: when the whole mailbox's time ends, on `clock`."""
        self._tries, self._total, self._clock = tries, total_seconds, clock
        self.ends_at = ends_at
        self._began, self._paused = clock(), 0.0
        self._slow = 0

    def left(self) -> float:
        """Seconds until the work must be over; negative once it should have been."""
        now = self._clock()
        left = self._total - (now - self._began - self._paused)
        return left if self.ends_at is None else min(left, self.ends_at - now)

    def limit(self, of_call: Limit) -> Limit:
        """The limit of the next call. Raises OutOfTimeError if no time is left for it."""
        left = self.left()
        if left <= 0:
            raise OutOfTimeError("The time for this piece of work is over.")
        return of_call.within(left)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """A wait for quota does not use up the tries' time."""
        started = self._clock()
        try:
            yield
        finally:
            self._paused += self._clock() - started

    def progress(self) -> None:
        """Something came: slow calls are counted from here."""
        self._slow = 0

    def attempts(self) -> tenacity.Retrying:
        """Try until it works, is not worth repeating, or patience is at an end; then the last error is raised."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(self._is_worth_repeating),
            stop=self.stop,
            wait=_wait,
            reraise=True,
        )

    def _is_worth_repeating(self, error: BaseException) -> bool:
        if isinstance(error, OutOfTimeError):
            return False
        if isinstance(error, SlowCallError):
            self._slow += 1
            return self._slow < SLOW_TRIES
        if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
            return error.retry_after_seconds <= LONGEST_SLEEP_SECONDS
        return isinstance(error, TransientError)

    def stop(self, state: tenacity.RetryCallState) -> bool:
        """Whether this was the last try: by their number, or because the next would begin too late."""
        return state.attempt_number >= self._tries or state.upcoming_sleep >= self.left()


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + 0.1
    backoff = tenacity.wait_random_exponential(multiplier=1, max=LONGEST_BACKOFF_SECONDS)
    return float(backoff(state)) + (1.0 if isinstance(error, ThrottledError) else 0.1)
