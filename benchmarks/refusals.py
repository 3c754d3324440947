"""What refusals teach when the real limit is lower than the assumed one. About six minutes; needs nothing running.

.venv/bin/python benchmarks/refusals.py [--minutes 5] [--real 3000] [--assumed 6000] [--refusal 403|429]

One mailbox is fetched without a pause, 100 ms a call, from a server that lets in `--real` units a minute and refuses
the rest: with 403 userRateLimitExceeded, which names no time, or with 429 and Retry-After. Prints the calls and the
refused ones of each minute, and the share after the first (bar: under 3 %).
"""

import argparse
import threading
import time
from typing import Any

from pacing import ADDRESS, Bench, Mailbox
from servers import servers

from cheerful_pipelines.core.errors import CheerfulError

BAR = 0.03


def main() -> None:
    """The options, the run, the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--real", type=int, default=3_000)
    parser.add_argument("--assumed", type=int, default=6_000)
    parser.add_argument("--refusal", choices=("403", "429"), default="403")
    wanted = parser.parse_args()
    with servers() as (postgres, url, _folder):
        bench = Bench(postgres, url)
        messages = int(wanted.assumed / 20 * (wanted.minutes + 1))
        mailbox = bench.fresh(messages, gmail_units_per_minute=wanted.assumed)
        bench.google.set_limits(latency_ms=100, units_a_minute=wanted.real, refusal=wanted.refusal)
        bench.google.reset_counters()
        minutes = watch(bench, mailbox, minutes=wanted.minutes)
    calls, refused = (sum(minute[number] for minute in minutes[1:]) for number in (0, 1))
    share = refused / calls if calls else 0.0
    if not sum(minute[1] for minute in minutes):
        raise SystemExit("Nothing was refused at all: the real limit was never reached, so this shows nothing.")
    verdict = "yes" if calls and share < BAR else "NO"
    print(f"after the first minute: {refused} of {calls} calls refused, {share:.2%} (under {BAR:.0%}: {verdict})")


def watch(bench: Bench, mailbox: Mailbox, *, minutes: float) -> list[tuple[int, int]]:
    """(calls, refused calls) of each minute while the mailbox is synced."""
    done = threading.Event()
    worker = threading.Thread(target=sync_until, args=(mailbox, time.monotonic() + minutes * 60, done), daemon=True)
    worker.start()
    found: list[tuple[int, int]] = []
    before = (0, 0)
    for _ in range(max(1, round(minutes))):
        done.wait(min(60.0, minutes * 60))
        now = totals(bench.google.counters())
        found.append((now[0] - before[0], now[1] - before[1]))
        before = now
        print(f"minute {len(found)}: {found[-1][0]} calls, {found[-1][1]} refused", flush=True)
        if done.is_set():
            break
    return found


def sync_until(mailbox: Mailbox, ends_at: float, done: threading.Event) -> None:
    """Again and again, as sensors would."""
    while time.monotonic() < ends_at:
        try:
            if not mailbox.sync().is_partial:
                break
        except CheerfulError as error:
            print(f"the sync failed and is begun again: {type(error).__name__}", flush=True)
            time.sleep(5)
    done.set()


def totals(counters: dict[str, Any]) -> tuple[int, int]:
    """(calls to the mailbox, refused ones) until now."""
    return sum(counters["calls_by_mailbox"].get(ADDRESS, {}).values()), int(counters["refused"])


if __name__ == "__main__":
    main()
