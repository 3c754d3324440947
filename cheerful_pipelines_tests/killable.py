"""Worker processes that a test kills at any moment. They are forked from one that has imported everything already.

Importing costs a process seconds and these tests start dozens; what is killed is a process all the same, with database
connections of its own.
"""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

_FORKS = get_context("forkserver")
_FORKS.set_forkserver_preload(
    ["cheerful_pipelines_tests.mail.gmail.worker_to_kill", "cheerful_pipelines_tests.recipients.worker_to_kill"]
)


def started(work: Callable[..., None], *arguments: str) -> BaseProcess:
    """A process that does `work(ready, *arguments)`, once it has called `ready` with None: it is about to begin."""
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_do, args=(theirs, work, *arguments))
    process.start()
    theirs.close()
    with ours:
        ours.recv()  # EOFError: it failed before it was ready
    return process


def _do(announces: Connection, work: Callable[..., None], *arguments: str) -> None:
    work(lambda: announces.send(None), *arguments)
