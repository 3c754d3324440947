"""A wall-clock limit on a whole call to Google or another service: name lookup, connection, login, headers and body.

The time-out of a socket counts from one read to the next, so an answer that drips a byte a second never reaches it.
Here a call runs in a thread of its own, and whoever waits for it stops waiting at the limit, whatever the call is
doing; the sockets that it used are shut down then, which ends the thread as well. One mechanism for httplib2 (Gmail)
and urllib3 (Sheets, Drive): both build on http.client, and `WatchedConnection` goes before their connection classes.
"""

import contextlib
import contextvars
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from cheerful_pipelines.core.errors import SlowCallError

CALL_SECONDS = 30.0
"""One ordinary call: Google answers within seconds, and its front end gives up on a backend after 30."""

POLL_SECONDS = 5.0
"""One call of a sensor, login included: a tick of Dagster's ends after 60 s, and polls every mailbox within it."""

BATCH_BYTES_A_SECOND = 16 * 1024
"""The slowest line that a batch is waited for: 128 kbit/s, a bad mobile connection."""

LONGEST_CALL_SECONDS = 180.0
"""No call lasts longer, however much it brings. The quota ledgers count a call that never reported back so long."""

ENDING_SECONDS = 0.5
"""How long a call whose sockets were shut down is given to end, so that its error tells what had come."""

Answer = TypeVar("Answer")


class Limit(NamedTuple):
    """The time of one call: `seconds`, and more for what has come if `bytes_a_second` is set; never over `longest`."""

    seconds: float
    bytes_a_second: float | None = None
    longest: float = LONGEST_CALL_SECONDS

    def allowed(self, received: int) -> float:
        """Seconds that a call may take that has brought so many bytes.

        >>> Limit(30).allowed(1_000_000), Limit(30, bytes_a_second=100_000).allowed(1_000_000)
        (30, 40.0)
        """
        more = received / self.bytes_a_second if self.bytes_a_second else 0
        return max(self.seconds, min(self.seconds + more, self.longest)) if more else self.seconds

    def within(self, left: float) -> "Limit":
        """The same limit where only so many seconds are left for it."""
        return Limit(min(self.seconds, left), self.bytes_a_second, min(self.longest, left))


def finish_within(limit: Limit, call: Callable[[], Answer], *, name: str) -> Answer:
    """What `call` returns or raises, if it ends within the limit.

    Raises SlowCallError at the limit, whatever the call makes of it; the `__cause__` is what it raised once its sockets
    were shut down, for example an IncompleteRead with the bytes that had come. `name` goes into the message: no
    personal data.
    """
    work, started = _Work(call), time.monotonic()
    context = contextvars.copy_context()  # logs of the libraries keep the run they belong to
    threading.Thread(target=context.run, args=(work.run,), name=f"call {name}", daemon=True).start()
    try:
        while not work.done.is_set():
            left = started + limit.allowed(work.watch.received) - time.monotonic()
            if left <= 0:
                break
            work.done.wait(left)
    except BaseException:  # the caller is interrupted: nobody waits for the call any more
        work.watch.cut()
        raise
    if work.done.is_set():
        return work.outcome()
    work.watch.cut()
    # What it returns now counts for nothing: http.client takes a shut socket for the end of the headers, and for the
    # end of a body whose length nobody named, so that half an answer looks like a whole one.
    work.done.wait(ENDING_SECONDS)
    seconds = time.monotonic() - started
    raise SlowCallError(f"{name} did not end within {seconds:.0f} s and was cut off.") from work.error


class Watch:
    """The sockets that one call uses, and how many bytes came over them."""

    def __init__(self) -> None:
        self.received = 0
        self.is_over = False
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    def note(self, sock: socket.socket | None) -> None:
        """The call uses this socket. Raises TimeoutError if its time is over."""
        if sock is None:
            return
        with self._lock:
            if not self.is_over:
                self._sockets.append(sock)
                return
        _shut(sock)
        raise TimeoutError("the time for this call is over")

    def cut(self) -> None:
        """End the call: every socket is shut down, and no further one is used."""
        with self._lock:
            self.is_over = True
            sockets = list(self._sockets)
        for sock in sockets:
            _shut(sock)


class WatchedConnection(http.client.HTTPConnection):
    """Goes first among the bases of a library's connection class: tells the call's watch which socket is used."""

    def connect(self) -> None:
        """Connect. Raises TimeoutError if the time of the call ended meanwhile."""
        super().connect()
        _note(self.sock)

    def putrequest(self, *args: Any, **kwargs: Any) -> None:
        """Begin a request, on a new connection or on one that was kept."""
        _note(self.sock)
        super().putrequest(*args, **kwargs)


class _CountedBytes(io.RawIOBase):
    """A socket's raw stream that adds what it reads to the watch."""

    def __init__(self, raw: io.RawIOBase, watch: Watch) -> None:
        self._raw, self._watch = raw, watch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count: int | None = self._raw.readinto(buffer)
        self._watch.received += count or 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _CountedResponse(http.client.HTTPResponse):
    """An answer whose bytes are counted while they arrive."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        watch = current_watch()
        if watch is not None and isinstance(self.fp, io.BufferedReader):
            self.fp = io.BufferedReader(_CountedBytes(self.fp.detach(), watch))


WatchedConnection.response_class = _CountedResponse


class _Work(Generic[Answer]):
    """One call in its thread."""

    def __init__(self, call: Callable[[], Answer]) -> None:
        self._call = call
        self._answer: list[Answer] = []
        self.watch, self.done = Watch(), threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        _this_thread.watch = self.watch
        try:
            self._answer.append(self._call())
        except BaseException as error:  # raised again where the call is waited for
            self.error = error
        finally:
            self.done.set()

    def outcome(self) -> Answer:
        if self.error is not None:
            raise self.error
        return self._answer[0]


_this_thread = threading.local()


def current_watch() -> Watch | None:
    """The watch over the call that this thread makes; None outside of `finish_within`."""
    found: Watch | None = getattr(_this_thread, "watch", None)
    return found


def _note(sock: socket.socket | None) -> None:
    watch = current_watch()
    if watch is not None:
        watch.note(sock)


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed already
        # The plain socket's method, which works under TLS as well: SSLSocket's own would drop the session first.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
