"""Print how the rules of threads/ do on real mail: `python benchmarks/threads_on_real_mail.py [FOLDER]`.

FOLDER is the folder of real mail, by default ../shared/data beside the repository.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cheerful_pipelines_tests.mail.reading import real_mail  # noqa: E402


def main() -> None:
    """One line a figure: right, cases, share, seconds; then what was not right."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT.parent / "shared" / "data"
    for name, measure in (
        ("agreed threads, file order", real_mail.agreed_threads),
        ("agreed threads, shuffled", lambda folder: real_mail.agreed_threads(folder, shuffle=7)),
        ("whole replies", real_mail.whole_replies),
        ("bounce kinds, by our rules", real_mail.bounce_kinds),
        ("bounce kinds, as the sources say", real_mail.bounce_kinds_as_sources_say),
        ("failed addresses", real_mail.failed_addresses),
        ("hard or soft (sisimai)", real_mail.bounce_severity),
        ("bounced Message-IDs", real_mail.bounced_message_ids),
        ("replies of which no word is lost", real_mail.lost_words),
        ("automatic replies", real_mail.automatic_replies),
    ):
        _print(name, measure, data)
    scores = real_mail.exact_replies(data)
    for source, score in scores.items():
        _line(f"exact replies, {source}", score)
    right, cases = sum(score.right for score in scores.values()), sum(score.cases for score in scores.values())
    _line("exact replies, all", real_mail.Score(right, cases, ()))
    library = real_mail.library_replies(data)
    if library is not None:
        _line("  mail-parser-reply on the text cases", library._replace(wrong=()))
    print("kinds of list mail:", dict(real_mail.kinds_of_list_mail(data)))


def _print(name: str, measure: Callable[[Path], real_mail.Score], data: Path) -> None:
    began = time.perf_counter()
    score = measure(data)
    _line(name, score, f"{time.perf_counter() - began:6.2f} s")


def _line(name: str, score: real_mail.Score, note: str = "") -> None:
    print(f"{name:45} {score.right:5} of {score.cases:5} {score.share:7.1%} {note}")
    if score.wrong:
        print("    not:", ", ".join(score.wrong[:40]))


if __name__ == "__main__":
    main()
