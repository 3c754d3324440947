"""Threads of a large campaign: what one new mail costs, and how long the proof by replay takes.

.venv/bin/python benchmarks/threads_at_scale.py                               # 50,000 threads, 10,000 replayed
.venv/bin/python benchmarks/threads_at_scale.py --threads 5000 --replay 1000  # in small; needs nothing running

One campaign, a pitch in each thread and an answer in every third. Rows are those that Postgres counted for the run
(read by index or in sequence; inserted, updated or deleted). The second run of one new mail is in a campaign a tenth
as large: what is proportional to the change is equal in both.
"""

import argparse
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import database_of_campaign
from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.mail.models import FetchedMessage
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines.threads.process import ProcessReport, process_campaign
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.store import ThreadStore

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cheerful_pipelines_tests.builders import START, MessageBuilder, a_campaign, a_message, an_account

COUNTED = "sum(seq_tup_read + idx_tup_fetch) as read, sum(n_tup_ins + n_tup_upd + n_tup_del) as written"


def main() -> None:
    """Small campaign, large campaign, replay."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=50_000)
    parser.add_argument("--replay", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-bench-") as name:
        Path(name).chmod(0o755)
        postgres = EmbeddedPostgres(Path(name) / "postgres")
        try:
            for threads in (options.threads // 10, options.threads):
                database = Database(postgres.url(f"threads_{threads}")).for_every_client()
                migrate(database)
                blobs = BlobStore.from_url((Path(name) / "blobs").as_uri())
                one_new_mail(database, blobs, threads)
            proof(database, blobs, options.replay)
        finally:
            postgres.stop()


def one_new_mail(database: Database, blobs: BlobStore, threads: int) -> None:
    """Fill, process all of it, then one answer."""
    account = fill(database, blobs, threads)
    began = time.perf_counter()
    process(database, blobs)
    print(f"{threads} threads: first processing {time.perf_counter() - began:.1f} s", flush=True)
    analyze(database)
    for number in range(3):
        store(database, blobs, account, [answer(1 + 3 * number)])
        before = rows(database)
        began = time.perf_counter()
        report = process(database, blobs)
        seconds = time.perf_counter() - began
        after = rows(database)
        print(
            f"{threads} threads, one new mail: {seconds:.3f} s, {after[0] - before[0]} rows read, "
            f"{after[1] - before[1]} written, {report.states_inserted} state",
            flush=True,
        )


def proof(database: Database, blobs: BlobStore, threads: int) -> None:
    """Replay from raw bytes."""
    began = time.perf_counter()
    report = replay_campaign(ThreadStore(database), blobs, "spring", sample=threads)
    print(
        f"replay of {report.threads} threads, {report.states} states: {report.equal} equal, "
        f"{len(report.differences)} different, {time.perf_counter() - began:.1f} s"
    )


def process(database: Database, blobs: BlobStore) -> ProcessReport:
    """What the asset's body does."""
    return process_campaign(ThreadStore(database_of_campaign(database, "spring")), blobs, "spring", run_id="bench")


def fill(database: Database, blobs: BlobStore, threads: int) -> GmailAccount:
    """An account, a campaign with a recipient a thread, and the mail."""
    account = an_account(database)
    campaign = a_campaign(database)
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "insert into campaign_recipient (campaign_id, email, email_key, content_hash, sheet_row) "
                "select :id, address, address, 'x', n + 2 from (select n, 'creator' || n || '@studio.example' as "
                "address from generate_series(0, :last) n) as people"
            ),
            {"id": campaign.id, "last": threads - 1},
        )
        connection.execute(sa.text("update campaign_mark set recipients_revision = 1, sheet_imported_at = now()"))
    mails = (mail for number in range(threads) for mail in thread(number))
    for part in in_batches(mails, 1_000):
        store(database, blobs, account, part)
    return account


def thread(number: int) -> list[tuple[str, int, MessageBuilder]]:
    """A pitch, and for every third thread an answer."""
    pitch = a_message().sender("mia@brand.example").to(f"creator{number}@studio.example").subject("A gift for you")
    pitch = pitch.message_id(f"<p{number}@brand.example>").text("Hello, may we send you our new brush?")
    return [(f"p{number}", number, pitch), *([answer(number)] if number % 3 == 0 else [])]


def answer(number: int) -> tuple[str, int, MessageBuilder]:
    """A creator's answer."""
    mail = a_message().sender(f"creator{number}@studio.example").to("mia@brand.example")
    mail = mail.subject("Re: A gift for you").message_id(f"<r{number}@studio.example>").days_later(1)
    return f"r{number}", number, mail.text("Yes please, my address follows.").replying_to(f"<p{number}@brand.example>")


def store(
    database: Database, blobs: BlobStore, account: GmailAccount, mails: list[tuple[str, int, MessageBuilder]]
) -> None:
    """As the sync does."""
    fetched = [
        FetchedMessage(
            gmail_message_id=name, gmail_thread_id=f"t{number}",
            label_ids=("SENT",) if name.startswith("p") else ("INBOX",), history_id=1,
            internal_date=START + timedelta(seconds=number), raw=mail.bytes(),
        )
        for name, number, mail in mails
    ]  # fmt: skip
    MailStore(database, blobs).store_fetched(account, fetched, run_id="bench")


def analyze(database: Database) -> None:
    """As autovacuum does within minutes."""
    with database.login_transaction() as connection:
        connection.execute(sa.text("analyze"))


def rows(database: Database) -> tuple[int, int]:
    """Rows that Postgres has read and written so far; its counters come with a delay."""
    time.sleep(1.5)
    with database.transaction() as connection:
        connection.execute(sa.text("select pg_stat_clear_snapshot()"))
        found = connection.execute(sa.text(f"select {COUNTED} from pg_stat_user_tables")).one()
    return int(found.read), int(found.written)


if __name__ == "__main__":
    main()
