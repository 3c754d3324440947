"""Runs a minute, default launcher against warm Celery workers, side by side: `python benchmarks/launchers.py`.

Starts the system twice, without the demo, first with the one and then with the other launcher, and has it do the same
small runs (`health`: one asset that reads a page of figures), four at a time. Again in the other order; the ratio is of
the better round of each.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import requests

from benchmarks.system import System, until

LAUNCH = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) { __typename ... on PythonError { message } }
}
"""
PARAMS = {
    "executionParams": {
        "selector": {"repositoryLocationName": "cheerful", "repositoryName": "__repository__", "jobName": "health"},
        "mode": "default",
    }
}


class Launchers(System):
    """A system with one of the launchers."""

    def runs_a_minute(self, runs: int) -> float:
        """Launch them all, and wait until the last has ended."""
        url = f"http://127.0.0.1:{self.web_port}/graphql"
        ended = "select count(*) from runs where pipeline_name = 'health' and status = 'SUCCESS'"
        before = self.number(self.dagsters, ended)
        began = time.monotonic()
        for _ in range(runs):
            answer = requests.post(url, json={"query": LAUNCH, "variables": PARAMS}, timeout=60).json()
            assert answer["data"]["launchRun"]["__typename"] == "LaunchRunSuccess", answer
        until(lambda: self.number(self.dagsters, ended) >= before + runs, 600, "runs")
        return 60 * runs / (time.monotonic() - began)


def measured(celery: bool, runs: int) -> float:
    """One round: start, warm up, measure, stop."""
    with tempfile.TemporaryDirectory(prefix="cheerful-launch-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (Path(name) / "home").mkdir()
        system = Launchers(Path(name) / "home")
        try:
            system.start(demo=False, celery=celery)
            until(system.is_quiet, 300, "rest")
            system.runs_a_minute(4)
            rate = system.runs_a_minute(runs)
        finally:
            system.tidy()
    print(f"{'warm Celery workers' if celery else 'default launcher'}: {rate:.0f} runs a minute", flush=True)
    return rate


def main() -> None:
    """Print each round and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=40)
    runs = parser.parse_args().runs
    rates = [(celery, measured(celery, runs)) for celery in (False, True, True, False)]
    best = {kind: max(rate for celery, rate in rates if celery is kind) for kind in (False, True)}
    print(f"{best[True]:.0f} against {best[False]:.0f} runs a minute: {best[True] / best[False]:.1f} times")


if __name__ == "__main__":
    main()
