"""Threads that know what they work for: run, asset, partition and account stand in their log lines, too.

Python gives a new thread an empty context: what `log_fields` bound in the caller would be missing in its lines.
"""

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class ContextThreadPoolExecutor(ThreadPoolExecutor):
    """A pool whose tasks run in a copy of the context in which they were submitted."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """As ThreadPoolExecutor's."""
        return super().submit(in_this_context(fn), *args, **kwargs)


def in_this_context(fn: Callable[P, T]) -> Callable[P, T]:
    """`fn`, which will run in a copy of the present context, whichever thread calls it. For one call at a time."""
    context = contextvars.copy_context()

    def run(*args: Any, **kwargs: Any) -> T:
        return context.run(fn, *args, **kwargs)

    return run
