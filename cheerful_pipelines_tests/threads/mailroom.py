"""Mail for the tests of the threads: as values for pure rules, and stored in a database for the rest."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail.models import FetchedMessage, LabelChange, StoredMessage
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.storage.blobs import BlobStore, sha256_hex
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign_mark
from cheerful_pipelines.storage.schema.recipients import campaign_recipient
from cheerful_pipelines_tests.builders import START, MessageBuilder, a_message

ACCOUNT = UUID("00000000-0000-0000-0000-00000000000a")
OURS = frozenset(("mia@brand.example",))


def pitch(to: str = "ana@creator.example", message_id: str = "<p1@brand.example>") -> MessageBuilder:
    """Our first mail to a creator."""
    return a_message().sender("mia@brand.example").to(to).subject("A gift for you").message_id(message_id).text("Hi!")


def answer(text: str = "Yes please!", message_id: str = "<r1@creator.example>") -> MessageBuilder:
    """A creator's answer to the pitch, a day later."""
    built = a_message().subject("Re: A gift for you").text(text).message_id(message_id).days_later(1)
    return built.replying_to("<p1@brand.example>")


def stored(
    raw: bytes, *, name: str = "m1", thread: str = "t1", labels: Sequence[str] = ("INBOX",), at: datetime = START
) -> StoredMessage:
    """A mail as the store gives it, without a database."""
    return StoredMessage(
        gmail_account_id=ACCOUNT, gmail_message_id=name, gmail_thread_id=thread, message_id=1,
        label_ids=tuple(labels), internal_date=at, raw_sha256=sha256_hex(raw), deleted_at=None, ingest_seq=1,
        parsed=parse_message(raw),
    )  # fmt: skip


class Mailroom:
    """Puts mail, recipients and changes into a database, as sync and import would."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.blobs = blobs
        self._count = 0

    def receive(
        self,
        account: GmailAccount,
        mail: MessageBuilder,
        *,
        thread: str,
        name: str | None = None,
        labels: Sequence[str] | None = None,
    ) -> str:
        """Store one mail in a mailbox; mail of the mailbox's own is SENT. Returns its Gmail id."""
        self._count += 1
        name = name or f"m{self._count}"
        own = ("SENT",) if address_key(mail.from_) in account.identity_keys else ("INBOX",)
        fetched = FetchedMessage(
            gmail_message_id=name, gmail_thread_id=thread, label_ids=tuple(labels or own),
            history_id=self._count, internal_date=mail.at_, raw=mail.bytes(),
        )  # fmt: skip
        MailStore(self.database, self.blobs).store_fetched(account, [fetched], run_id="run")
        return name

    def receive_raw(self, account: GmailAccount, raw: bytes, *, thread: str, at: datetime = START) -> None:
        """Store raw bytes as an inbound mail."""
        self._count += 1
        fetched = FetchedMessage(
            gmail_message_id=f"m{self._count}", gmail_thread_id=thread, label_ids=("INBOX",),
            history_id=self._count, internal_date=at, raw=raw,
        )  # fmt: skip
        MailStore(self.database, self.blobs).store_fetched(account, [fetched], run_id="run")

    def change(self, account: GmailAccount, name: str, kind: str, labels: Sequence[str] = ()) -> None:
        """A later event of a stored mail: its labels after it, or its deletion."""
        store = MailStore(self.database, self.blobs)
        if kind == "deleted":
            store.mark_deleted(account, [name], run_id="run")
        else:
            store.apply_label_changes(
                account, [LabelChange(gmail_message_id=name, label_ids=tuple(labels))], run_id="run"
            )

    def recipients(self, campaign: Campaign, *addresses: str) -> None:
        """Import these addresses; the campaign's revision grows as an import makes it grow."""
        with self.database.transaction() as connection:
            for row, address in enumerate(addresses, start=2):
                connection.execute(
                    insert(campaign_recipient)
                    .values(
                        campaign_id=campaign.id, email=address, email_key=address_key(address),
                        content_hash="x", sheet_row=row,
                    )
                    .on_conflict_do_nothing()
                )  # fmt: skip
            connection.execute(
                sa.update(campaign_mark)
                .where(campaign_mark.c.campaign_id == campaign.id)
                .values(recipients_revision=campaign_mark.c.recipients_revision + 1, sheet_imported_at=START)
            )

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Every row of a table."""
        with self.database.transaction() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]

    def counted(self, campaign: Campaign) -> None:
        """As if the campaign's numbers were counted now."""
        count_campaign(self.database, campaign.slug)

    def set_mark(self, campaign: Campaign, **values: Any) -> None:
        """Overwrite columns of the campaign's mark."""
        with self.database.transaction() as connection:
            connection.execute(
                sa.update(campaign_mark).where(campaign_mark.c.campaign_id == campaign.id).values(**values)
            )
