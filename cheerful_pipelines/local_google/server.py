"""The socket: bind it (loopback by default), serve on it, stop in order. In this process or in a thread of it."""

import logging
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.local_google.app import TRANSPORT, build_app

LOOPBACK = "127.0.0.1"
_STOP_SECONDS = 5.0


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which lets a fault have the transport."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]


class _WithoutInjectedFaults(logging.Filter):
    """uvicorn complains of an answer that breaks off; here it was ordered."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "ASGI callable returned without" not in record.getMessage()


def bind(host: str, port: int) -> socket.socket:
    """A listening address of our own, or a ConfigurationError in words. Port 0 takes a free one."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except OSError as error:
        found.close()
        raise ConfigurationError(
            f"Port {port} on {host} cannot be had: {error.strerror or error}.",
            what_to_do="Another server may be running there: stop it, or choose another port with --port.",
        ) from None
    return found


def build_server(state: Path) -> uvicorn.Server:
    """A server over one state file, quiet but for warnings."""
    logging.getLogger("uvicorn.error").addFilter(_WithoutInjectedFaults())
    config = uvicorn.Config(
        build_app(state), http=_Protocol, log_config=None, log_level="warning", access_log=False, lifespan="off",
        timeout_graceful_shutdown=3, timeout_keep_alive=75, server_header=False, backlog=512,
    )  # fmt: skip
    return uvicorn.Server(config)


class ServerThread:
    """The server in a thread of this process, on a free port: for tests.

    with ServerThread(tmp_path / "google.sqlite") as server:
        LocalGoogleAdmin(server.url)
    """

    def __init__(self, state: Path, *, port: int = 0) -> None:
        self._socket = bind(LOOPBACK, port)
        self._server = build_server(state)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="local-google", daemon=True
        )
        self.port: int = self._socket.getsockname()[1]
        self.url = f"http://{LOOPBACK}:{self.port}"

    def start(self) -> Self:
        """Returns when it answers."""
        self._thread.start()
        deadline = time.monotonic() + 10
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise RuntimeError("The local Google server did not start.")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """Returns when the port is free."""
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._socket.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
