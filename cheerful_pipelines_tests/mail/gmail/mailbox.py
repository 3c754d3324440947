"""One mailbox on the local server and its stored copy: what the sync's tests stand on."""

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.gmail.gmail_client import GmailClient, GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.gmail.sync_reports import SyncReport
from cheerful_pipelines.mail.scope.scope_store import ScopeStore
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_message, an_account

ADDRESS = "mia@brand.example"


class Mailbox:
    """The account `mia`."""

    def __init__(
        self,
        google: LocalGoogleAdmin,
        settings: Settings,
        database: Database,
        blobs: BlobStore,
        *,
        scope: str = "all",
    ) -> None:
        google.add_mailbox(ADDRESS)
        self.google, self.settings, self.database, self.blobs = google, settings, database, blobs
        self.account: GmailAccount = an_account(
            database, credentials_json=google.credentials_json(ADDRESS), scope=scope
        )
        self.campaigns, self.store = CampaignStore(database), MailStore(database, blobs)
        self.letters, self.scope = DeadLetterStore(database), ScopeStore(database)
        self.clients = GmailClients(settings, database)

    @property
    def client(self) -> GmailClient:
        return self.clients.client(self.account)

    def deliver(
        self,
        number: int = 1,
        *,
        labels: tuple[str, ...] = ("INBOX", "UNREAD"),
        sender: str = "ana@creator.example",
        to: str = ADDRESS,
        thread: str | None = None,
        answers: str | None = None,
        raw: bytes | None = None,
    ) -> str:
        """Put a message into the mailbox; returns its id."""
        moment = START + timedelta(hours=number)
        mail = a_message().sender(sender).to(to).message_id(f"<m{number}@creator.example>").at(moment)
        mail = mail.text(f"words {number}")
        if answers is not None:
            mail = mail.replying_to(answers)
        content = mail.bytes() if raw is None else raw
        return str(
            self.google.deliver(ADDRESS, content, label_ids=labels, internal_date=moment, thread_id=thread)["id"]
        )

    def sync(self, run_id: str = "run", **options: Any) -> SyncReport:
        """One live sync."""
        return self.run(run_id, **options).live(
            mark=self.campaigns.account_mark(self.account.id), first_needed=START, now=datetime.now(UTC)
        )

    def run(self, run_id: str = "run", **options: Any) -> MailboxSync:
        """A run over the mailbox."""
        return MailboxSync(self.account, self.client, self.store, run_id=run_id, **options)

    def stored(self) -> dict[str, tuple[str, ...]]:
        """Id to labels of every stored copy that is alive."""
        with self.database.transaction() as connection:
            rows = connection.execute(
                sa.text("select gmail_message_id, label_ids from gmail_message where deleted_at is null")
            )
            return {row[0]: tuple(row[1]) for row in rows}

    def passed_over(self) -> set[str]:
        """Ids that are known and not stored."""
        return {ref.gmail_message_id for ref in self.scope.passed_over(self.account.id)}

    def on_server(self) -> dict[str, tuple[str, ...]]:
        """What Gmail would list, drafts left out."""
        ids = [ref.gmail_message_id for page in self.client.list_messages() for ref in page]
        found = [item for item in self.client.fetch_raw(ids) if hasattr(item, "label_ids")]
        return {item.gmail_message_id: tuple(sorted(item.label_ids)) for item in found if "DRAFT" not in item.label_ids}

    def gets(self) -> int:
        """messages.get since the counters were reset."""
        return int(self.google.counters()["calls"].get("gmail.users.messages.get", 0))

    def count(self, table: str) -> int:
        """Rows of a table."""
        with self.database.transaction() as connection:
            return int(connection.execute(sa.text(f"select count(*) from {table}")).scalar_one())
