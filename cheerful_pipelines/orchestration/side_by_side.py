"""Short calls side by side, with one deadline for all: a call that hangs delays nothing but itself. No Dagster here."""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Generic, NamedTuple, TypeVar

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


class SideBySide:
    """Asks many at once on daemon threads. Calls that hang are left to end by themselves, and none is asked again
    before that: at most one thread per name is ever lost. Kept for the life of the process.
    """

    def __init__(self, *, at_once: int, seconds: float) -> None:
        self._at_once, self._seconds = at_once, seconds
        self._lock = threading.Lock()
        self._under_way: dict[str, int] = {}
        self._numbers = itertools.count()

    def ask(self, names: Iterable[str], call: Callable[[str], T]) -> Answers[T]:
        """Call for each name, in the given order, until all are done or the deadline is over."""
        names = list(dict.fromkeys(names))
        with self._lock:
            hanging = [name for name in names if name in self._under_way]
        waiting, done = SimpleQueue[str](), SimpleQueue[tuple[str, T | BaseException]]()
        to_ask = [name for name in names if name not in hanging]
        for name in to_ask:
            waiting.put(name)
        ends_at, begun = time.monotonic() + self._seconds, set[str]()
        for number in range(min(self._at_once, len(to_ask))):
            threading.Thread(
                target=in_this_context(self._work),
                args=(waiting, done, begun, ends_at, call),
                name=f"ask-{number}",
                daemon=True,
            ).start()
        answered = dict[str, T | BaseException]()
        while len(answered) < len(to_ask) and (left := ends_at - time.monotonic()) > 0:
            try:
                name, answer = done.get(timeout=left)
            except Empty:
                break
            answered[name] = answer
        with self._lock:
            asked = set(begun)
        late = [name for name in to_ask if name in asked and name not in answered]
        not_asked = [name for name in to_ask if name not in asked]
        return Answers(answered, late, not_asked, hanging)

    def _work(
        self, waiting: SimpleQueue[str], done: "SimpleQueue[tuple[str, T | BaseException]]", begun: set[str],
        ends_at: float, call: Callable[[str], T],
    ) -> None:  # fmt: skip
        while time.monotonic() < ends_at:
            try:
                name = waiting.get_nowait()
            except Empty:
                return
            number = next(self._numbers)
            with self._lock:
                begun.add(name)
                self._under_way[name] = number
            try:
                done.put((name, call(name)))
            except BaseException as error:  # a panic of a library in Rust, too: it is the answer of this name alone
                done.put((name, error))
            finally:
                with self._lock:
                    self._under_way.pop(name, None)


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


def in_circle(names: Collection[str], start: str) -> list[str]:
    """Names in their order, from `start` on and round."""
    ordered = sorted(names)
    at = next((n for n, name in enumerate(ordered) if name >= start), 0)
    return [*ordered[at:], *ordered[:at]]
