"""Stop and start in the middle of runs, again and again: `benchmarks/restarts.py --times 20 [--celery] [--kill]`.

Starts a system of its own with the demo, and mail arrives all the time. Each round waits until a run is under way,
stops everything (`--kill`: kill -9 of everything, as when the power fails), starts it, lets more mail arrive, and waits
until the numbers equal the truth. Prints how long that took after "ready", and in the end what is lost, doubled, left
or open.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.system import DOUBLED, OPEN_ALERTS, UNFINISHED, Mail, System, a_system, stamp, until

BAR_SECONDS = 60.0
LONGEST_WAIT = 300.0
PER_MINUTE = 40.0


def one_round(system: System, mail: Mail, *, celery: bool, kill: bool) -> tuple[float, float, float, int]:
    """(seconds to stop, to start, until all is counted after "ready"; runs that were under way)."""
    mail.play(PER_MINUTE)
    until(lambda: system.runs("STARTED") > 0, 120, "a run under way", every=0.1)
    under_way = system.runs("STARTING", "STARTED")
    began = time.monotonic()
    if kill:
        system.kill_everything()
    else:
        system.stop()
    stopped = time.monotonic()
    system.start(celery=celery)
    ready = time.monotonic()
    mail.pause()
    delivered = mail.deliver(5)
    while not mail.world.is_between(delivered):
        delivered = mail.deliver(1)
    until(lambda: not system.differences(delivered), LONGEST_WAIT, f"in step: {system.differences(delivered)}")
    return stopped - began, ready - stopped, time.monotonic() - ready, under_way


def what_is_wrong(system: System) -> list[str]:
    """After the last round."""
    until(lambda: system.is_quiet(6), 300, "no run under way")
    time.sleep(30)  # slots of runs that are over, and alerts
    found = {
        "messages stored twice": system.number(system.ours, DOUBLED),
        "runs not finished": system.number(system.dagsters, f"select count(*) from runs where status in {UNFINISHED}"),
        "slots held": system.number(system.dagsters, "select count(*) from concurrency_slots where run_id is not null"),
        "dead letters": system.number(system.ours, "select count(*) from dead_letter where resolved_at is null"),
        "open alerts": system.number(system.ours, OPEN_ALERTS),
        "failed runs left": len(system.failed_runs_left()),
    }
    return [f"{name}: {count}" for name, count in found.items() if count]


def main() -> None:
    """Print each round and the verdict; exit code 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--celery", action="store_true")
    parser.add_argument("--kill", action="store_true")
    chosen = parser.parse_args()
    took: list[float] = []
    with a_system("restarts") as system:
        system.start(celery=chosen.celery)
        filled = system.filled()
        print(f"{stamp()} first fill: {filled:.0f} s", flush=True)
        mail = Mail(system)
        for number in range(chosen.times):
            stop, start, counted, runs = one_round(system, mail, celery=chosen.celery, kill=chosen.kill)
            took.append(counted)
            print(
                f"{stamp()} round {number + 1}: {runs} runs under way; stopped in {stop:.1f} s, ready after "
                f"{start:.1f} s, all {mail.delivered} mails counted {counted:.1f} s after that",
                flush=True,
            )
        wrong = what_is_wrong(system)
        failures = system.runs("FAILURE")
        system.stop()
    late = sum(1 for seconds in took if seconds > BAR_SECONDS)
    print(
        f"{len(took)} restarts ({'kill -9' if chosen.kill else 'stop'}, "
        f"{'Celery workers' if chosen.celery else 'default launcher'}): median {sorted(took)[len(took) // 2]:.1f} s, "
        f"longest {max(took):.1f} s (bar {BAR_SECONDS:.0f}); runs that were interrupted and repeated: {failures}; "
        f"{'; '.join(wrong) or 'lost, doubled, left, open: none'}"
    )
    if wrong or late:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
