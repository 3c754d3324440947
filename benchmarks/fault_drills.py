"""What breaks, breaks, and is mended: `python benchmarks/fault_drills.py [NAME ...]` (all, where none is named).

Each drill starts a system of its own with the demo, lets mail arrive, injects one fault for a minute while mail goes on
arriving, mends it, and waits until every message delivered meanwhile is counted and the database equals the truth. It
prints what was lost and doubled, the seconds from the repair until all was counted, and the failed runs and alerts that
are left. How each fault is made stands in the docstring of its function in fault_injection.py.
"""

import argparse
import contextlib
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fault_injection import FAULTS, Fault
from benchmarks.system import DOUBLED, OPEN_ALERTS, Mail, NotInTime, System, a_system, stamp, until

BAR_SECONDS = 180.0
LONGEST_WAIT = 420.0
ALERTS_CLOSE_WITHIN = 150.0
"""The sensor `alerts` looks once a minute."""
PER_MINUTE = 15.0


class Outcome(NamedTuple):
    """Of one drill."""

    name: str
    seconds: float | None
    """From the repair until every message delivered until then was counted; None: never."""
    lost: list[str]
    doubled: int
    failed_runs: list[str]
    alerts: list[str]
    during: str
    """What the fault did to runs while it lasted."""

    @property
    def is_good(self) -> bool:
        """Whether the bar is met."""
        clean = not (self.lost or self.doubled or self.failed_runs or self.alerts)
        return clean and self.seconds is not None and self.seconds < BAR_SECONDS


def drill(name: str, fault: Fault, seconds: float) -> Outcome:
    """One fault from beginning to end."""
    with fault.prepared() as settings, a_system(name.replace("_", "-"), settings=settings) as system:
        fault.before_start(system)
        system.start()
        filled = system.filled()
        print(f"{stamp()} {name}: first fill {filled:.0f} s", flush=True)
        mail = Mail(system)
        mail.play(PER_MINUTE)
        time.sleep(5)
        fault.begin(system)
        print(f"{stamp()} {name}: it is broken", flush=True)
        fault.last(system, seconds)
        fault.mend(system)
        delivered, mended = mail.pause(), time.monotonic()
        print(f"{stamp()} {name}: it is mended; {delivered} mails so far", flush=True)
        try:
            until(lambda: not _differences(system, delivered), LONGEST_WAIT, "in step")
            took: float | None = time.monotonic() - mended
        except NotInTime:
            took = None
        return _outcome(name, system, delivered, took)


def _differences(system: System, delivered: int) -> list[str]:
    """As the system's, where the database may still be on its way back."""
    try:
        return system.differences(delivered)
    except Exception as error:  # whatever a driver raises meanwhile: it counts as different, and is asked again
        return [type(error).__name__]


def _outcome(name: str, system: System, delivered: int, took: float | None) -> Outcome:
    with contextlib.suppress(NotInTime):  # what is left is printed, and fails the drill
        until(
            lambda: not system.number(system.ours, OPEN_ALERTS) and not system.failed_runs_left(),
            ALERTS_CLOSE_WITHIN, "alerts closed", every=5,
        )  # fmt: skip
    alerts = system.rows(system.ours, "select key from alert where resolved_at is null")
    return Outcome(
        name=name,
        seconds=took,
        lost=system.differences(delivered),
        doubled=system.number(system.ours, DOUBLED),
        failed_runs=system.failed_runs_left(),
        alerts=[str(key) for (key,) in alerts],
        during=f"{system.runs('FAILURE')} runs failed and {system.runs('SUCCESS')} succeeded in all",
    )


def shown(outcome: Outcome) -> str:
    """One line."""
    took = "never" if outcome.seconds is None else f"{outcome.seconds:.0f} s"
    return (
        f"{'ok  ' if outcome.is_good else 'FAIL'} {outcome.name}: lost {'; '.join(outcome.lost) or 'nothing'}; doubled "
        f"{outcome.doubled}; in step {took} after the repair (bar {BAR_SECONDS:.0f}); failed runs left "
        f"{'; '.join(outcome.failed_runs) or 'none'}; open alerts {'; '.join(outcome.alerts) or 'none'} "
        f"({outcome.during})"
    )


def main() -> None:
    """Run them one after another; exit code 1 where one misses the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FAULTS)}")
    parser.add_argument("--seconds", type=float, default=60, help="how long each fault lasts")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(FAULTS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    outcomes, broken = list[Outcome](), list[str]()
    for name in chosen.names or FAULTS:
        try:
            outcomes.append(drill(name, FAULTS[name](), chosen.seconds))
            print(shown(outcomes[-1]), flush=True)
        except (NotInTime, OSError, RuntimeError) as error:
            broken.append(f"FAIL {name}: the drill itself broke off: {error}")
            print(broken[-1], flush=True)
    print("\n".join(["", *map(shown, outcomes), *broken]))
    if broken or not all(outcome.is_good for outcome in outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
