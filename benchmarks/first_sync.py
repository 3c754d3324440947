"""A first sync of a mailbox beside the plain script, in one run: CPU a message, units, messages fetched twice, memory.

.venv/bin/python benchmarks/first_sync.py                      # 10,000 messages over 4 accounts; needs nothing running
.venv/bin/python benchmarks/first_sync.py --memory 100000      # peak memory of one large mailbox

The plain script is what one writes first: google-api-python-client, messages.get one by one, the standard library's
default policy, executemany of raw bytes, text and headers. Both talk to the same local Google server (a process of its
own, not counted) and the same Postgres; each is a process of its own; rounds are interleaved. Postgres CPU is that of
all its processes.
"""

import argparse
import base64
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from servers import servers

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate

START = datetime(2026, 9, 1, tzinfo=UTC)
KEY = "ab" * 32
ACCOUNTS = ("one", "two", "three", "four")
WORDS = ("the", "parcel", "arrived", "on", "friday", "looks", "lovely", "thank", "you", "we", "could", "film", "it")


def main() -> None:
    """Prepare, run the rounds, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, help="one mailbox of so many messages, peak memory only")
    parser.add_argument("--worker", nargs="+")
    options = parser.parse_args()
    if options.worker:
        kind, *arguments = options.worker
        {"ours": ours, "plain": plain}[kind](*arguments)
        return
    with servers() as (postgres, url, folder):
        if options.memory:
            measure_memory(postgres, url, folder, options.memory)
        else:
            compare(postgres, url, folder, options.messages, options.rounds)


def compare(postgres: EmbeddedPostgres, url: str, folder: Path, messages: int, rounds: int) -> None:
    """Interleaved rounds; medians and ratios."""
    google = LocalGoogleAdmin(url)
    fill(google, {alias: messages // len(ACCOUNTS) for alias in ACCOUNTS})
    found: dict[str, list[dict[str, float]]] = {"plain": [], "ours": []}
    for number in range(rounds):
        for kind in ("plain", "ours"):
            database_url = postgres.url(f"{kind}_{number}")
            prepare(kind, database_url, google)
            google.reset_counters()
            before = postgres_cpu(folder)
            said = run(kind, database_url, url, str(folder / f"blobs_{number}"))
            time.sleep(1.5)  # the server process of a closed connection is counted once it has ended
            said["postgres_ms"] = 1000 * (postgres_cpu(folder) - before) / messages
            counters = google.counters()
            said["units"] = sum(counters["units"].values()) / messages
            said["twice"] = counters["messages_got_again"]
            said["cpu_ms"] = 1000 * said["cpu"] / messages
            found[kind].append(said)
            print(
                f"round {number + 1} {kind:5s}  client {said['cpu_ms']:.2f} ms CPU a message, Postgres "
                f"{said['postgres_ms']:.2f} ms, {said['units']:.3f} units, fetched twice {said['twice']:.0f}, peak "
                f"{said['peak_mb']:.0f} MB, stored {said['stored']:.0f}",
                flush=True,
            )
    for name, what in (("cpu_ms", "client CPU a message"), ("postgres_ms", "Postgres CPU a message")):
        plain_, ours_ = (statistics.median(item[name] for item in found[kind]) for kind in ("plain", "ours"))
        print(f"{what}: ours {ours_:.2f} ms, plain {plain_:.2f} ms, ratio {ours_ / plain_:.2f}")
    print(f"units a message {found['ours'][-1]['units']:.3f}; fetched twice {found['ours'][-1]['twice']:.0f}")


def measure_memory(postgres: EmbeddedPostgres, url: str, folder: Path, messages: int) -> None:
    """Peak memory of a large and a tenth as large a mailbox, above `import dagster`."""
    google = LocalGoogleAdmin(url)
    floor = float(
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", "import dagster, resource as r;"
             "print(r.getrusage(r.RUSAGE_SELF).ru_maxrss / 1024)"],
            check=True, capture_output=True, text=True,
        ).stdout
    )  # fmt: skip
    for number, count in enumerate((messages // 10, messages)):
        google.wipe()
        fill(google, {"one": count}, small=True)
        database_url = postgres.url(f"memory_{number}")
        prepare("ours", database_url, google, aliases=("one",))
        said = run("ours", database_url, url, str(folder / f"blobs_m{number}"))
        print(
            f"{count} messages: peak {said['peak_mb']:.0f} MB, above import dagster ({floor:.0f} MB) "
            f"{said['peak_mb'] - floor:.0f} MB; stored {said['stored']:.0f}",
            flush=True,
        )


def fill(google: LocalGoogleAdmin, counts: dict[str, int], *, small: bool = False) -> None:
    """Mailboxes of generated mail: median some 12 KB, a few with attachments."""
    for alias, count in counts.items():
        google.add_mailbox(f"{alias}@brand.example")
        google.deliver_many(f"{alias}@brand.example", mails(alias, count, small=small))


def mails(alias: str, count: int, *, small: bool) -> Iterator[Delivery]:
    """Seeded: each run of the benchmark has the same mail."""
    chance = random.Random(alias)
    for number in range(count):
        mail = EmailMessage()
        mail["From"] = f"Creator {number} <creator{number}@studio.example>"
        mail["To"] = f"{alias}@brand.example"
        mail["Subject"] = f"Re: our parcel {number // 3}"
        moment = START + timedelta(minutes=number)
        mail["Date"] = format_datetime(moment)
        mail["Message-ID"] = f"<{alias}{number}@studio.example>"
        if number % 3:
            mail["In-Reply-To"] = mail["References"] = f"<{alias}{number - 1}@studio.example>"
        for header in range(12):
            mail[f"X-Route-{header}"] = "".join(chance.choices("abcdef0123456789", k=60))
        words = " ".join(chance.choices(WORDS, k=20 if small else 400))
        mail.set_content(words)
        if not small:
            mail.add_alternative(f"<html><body>{'<p>' + words + '</p>'}</body></html>" * 2, subtype="html")
            if chance.random() < 0.03:
                mail.add_attachment(chance.randbytes(150_000), "image", "jpeg", filename="photo.jpg")
        yield Delivery(mail.as_bytes().replace(b"\n", b"\r\n"), internal_date=moment)


def prepare(kind: str, database_url: str, google: LocalGoogleAdmin, aliases: tuple[str, ...] = ACCOUNTS) -> None:
    """An empty database of that kind."""
    database = Database(database_url).for_every_client()
    if kind == "plain":
        with database.transaction() as connection:
            connection.execute(
                sa.text(
                    "create table plain (account text, id text, thread_id text, internal_date bigint, subject text, "
                    "sender text, recipients text, message_id text, body text, raw bytea, primary key (account, id))"
                )
            )
    else:
        migrate(database)
        campaigns = CampaignStore(database)
        campaigns.add_client(slug="brand", name="Brand")
        for alias in aliases:
            address = f"{alias}@brand.example"
            credentials = google.credentials_json(address)
            campaigns.add_account(
                client_slug="brand", alias=alias, address=address, credentials_json=credentials, credentials_key=KEY,
                scope="all",
            )  # fmt: skip
    database.close()


def run(kind: str, database_url: str, url: str, blobs: str) -> dict[str, float]:
    """One process; what it prints of itself."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--worker", kind, database_url, url, blobs],
        capture_output=True, text=True, check=False, env={**os.environ},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def tell(stored: int) -> None:
    """CPU and peak memory of this process, start-up included."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu = usage.ru_utime + usage.ru_stime
    print(json.dumps({"cpu": cpu, "peak_mb": usage.ru_maxrss / 1024, "stored": stored}))


def ours(database_url: str, url: str, blobs: str) -> None:
    """Each account's first sync, as a run does it."""
    settings = Settings(
        local_google_url=url, credentials_key=KEY, gmail_units_per_minute=10**9, gmail_project_units_per_minute=10**9
    )
    database = Database(database_url).for_every_client()
    store = MailStore(database, BlobStore.from_url(Path(blobs).as_uri()))
    clients, campaigns = GmailClients(settings, database), CampaignStore(database)
    stored = 0
    for account in campaigns.accounts():
        report = MailboxSync(account, clients.client(account), store, run_id="bench").live(
            mark=campaigns.account_mark(account.id), first_needed=START, now=datetime.now(UTC)
        )
        stored += report.inserted
    tell(stored)


def plain(database_url: str, url: str, _blobs: str) -> None:
    """The script that one writes first."""
    from google.oauth2.credentials import Credentials
    from googleapiclient.discovery import build

    google = LocalGoogleAdmin(url)
    database = Database(database_url).for_every_client()
    stored = 0
    for alias in ACCOUNTS:
        info = json.loads(google.credentials_json(f"{alias}@brand.example"))
        credentials = Credentials(
            None, refresh_token=info["refresh_token"], token_uri=info["token_uri"], client_id=info["client_id"],
            client_secret=info["client_secret"],
        )  # fmt: skip
        options = {"api_endpoint": url}
        service = build("gmail", "v1", credentials=credentials, static_discovery=True, client_options=options)
        token, rows = None, []
        while True:
            page = service.users().messages().list(userId="me", maxResults=500, pageToken=token).execute()
            for item in page.get("messages", []):
                answer = service.users().messages().get(userId="me", id=item["id"], format="raw").execute()
                raw = base64.urlsafe_b64decode(answer["raw"] + "==")
                mail = message_from_bytes(raw, policy=default)
                body = mail.get_body(("plain", "html"))
                rows.append(
                    {
                        "account": alias, "id": answer["id"], "thread_id": answer["threadId"],
                        "internal_date": int(answer["internalDate"]), "subject": str(mail["subject"]),
                        "sender": str(mail["from"]), "recipients": str(mail["to"]),
                        "message_id": str(mail["message-id"]), "body": body.get_content() if body else "", "raw": raw,
                    }
                )  # fmt: skip
                if len(rows) == 100:
                    stored += keep(database, rows)
            token = page.get("nextPageToken")
            if not token:
                break
        stored += keep(database, rows)
    tell(stored)


def keep(database: Database, rows: list[dict[str, Any]]) -> int:
    """executemany, and the list is empty again."""
    if rows:
        names = tuple(rows[0])
        columns, values = ", ".join(names), ", ".join(f"%({name})s" for name in names)
        with database.transaction() as connection:
            cursor = connection.connection.cursor()
            cursor.executemany(f"insert into plain ({columns}) values ({values})", rows)
    count = len(rows)
    rows.clear()
    return count


def postgres_cpu(folder: Path) -> float:
    """CPU seconds of the server and its children, those that ended included."""
    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and str(folder / "pg") in " ".join(process.info["cmdline"] or []):
            for one in (process, *process.children(recursive=True)):
                times = one.cpu_times()
                total += times.user + times.system
            times = process.cpu_times()
            total += times.children_user + times.children_system
    return total


if __name__ == "__main__":
    main()
