"""`python -m cheerful_pipelines.local_google --port 4510 --state FILE`: run the server until SIGTERM or SIGINT."""

import argparse
import signal
import sqlite3
import sys
from pathlib import Path

from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.logs import configure_logging
from cheerful_pipelines.local_google.server import LOOPBACK, bind, build_server


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 after a signal, 1 with a sentence where the port cannot be had."""
    parser = argparse.ArgumentParser(
        prog="python -m cheerful_pipelines.local_google",
        description="A Gmail, Sheets and Drive on this machine. It is no lock: whoever reaches it may do anything.",
    )
    parser.add_argument("--port", type=int, default=4510)
    parser.add_argument("--host", default=LOOPBACK, help="address to listen on (default: this machine only)")
    parser.add_argument("--state", type=Path, required=True, help="SQLite file that holds mail and sheets")
    chosen = parser.parse_args(arguments)
    configure_logging()
    try:
        listening = bind(chosen.host, chosen.port)
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    try:
        server = build_server(chosen.state)
    except (OSError, sqlite3.Error) as error:
        sys.stderr.write(f"The state file {chosen.state} cannot be used: {error}. Name another with --state.\n")
        return 1
    sys.stderr.write(f"Local Google on http://{chosen.host}:{listening.getsockname()[1]}, state in {chosen.state}\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops in order and then raises the signal again, for these handlers: 0 means "as asked".
        signal.signal(number, lambda *_: sys.exit(0))
    server.run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
