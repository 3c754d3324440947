"""The faults that fault_drills.py makes, each with how it is made; root is needed where a filesystem is mounted."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from benchmarks.system import REPOSITORY, System, until

SMALL_BYTES = 24_000_000
"""Of the disk that fills: the demo's blobs need less than half."""


class Fault:
    """Nothing breaks: what each fault changes of this."""

    @contextmanager
    def prepared(self) -> Iterator[Mapping[str, str]]:
        """Around everything; settings for the system's environment."""
        yield {}

    def before_start(self, system: System) -> None:
        """Where the home must be made ready."""

    def begin(self, system: System) -> None:
        """Break it."""

    def last(self, system: System, seconds: float) -> None:
        """While it is broken."""
        time.sleep(seconds)

    def mend(self, system: System) -> None:
        """Repair it, as whoever runs it would."""


class DiskFull(Fault):
    """The blob folder lies on a tmpfs of SMALL_BYTES (mounted; needs root); a file takes all the rest of it."""

    @contextmanager
    def prepared(self) -> Iterator[Mapping[str, str]]:
        folder = Path(tempfile.mkdtemp(prefix="cheerful-small-disk-"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SMALL_BYTES}", "cheerful", str(folder)], check=True)
        self.ballast = folder / "ballast"
        try:
            yield {"CHEERFUL_BLOB_URL": (folder / "blobs").as_uri()}
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            folder.rmdir()

    def begin(self, system: System) -> None:
        with self.ballast.open("wb", buffering=0) as handle:
            for size in (1 << 16, 1 << 10, 1):  # until not even one byte more has room
                try:
                    while True:
                        handle.write(b"x" * size)
                except OSError:
                    continue

    def mend(self, system: System) -> None:
        self.ballast.unlink()


class BucketAway(Fault):
    """The blob folder is gone and a file lies in its place: every call to the store fails, as with a bucket that is
    unreachable. (An S3 endpoint that refuses connections gives the same class of error, after obstore's own retries.)
    """

    def begin(self, system: System) -> None:
        blobs = system.home / "blobs"
        blobs.rename(system.home / "blobs.away")
        blobs.write_text("not a folder")

    def mend(self, system: System) -> None:
        (system.home / "blobs").unlink()
        (system.home / "blobs.away").rename(system.home / "blobs")


class PostgresStopped(Fault):
    """The embedded server is stopped (pg_ctl stop) and started again, in the same folder and socket."""

    def begin(self, system: System) -> None:
        self._in_a_process(system, ".stop()")

    def mend(self, system: System) -> None:
        self._in_a_process(system, "")

    @staticmethod
    def _in_a_process(system: System, then: str) -> None:
        """Of its own: whoever has started a server once believes for ever that it runs."""
        code = (
            "import sys; from pathlib import Path; "
            "from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres; "
            f"EmbeddedPostgres(Path(sys.argv[1])){then}"
        )
        command = [sys.executable, "-W", "ignore", "-c", code, str(system.home / "postgres")]
        subprocess.run(command, check=True, cwd=REPOSITORY, env=system.environment)


class PostgresReadOnly(Fault):
    """`alter system set default_transaction_read_only = on` and a reload: what a provider does when a disk is full."""

    def begin(self, system: System) -> None:
        self._set(system, "alter system set default_transaction_read_only = on")

    def mend(self, system: System) -> None:
        self._set(system, "alter system reset default_transaction_read_only")

    @staticmethod
    def _set(system: System, command: str) -> None:
        with system.ours.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("set default_transaction_read_only = off"))
            connection.execute(sa.text(command))
            connection.execute(sa.text("select pg_reload_conf()"))


class ConnectionsKilled(Fault):
    """pg_terminate_backend, five times a second, of one connection that is in the middle of a transaction."""

    def last(self, system: System, seconds: float) -> None:
        victims = (
            "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid() "
            "and xact_start is not null"
        )
        dice, killed, ends = random.Random(1), 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            if pids := system.rows(system.ours, victims):
                killed += system.number(system.ours, "select pg_terminate_backend(:pid)::int", pid=dice.choice(pids)[0])
            time.sleep(0.2)
        print(f"         {killed} connections were killed in a transaction", flush=True)
        if not killed:
            raise RuntimeError("no connection was in a transaction: nothing was tried")


class CodeKilled(Fault):
    """kill -9 of the code server, and of one run's worker, every fifteen seconds; the supervisor starts it again."""

    def last(self, system: System, seconds: float) -> None:
        killed, ends = 0, time.monotonic() + seconds
        while time.monotonic() < ends:
            family = system.family()
            for process in [*family["code"], *family["worker"][:1]]:
                process.kill()
                killed += 1
            time.sleep(15)
        print(f"         {killed} processes were killed", flush=True)


class TwoDaemons(Fault):
    """A second daemon beside the first, as when a deployment overlaps; then kill -9 of the first one's process."""

    def begin(self, system: System) -> None:
        workspace = system.home / "dagster_home" / "workspace.yaml"
        self.log = system.home.parent / "second-daemon.log"
        with self.log.open("w") as log:
            self.second = subprocess.Popen(
                [sys.executable, "-m", "cheerful_pipelines.runtime.daemon", "-w", str(workspace)],
                cwd=REPOSITORY, env=system.environment, stdout=log, stderr=log,
            )  # fmt: skip

    def last(self, system: System, seconds: float) -> None:
        until(lambda: "another_daemon_runs" in self.log.read_text(), 30, "the second one waits")
        time.sleep(seconds / 2)
        for process in system.family()["daemon"]:
            process.kill()
        time.sleep(seconds / 2)

    def mend(self, system: System) -> None:
        self.second.terminate()
        self.second.wait(timeout=90)
        twice = (
            "select count(*) from (select 1 from run_tags where key = 'dagster/run_key' group by value, "
            "(select t.value from run_tags t where t.run_id = run_tags.run_id and t.key = 'dagster/sensor_name') "
            "having count(*) filter (where not exists (select 1 from run_tags r where r.run_id = run_tags.run_id "
            "and r.key = 'dagster/parent_run_id')) > 1) d"
        )
        if count := system.number(system.dagsters, twice):
            raise RuntimeError(f"{count} wishes of a sensor were started twice")


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static volatile long *off;
static void __attribute__((constructor)) begin(void) {
  const char *p = getenv("CLOCK_OFFSET_FILE");
  int f = p ? open(p, O_RDONLY) : -1;
  if (f >= 0) { void *m = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, f, 0); if (m != MAP_FAILED) off = m; close(f); }
}
static long by(void) { return off ? *off : 0; }
int clock_gettime(clockid_t c, struct timespec *t) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(c, t);
  if (!r && (c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE)) t->tv_sec += by();
  return r;
}
int gettimeofday(struct timeval *restrict t, void *restrict z) {
  struct timespec s; int r = clock_gettime(CLOCK_REALTIME, &s);
  if (t) { t->tv_sec = s.tv_sec; t->tv_usec = s.tv_nsec / 1000; }
  (void)z; return r;
}
time_t time(time_t *t) {
  struct timespec s; clock_gettime(CLOCK_REALTIME, &s);
  if (t) *t = s.tv_sec;
  return s.tv_sec;
}
"""


class ClockOff(Fault):
    """Every process of the system (Postgres and the Google server too) reads a clock that jumps one hour ahead, and
    back when it is mended: a preloaded library (compiled with cc) that adds the number in a file to the time of day,
    and leaves the monotonic clock alone. A container has no clock of its own to set.
    """

    ahead = 3600

    @contextmanager
    def prepared(self) -> Iterator[Mapping[str, str]]:
        compiler = shutil.which("cc")
        if compiler is None:
            raise RuntimeError("a C compiler is needed for the clock")
        with tempfile.TemporaryDirectory(prefix="cheerful-clock-") as name:
            folder = Path(name)
            folder.chmod(0o755)  # Postgres runs as a user of its own
            (folder / "clock.c").write_text(SHIM)
            library, self.offset = folder / "clock.so", folder / "offset"
            command = [compiler, "-shared", "-fPIC", "-O2", "-o", str(library), str(folder / "clock.c"), "-ldl"]
            subprocess.run(command, check=True)
            self._write(0)
            for path in (library, self.offset):
                path.chmod(0o644)
            yield {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(self.offset)}

    def _write(self, seconds: int) -> None:
        handle = os.open(self.offset, os.O_RDWR | os.O_CREAT)
        os.pwrite(handle, seconds.to_bytes(8, sys.byteorder, signed=True), 0)  # in place: it is mapped
        os.close(handle)

    def begin(self, system: System) -> None:
        self._write(self.ahead)
        until(lambda: abs(self._difference(system)) > self.ahead - 60, 10, "the clock of Postgres jumped")

    def mend(self, system: System) -> None:
        self._write(0)

    @staticmethod
    def _difference(system: System) -> float:
        return system.number(system.ours, "select extract(epoch from clock_timestamp())::bigint") - time.time()


class ClockBehind(ClockOff):
    """The same, one hour behind."""

    ahead = -3600

    def begin(self, system: System) -> None:
        self._write(self.ahead)
        until(lambda: self._difference(system) < self.ahead + 60, 10, "the clock of Postgres jumped")


FAULTS: Mapping[str, Callable[[], Fault]] = {
    "disk_full": DiskFull,
    "bucket_away": BucketAway,
    "postgres_stopped": PostgresStopped,
    "postgres_read_only": PostgresReadOnly,
    "connections_killed": ConnectionsKilled,
    "code_killed": CodeKilled,
    "two_daemons": TwoDaemons,
    "clock_ahead": ClockOff,
    "clock_behind": ClockBehind,
}
