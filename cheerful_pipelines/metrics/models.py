"""Facts that go into the numbers, and the numbers, as frozen values. No I/O, no rule.

A *fact* is what the stored mail says (a send, an inbound message, a bounce, a verdict). How facts become
outcomes stands in `outcomes.py`, what is counted in `definitions.py`, how it is added up in `compute.py`.
"""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.classification.models import Label
from cheerful_pipelines.threads.models import Direction, FailedRecipient, MessageKind

Grain = Literal["campaign", "day", "sender", "step", "cohort"]


class RecipientFact(BaseModel):
    """One recipient, removed ones included: what happened with them stays counted."""

    model_config = ConfigDict(frozen=True)
    id: int
    email_key: str
    name: str | None
    handle: str | None
    sheet_row: int
    is_removed: bool


class ThreadFact(BaseModel):
    """One thread that counts for the campaign, and its recipients in it (nearly always one)."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    account_alias: str
    gmail_thread_id: str
    recipient_ids: tuple[int, ...]
    conversation_key: str

    @property
    def key(self) -> str:
        """`alias/gmail_thread_id`: the stable key of the thread, in the client's sheet too."""
        return f"{self.account_alias}/{self.gmail_thread_id}"


class MessageFact(BaseModel):
    """One copy of a mail in a thread that counts. `message_id` is the same for copies in two mailboxes."""

    model_config = ConfigDict(frozen=True)
    thread_key: str
    account_alias: str
    message_id: int
    rfc822_message_id: str | None
    at: datetime
    direction: Direction
    kind: MessageKind
    is_sent: bool  # carries SENT, in the mailbox of a sender of the campaign
    from_key: str | None
    to_keys: tuple[str, ...]


class BounceFact(BaseModel):
    """One delivery report in a sender's mailbox, in a thread that counts or in one of its own."""

    model_config = ConfigDict(frozen=True)
    thread_key: str
    message_id: int
    at: datetime
    kind: Literal["bounce", "delayed"]
    failed: tuple[FailedRecipient, ...]
    bounced_message_id: str | None
    names_stored_message: bool  # bounced_message_id is a mail of this client, of this campaign or not


class VerdictFact(BaseModel):
    """The newest verdict on one state of a thread. `judged_at` is the time of the message that was judged."""

    model_config = ConfigDict(frozen=True)
    thread_key: str
    state_version: int
    label: Label
    confidence: float
    needs_review: bool
    judged_at: datetime | None
    judged_from_key: str | None


class OverrideFact(BaseModel):
    """A person's standing word on a thread. It replaces every verdict on it."""

    model_config = ConfigDict(frozen=True)
    thread_key: str
    label: Label


class CampaignFacts(BaseModel):
    """Everything that one campaign's numbers rest on, read in one snapshot of the database at `read_at`."""

    model_config = ConfigDict(frozen=True)
    campaign: Campaign
    read_at: datetime
    our_keys: frozenset[str]  # every address of every mailbox of the client: mail from them is internal
    recipients: tuple[RecipientFact, ...]
    threads: tuple[ThreadFact, ...]
    messages: tuple[MessageFact, ...]
    bounces: tuple[BounceFact, ...]
    verdicts: tuple[VerdictFact, ...]
    overrides: tuple[OverrideFact, ...]


class MetricRow(BaseModel):
    """One number with what it is made of. `value` is None where there is no denominator yet."""

    model_config = ConfigDict(frozen=True)
    grain: Grain
    grain_key: str  # "", "2026-11-01", an account's alias, "1", "2026-W45"
    metric: str
    value: float | None
    numerator: float | None = None
    denominator: float | None = None
    is_additive: bool
    definition_version: str


class StoredMetric(MetricRow):
    """A metric row as stored.

    `computed_at` is when this value was first computed, not when it was last confirmed.
    """

    campaign_slug: str
    campaign_name: str
    computed_at: datetime


class ReplaceCounts(BaseModel):
    """What replacing a campaign's rows did. `is_superseded`: newer numbers stood there and were left
    alone.
    """

    model_config = ConfigDict(frozen=True)
    inserted: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    is_superseded: bool = False


class ThreadLine(BaseModel):
    """One thread as the client's sheet shows it: times, label and counts, never a word of the mail."""

    model_config = ConfigDict(frozen=True)
    key: str
    creator: str
    sheet_row: int
    sender: str
    first_sent_at: datetime | None
    last_message_at: datetime
    label: str | None
    confidence: float | None
    needs_review: bool
    replies: int
