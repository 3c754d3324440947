"""`python -m cheerful_pipelines.daemon -w workspace.yaml`: Dagster's daemon, of which there is exactly one.

Two daemons would each start what a sensor asks for. So ours holds an advisory lock in Dagster's database for as long as
its connection lives; a second one waits, and takes over when the first is gone. CHEERFUL_DAGSTER_DATABASE_URL must
therefore be a direct connection or a session pooler, no transaction pooler.
"""

import argparse
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psycopg2

from cheerful_pipelines.errors import CheerfulError, ConfigurationError
from cheerful_pipelines.logs import configure_logging, get_logger
from cheerful_pipelines.settings import load_settings

LOCK = 4_201_009
LOOK_SECONDS = 5.0
STOP_SECONDS = 60.0

logger = get_logger(__name__)


class OnlyDaemon:
    """Runs a command while it alone holds the lock."""

    def __init__(self, url: str, command: Sequence[str], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._url = url.replace("postgresql+psycopg2://", "postgresql://").replace("postgres://", "postgresql://")
        self._command, self._look_seconds = list(command), look_seconds
        self.stop = threading.Event()

    def run(self) -> int:
        """Until told to stop: 0. Raises ConfigurationError where the database cannot be reached at the start."""
        try:
            connection = psycopg2.connect(
                self._url, application_name="cheerful daemon", keepalives=1, keepalives_idle=10, keepalives_interval=5,
                keepalives_count=3,
            )  # fmt: skip
        except psycopg2.Error as error:
            raise ConfigurationError(
                f"Dagster's database cannot be reached ({type(error).__name__}).",
                what_to_do="Check CHEERFUL_DAGSTER_DATABASE_URL.",
            ) from None
        connection.autocommit = True
        try:
            return self._while_alone(connection)
        finally:
            connection.close()

    def _while_alone(self, connection: "psycopg2.extensions.connection") -> int:
        is_told = False
        while not self._take(connection):
            if not is_told:
                logger.info("another_daemon_runs", waits="until it is gone")
                is_told = True
            if self.stop.wait(self._look_seconds):
                return 0
        logger.info("this_is_the_daemon")
        child = subprocess.Popen(self._command, start_new_session=True)
        try:
            while not self.stop.wait(self._look_seconds):
                if child.poll() is not None:
                    return child.returncode or 1
                if not self._holds(connection):
                    logger.error("lock_lost", stops="the daemon, before another one starts")
                    return 1
            return 0
        finally:
            child.terminate()
            try:
                child.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()  # the lock is freed only when nothing of it runs any more

    @staticmethod
    def _take(connection: "psycopg2.extensions.connection") -> bool:
        with connection.cursor() as cursor:
            cursor.execute("select pg_try_advisory_lock(%s)", (LOCK,))
            row = cursor.fetchone()
        return row is not None and bool(row[0])

    @staticmethod
    def _holds(connection: "psycopg2.extensions.connection") -> bool:
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1")
        except psycopg2.Error:
            return False
        return True


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workspace", default="workspace.yaml")
    chosen = parser.parse_args()
    configure_logging()
    url = load_settings().dagster_database_url
    try:
        if url is None:
            raise ConfigurationError("CHEERFUL_DAGSTER_DATABASE_URL is not set.")
        daemon = OnlyDaemon(
            url.get_secret_value(),
            [str(Path(sys.executable).parent / "dagster-daemon"), "run", "-w", chosen.workspace],
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop.set())
        sys.exit(daemon.run())
    except CheerfulError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
