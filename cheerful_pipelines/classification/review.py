"""The review queue: what a person should look at, sorted by what is at stake. Pure.

A wrong silence costs more than a wrong yes: what may be an opt-out comes first, then what would be shipped or paid,
then the rest by age.
"""

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown


class ReviewItem(BaseModel):
    """One thread whose newest verdict asks for a person, and whom no person has answered."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    account: str
    gmail_thread_id: str
    label: str
    confidence: float
    rationale: str
    flags: dict[str, object]
    has_rate: bool
    has_address: bool
    last_message_at: datetime


class QueuedItem(BaseModel):
    """A place in the queue: `stake` 1 is most urgent."""

    model_config = ConfigDict(frozen=True)
    item: ReviewItem
    stake: int
    why: str


def queue(items: Iterable[ReviewItem]) -> list[QueuedItem]:
    """Most at stake first; within a stake the oldest mail first."""
    queued = [QueuedItem(item=item, stake=stake, why=why) for item in items for stake, why in [stake_of(item)]]
    return sorted(queued, key=lambda entry: (entry.stake, entry.item.last_message_at, entry.item.gmail_thread_id))


def stake_of(item: ReviewItem) -> tuple[int, str]:
    """(stake, why) of one item."""
    if item.label == "opt_out" or item.flags.get("opted_out_before") or "opt-out" in item.rationale:
        return 1, "may be an opt-out"
    if item.flags.get("suspicious_instructions") or item.flags.get("model_suspects_instructions"):
        return 2, "speaks to a machine"
    if item.label == "details_provided" or item.has_address:
        return 3, "something would be shipped"
    if item.label == "negotiating" or item.has_rate:
        return 4, "money is named"
    if item.label in ("interested", "question", "referral", "not_now"):
        return 5, "somebody waits for an answer"
    if item.label in ("out_of_office", "auto_reply"):
        return 7, "reads as automatic, and no header says so"
    return 6, "the meaning is not clear"


def queue_as_markdown(entries: list[QueuedItem], *, shown: int = 100) -> Markdown:
    """Ids, labels and reasons; never a word of the mail."""
    if not entries:
        return Markdown("nobody needs to look at anything")
    return markdown.table(
        ("stake", "account", "thread", "label", "sure", "why", "last mail"),
        [
            (
                entry.stake, entry.item.account, _in_gmail(entry.item.gmail_thread_id), entry.item.label,
                f"{entry.item.confidence:.0%}", entry.why, f"{entry.item.last_message_at:%Y-%m-%d}",
            )
            for entry in entries
        ],
        right=(0, 4),
        most=shown,
        more="{count} more: `cheerful verdicts review CAMPAIGN`.",
    )  # fmt: skip


def _in_gmail(thread_id: str) -> Markdown:
    return markdown.link(thread_id, f"https://mail.google.com/mail/#all/{quote(thread_id, safe='')}")
