"""What a worker does that is killed in the middle of a sync; a module of its own, for `killable` imports it early."""

from collections.abc import Callable
from datetime import UTC, datetime

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


def sync_three_times(
    ready: Callable[[], None], database_url: str, google_url: str, blob_url: str, key: str, name: str
) -> None:
    """The mailbox `mia`, as three runs would."""
    database = Database(database_url).for_every_client()
    settings = Settings(local_google_url=google_url, credentials_key=key)  # type: ignore[arg-type]
    campaigns = CampaignStore(database)
    account = campaigns.account("mia")
    store = MailStore(database, BlobStore.from_url(blob_url))
    client = GmailClients(settings, database).client(account)
    ready()
    for number in range(3):
        MailboxSync(account, client, store, run_id=f"{name} {number}").live(
            mark=campaigns.account_mark(account.id),
            first_needed=datetime(2026, 10, 1, 9, tzinfo=UTC),
            now=datetime.now(UTC),
        )
