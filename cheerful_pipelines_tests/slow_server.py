"""A server that begins an answer and never ends it: it hangs, or drips a byte now and then, whatever it was asked."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
IN_MID_HEADERS = HEADERS + b"X-Filler: "
WITH_LENGTH = HEADERS + b"Content-Length: 100000\r\n\r\n"
WITHOUT_LENGTH = HEADERS + b"Connection: close\r\n\r\n"
IN_CHUNKS = HEADERS + b"Transfer-Encoding: chunked\r\n\r\n186a0\r\n"
BEGINNINGS = {
    "before the answer": b"",
    "in mid-headers": IN_MID_HEADERS,
    "with a length": WITH_LENGTH,
    "without a length": WITHOUT_LENGTH,
    "in chunks": IN_CHUNKS,
}
"""What comes at once; after that nothing, or the drip."""

_BETWEEN_BYTES_SECONDS = 0.05


class SlowServer:
    """Read `asked`: connections that have sent something. Every one gets `beginning`, then `drip` bit by bit."""

    def __init__(self, beginning: bytes, *, drip: bytes = b"", port: int = 0) -> None:
        self.beginning, self.drip = beginning, drip
        self.asked = 0
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # whoever asked has gone
            connection.recv(65_536)
            self.asked += 1
            connection.sendall(self.beginning)
            while not self._over.wait(_BETWEEN_BYTES_SECONDS):
                if self.drip:
                    connection.sendall(self.drip)


@contextmanager
def slow_server(beginning: bytes, *, drip: bytes = b"", port: int = 0) -> Iterator[SlowServer]:
    """Until the block ends; on a free port unless told."""
    server = SlowServer(beginning, drip=drip, port=port)
    try:
        yield server
    finally:
        server.close()
