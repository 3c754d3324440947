"""`python -m cheerful_pipelines.runtime.daemon -w workspace.yaml`: Dagster's daemon, of which there is exactly one.

Two daemons would each start what a sensor asks for. So ours holds an advisory lock in Dagster's database for as long as
its connection lives; a second one waits, and takes over when the first is gone. CHEERFUL_DAGSTER_DATABASE_URL must
therefore be a direct connection or a session pooler, no transaction pooler.

The daemon itself is Dagster's, with one difference (`--inner`): a run that is to be repeated waits for the code
location. Dagster's own tries once, and a run that a deployment or a restart had ended was never repeated ("Failed to
retry run").
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import psycopg2

from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError
from cheerful_pipelines.core.logs import configure_logging, get_logger
from cheerful_pipelines.core.settings import load_settings

LOCK = 4_201_009
LOOK_SECONDS = 5.0
STOP_SECONDS = 60.0
WORKER_RETURNS_WITHIN_SECONDS = 600.0
"""So long a run that is to be repeated waits for its code location: longer than any deployment takes."""
CLOCK_WENT_BACK = 75
"""Exit code of a daemon that ends because the clock was set back: it is started again at once."""
CLOCK_SECONDS = 20.0
"""A clock that goes back by less only delays a tick."""
GRPC_SECONDS = "180"
"""Of one call to the code server. A start on a busy machine needs more than Dagster's 60 s."""

logger = get_logger(__name__)


class OnlyDaemon:
    """Runs a command while it alone holds the lock."""

    def __init__(self, url: str, command: Sequence[str], *, look_seconds: float = LOOK_SECONDS) -> None:
        self._url = url.replace("postgresql+psycopg2://", "postgresql://").replace("postgres://", "postgresql://")
        self._command, self._look_seconds = list(command), look_seconds
        self.stop = threading.Event()

    def run(self) -> int:
        """Until told to stop: 0. Raises ConfigurationError where the database cannot be reached at the start.

        A database that goes away later is waited for: the lock is gone with it, so the daemon stops meanwhile.
        """
        try:
            connection: psycopg2.extensions.connection | None = self._connect()
        except psycopg2.Error as error:
            raise ConfigurationError(
                f"Dagster's database cannot be reached ({type(error).__name__}).",
                what_to_do="Check CHEERFUL_DAGSTER_DATABASE_URL.",
            ) from None
        while connection is not None:
            try:
                if self._waits_for_the_lock(connection):
                    code = self._while_alone(connection)
                    if code is not None:
                        return code
            except psycopg2.Error as error:
                logger.error("lock_lost", error=type(error).__name__)
            finally:
                connection.close()
            connection = self._connect_again()
        return 0

    def _connect(self) -> "psycopg2.extensions.connection":
        connection = psycopg2.connect(
            self._url, application_name="cheerful daemon", keepalives=1, keepalives_idle=10, keepalives_interval=5,
            keepalives_count=3,
        )  # fmt: skip
        connection.autocommit = True
        return connection

    def _connect_again(self) -> "psycopg2.extensions.connection | None":
        while not self.stop.wait(self._look_seconds):
            try:
                return self._connect()
            except psycopg2.Error as error:
                logger.warning("database_is_away", error=type(error).__name__)
        return None

    def _waits_for_the_lock(self, connection: "psycopg2.extensions.connection") -> bool:
        """Whether it is ours; False when told to stop first."""
        is_told = False
        while not self._take(connection):
            if not is_told:
                logger.info("another_daemon_runs", waits="until it is gone")
                is_told = True
            if self.stop.wait(self._look_seconds):
                return False
        return True

    def _while_alone(self, connection: "psycopg2.extensions.connection") -> int | None:
        """The exit code; None where the lock was lost, and nothing of the daemon runs any more."""
        logger.info("this_is_the_daemon")
        child = subprocess.Popen(self._command, start_new_session=True)
        try:
            while not self.stop.wait(self._look_seconds):
                if not self._holds(connection):
                    logger.error("lock_lost", stops="the daemon, before another one starts")
                    return None
                if child.poll() == CLOCK_WENT_BACK:
                    child = subprocess.Popen(self._command, start_new_session=True)
                elif child.poll() is not None:
                    return child.returncode or 1
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


# --- the daemon itself: the only place that knows Dagster's own, private, way of repeating runs ----------------------


def run_dagsters_daemon(workspace: str) -> None:
    """This process becomes Dagster's daemon; it ends when its parent, which holds the lock, is gone."""
    os.environ.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", GRPC_SECONDS)  # read when Dagster is imported
    from dagster._daemon.cli import main as dagsters

    forget_ticks_of_the_future()
    wait_for_the_code_location_before_a_retry()
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    threading.Thread(target=_end_when_the_clock_goes_back, daemon=True).start()
    sys.argv = ["dagster-daemon", "run", "-w", workspace]
    dagsters()


def wait_for_the_code_location_before_a_retry() -> None:
    """Private: Dagster marks a run whose retry failed once, for any reason, as never to be repeated, and its cursor
    moves on. `test_daemon.py` holds that the function is still the one that is called, and what it is called with.
    """
    from dagster._daemon.auto_run_reexecution import auto_run_reexecution as dagsters

    retry_run = dagsters.retry_run

    def patiently(failed_run: Any, workspace_context: Any) -> None:
        origin = failed_run.remote_job_origin
        if origin is not None:
            _wait_for_location(workspace_context, origin.location_name)
        retry_run(failed_run, workspace_context)

    dagsters.retry_run = patiently


def _wait_for_location(workspace_context: Any, name: str) -> None:
    """Return when it is loaded and answers, or after WORKER_RETURNS_WITHIN_SECONDS, whatever it is then."""
    deadline = time.monotonic() + WORKER_RETURNS_WITHIN_SECONDS
    is_told = False
    while not _answers(workspace_context, name) and time.monotonic() < deadline:
        if not is_told:
            logger.info("retry_waits_for_the_code_location")
            is_told = True
        time.sleep(1)


def _answers(workspace_context: Any, name: str) -> bool:
    try:
        location = workspace_context.create_request_context().get_code_location(name)
    except Exception as error:  # it could not be loaded so far: nothing but this looks again within seconds
        logger.debug("code_location_not_loaded", error=type(error).__name__)
        workspace_context.reload_code_location(name)
        return False
    try:
        location.client.get_server_id(timeout=10)
    except Exception as error:
        logger.debug("code_location_does_not_answer", error=type(error).__name__)
        return False
    return True


def forget_ticks_of_the_future() -> None:
    """After a clock was ahead and is right again: Dagster asks a sensor again only when its last tick is over for its
    interval, by the time of day, so every sensor would rest for as long as the clock was ahead.
    """
    import dagster as dg
    from dagster._core.scheduler.instigation import SensorInstigatorData

    now = time.time()
    with dg.DagsterInstance.get() as instance:
        for state in instance.all_instigator_state():
            data = state.instigator_data
            if not isinstance(data, SensorInstigatorData):
                continue
            times = {name: getattr(data, name) for name in _TICK_TIMES}
            if any(at is not None and at > now + CLOCK_SECONDS for at in times.values()):
                past = {name: at if at is None else min(at, now) for name, at in times.items()}
                instance.update_instigator_state(state.with_data(data._replace(**past)))
                logger.warning("tick_of_the_future_forgotten", sensor=state.instigator_name)


_TICK_TIMES = ("last_tick_timestamp", "last_tick_start_timestamp", "last_tick_success_timestamp")


def _end_when_the_clock_goes_back() -> None:
    """Dagster's loops wait until the time of day is past: they would stand still until the clock is there again."""
    ahead = time.time() - time.monotonic()
    while True:
        time.sleep(1)
        is_now = time.time() - time.monotonic()
        if is_now < ahead - CLOCK_SECONDS:
            logger.warning("clock_went_back", seconds=round(ahead - is_now))
            os._exit(CLOCK_WENT_BACK)  # its threads would not end before the clock is there again
        ahead = is_now


def _end_with_parent(parent: int) -> None:
    """The lock went with the parent's connection: another daemon may start at any moment."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workspace", default="workspace.yaml")
    parser.add_argument("--inner", action="store_true", help="be the daemon itself (what this command starts)")
    chosen = parser.parse_args()
    configure_logging()
    if chosen.inner:
        run_dagsters_daemon(chosen.workspace)
        return
    url = load_settings().dagster_database_url
    try:
        if url is None:
            raise ConfigurationError("CHEERFUL_DAGSTER_DATABASE_URL is not set.")
        daemon = OnlyDaemon(
            url.get_secret_value(),
            [sys.executable, "-m", "cheerful_pipelines.runtime.daemon", "--inner", "-w", chosen.workspace],
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: daemon.stop.set())
        sys.exit(daemon.run())
    except CheerfulError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
