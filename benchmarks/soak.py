"""The demo at high speed with faults and kills at random: `python benchmarks/soak.py --minutes 30`.

Starts a system of its own, spreads the rest of the demo's mail over the time while Google answers a tenth of the calls
with trouble, kills -9 the daemon, the code location or a run's worker every so often, then lets it come to rest. Says
whether the database equals the truth, whether a run is stuck or a slot held, and how memory and connections went.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil

from benchmarks.system import DOUBLED, REPOSITORY, UNFINISHED, System, until
from cheerful_pipelines.demo.progress import load_progress
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.private_words import private_words_written

TROUBLE = [
    {"rate": 0.03, "status": 503},
    {"rate": 0.02, "status": 429, "retry_after": "1"},
    {"rate": 0.01, "status": 500},
    {"rate": 0.02, "kind": "reset"},
    {"rate": 0.01, "kind": "cut"},
    {"rate": 0.01, "kind": "lost"},
]
SLOTS_FREED_AFTER = 60.0
"""Dagster looks every quarter of a minute for slots of runs that are over (dagster.yaml)."""


class Soak(System):
    """One system under stress."""

    def __init__(self, home: Path, minutes: float, seed: int) -> None:
        super().__init__(home)
        self.minutes, self.dice = minutes, random.Random(seed)
        self.killed: Counter[str] = Counter()
        self.memory: list[float] = []
        self.connections: list[int] = []

    def stress(self) -> None:
        """Mail, trouble and kills for the time."""
        events = len(self.world().events)
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
        until(self.is_quiet, 1_500, "rest")
        rested = time.monotonic() - began
        time.sleep(SLOTS_FREED_AFTER)
        return rested

    def verdict(self) -> list[str]:
        """What is wrong in the end; empty where all is well."""
        progress = load_progress(self.home)
        assert progress is not None
        events = len(self.world().events)
        wrong = []
        if progress.played < events:
            wrong.append(f"only {progress.played} of {events} events were played")
        wrong += self.differences(events)
        for what, engine, query in (
            ("messages stored twice", self.ours, DOUBLED),
            ("changes not counted", self.ours, "select count(*) from outcome_news"),
            ("dead letters", self.ours, "select count(*) from dead_letter where resolved_at is null"),
            ("runs not finished", self.dagsters, f"select count(*) from runs where status in {UNFINISHED}"),
            ("slots held", self.dagsters, "select count(*) from concurrency_slots where run_id is not null"),
        ):
            count = self.number(engine, query)
            if count:
                wrong.append(f"{what}: {count}")
        secrets = {name: value for name, value in self.environment.items() if name.endswith("_KEY")}
        database = Database(self.environment["CHEERFUL_DATABASE_URL"]).for_every_client()
        dagster = Database(self.environment["CHEERFUL_DAGSTER_DATABASE_URL"])
        return wrong + private_words_written(self.home, database, dagster, secrets)

    def _kill_something(self) -> None:
        family = self.family()
        name = self.dice.choice(["daemon", "code", "worker", "worker"])
        if family[name]:
            self.dice.choice(family[name]).kill()
            self.killed[name] += 1

    def _measure(self) -> None:
        total = 0
        for processes in self.family().values():
            for process in processes:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
        self.memory.append(total / 1e6)
        backends = "select count(*) from pg_stat_activity where backend_type = 'client backend'"
        self.connections.append(self.number(self.ours, backends))


def main() -> None:
    """Print the verdict and the figures; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-soak-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (Path(name) / "home").mkdir()
        soak = Soak(Path(name) / "home", chosen.minutes, chosen.seed)
        try:
            soak.start()
            until(soak.is_quiet, 400, "the first fill")
            soak.stress()
            rested = soak.rest()
            wrong = soak.verdict()
        finally:
            soak.tidy()
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
