"""500 mailboxes and 300 campaigns: `python benchmarks/fleet.py [--accounts 500 --campaigns 300 --at-once 100]`.

Starts a system of its own, registers everything as if it had been in step for long, and prints the CPU of quiet
minutes, how long the catalog and a partition's page take in Chromium, and, where a hundred mailboxes get mail at once,
how many runs that starts and after how long every reply is counted.
"""

import argparse
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
import sqlalchemy as sa

from benchmarks.idle import cpu_seconds
from benchmarks.system import System, until
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import Delivery
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests import browser
from cheerful_pipelines_tests.builders import a_message

SETTLED = (
    "insert into archive_month (gmail_account_id, month, listed, fetched, vanished, completed_at) "
    "select id, m::date, 0, 0, 0, now() from gmail_account, generate_series("
    "date_trunc('month', now() - interval '70 days'), date_trunc('month', now()), interval '1 month') m",
    "insert into campaign_recipient (campaign_id, email, email_key, content_hash, sheet_row) "
    "select id, 'c-' || slug || '@creator.example', 'c-' || slug || '@creator.example', 'h', 2 from campaign",
    "update campaign_mark set sheet_imported_at = now(), recipients_revision = 1, sheet_content_hash = 'h'",
)


class Fleet(System):
    """A system with many mailboxes and campaigns, at rest."""

    def register(self, accounts: int, campaigns: int) -> None:
        """Everything known and in step."""
        store = CampaignStore(Database(self.environment["CHEERFUL_DATABASE_URL"]).for_every_client())
        store.add_client(slug="brand", name="Brand")
        key = self.environment["CHEERFUL_CREDENTIALS_KEY"]
        for number in range(accounts):
            address = f"s{number}@brand.example"
            self.google.add_mailbox(address)
            store.add_account(
                client_slug="brand", alias=f"s{number:03d}", address=address, scope="all", credentials_key=key,
                credentials_json=self.google.credentials_json(address),
            )  # fmt: skip
        for number in range(campaigns):
            sheet, slug = f"sheet{number}", f"c{number:03d}"
            rows = [["Name", "Email"], ["Ana", f"c-{slug}@creator.example"]]
            self.google.put_sheet(sheet, title=slug, tabs={"People": rows})
            store.add_campaign(
                client_slug="brand", slug=slug, name=slug, campaign_type="GIFTING", status="DRAFT",
                starts_at=datetime.now(UTC) - timedelta(days=40), spreadsheet_id=sheet,
                sender_aliases=[f"s{one:03d}" for one in range(number, accounts, campaigns)],
            )  # fmt: skip
        database = Database(self.environment["CHEERFUL_DATABASE_URL"]).for_every_client()
        history_ids, versions = self._history_ids(store, database), self._versions(store)
        with database.transaction() as connection:
            for statement in SETTLED:
                connection.execute(sa.text(statement))
            for alias, history_id in history_ids.items():
                connection.execute(
                    sa.text(
                        "update account_mark set live_history_id = :newest, live_marked_at = now(), "
                        "stored_from = now() - interval '60 days' "
                        "where gmail_account_id = (select id from gmail_account where alias = :alias)"
                    ),
                    {"newest": history_id, "alias": alias},
                )
            for sheet, version in versions.items():
                connection.execute(
                    sa.text(
                        "update campaign_mark set sheet_drive_version = :version where campaign_id = "
                        "(select id from campaign where spreadsheet_id = :sheet)"
                    ),
                    {"version": version, "sheet": sheet},
                )
        blobs = BlobStore.from_url((self.home / "blobs").as_uri())
        for campaign in store.campaigns():
            process_campaign(ThreadStore(database), blobs, campaign.slug)
            count_campaign(database, campaign.slug)
        with database.transaction() as connection:
            connection.execute(sa.text("update campaign_mark set reported_at = now(), exported_at = now()"))
            connection.execute(sa.text("update campaign set status = 'ACTIVE'"))

    def _history_ids(self, store: CampaignStore, database: Database) -> dict[str, int]:
        clients = GmailClients(self._settings(), database)
        return {one.alias: clients.polling_client(one).profile().history_id for one in store.accounts()}

    def _versions(self, store: CampaignStore) -> dict[str, str]:
        sheets = SheetsClient.from_settings(self._settings())
        return {one.spreadsheet_id: sheets.drive_version(one.spreadsheet_id) for one in store.campaigns()}

    def _settings(self) -> Settings:
        os.environ.update(self.environment)
        load_settings.cache_clear()
        return load_settings()

    def mail_at_once(self, many: int) -> tuple[int, float]:
        """(runs started, seconds until every reply is counted)."""
        runs_before = self.number(self.dagsters, "select count(*) from runs")
        now = datetime.now(UTC)
        began = time.monotonic()
        for number in range(many):
            slug, address = f"c{number:03d}", f"s{number}@brand.example"
            creator, first = f"c-{slug}@creator.example", f"<p{number}@brand.example>"
            pitch = a_message().sender(address).to(creator).message_id(first).at(now - timedelta(hours=2))
            reply = a_message().sender(creator).to(address).message_id(f"<r{number}@creator.example>").at(now)
            self.google.deliver_many(
                address,
                [
                    Delivery(pitch.bytes(), ("SENT",), now - timedelta(hours=2)),
                    Delivery(reply.replying_to(first).text("Count me in!").bytes(), ("INBOX",), now),
                ],
            )
        replied = "select coalesce(sum(value), 0) from campaign_metric where metric = 'replied' and grain = 'campaign'"
        while (counted := self.number(self.ours, replied)) < many:
            if time.monotonic() - began > 900:
                print(f"only {counted} of {many} were counted after 900 s")
                break
            time.sleep(1)
        took = time.monotonic() - began
        until(self.is_quiet, 600, "rest")
        return self.number(self.dagsters, "select count(*) from runs") - runs_before, took

    def partitions(self) -> int:
        """How many Dagster knows."""
        return self.number(self.dagsters, "select count(*) from dynamic_partitions")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument("--campaigns", type=int, default=300)
    parser.add_argument("--at-once", type=int, default=100)
    parser.add_argument("--minutes", type=float, default=2)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-fleet-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o755)
        (Path(name) / "home").mkdir()
        fleet = Fleet(Path(name) / "home")
        try:
            fleet.start(demo=False)
            fleet.register(chosen.accounts, chosen.campaigns)
            until(lambda: fleet.partitions() >= chosen.accounts + chosen.campaigns, 300, "partitions")
            until(fleet.is_quiet, 900, "rest")
            root = psutil.Process(fleet.supervisor.pid)
            before, began = cpu_seconds(root, fleet.home), time.monotonic()
            time.sleep(chosen.minutes * 60)
            after, elapsed = cpu_seconds(root, fleet.home), time.monotonic() - began
            shares = {name: 100 * (after[name] - before.get(name, 0.0)) / elapsed for name in sorted(after)}
            google = sum(share for name, share in shares.items() if "local_google" in name)
            print(
                f"{chosen.accounts} mailboxes, {chosen.campaigns} campaigns, quiet: "
                f"{sum(shares.values()) - google:.1f} % of a core, and the local Google server {google:.1f} %"
            )
            print("; ".join(f"{name} {share:.1f} %" for name, share in shares.items() if share >= 0.5))
            _pages(fleet)
            runs, took = fleet.mail_at_once(chosen.at_once)
            print(f"{chosen.at_once} mailboxes get mail at once: {runs} runs, all in metrics after {took:.0f} s")
        finally:
            fleet.tidy()


def _pages(fleet: Fleet) -> None:
    executable = browser.browser()
    if executable is None:
        print("no Chromium on the path: pages not timed")
        return
    url = f"http://127.0.0.1:{fleet.web_port}"
    with browser.page_of(executable) as page:
        page.goto(url)
        for what, path, shown in (
            ("catalog", "/assets", "campaign_metrics"),
            ("partition", "/assets/campaign_metrics?view=partitions&partition=c042", "Latest materialization"),
        ):
            began = time.monotonic()
            page.goto(url + path)
            page.get_by_text(shown).first.wait_for()
            print(f"{what} page in Chromium: {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
