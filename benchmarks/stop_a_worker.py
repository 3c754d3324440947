"""A worker told to stop in the middle of a long sync, again and again: `python benchmarks/stop_a_worker.py --times 20`.

Starts Postgres, the local Google server with one large mailbox, the daemon and a worker; sends the worker SIGTERM while
it stores mail; starts another; and so on. Prints how long each took to stop, and in the end what is lost, doubled,
unfinished or held.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.local_google.server import ServerThread
from cheerful_pipelines.runtime.worker import STOP_SECONDS
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines_tests.builders import CREDENTIALS_KEY, a_campaign, a_message, an_account
from cheerful_pipelines_tests.test_system import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
MESSAGES_A_SECOND = 4
UNFINISHED = "('QUEUED', 'NOT_STARTED', 'STARTING', 'STARTED', 'CANCELING')"


class Stopped:
    """An installation whose worker is stopped and started."""

    def __init__(self, folder: Path, messages: int) -> None:
        self.folder, self.messages, self.port = folder, messages, free_port()
        self.postgres = EmbeddedPostgres(folder / "pg")
        migrate(Database(self.postgres.url("cheerful")))
        self.server = ServerThread(folder / "google.sqlite").start()
        self.google = LocalGoogleAdmin(self.server.url)
        self.database = Database(self.postgres.url("cheerful", as_pipeline=True)).for_every_client()
        self.dagster = Database(self.postgres.url("dagster"))
        home = folder / "dagster_home"
        home.mkdir()
        (home / "dagster.yaml").write_text((REPOSITORY / "dagster.yaml").read_text())
        (home / "workspace.yaml").write_text(
            f"load_from:\n  - grpc_server: {{host: 127.0.0.1, port: {self.port}, location_name: cheerful}}\n"
        )
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHEERFUL_", "DAGSTER_"))}
        units = MESSAGES_A_SECOND * 20 * 60
        self.environment = kept | {
            "CHEERFUL_HOME": str(folder), "CHEERFUL_LOCAL_GOOGLE_URL": self.server.url, "DAGSTER_HOME": str(home),
            "CHEERFUL_DATABASE_URL": self.postgres.url("cheerful", as_pipeline=True),
            "CHEERFUL_DAGSTER_DATABASE_URL": self.postgres.url("dagster"),
            "CHEERFUL_COMPUTE_LOGS": str(folder / "logs"), "CHEERFUL_CREDENTIALS_KEY": CREDENTIALS_KEY,
            "CHEERFUL_ADDRESS_HASH_KEY": "cd" * 16, "PYTHONPATH": str(REPOSITORY),
            "CHEERFUL_GMAIL_UNITS_PER_MINUTE": str(units), "CHEERFUL_GMAIL_PROJECT_UNITS_PER_MINUTE": str(units),
        }  # fmt: skip
        self.log = (folder / "log").open("w")
        self.fill()

    def fill(self) -> None:
        """One large mailbox of one campaign, not yet read."""
        self.google.add_mailbox("mia@brand.example")
        people = [f"c{n}@creator.example" for n in range(self.messages)]
        self.google.put_sheet("in", title="In", tabs={"People": [["Email"], *([one] for one in people)]})
        at = datetime.now(UTC) - timedelta(days=5)
        pitches = [a_message().sender("mia@brand.example").to(one).message_id(f"<{one}>") for one in people]
        self.google.deliver_many(
            "mia@brand.example",
            [
                Delivery(raw=pitch.bytes(), label_ids=("SENT",), internal_date=at + timedelta(seconds=n))
                for n, pitch in enumerate(pitches)
            ],
        )
        credentials = self.google.credentials_json("mia@brand.example")
        an_account(self.database, credentials_json=credentials)
        a_campaign(self.database, spreadsheet_id="in", starts_at=at - timedelta(days=1))
        self.run("dagster", "instance", "migrate").wait()

    def run(self, *command: str) -> "subprocess.Popen[bytes]":
        """One process of the installation."""
        script = str(Path(sys.executable).parent / command[0]) if command[0].startswith("dagster") else command[0]
        return subprocess.Popen(
            [script, *command[1:]], env=self.environment, cwd=REPOSITORY, stdout=self.log, stderr=self.log,
            start_new_session=True,
        )  # fmt: skip

    def worker(self) -> "subprocess.Popen[bytes]":
        """A worker that answers."""
        return self.run(sys.executable, "-m", "cheerful_pipelines.runtime.worker", "--port", str(self.port))

    def stored(self) -> int:
        """Messages so far."""
        with self.database.transaction() as connection:
            return int(connection.execute(sa.text("select count(*) from gmail_message")).scalar_one())

    def of_dagster(self, query: str) -> int:
        """One number of Dagster's."""
        with self.dagster.login_transaction() as connection:
            return int(connection.execute(sa.text(query)).scalar_one())


def until(condition: object, seconds: float, what: str) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.2)


def main() -> None:
    """Print the figures; exit code 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-stop-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        at = Stopped(Path(name), messages=200 * (chosen.times + 1))
        worker, daemon = at.worker(), at.run("dagster-daemon", "run", "-w", f"{name}/dagster_home/workspace.yaml")
        took: list[float] = []
        try:
            for number in range(chosen.times):
                before = at.stored()
                until(lambda before=before: at.stored() >= before + 20, 240, f"mail before stop {number + 1}")
                began = time.monotonic()
                worker.send_signal(signal.SIGTERM)
                worker.wait(timeout=STOP_SECONDS)
                took.append(time.monotonic() - began)
                print(f"stop {number + 1}: {took[-1]:.1f} s, {at.stored()} of {at.messages} stored", flush=True)
                if number == chosen.times - 1:  # the rest at full speed
                    at.environment["CHEERFUL_GMAIL_UNITS_PER_MINUTE"] = "10000000"
                    at.environment["CHEERFUL_GMAIL_PROJECT_UNITS_PER_MINUTE"] = "10000000"
                worker = at.worker()
            until(lambda: at.stored() >= at.messages, 900, "all mail")
            unfinished = f"select count(*) from runs where status in {UNFINISHED}"
            until(lambda: at.of_dagster(unfinished) == 0, 300, "no run under way")
            time.sleep(130)  # Dagster looks once a minute for slots of runs that are over
            with at.database.transaction() as connection:
                doubled = connection.execute(
                    sa.text("select count(*) - count(distinct gmail_message_id) from gmail_message")
                ).scalar_one()
            lost = at.messages - at.stored()
            held = at.of_dagster("select count(*) from concurrency_slots where run_id is not null")
            left = at.of_dagster(unfinished)
            failed = at.of_dagster("select count(*) from runs where status = 'FAILURE'")
        finally:
            for process in (daemon, worker):
                process.terminate()
                try:
                    process.wait(timeout=30)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)
            at.server.stop()
            at.postgres.stop()
    print(
        f"{len(took)} stops in mid-run: median {sorted(took)[len(took) // 2]:.1f} s, longest {max(took):.1f} s "
        f"(at most {STOP_SECONDS:.0f}); lost {lost}, doubled {doubled}, runs left {left}, runs failed {failed}, "
        f"slots held {held}"
    )
    if lost or doubled or held or left or failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
