"""Long lists in parts that a statement or a request can carry, and lists that are gone through in a circle."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import TypeVar

_Item = TypeVar("_Item")


def in_batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    """Lists of `size` items, the last one shorter; nothing for nothing (`itertools.batched` needs Python 3.12).

    >>> list(in_batches("abcde", 2))
    [['a', 'b'], ['c', 'd'], ['e']]
    """
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def in_circle(names: Collection[str], start: str) -> list[str]:
    """Names in their order, from `start` on and round."""
    ordered = sorted(names)
    at = next((n for n, name in enumerate(ordered) if name >= start), 0)
    return [*ordered[at:], *ordered[:at]]
