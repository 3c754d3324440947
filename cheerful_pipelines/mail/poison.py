"""One message's exception stays with that message: whatever is raised becomes a `PoisonError`. No I/O."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cheerful_pipelines.core.errors import CheerfulError, PoisonError


@contextmanager
def one_message(stage: str) -> Iterator[None]:
    """Run code that only computes on one message; whatever it raises leaves as PoisonError.

    Our own errors pass as they are: a database or a blob store that is away is not the message's fault. So does what
    ends a process or a run (KeyboardInterrupt, Dagster's interruption). A panic of a Rust library derives from
    BaseException and is contained.
    """
    try:
        yield
    except CheerfulError:
        raise
    except BaseException as error:
        if not is_of_the_message(error):
            raise
        raise as_poison(error, stage=stage) from None  # the original may quote the mail in its text


def is_of_the_message(error: BaseException) -> bool:
    """Whether an exception from code that only computes on a message may be blamed on that message."""
    return isinstance(error, Exception) or type(error).__module__.startswith("pyo3_runtime")


def as_poison(error: BaseException, *, stage: str) -> PoisonError:
    """The error as the reason of a dead letter: class and place, never its text, which may hold words of the mail."""
    name = type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return PoisonError(
        f"A message could not be handled at the step {stage!r}: {name}{place}.",
        reason_code=f"{stage}_{name}"[:60],
        what_to_do="The raw mail is kept. Report the class and the place; after the fix it is tried again by itself.",
    )
