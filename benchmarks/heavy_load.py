"""The system on a machine that is busy with other things: `python benchmarks/heavy_load.py --minutes 20 [--busy 8]`.

Starts so many processes that only compute, then a system of its own with the demo, and lets mail arrive. Prints when
the first numbers were there, runs by status, and why runs failed. No run may fail because its start was slow.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.system import Mail, NotInTime, System, a_system, stamp, until

READY_WITHIN = 900.0
IN_STEP_WITHIN = 900.0
FIRST_NUMBERS = (
    "select count(distinct m.campaign_id) from campaign_metric m where m.metric = 'replied' and m.grain = 'campaign'"
)


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many that compute and never rest."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def reasons(system: System) -> Counter[str]:
    """Why runs failed: their job, and the last thing that was said of it."""
    query = (
        "select r.pipeline_name, (select e.event from event_logs e where e.run_id = r.run_id and "
        "e.dagster_event_type = 'PIPELINE_FAILURE' order by e.id desc limit 1) from runs r where r.status = 'FAILURE'"
    )
    found: Counter[str] = Counter()
    for job, event in system.rows(system.dagsters, query):
        said = json.loads(str(event))["dagster_event"] if event else {}
        words = str(said.get("message") or "without a word")
        found[f"{job}: {words.splitlines()[0][:140]}"] += 1
    return found


def main() -> None:
    """Print the figures; exit code 1 where a run failed or the numbers never came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--busy", type=int, default=8)
    parser.add_argument("--per-minute", type=float, default=6.0, help="mails that arrive")
    chosen = parser.parse_args()
    with busy(chosen.busy), a_system("load") as system:
        began = time.monotonic()
        system.start(within=READY_WITHIN)
        print(f"{stamp()} ready after {time.monotonic() - began:.0f} s", flush=True)
        mail = Mail(system)
        mail.play(chosen.per_minute)
        first = until(lambda: system.number(system.ours, FIRST_NUMBERS) > 0, 60 * chosen.minutes, "first numbers")
        print(f"{stamp()} first numbers {first:.0f} s after that", flush=True)
        time.sleep(max(0.0, 60 * chosen.minutes - first))
        delivered, last = mail.pause(), "in step"
        try:
            last = f"in step {until(lambda: not system.differences(delivered), IN_STEP_WITHIN, 'in step'):.0f} s later"
        except NotInTime:
            last = f"NOT in step: {'; '.join(system.differences(delivered))}"
        statuses = dict(system.rows(system.dagsters, "select status, count(*) from runs group by status"))
        failed, alerts = reasons(system), system.rows(system.ours, "select key from alert")
    print(
        f"{chosen.minutes:g} minutes beside {chosen.busy} busy processes: {delivered} mails; {last}; runs {statuses}; "
        f"alerts that were opened: {[key for (key,) in alerts] or 'none'}"
    )
    for why, count in failed.most_common():
        print(f"{count} failed: {why}")
    if failed or last.startswith("NOT"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
