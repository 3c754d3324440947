"""Every parser of what comes from outside, fed with rubbish: `python benchmarks/fuzz.py --minutes 30`.

Coverage-guided (atheris, libFuzzer); begins with invented mails, sheets and answers, and with the real mail beside the
project where that is there. Ends at the first crash, at anything that takes over half a CPU second, or when the
time is over. What a parser may raise is what its docstring says: our own errors. Atheris is no part of the lock: pip
install atheris.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

try:
    import atheris
except ImportError:
    raise SystemExit("pip install atheris (Linux, Python 3.11)") from None

with atheris.instrument_imports(include=["cheerful_pipelines"]):
    from cheerful_pipelines.classification.classify import classify
    from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
    from cheerful_pipelines.classification.models import Conversation, ConversationMessage
    from cheerful_pipelines.core.addresses import address_key
    from cheerful_pipelines.core.errors import CheerfulError
    from cheerful_pipelines.core.redaction import without_addresses
    from cheerful_pipelines.google.retry_after import retry_after_seconds
    from cheerful_pipelines.mail.address_headers import mailboxes
    from cheerful_pipelines.mail.html_text import html_to_text
    from cheerful_pipelines.mail.parse_message import parse_message
    from cheerful_pipelines.mail.reading.auto_replies import find_automatic, find_return
    from cheerful_pipelines.mail.reading.bounces import read_report
    from cheerful_pipelines.mail.reading.quoted_text import new_words
    from cheerful_pipelines.recipients.addresses_in_cells import read_address_cell
    from cheerful_pipelines.recipients.columns import header_key
    from cheerful_pipelines.recipients.parse_rows import parse_rows
    from cheerful_pipelines.storage.erased_people import addresses_in
    from cheerful_pipelines.web.roles import mutations_in
    from cheerful_pipelines.web.sessions import Sessions

from graphql import GraphQLError

from cheerful_pipelines_tests.builders import START, a_message
from cheerful_pipelines_tests.hostile_mails import hostile_cells, hostile_mails

SLOW_SECONDS = 0.5
LARGEST_BYTES = 65_536
CLASSIFIER, SESSIONS = LocalClassifier(), Sessions("ab" * 32, hours=1)
calls = {"inputs": 0, "slowest": 0.0}


def a_mail(data: bytes) -> None:
    """As the sync and the threads read it."""
    parsed = parse_message(data)
    words = new_words(parsed.body_text, parsed.body_html)
    find_automatic(parsed.headers, parsed.subject, words.text)
    find_return(words.text, received_at=START)
    read_report(data)
    judge(words.text, parsed.subject)


def judge(words: str, subject: str) -> None:
    """As the classifier reads it."""
    message = ConversationMessage(direction="theirs", kind="human", at=START, subject=subject, new_words=words)
    classify(Conversation(messages=(message,)), CLASSIFIER)


def a_text(data: bytes) -> None:
    """HTML, plain text and cells."""
    text = data.decode("utf-8", "replace")
    html_to_text(text)
    new_words(text, text)
    judge(text, text[:80])
    address_key(text)
    addresses_in(text)
    read_address_cell(text)
    header_key(text)
    without_addresses(text)
    list(mailboxes(text))
    retry_after_seconds({"retry-after": text[:200]}, text)
    SESSIONS.read(text)


def a_sheet(data: bytes) -> None:
    """Cells, separated by commas and line ends."""
    rows = [line.split(",") for line in data.decode("utf-8", "replace").splitlines()]
    try:
        parse_rows([["Name", "Email"], *rows])
        parse_rows(rows)
    except CheerfulError:
        pass


def a_document(data: bytes) -> None:
    """What a visitor of the web UI may send."""
    with contextlib.suppress(GraphQLError):
        mutations_in(data.decode("utf-8", "replace"), None)


KINDS = (a_mail, a_mail, a_text, a_sheet, a_document)


def one_input(data: bytes) -> None:
    """The first byte chooses the parser."""
    if not data:
        return
    began = time.process_time()
    KINDS[data[0] % len(KINDS)](data[1:])
    took = time.process_time() - began
    calls["inputs"] += 1
    calls["slowest"] = max(calls["slowest"], took)
    if took > SLOW_SECONDS:
        raise TimeoutError(f"{took:.2f} s for {len(data)} bytes")
    if calls["inputs"] % 10_000 == 0:
        print(f"{calls['inputs']} inputs, slowest {calls['slowest']:.3f} s", flush=True)


def seeds(folder: Path) -> None:
    """What mutation begins with."""
    mail = a_message().subject("Re: join us").text("Yes!\n\nOn Monday you wrote:\n> Hello").html("<p>Yes</p>").bytes()
    texts = ["<div><blockquote>x</blockquote>y</div>", "Ana <ana@creator.example>; bo@creator.example", "> a\n>> b\n"]
    found = [b"\0" + mail, *(b"\2" + text.encode() for text in texts), b"\3Ana,ana@creator.example\nBo,=A1\n",
             b"\4mutation A { launchRun(x: 1) { id } }"]  # fmt: skip
    found += [b"\0" + one.raw[:LARGEST_BYTES] for one in hostile_mails()]
    found += [b"\2" + cell.encode()[:LARGEST_BYTES] for _, cell in hostile_cells()]
    real = Path(__file__).resolve().parents[2] / "shared" / "data"
    found += [b"\0" + path.read_bytes()[:LARGEST_BYTES] for path in sorted(real.rglob("*.eml"))[:300]]
    for number, content in enumerate(found):
        (folder / str(number)).write_bytes(content)


def main() -> None:
    """Fuzz for the time; libFuzzer's own figures go to standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="cheerful-fuzz-") as name:
        seeds(Path(name))
        options = [
            f"-max_total_time={round(minutes * 60)}", "-timeout=5", f"-max_len={LARGEST_BYTES}", "-rss_limit_mb=4096",
            "-print_final_stats=1", f"-artifact_prefix={tempfile.gettempdir()}/cheerful-fuzz-",
        ]  # fmt: skip
        atheris.Setup([sys.argv[0], *options, name], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
