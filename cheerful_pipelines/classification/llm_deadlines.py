"""Limits of wall-clock time on calls to a language model: on each request, and on a call with all its tries.

The time-out that the providers' clients know counts from one read to the next: an answer that drips never reaches it,
and each of their tries begins it anew.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from cheerful_pipelines.core.errors import SlowCallError
from cheerful_pipelines.google.deadlines import CALL_SECONDS, LONGEST_CALL_SECONDS, Limit, finish_within

QUESTION_SECONDS = 15.0
"""How a batch is: a sensor asks, whose tick ends after 60 s."""

CANCEL_SECONDS = CALL_SECONDS

TRANSFER_SECONDS = 600.0
"""A whole batch on its way out or in: up to 10,000 conversations, 60 MB, at 100 kB/s."""

_ENDING_SECONDS = 5.0
"""How long connections are given to close, and a loop to end whose call was cut off."""

T = TypeVar("T")


def conversation_seconds(timeout_seconds: float) -> float:
    """The limit on one conversation's call, with all its tries and the second question; `timeout_seconds`: of one."""
    return max(LONGEST_CALL_SECONDS, timeout_seconds)


def timed(client_class: type[Any], seconds: float) -> type[Any]:
    """A provider's HTTP client whose every request ends within the limit, with the body unless that is streamed.

    The provider's library takes the TimeoutError for a broken connection and tries again.
    """

    class Timed(client_class):  # type: ignore[misc]
        async def send(self, *args: Any, **kwargs: Any) -> Any:
            async with asyncio.timeout(seconds):
                return await super().send(*args, **kwargs)

    return Timed


async def close(client: Any) -> None:
    """Close its connections; one that does not close in time is dropped with the event loop."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING_SECONDS):
            await client.close()


def run_within(seconds: float, work: Callable[[], Awaitable[T]], *, name: str) -> T:
    """What `work` gives in an event loop of its own. Raises SlowCallError at the limit.

    In a thread, since a name lookup that hangs would hold up the end of the loop, too.
    """

    async def limited() -> T:
        async with asyncio.timeout(seconds) as limit:
            try:
                return await work()
            except Exception as error:
                if limit.expired():
                    raise SlowCallError(f"{name} did not end within {seconds:.0f} s and was cut off.") from error
                raise

    try:
        return finish_within(Limit(seconds + _ENDING_SECONDS), lambda: asyncio.run(limited()), name=name)
    except TimeoutError as error:
        raise SlowCallError(f"{name} did not end within {seconds:.0f} s and was cut off.") from error
