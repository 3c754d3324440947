"""What a benchmark stands on that needs nothing running: a Postgres and a local Google server, each a process apart."""

import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres


class Servers(NamedTuple):
    """Running servers: `postgres`, the local Google server's address, and the folder where both keep their files."""

    postgres: EmbeddedPostgres
    google_url: str
    folder: Path


@contextmanager
def servers() -> Iterator[Servers]:
    """Both, gone afterwards. The Google server has its own process: its CPU and memory are not the client's."""
    with tempfile.TemporaryDirectory(prefix="cheerful-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres = EmbeddedPostgres(folder / "pg")
        is_up = multiprocessing.Queue()
        google = multiprocessing.Process(target=_serve, args=(folder / "google.sqlite", is_up), daemon=True)
        google.start()
        try:
            yield Servers(postgres, is_up.get(timeout=30), folder)
        finally:
            google.terminate()
            postgres.stop()


def _serve(state: Path, is_up: Any) -> None:
    from cheerful_pipelines.local_google.server import ServerThread

    with ServerThread(state) as running:
        is_up.put(running.url)
        while True:
            time.sleep(1)
