"""Every regular expression against adversarial input: `.venv/bin/python benchmarks/regular_expressions.py`.

Prints each one that is not linear, with the attack; exits with 1 if there is one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cheerful_pipelines_tests.regular_expressions import find_all, find_attack


def main() -> None:
    """One line an expression that is not linear."""
    found = find_all("cheerful_pipelines", without=["cheerful_pipelines.storage.migrations"])
    bad = [result for one in found.expressions if (result := find_attack(one)) is not None]
    for result in bad:
        print(f"{result.where}: {result.growth:.0f} times as long for 4 times {result.attack}\n    {result.pattern}")
    for where in found.not_checked:
        print(f"{where}: its pattern is made at run time: give a sample in SAMPLES")
    print(f"{len(found.expressions)} regular expressions, {len(bad)} not linear, {len(found.not_checked)} not checked")
    raise SystemExit(1 if bad or found.not_checked else 0)


if __name__ == "__main__":
    main()
