"""What an invented world is made of, as frozen values. No I/O and no randomness.

`DemoWorld` is what Google would hold; `MailFact` and `RowFact` are what really happened: `truth.py` counts.
"""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from cheerful_pipelines.campaigns.models import CampaignStatus, CampaignType
from cheerful_pipelines.classification.labels.table import Label

FactKind = Literal["ours", "human", "bounce_hard", "bounce_soft", "delayed", "out_of_office", "auto_reply", "internal"]
Cell = str | int
RowKind = Literal["active", "rejected", "duplicate", "no_address"]
Language = Literal["en", "es", "pt", "fr", "de"]


@dataclass(frozen=True)
class DemoClient:
    """Who pays."""

    slug: str
    name: str


@dataclass(frozen=True)
class DemoAccount:
    """A sender mailbox. `alias` is its partition key."""

    client_slug: str
    alias: str
    address: str
    display_name: str

    @property
    def first_name(self) -> str:
        """How they sign."""
        return self.display_name.split()[0]


@dataclass(frozen=True)
class DemoCampaign:
    """One campaign with its product, its senders in order and its two spreadsheets."""

    client_slug: str
    slug: str
    name: str
    campaign_type: CampaignType
    status: CampaignStatus
    starts_at: datetime
    ends_at: datetime | None
    time_zone: str
    senders: tuple[DemoAccount, ...]
    spreadsheet_id: str
    sheet_tab: str | None
    metrics_spreadsheet_id: str
    brand: str
    product: str


@dataclass(frozen=True)
class Person:
    """An invented creator (or manager). `key` is the address as `address_key` would have it."""

    name: str
    address: str
    key: str
    handle: str
    language: Language
    platform: str
    followers: int
    street: str
    size: str

    @property
    def first_name(self) -> str:
        """How we greet them."""
        return self.name.split()[0]


@dataclass(frozen=True)
class DemoSheet:
    """A spreadsheet as it stood when the world was loaded."""

    spreadsheet_id: str
    title: str
    tabs: dict[str, list[list[Cell]]]


@dataclass(frozen=True)
class SheetEdit:
    """One change that a client makes later: a cell in A1 notation, or rows below the last."""

    at: datetime
    spreadsheet_id: str
    tab: str
    cell: str | None
    value: str
    rows: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class DemoDelivery:
    """One copy of one mail in one mailbox."""

    at: datetime
    address: str
    raw: bytes
    label_ids: tuple[str, ...]
    message_id: str


@dataclass(frozen=True)
class MailFact:
    """What a mail of a campaign really was. `about` is the Message-ID that a delivery report speaks of."""

    at: datetime
    message_id: str
    conversation: str
    campaign: str
    recipient: str  # key
    kind: FactKind
    label: Label | None
    accounts: tuple[str, ...]  # aliases of the mailboxes that hold a copy
    about: str | None = None
    from_other_address: bool = False


@dataclass(frozen=True)
class RowFact:
    """What one sheet row is, from `since` on (None: from the beginning) until `until`."""

    campaign: str
    sheet_row: int
    kind: RowKind
    recipient: str | None  # key
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class DemoWorld:
    """Everything in order of time. What came before `loaded_until` is loaded at once, the rest is played."""

    seed: int
    today: date
    loaded_until: datetime
    clients: tuple[DemoClient, ...]
    accounts: tuple[DemoAccount, ...]
    campaigns: tuple[DemoCampaign, ...]
    sheets: tuple[DemoSheet, ...]
    deliveries: tuple[DemoDelivery, ...]
    edits: tuple[SheetEdit, ...]
    facts: tuple[MailFact, ...]
    rows: tuple[RowFact, ...]

    def history(self) -> tuple[DemoDelivery, ...]:
        """The first six weeks."""
        return tuple(item for item in self.deliveries if item.at < self.loaded_until)

    def live(self) -> "tuple[DemoDelivery | SheetEdit, ...]":
        """What the player plays, mails and edits in one order of time."""
        later: list[DemoDelivery | SheetEdit] = [item for item in self.deliveries if item.at >= self.loaded_until]
        return tuple(sorted([*later, *self.edits], key=lambda item: item.at))
