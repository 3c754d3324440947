"""Facts that go into the numbers, and the numbers, as frozen values. No I/O, no rule.

A *fact* is what the stored mail says (a send, an inbound message, a bounce, a verdict). How facts become
outcomes stands in `outcomes.py`, what is counted in `definitions.py`, how it is added up in `compute.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.mail.reading.models import Direction, FailedRecipient, MessageKind

Grain = Literal["campaign", "day", "sender", "step", "cohort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientFact:
    """One recipient, removed ones included: what happened with them stays counted."""

    id: int
    email_key: str
    name: str | None
    handle: str | None
    sheet_row: int
    is_removed: bool
    is_suppressed: bool = False  # of those that stand in the sheet: must not be written to


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadFact:
    """One thread that counts for the campaign, and its recipients in it (nearly always one)."""

    gmail_account_id: UUID
    account_alias: str
    gmail_thread_id: str
    recipient_ids: tuple[int, ...]
    conversation_key: str

    @property
    def key(self) -> str:
        """`alias/gmail_thread_id`: the stable key of the thread, in the client's sheet too."""
        return f"{self.account_alias}/{self.gmail_thread_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFact:
    """One copy of a mail in a thread that counts. `message_id` is the same for copies in two mailboxes."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BounceFact:
    """One delivery report in a sender's mailbox, in a thread that counts or in one of its own."""

    thread_key: str
    message_id: int
    at: datetime
    kind: Literal["bounce", "delayed"]
    failed: tuple[FailedRecipient, ...]
    bounced_message_id: str | None
    names_stored_message: bool  # bounced_message_id is a mail of this client, of this campaign or not


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictFact:
    """The newest verdict on one state of a thread. `judged_at` is the time of the message that was judged."""

    thread_key: str
    state_version: int
    label: Label
    confidence: float
    needs_review: bool
    judged_at: datetime | None
    judged_from_key: str | None
    judged_message_id: int | None = None
    address_complete: bool = False
    left_company: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideFact:
    """A person's standing word on a thread. It replaces every verdict on it."""

    thread_key: str
    label: Label


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignFacts:
    """Everything that one campaign's numbers rest on, read in one snapshot of the database at `read_at`."""

    campaign: Campaign
    read_at: datetime
    sender_ids: frozenset[UUID] = frozenset()  # whose sent mail counts
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
    low: float | None = None
    """With `high`: where the true share lies with 95 % confidence. Rates only."""
    high: float | None = None
    is_early: bool = False
    """Too few or too young to tell (`definitions.py`, EARLY_BELOW and EARLY_DAYS). Rates only."""
    is_additive: bool
    definition_version: str


class StoredMetric(MetricRow):
    """A metric row as stored.

    `computed_at` is when this value was first computed, not when it was last confirmed.
    """

    campaign_slug: str
    campaign_name: str
    computed_at: datetime


class CountReport(BaseModel):
    """What one count saw and did. `is_superseded`: newer numbers stood there and were left alone."""

    model_config = ConfigDict(frozen=True)
    of: Literal["everybody", "news"]
    recipients_in: int
    threads_in: int
    messages_in: int
    outcomes_changed: int = 0
    without_news: int = 0
    """Outcomes that a count of everybody found changed though nobody had noted so: must be 0."""
    changes: tuple["OutcomeChange", ...] = ()
    rows: "ReplaceCounts"


class OutcomeChange(BaseModel):
    """One thing that began or ceased to be counted of a recipient, and the mail that did it."""

    model_config = ConfigDict(frozen=True)
    recipient_id: int
    metric: str
    counts_now: bool
    happened_at: datetime
    thread_key: str | None
    message_id: int | None


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
