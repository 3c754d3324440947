"""1,000 conversations through a language model's stub at 500 ms a call, 16 at a time: `python benchmarks/llm_calls.py`.

The stub runs in a process of its own, as a provider does. Prints wall time against the ideal (calls x latency / at
once), verdicts stored, and what a second run asks.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier, LlmOptions
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines_tests.builders import an_account
from cheerful_pipelines_tests.classification.llm.llm_stub import running_stub
from cheerful_pipelines_tests.classification.test_llm_assets import campaign_of
from cheerful_pipelines_tests.threads.mailroom import Mailroom


def _serve(pipe: Connection, latency_seconds: float) -> None:
    with running_stub() as stub:
        stub.latency_seconds = latency_seconds
        pipe.send(stub.url)
        while pipe.recv() is not None:
            pipe.send((stub.asked, stub.most_at_once))


@contextmanager
def provider(latency_seconds: float) -> Iterator[tuple[str, Connection]]:
    """The stub's address, and a pipe that answers any message with (calls so far, most at once)."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there, latency_seconds))
    process.start()
    try:
        yield here.recv(), here
    finally:
        here.send(None)
        process.join()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds a call")
    parser.add_argument("--at-once", type=int, default=16)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-bench-") as name, provider(chosen.latency) as (url, pipe):
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "postgres")
        database = Database(postgres.url("llm_calls")).for_every_client()
        migrate(database)
        room = Mailroom(database, BlobStore.from_url((folder / "blobs").as_uri()))
        words = {f"n{n}": f"Count me in, this is number {n}!" for n in range(chosen.conversations)}
        campaign_id = campaign_of(room, an_account(database), words).id
        model = LlmClassifier(
            LlmOptions(provider="anthropic", model="claude-haiku-4-5", api_key="none", base_url=url,
                       at_once=chosen.at_once)
        )  # fmt: skip
        began = time.monotonic()
        report = classify_pending(VerdictStore(database), model, campaign_id, run_id=None)
        took = time.monotonic() - began
        ideal = -(-report.calls // chosen.at_once) * chosen.latency
        pipe.send("how many?")
        asked, most_at_once = pipe.recv()
        again = classify_pending(VerdictStore(database), model, campaign_id, run_id=None)
        pipe.send("how many?")
        asked_again, _ = pipe.recv()
        print(f"{report.calls} calls, {report.inserted} verdicts stored one by one, {most_at_once} at once at most")
        print(f"{took:.1f} s, ideal {ideal:.1f} s: {took / ideal:.2f} times")
        print(f"second run: {asked_again - asked} calls, {again.inserted} rows")
        database.close()
        postgres.stop()


if __name__ == "__main__":
    main()
