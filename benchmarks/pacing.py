"""How near the sync comes to what Gmail gives, and what a refusal costs. About eight minutes; needs nothing running.

.venv/bin/python benchmarks/pacing.py [--only steady|windows|old-prices|quiet]

steady      6,000 units a minute and mailbox, 100 ms a call: the busiest minute as the server counts it, and the share
            of the allowance that was used while work waited
windows     400 messages at 6,000 units in fixed minutes, as the server enforces them; once nothing is refused, once a
            request with 429 and Retry-After, once with 403 userRateLimitExceeded, once as parts of a batch
old-prices  80 ms a call at the old prices (messages.get 5 units, 15,000 a minute): messages a second
quiet       an account without news in a warm process: calls, CPU, units
"""

import argparse
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from servers import servers

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.gmail.sync_reports import SyncReport
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate

START = datetime(2026, 9, 1, tzinfo=UTC)
ADDRESS = "one@brand.example"
KEY = "ab" * 32


class Bench:
    """A server, a Postgres, and a fresh database for each scenario."""

    def __init__(self, postgres: EmbeddedPostgres, url: str) -> None:
        self.postgres, self.url, self.google = postgres, url, LocalGoogleAdmin(url)
        self.number = 0

    def fresh(self, messages: int, **settings: Any) -> "Mailbox":
        """An empty database and a mailbox of so many messages."""
        self.number += 1
        self.google.wipe()
        self.google.add_mailbox(ADDRESS)
        mails = (Delivery(mail(number), internal_date=START + timedelta(minutes=number)) for number in range(messages))
        self.google.deliver_many(ADDRESS, mails)
        return Mailbox(self, self.postgres.url(f"bench_{self.number}"), settings)


class Mailbox:
    """One account, synced once."""

    def __init__(self, bench: Bench, database_url: str, settings: dict[str, Any]) -> None:
        database = Database(database_url).for_every_client()
        migrate(database)
        self.campaigns = CampaignStore(database)
        self.campaigns.add_client(slug="brand", name="Brand")
        self.account = self.campaigns.add_account(
            client_slug="brand", alias="one", address=ADDRESS, scope="all", credentials_key=KEY,
            credentials_json=bench.google.credentials_json(ADDRESS),
        )  # fmt: skip
        self.store = MailStore(database, BlobStore.from_url("memory:///"))
        self.settings = Settings(local_google_url=bench.url, credentials_key=KEY, **settings)  # type: ignore[arg-type]
        self.clients = GmailClients(self.settings, database)
        self.database = database

    def sync(self) -> SyncReport:
        """One live sync."""
        return MailboxSync(self.account, self.clients.client(self.account), self.store, run_id="bench").live(
            mark=self.campaigns.account_mark(self.account.id), first_needed=START, now=datetime.now(UTC)
        )


def main() -> None:
    """The scenarios, one after the other."""
    scenarios: dict[str, Callable[[Bench], None]] = {
        "quiet": quiet, "old-prices": old_prices, "windows": windows, "steady": steady,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(scenarios))
    only = parser.parse_args().only
    with servers() as (postgres, url, _folder):
        bench = Bench(postgres, url)
        for key, scenario in scenarios.items():
            if only in (None, key):
                scenario(bench)


def steady(bench: Bench) -> None:
    """Long enough for two full windows."""
    mailbox = bench.fresh(1_000, gmail_units_per_minute=6_000)
    bench.google.set_limits(latency_ms=100)
    bench.google.reset_counters()
    done = threading.Event()

    def work() -> None:
        mailbox.sync()
        done.set()

    worker = threading.Thread(target=work, daemon=True)
    started = time.monotonic()
    worker.start()
    # Three whole windows: the third begins once the first has run out twice.
    while time.monotonic() - started < 130 and not done.is_set():
        time.sleep(0.5)
    elapsed = time.monotonic() - started
    counters = bench.google.counters()
    units, busiest = counters["units"][ADDRESS], counters["units_in_busiest_minute"][ADDRESS]
    # In t seconds of rolling minutes at most 6,000 x (1 + floor(t / 60)) units can have been asked for.
    possible = 6_000 * (1 + int(elapsed // 60))
    print(
        f"steady: {units} units in {elapsed:.0f} s, {units / possible:.1%} of what was allowed; busiest minute "
        f"{busiest} units (never over 6,000: {'yes' if busiest <= 6_000 else 'NO'}); work still waited: "
        f"{'no' if done.is_set() else 'yes'}",
        flush=True,
    )


def windows(bench: Bench) -> None:
    """As performance.md, table 3."""
    refused = {"status": 429, "reason": "rateLimitExceeded", "retry_after": "3"}
    faults: dict[str, list[dict[str, Any]]] = {
        "nothing refused": [],
        "429 with Retry-After": [
            {**refused, "path_contains": "/batch"},
        ],
        "403 userRateLimitExceeded": [{"path_contains": "/batch", "status": 403, "reason": "userRateLimitExceeded"}],
        "parts of a batch": [
            {
                "path_contains": "/messages/",
                "status": 429,
                "reason": "rateLimitExceeded",
                "retry_after": "3",
                "times": 4,
            }
        ],
    }
    for name, orders in faults.items():
        mailbox = bench.fresh(400, gmail_units_per_minute=6_000)
        bench.google.set_limits(units_a_minute=6_000, window="fixed")
        bench.google.reset_counters()
        for order in orders:
            bench.google.inject_fault(**order)
        started = time.monotonic()
        report = mailbox.sync()
        counters = bench.google.counters()
        print(
            f"windows, {name}: stored {report.inserted} of 400 in {time.monotonic() - started:.1f} s (ideal 60); "
            f"refused by quota {counters['refused']}, fetched twice {counters['messages_got_again']}",
            flush=True,
        )


def old_prices(bench: Bench) -> None:
    """Latency, not quota, is what slows here; 8 ms more for each part of a batch."""
    for name, limits in (("80 ms a call", {"latency_ms": 80}), ("and 8 ms a part", {"latency_ms": 80, "part_ms": 8})):
        mailbox = bench.fresh(3_500, gmail_quota="before-2026-05", gmail_units_per_minute=15_000)
        bench.google.set_limits(get_units=5, units_a_minute=15_000, **limits)
        bench.google.reset_counters()
        started = time.monotonic()
        report = mailbox.sync()
        seconds = time.monotonic() - started
        # 15,000 units are 2,990 messages at once; the rest waits for the minute: 50 a second is the ideal.
        print(
            f"old prices, {name}: {report.inserted} messages in {seconds:.1f} s, which needs two windows; 1,000 that "
            f"fit into one come at {fetch_speed(bench, limits):.0f} a second (the quota's mean is 50)",
            flush=True,
        )


def fetch_speed(bench: Bench, limits: dict[str, float]) -> float:
    """Messages a second while the quota is not used up."""
    mailbox = bench.fresh(1_000, gmail_quota="before-2026-05", gmail_units_per_minute=15_000)
    bench.google.set_limits(get_units=5, units_a_minute=15_000, **limits)
    started = time.monotonic()
    mailbox.sync()
    return 1_000 / (time.monotonic() - started)


def quiet(bench: Bench) -> None:
    """What the sensor does for an account that has no news."""
    mailbox = bench.fresh(50)
    mailbox.sync()
    client = mailbox.clients.polling_client(mailbox.account)
    client.profile()
    bench.google.reset_counters()
    rounds = 300
    started = time.process_time()
    for _ in range(rounds):
        newest = mailbox.clients.polling_client(mailbox.account).profile().history_id
    cpu = (time.process_time() - started) / rounds
    counters = bench.google.counters()
    mark = mailbox.campaigns.account_mark(mailbox.account.id).live_history_id
    print(
        f"quiet: {sum(counters['calls'].values()) / rounds:.0f} call, {counters['units'][ADDRESS] / rounds:.0f} unit, "
        f"{1000 * cpu:.2f} ms CPU an account; news: {'yes' if newest > int(mark or 0) else 'no'}",
        flush=True,
    )


def mail(number: int) -> bytes:
    """A short mail."""
    found = EmailMessage()
    found["From"], found["To"] = f"creator{number}@studio.example", ADDRESS
    found["Subject"], found["Message-ID"] = f"Hello {number}", f"<m{number}@studio.example>"
    found.set_content("We could film it next week.")
    return found.as_bytes()


if __name__ == "__main__":
    main()
