"""Invented mail, campaigns and accounts for tests. Example domains only.

a_message().sender("ana@creator.example").to("mia@brand.example").subject("Hi").text("Yes!").bytes()
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any, Self

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.storage.engine import Database

START = datetime(2026, 10, 1, 9, 0, tzinfo=UTC)
CREDENTIALS_KEY = "ab" * 32


@dataclass(frozen=True)
class MessageBuilder:
    """A mail in the making; every method returns a new builder."""

    from_: str = "ana@creator.example"
    to_: tuple[str, ...] = ("mia@brand.example",)
    subject_: str = "Hello"
    text_: str = "Hello there."
    html_: str | None = None
    at_: datetime = START
    message_id_: str | None = "<m1@creator.example>"
    in_reply_to_: str | None = None
    references_: tuple[str, ...] = ()
    headers_: tuple[tuple[str, str], ...] = field(default=())

    def sender(self, address: str) -> Self:
        """From."""
        return replace(self, from_=address)

    def to(self, *addresses: str) -> Self:
        """To."""
        return replace(self, to_=addresses)

    def subject(self, subject: str) -> Self:
        """Subject."""
        return replace(self, subject_=subject)

    def text(self, text: str) -> Self:
        """Plain body."""
        return replace(self, text_=text)

    def html(self, html: str) -> Self:
        """HTML alternative."""
        return replace(self, html_=html)

    def at(self, moment: datetime) -> Self:
        """Date."""
        return replace(self, at_=moment)

    def days_later(self, days: float) -> Self:
        """Date, counted from the builder's own."""
        return replace(self, at_=self.at_ + timedelta(days=days))

    def message_id(self, message_id: str | None) -> Self:
        """Message-ID, with its angle brackets."""
        return replace(self, message_id_=message_id)

    def replying_to(self, message_id: str, *earlier: str) -> Self:
        """In-Reply-To and References."""
        return replace(self, in_reply_to_=message_id, references_=(*earlier, message_id))

    def header(self, name: str, value: str) -> Self:
        """Any further header."""
        return replace(self, headers_=(*self.headers_, (name, value)))

    def bytes(self) -> bytes:
        """The mail as raw bytes with CRLF line ends."""
        mail = EmailMessage()
        mail["From"] = self.from_
        mail["To"] = ", ".join(self.to_)
        mail["Subject"] = self.subject_
        mail["Date"] = format_datetime(self.at_)
        if self.message_id_:
            mail["Message-ID"] = self.message_id_
        if self.in_reply_to_:
            mail["In-Reply-To"] = self.in_reply_to_
        if self.references_:
            mail["References"] = " ".join(self.references_)
        for name, value in self.headers_:
            mail[name] = value
        mail.set_content(self.text_)
        if self.html_ is not None:
            mail.add_alternative(self.html_, subtype="html")
        return mail.as_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def a_message() -> MessageBuilder:
    """A mail from a creator to a sender account."""
    return MessageBuilder()


def an_account(
    database: Database,
    *,
    alias: str = "mia",
    address: str = "mia@brand.example",
    client: str = "brand",
    credentials_json: str | None = None,
    scope: str = "all",
) -> GmailAccount:
    """A stored client with a stored sender account, which stores all of its mail unless a test says otherwise."""
    store = CampaignStore(database)
    store.add_client(slug=client, name=client.title())
    return store.add_account(
        client_slug=client,
        alias=alias,
        address=address,
        credentials_json=credentials_json,
        credentials_key=CREDENTIALS_KEY if credentials_json else None,
        scope=scope,
    )


def a_campaign(
    database: Database,
    *,
    slug: str = "spring",
    client: str = "brand",
    senders: tuple[str, ...] = ("mia",),
    campaign_type: str = "GIFTING",
    status: str = "ACTIVE",
    starts_at: datetime = START - timedelta(days=1),
    ends_at: datetime | None = None,
    spreadsheet_id: str | None = None,
    metrics_spreadsheet_id: str | None = None,
    **sheet: Any,
) -> Campaign:
    """A stored campaign; its sender accounts must exist. `sheet`: tab, gid, range and the like of its recipients."""
    store = CampaignStore(database)
    store.add_client(slug=client, name=client.title())
    return store.add_campaign(
        client_slug=client,
        slug=slug,
        name=slug.title(),
        campaign_type=campaign_type,
        status=status,
        starts_at=starts_at,
        ends_at=ends_at,
        spreadsheet_id=spreadsheet_id or f"sheet-{slug}",
        metrics_spreadsheet_id=metrics_spreadsheet_id,
        sender_aliases=senders,
        **sheet,
    )
