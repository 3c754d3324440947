"""The demo at high speed with faults and kills at random: `python benchmarks/soak.py --minutes 30`.

Starts a system of its own, spreads the rest of the demo's mail over the time while Google answers a tenth of the calls
with trouble, kills -9 the daemon, the code location or a run's worker every so often, then lets it come to rest. Says
whether the database equals the truth, whether a run is stuck or a slot held, and how memory and connections went.
"""

import argparse
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import sqlalchemy as sa

from cheerful_pipelines.demo.progress import load_progress
from cheerful_pipelines.demo.truth import DemoTruth
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.private_words import private_words_written
from cheerful_pipelines_tests.test_system import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
TROUBLE = [
    {"rate": 0.03, "status": 503},
    {"rate": 0.02, "status": 429, "retry_after": "1"},
    {"rate": 0.01, "status": 500},
    {"rate": 0.02, "kind": "reset"},
    {"rate": 0.01, "kind": "cut"},
    {"rate": 0.01, "kind": "lost"},
]
EQUAL = ("recipients", "messages_sent", "contacted", "hard_bounced", "soft_bounced", "delivered", "replied")
MARKS = {"worker": "spawn_main", "daemon": "dagster-daemon", "code": "api grpc", "web": "dagster-webserver"}
SLOTS_FREED_AFTER = 150.0
"""Dagster looks once a minute for slots of runs that ended more than a minute ago (dagster.yaml)."""
UNFINISHED = "('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')"


class Soak:
    """One system under stress."""

    def __init__(self, home: Path, minutes: float, seed: int) -> None:
        self.home, self.minutes, self.dice = home, minutes, random.Random(seed)
        self.web_port, google_port = free_port(), free_port()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHEERFUL_", "DAGSTER_"))}
        self.environment = kept | {
            "CHEERFUL_HOME": str(home), "CHEERFUL_LOCAL_GOOGLE_URL": f"http://127.0.0.1:{google_port}",
        }  # fmt: skip
        self.google = LocalGoogleAdmin(self.environment["CHEERFUL_LOCAL_GOOGLE_URL"])
        self.killed: Counter[str] = Counter()
        self.memory: list[float] = []
        self.connections: list[int] = []

    def start(self, *, demo: bool = True, celery: bool = False) -> None:
        """Wait until it is ready and has filled itself."""
        command = [sys.executable, "infra/supervise.py", "start", "--keep-alive", "--play-per-minute", "0"]
        command += [*([] if demo else ["--no-demo"]), *(["--celery"] if celery else [])]
        log = (self.home / "start.log").open("w")
        self.supervisor = subprocess.Popen(
            [*command, "--port", str(self.web_port)], cwd=REPOSITORY, env=self.environment, stdout=log, stderr=log
        )
        self._until(lambda: "ready" in (self.home / "start.log").read_text(), 120, "ready")
        exports = subprocess.run(
            [sys.executable, "infra/supervise.py", "env"], cwd=REPOSITORY, env=self.environment, capture_output=True,
            text=True, check=True,
        ).stdout  # fmt: skip
        words = shlex.split(exports.replace("export ", ""))
        self.environment |= dict(word.split("=", 1) for word in words if word.startswith(("CHEERFUL_", "DAGSTER_")))
        self.ours = sa.create_engine(self.environment["CHEERFUL_MIGRATION_DATABASE_URL"], poolclass=sa.pool.NullPool)
        self.dagsters = sa.create_engine(self.environment["CHEERFUL_DAGSTER_DATABASE_URL"], poolclass=sa.pool.NullPool)
        self._until(self._is_quiet, 300, "the first fill")

    def stress(self) -> None:
        """Mail, trouble and kills for the time."""
        progress = load_progress(self.home)
        assert progress is not None
        events = len(generate_world(progress.seed, progress.anchor).live())
        speed = max(1.0, events / max(self.minutes - 1, 0.5))
        self.google.set_fault_mix(TROUBLE, seed=1)
        player = subprocess.Popen(
            [sys.executable, "-m", "cheerful_pipelines.demo.player", "--per-minute", str(speed)],
            cwd=REPOSITORY, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        ends = time.monotonic() + self.minutes * 60
        next_kill = time.monotonic() + 20
        while time.monotonic() < ends:
            time.sleep(5)
            self._measure()
            if time.monotonic() > next_kill:
                self._kill_something()
                next_kill = time.monotonic() + self.dice.uniform(20, 60)
        self.google.set_fault_mix([])
        player.wait(timeout=600)  # what was held up by trouble

    def rest(self) -> float:
        """Seconds until nothing is under way; raises where that does not happen."""
        began = time.monotonic()
        self._until(self._is_quiet, 1_500, "rest")
        rested = time.monotonic() - began
        time.sleep(SLOTS_FREED_AFTER)
        return rested

    def verdict(self) -> list[str]:
        """What is wrong in the end; empty where all is well."""
        progress = load_progress(self.home)
        assert progress is not None
        world = generate_world(progress.seed, progress.anchor)
        wrong = []
        if progress.played < len(world.live()):
            wrong.append(f"only {progress.played} of {len(world.live())} events were played")
        truth = DemoTruth(world, max(event.at for event in world.live()) + timedelta(seconds=1))
        for slug in ("glow-serum", "ridge-runner", "lip-balm"):
            counted = dict(
                self._rows(
                    self.ours,
                    "select m.metric, m.value from campaign_metric m join campaign c on c.id = m.campaign_id "
                    f"where c.slug = '{slug}' and m.grain = 'campaign'",
                )
            )
            real = truth.counts(slug)
            wrong += [
                f"{slug} {key}: {counted.get(key)} for {real[key]}" for key in EQUAL if counted.get(key) != real[key]
            ]
        doubled = "select count(*) from (select 1 from gmail_message group by gmail_account_id, gmail_message_id having count(*) > 1) d"  # noqa: E501
        for what, engine, query in (
            ("messages stored twice", self.ours, doubled),
            ("changes not counted", self.ours, "select count(*) from outcome_news"),
            ("dead letters", self.ours, "select count(*) from dead_letter where resolved_at is null"),
            ("runs not finished", self.dagsters, f"select count(*) from runs where status in {UNFINISHED}"),
            ("slots held", self.dagsters, "select count(*) from concurrency_slots where run_id is not null"),
        ):
            ((count,),) = self._rows(engine, query)
            if count:
                wrong.append(f"{what}: {count}")
        secrets = {name: value for name, value in self.environment.items() if name.endswith("_KEY")}
        database = Database(self.environment["CHEERFUL_DATABASE_URL"]).for_every_client()
        dagster = Database(self.environment["CHEERFUL_DAGSTER_DATABASE_URL"])
        return wrong + private_words_written(self.home, database, dagster, secrets)

    def stop(self) -> None:
        """Everything down."""
        subprocess.run(
            [sys.executable, "infra/supervise.py", "stop"],
            cwd=REPOSITORY,
            env=self.environment,
            check=False,
            timeout=120,
        )
        self.supervisor.wait(timeout=60)

    def _family(self) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"daemon": [], "code": [], "worker": [], "web": []}
        for process in psutil.Process(self.supervisor.pid).children(recursive=True):
            try:
                words = " ".join(process.cmdline())
            except psutil.Error:
                continue
            for name, mark in MARKS.items():
                if mark in words:
                    found[name].append(process)
                    break
        return found

    def _kill_something(self) -> None:
        family = self._family()
        name = self.dice.choice(["daemon", "code", "worker", "worker"])
        if family[name]:
            self.dice.choice(family[name]).kill()
            self.killed[name] += 1

    def _measure(self) -> None:
        total = 0
        for processes in self._family().values():
            for process in processes:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
        self.memory.append(total / 1e6)
        ((count,),) = self._rows(
            self.ours, "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        )
        self.connections.append(int(count))

    def _is_quiet(self) -> bool:
        """Nothing under way and nothing to do, for half a minute."""
        behind = (
            "select (select count(*) from outcome_news) + (select count(*) from campaign_mark k join campaign c "
            "on c.id = k.campaign_id where c.status <> 'DRAFT' and k.metrics_computed_at is null)"
        )
        for _ in range(15):
            ((runs,),) = self._rows(self.dagsters, f"select count(*) from runs where status in {UNFINISHED}")
            ((news,),) = self._rows(self.ours, behind)
            if runs or news:
                return False
            time.sleep(2)
        return True

    def _rows(self, engine: sa.Engine, query: str) -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(query))]

    def _until(self, condition: object, seconds: float, what: str) -> None:
        deadline = time.monotonic() + seconds
        while not condition():  # type: ignore[operator]
            if time.monotonic() > deadline:
                raise SystemExit(f"not within {seconds:.0f} s: {what}")
            time.sleep(1)


def main() -> None:
    """Print the verdict and the figures; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-soak-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        soak = Soak(Path(name), chosen.minutes, chosen.seed)
        try:
            soak.start()
            soak.stress()
            rested = soak.rest()
            wrong = soak.verdict()
        finally:
            soak.stop()
    third = max(1, len(soak.memory) // 3)
    print(f"{chosen.minutes:g} minutes; killed -9: {dict(soak.killed)}; at rest {rested:.0f} s after the last trouble")
    print(
        f"memory of Dagster's processes, first and last third: {sum(soak.memory[:third]) / third:.0f} MB, "
        f"{sum(soak.memory[-third:]) / third:.0f} MB; most connections: {max(soak.connections)}"
    )
    print(
        "\n".join(wrong)
        or "lost, doubled, stuck, slots held, private words written: none; the database equals the truth"
    )
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
