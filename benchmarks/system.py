"""A whole system that a benchmark or a drill starts for itself: own home, own ports, the demo, and mail that arrives.

restarts.py, fault_drills.py, heavy_load.py, soak.py, launchers.py and fleet.py stand on it.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import sqlalchemy as sa

from cheerful_pipelines.demo.player import play
from cheerful_pipelines.demo.progress import load_progress
from cheerful_pipelines.demo.truth import DemoTruth
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines_tests.test_system import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
CAMPAIGNS = ("glow-serum", "ridge-runner", "lip-balm")
EQUAL = ("recipients", "messages_sent", "contacted", "hard_bounced", "soft_bounced", "delivered", "replied")
"""The metrics that must equal the truth."""
MARKS = {
    "worker": "spawn_main",
    "daemon": "cheerful_pipelines.runtime.daemon --inner",
    "code": "cheerful_pipelines.runtime.worker --serve",
    "web": "dagster-webserver",
    "celery": "dagster_celery.app",
}
"""What stands in the command line of each kind of process."""
UNFINISHED = "('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')"
DOUBLED = (
    "select count(*) from (select 1 from gmail_message group by gmail_account_id, gmail_message_id "
    "having count(*) > 1) d"
)
OPEN_ALERTS = "select count(*) from alert where resolved_at is null"


class NotInTime(SystemExit):
    """Something did not happen within its time; the command ends with exit code 1."""


def until(condition: Callable[[], bool], seconds: float, what: str, *, every: float = 1.0) -> float:
    """Wait for it, and say how many seconds it took. Raises NotInTime in words."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise NotInTime(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
    return time.monotonic() - began


class System:
    """`./infra/dev.sh start` under a home of its own."""

    def __init__(self, home: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.supervisor: subprocess.Popen[bytes] | None = None
        self.web_port, self.google_port = free_port(), free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHEERFUL_", "DAGSTER_"))}
        self.given = kept | {
            "CHEERFUL_HOME": str(home), "CHEERFUL_LOCAL_GOOGLE_URL": f"http://127.0.0.1:{self.google_port}",
            "PYTHONPATH": str(REPOSITORY), **(settings or {}),
        }  # fmt: skip
        self.environment = dict(self.given)
        self.google = LocalGoogleAdmin(self.given["CHEERFUL_LOCAL_GOOGLE_URL"])
        self.log = home.parent / f"{home.name}.start.log"

    # --- start and stop ---

    def start(self, *, demo: bool = True, celery: bool = False, keep_alive: bool = True, within: float = 180) -> None:
        """Wait until it says that it is ready."""
        command = [
            sys.executable,
            "infra/supervise.py",
            "start",
            "--play-per-minute",
            "0",
            "--port",
            str(self.web_port),
        ]
        command += ["--keep-alive"] * keep_alive + ["--no-demo"] * (not demo) + ["--celery"] * celery
        with self.log.open("w") as log:
            self.supervisor = subprocess.Popen(
                command, cwd=REPOSITORY, env=self.given, stdout=log, stderr=log, start_new_session=True
            )
        until(self._is_ready, within, f"ready\n{self.log.read_text()[-2000:]}", every=0.2)
        self._read_environment()

    def _is_ready(self) -> bool:
        words = self.log.read_text()
        if self.supervisor.poll() is not None:
            raise NotInTime(f"it ended by itself:\n{words[-2000:]}")
        return "s] ready" in words

    def _read_environment(self) -> None:
        exports = self._supervise("env").stdout
        words = shlex.split(exports.replace("export ", ""))
        found = dict(word.split("=", 1) for word in words if word.startswith(("CHEERFUL_", "DAGSTER_")))
        self.environment = self.given | found
        self.ours = sa.create_engine(found["CHEERFUL_MIGRATION_DATABASE_URL"], poolclass=sa.pool.NullPool)
        self.dagsters = sa.create_engine(found["CHEERFUL_DAGSTER_DATABASE_URL"], poolclass=sa.pool.NullPool)

    def stop(self) -> float:
        """Everything down; seconds that took."""
        began = time.monotonic()
        done = self._supervise("stop", timeout=180)
        if self.supervisor.wait(timeout=60) not in (0, 1) or done.returncode != 0:
            raise NotInTime(f"it did not stop: {done.stdout}{done.stderr}")
        return time.monotonic() - began

    def kill_everything(self) -> None:
        """kill -9 of the supervisor and of all below it, Postgres too: the machine lost its power."""
        family = [psutil.Process(self.supervisor.pid), *self.processes()]
        postmaster = self.home / "postgres" / "postmaster.pid"
        if postmaster.exists():
            server = psutil.Process(int(postmaster.read_text().splitlines()[0]))
            family += [server, *server.children()]
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.supervisor.wait(timeout=30)
        psutil.wait_procs(family, timeout=10)

    def tidy(self) -> None:
        """Whatever happened: nothing of it lives on."""
        if getattr(self, "supervisor", None) is None or self.supervisor.poll() is not None:
            return
        self.supervisor.send_signal(signal.SIGTERM)
        try:
            self.supervisor.wait(timeout=150)
        except subprocess.TimeoutExpired:
            self.kill_everything()

    def _supervise(self, command: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "infra/supervise.py", command],
            cwd=REPOSITORY, env=self.given, capture_output=True, text=True, check=False, timeout=timeout,
        )  # fmt: skip

    # --- looking ---

    def processes(self) -> list[psutil.Process]:
        """All below the supervisor."""
        try:
            return psutil.Process(self.supervisor.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def family(self) -> dict[str, list[psutil.Process]]:
        """Dagster's processes by kind."""
        found: dict[str, list[psutil.Process]] = {name: [] for name in MARKS}
        for process in self.processes():
            try:
                words = " ".join(process.cmdline())
            except psutil.Error:
                continue
            for name, mark in MARKS.items():
                if mark in words:
                    found[name].append(process)
                    break
        return found

    def rows(self, engine: sa.Engine, query: str, **values: object) -> list[tuple[object, ...]]:
        """Of one query."""
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query), values)]

    def number(self, engine: sa.Engine, query: str, **values: object) -> int:
        """The one number that a query gives."""
        ((found,),) = self.rows(engine, query, **values)
        return int(str(found))

    def runs(self, *statuses: str) -> int:
        """How many runs have one of the statuses."""
        names = ", ".join(f"'{status}'" for status in statuses)
        return self.number(self.dagsters, f"select count(*) from runs where status in ({names})")

    def is_quiet(self, seconds: float = 30) -> bool:
        """Nothing under way and nothing to do, for so long."""
        behind = (
            "select (select count(*) from outcome_news) + (select count(*) from campaign_mark k join campaign c "
            "on c.id = k.campaign_id where c.status <> 'DRAFT' and k.metrics_computed_at is null)"
        )
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            unfinished = self.number(self.dagsters, f"select count(*) from runs where status in {UNFINISHED}")
            if unfinished or self.number(self.ours, behind):
                return False
            time.sleep(2)
        return True

    def filled(self, within: float = 400) -> float:
        """Wait until the numbers of what was delivered so far are there; seconds that took."""
        return until(lambda: not self.differences(), within, "the first fill")

    # --- the truth ---

    def world(self) -> "World":
        """The demo's, as it was seeded."""
        progress = load_progress(self.home)
        if progress is None:
            raise NotInTime("no demo was seeded")
        return World(progress.seed, progress.anchor)

    def differences(self, delivered: int = 0) -> list[str]:
        """What the numbers say that differs from the truth after so many live events; empty where they are equal."""
        truth, wrong = self.world().truth(delivered), list[str]()
        for slug in CAMPAIGNS:
            query = (
                "select m.metric, m.value from campaign_metric m join campaign c on c.id = m.campaign_id "
                "where c.slug = :slug and m.grain = 'campaign'"
            )
            counted, real = dict(self.rows(self.ours, query, slug=slug)), truth.counts(slug)
            wrong += [
                f"{slug} {key}: {counted.get(key)} for {real[key]}" for key in EQUAL if counted.get(key) != real[key]
            ]
        return wrong

    def failed_runs_left(self) -> list[str]:
        """Work whose newest run failed, as alerts and status see it."""
        from cheerful_pipelines.operations.failed_work import failed_work_here

        with in_environment(self.environment):
            return [f"{one.what} {one.partition or ''}: {one.words[:160]}" for one in failed_work_here()]


class World:
    """The demo's world: its live events in their order, and what is true after each."""

    def __init__(self, seed: int, anchor: object) -> None:
        self.world = generate_world(seed, anchor)  # type: ignore[arg-type]
        self.events = self.world.live()

    def truth(self, delivered: int) -> DemoTruth:
        """After so many live events."""
        if delivered >= len(self.events):
            return DemoTruth(self.world, self.events[-1].at + timedelta(seconds=1))
        return DemoTruth(self.world, self.events[delivered].at)

    def is_between(self, delivered: int) -> bool:
        """Whether the truth is one after so many events: not in the middle of several of one moment."""
        return delivered in (0, len(self.events)) or self.events[delivered].at > self.events[delivered - 1].at


class Mail:
    """Delivers the demo's live events in their order, in a thread; what cannot be delivered just now waits."""

    def __init__(self, system: System) -> None:
        self.system, self.world = system, system.world()
        self.delivered = 0
        self._stop, self._thread = threading.Event(), threading.Thread()

    def play(self, per_minute: float) -> None:
        """Begin, or go on."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play, args=(per_minute, self._stop), daemon=True)
        self._thread.start()

    def _play(self, per_minute: float, stop: threading.Event) -> None:
        def noted(index: int) -> None:
            self.delivered = index

        play(
            self.system.google, self.world.world, start_index=self.delivered, events_per_minute=per_minute, stop=stop,
            played=noted,
        )  # fmt: skip

    def pause(self) -> int:
        """Stop at a point where the truth is one; how many were delivered so far."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=120)
        while not self.world.is_between(self.delivered):
            self.deliver(1)
        return self.delivered

    def deliver(self, count: int) -> int:
        """So many at once, now; how many were delivered so far."""
        last, stop = min(self.delivered + count, len(self.world.events)), threading.Event()

        def noted(index: int) -> None:
            self.delivered = index
            if index >= last:
                stop.set()

        if last > self.delivered:
            play(
                self.system.google, self.world.world, start_index=self.delivered, events_per_minute=1e6, stop=stop,
                played=noted,
            )  # fmt: skip
        return self.delivered


def _end(_number: int, _frame: object) -> None:
    raise SystemExit("told to stop")


@contextmanager
def a_system(name: str, *, settings: Mapping[str, str] | None = None) -> Iterator[System]:
    """One that is gone afterwards, however the block ends."""
    with tempfile.TemporaryDirectory(prefix=f"cheerful-{name}-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir()
        system = System(home, settings=settings)
        signal.signal(signal.SIGTERM, _end)  # whoever ends the command ends the system too
        try:
            yield system
        finally:
            system.tidy()


@contextmanager
def in_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """os.environ as the system's processes see it."""
    before = dict(os.environ)
    os.environ.update({k: v for k, v in variables.items() if k.startswith(("CHEERFUL_", "DAGSTER_"))})
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)


def stamp() -> str:
    """The time of day, for the lines that a long command prints."""
    return datetime.now(UTC).strftime("%H:%M:%S")
