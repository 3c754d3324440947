"""How long hostile mail takes from raw bytes to its reading: `.venv/bin/python benchmarks/hostile_mail.py`.

Each is as large as Gmail lets a mail be useful for an attack, or as nested as it fits; the bar is a second each.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cheerful_pipelines.gmail.parse_message import parse_message  # noqa: E402
from cheerful_pipelines.threads.reading import needs_raw, read_message  # noqa: E402
from cheerful_pipelines_tests.threads.hostile_mail import hostile_mails  # noqa: E402
from cheerful_pipelines_tests.threads.mailroom import stored  # noqa: E402


def main() -> None:
    """One line a mail, the slowest last."""
    slowest = max(_timed())
    print(f"slowest: {slowest[0]:.2f} s ({slowest[1]})")


def _timed() -> Iterator[tuple[float, str]]:
    for name, raw in hostile_mails():
        began = time.perf_counter()
        parse_message(raw)
        parsed = time.perf_counter() - began
        message = stored(raw)
        began = time.perf_counter()
        reading = read_message(message, raw if needs_raw(message) else None, frozenset())
        seconds = time.perf_counter() - began
        print(
            f"{name:45} {len(raw) / 1e6:6.1f} MB  parsed {parsed:5.2f} s, read {seconds:5.2f} s, "
            f"{reading.kind}, {len(reading.new_words)} characters of new words",
            flush=True,
        )
        yield parsed + seconds, name


if __name__ == "__main__":
    main()
