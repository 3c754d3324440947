"""Short calls side by side, with one deadline for all: a call that hangs delays nothing but itself. No Dagster here."""

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Generic, NamedTuple, TypeVar

from cheerful_pipelines.core.batches import in_circle
from cheerful_pipelines.core.context_threads import in_this_context

T = TypeVar("T")


class Answers(NamedTuple, Generic[T]):
    """What came back before the deadline, by name."""

    answered: dict[str, T | BaseException]
    """A value, or the error that the call raised."""
    late: list[str]
    """Asked, and no answer yet."""
    not_asked: list[str]
    """There was no time left for them."""
    hanging: list[str]
    """Not asked, since their last call still hangs."""


KEPT_SECONDS = 60.0
"""So long an answer that came after its deadline is good for the next question."""
SLOW_ARE_AWAITED_SECONDS = 1.0


class SideBySide:
    """Asks many at once on daemon threads. Calls that hang are left to end by themselves, and none is asked again
    before that: at most one thread per name is ever lost. An answer that comes late is given the next time. Kept for
    the life of the process.
    """

    def __init__(self, *, at_once: int, seconds: float) -> None:
        self._at_once, self._seconds = at_once, seconds
        self._lock = threading.Lock()
        self._under_way: set[str] = set()
        self._kept: dict[str, tuple[float, Any]] = {}

    def ask(self, names: Iterable[str], call: Callable[[str], T], *, slow: Collection[str] = ()) -> Answers[T]:
        """Call for each name, in the given order, until all are done or the deadline is over.

        Names that are known to be slow are awaited for a second longer than the others, no more.
        """
        names = list(dict.fromkeys(names))
        ends_at = time.monotonic() + self._seconds
        with self._lock:
            answered: dict[str, T | BaseException] = {name: self._kept[name][1] for name in names if self._has(name)}
            self._kept.clear()
            hanging = [name for name in names if name in self._under_way]
        to_ask = [name for name in names if name not in hanging and name not in answered]
        round_ = _Round(to_ask)
        for number in range(min(self._at_once, len(to_ask))):
            threading.Thread(
                target=in_this_context(self._work), args=(round_, ends_at, call), name=f"ask-{number}", daemon=True
            ).start()
        awaited = {name for name in to_ask if name not in slow}
        while len(answered) < len(names) - len(hanging):
            if not awaited:
                ends_at, awaited = min(ends_at, time.monotonic() + SLOW_ARE_AWAITED_SECONDS), {""}
            try:
                name, answer = round_.done.get(timeout=max(0.0, ends_at - time.monotonic()))
            except Empty:
                break
            answered[name] = answer
            awaited.discard(name)
        with self._lock:
            round_.is_over = True
            while not round_.done.empty():
                answered.update([round_.done.get_nowait()])
            asked = set(round_.begun)
        late = [name for name in to_ask if name in asked and name not in answered]
        return Answers(answered, late, [name for name in to_ask if name not in asked], hanging)

    def _has(self, name: str) -> bool:
        return name in self._kept and time.monotonic() - self._kept[name][0] < KEPT_SECONDS

    def _work(self, round_: "_Round", ends_at: float, call: Callable[[str], T]) -> None:
        while time.monotonic() < ends_at:
            with self._lock:
                if round_.is_over or not round_.waiting:
                    return
                name = round_.waiting.popleft()
                round_.begun.add(name)
                self._under_way.add(name)
            try:
                answer: T | BaseException = call(name)
            except BaseException as error:  # a panic of a library in Rust, too: it is the answer of this name alone
                answer = error
            with self._lock:
                self._under_way.discard(name)
                if round_.is_over:
                    self._kept[name] = (time.monotonic(), answer)
                else:
                    round_.done.put((name, answer))


class _Round:
    """One question to many, shared with the threads that ask."""

    def __init__(self, names: Iterable[str]) -> None:
        self.waiting = deque(names)
        self.done: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self.begun: set[str] = set()
        self.is_over = False


class Polls(NamedTuple):
    """Whom to poll in this tick, and where the next one goes on (empty: everybody has their turn)."""

    names: list[str]
    go_on_at: str


def whom_to_poll(
    ready: Collection[str], *, go_on_at: str, not_reached: Sequence[str], slow: Collection[str],
    most: int,
) -> Polls:  # fmt: skip
    """First who was not reached in the last tick, then the circle from where it stopped, the slow ones last."""
    first = [name for name in dict.fromkeys(not_reached) if name in ready][:most]
    others = [name for name in in_circle(ready, go_on_at) if name not in first]
    turn, rest = others[: most - len(first)], others[most - len(first) :]
    turn = sorted(turn, key=lambda name: name in slow)
    return Polls([*first, *turn], rest[0] if rest else "")
