"""CPU and memory of every process of a running installation while nothing arrives.

./infra/dev.sh start --play-per-minute 0
.venv/bin/python benchmarks/idle.py --minutes 5
"""

import argparse
import json
import time
from pathlib import Path

import psutil

HOME = Path(__file__).resolve().parents[1] / ".cheerful"


def main() -> None:
    """Sum user and system seconds over the window, children that ended included; memory as PSS and as RSS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--home", type=Path, default=HOME)
    options = parser.parse_args()
    root = psutil.Process(supervisor_pid(options.home))
    before, started = cpu_seconds(root, options.home), time.monotonic()
    time.sleep(options.minutes * 60)
    after, elapsed = cpu_seconds(root, options.home), time.monotonic() - started
    for name in sorted(after):
        print(f"{name:40s} {100 * (after[name] - before.get(name, 0)) / elapsed:6.2f} % of a core")
    print(f"CPU of all processes: {100 * (sum(after.values()) - sum(before.values())) / elapsed:.1f} % of one core")
    pss, rss = memory(root, options.home)
    print(f"memory of all processes: {pss:.0f} MB (shared pages counted once), {rss:.0f} MB (RSS added up)")


def supervisor_pid(home: Path) -> int:
    """Process id of the running supervisor."""
    for candidate in ("supervisor.pid", "supervisor.json"):
        path = home / candidate
        if path.exists():
            found = path.read_text().strip()
            return int(json.loads(found)["pid"]) if found.startswith("{") else int(found)
    raise SystemExit(f"nothing runs under {home}: start it first")


def processes(root: psutil.Process, home: Path) -> list[psutil.Process]:
    """The supervisor, everything below it, and the embedded Postgres, which is not its child."""
    found = {root.pid: root, **{child.pid: child for child in root.children(recursive=True)}}
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and str(home / "postgres") in " ".join(process.info["cmdline"] or []):
            found |= {process.pid: process, **{child.pid: child for child in process.children(recursive=True)}}
    return list(found.values())


def cpu_seconds(root: psutil.Process, home: Path) -> dict[str, float]:
    """Seconds by kind of process; a parent's `children_*` hold what ended meanwhile."""
    sums: dict[str, float] = {}
    for process in processes(root, home):
        try:
            times, words = process.cpu_times(), process.cmdline()
        except psutil.Error:
            continue
        name = next((word for word in words[1:4] if not word.startswith("-")), process.name())
        label = "postgres" if "postgres" in process.name() else Path(name).name[-40:]
        sums[label] = sums.get(label, 0) + times.user + times.system + times.children_user + times.children_system
    return sums


def memory(root: psutil.Process, home: Path) -> tuple[float, float]:
    """(PSS, RSS) in MB."""
    pss = rss = 0.0
    for process in processes(root, home):
        try:
            info = process.memory_full_info()
        except psutil.Error:
            continue
        pss, rss = pss + info.pss / 1e6, rss + info.rss / 1e6
    return pss, rss


if __name__ == "__main__":
    main()
