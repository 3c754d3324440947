"""What a client, a campaign and a sender account are, as frozen values between the layers. No I/O."""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, field_validator

from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.google.sheets.models import SheetSource

CampaignType = Literal["GIFTING", "PAID_PROMOTION"]
CampaignStatus = Literal["DRAFT", "ACTIVE", "COMPLETED"]
SOURCE_FIELDS = ("spreadsheet_id", "sheet_tab", "sheet_gid", "sheet_range", "header_row", "column_mapping")
"""What of a campaign says where its recipients stand and how they are read: a change of it imports again."""

AccountStatus = Literal["active", "needs_reauth", "paused"]


class Client(BaseModel):
    """Who pays: every row of the system reaches one of these by `user_id`."""

    model_config = ConfigDict(frozen=True)
    user_id: UUID
    slug: str
    name: str


class Campaign(BaseModel):
    """One outreach campaign. `slug` is the partition key."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    user_id: UUID
    slug: str
    name: str
    campaign_type: CampaignType
    status: CampaignStatus
    time_zone: str
    starts_at: datetime
    ends_at: datetime | None
    spreadsheet_id: str
    sheet_tab: str | None
    sheet_gid: int | None = None
    sheet_range: str | None = None
    header_row: int | None = None
    column_mapping: dict[str, tuple[str, ...]]
    """Field (email, name, handle, or a name of one's own) to the headers under which it may stand, best first."""
    writes_problems_tab: bool = False
    metrics_spreadsheet_id: str | None
    llm_local_only: bool = False
    """No word of this campaign's mail goes to a hosted model: the embedded classifier judges it."""

    @field_validator("column_mapping", mode="before")
    @classmethod
    def _one_header_is_a_list_of_one(cls, given: object) -> object:
        if not isinstance(given, Mapping):
            return given
        return {field: (headers,) if isinstance(headers, str) else headers for field, headers in given.items()}

    @property
    def sheet_source(self) -> SheetSource:
        """Where the list of recipients is."""
        return SheetSource(
            spreadsheet_id=self.spreadsheet_id,
            tab=self.sheet_tab,
            gid=self.sheet_gid,
            range=self.sheet_range,
            header_row=self.header_row,
        )


class GmailAccount(BaseModel):
    """One sender mailbox. `alias` is the partition key; `identity_keys` are the addresses that are us."""

    model_config = ConfigDict(frozen=True)
    id: UUID
    user_id: UUID
    alias: str
    address: str
    address_key: str
    status: AccountStatus
    status_reason: str | None
    not_before: datetime | None
    scope: Literal["campaign", "all"]
    replaced_at: datetime | None = None
    """When another mailbox took its alias: it is never asked again, and its mail stays."""
    identity_keys: frozenset[str]


class AccountMark(BaseModel):
    """How far a mailbox has come. Both marks only move forward (the archive's forward is back in time)."""

    model_config = ConfigDict(frozen=True)
    live_history_id: Decimal | None
    live_marked_at: datetime | None
    listing_history_id: Decimal | None = None
    """Of a first listing under way: Gmail's history id before it began."""
    listing_from: datetime | None = None
    listing_before: datetime | None = None
    """Newer than that, the first listing is done."""
    stored_from: datetime | None = None
    """Everything in the account's scope since then is stored."""
    archive_complete_from: date | None


def missing_mark() -> PermanentError:
    """The error of a mailbox without a row in `account_mark`: it cannot be told what of it is stored."""
    return PermanentError(
        "This mailbox has no row in account_mark: how far it was synced is not known, so nothing of it is synced.",
        what_to_do="Restore the row from a backup; or connect the account again (cheerful accounts add), which makes "
        "a new one: the mailbox is then listed from its beginning, and nothing is stored twice.",
    )


class CampaignMark(BaseModel):
    """How far a campaign has come: what was processed against what was ingested and imported."""

    model_config = ConfigDict(frozen=True)
    processed_ingest_seq: int
    recipients_revision: int
    processed_recipients_revision: int
    sheet_content_hash: str | None
    sheet_drive_version: str | None
    sheet_imported_at: datetime | None
    metrics_computed_at: datetime | None
    exported_at: datetime | None
    exported_hash: str | None
