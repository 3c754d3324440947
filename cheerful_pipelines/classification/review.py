"""The review queue: what a person should look at, sorted by what is at stake. Pure.

A wrong silence costs more than a wrong yes: what may be an opt-out comes first, then what would be shipped or paid,
then the rest by age.
"""

from collections.abc import Iterable
from datetime import datetime
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.labels.table import LABEL
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown

REASONS = {
    1: "may be an opt-out",
    2: "speaks to a machine",
    3: "something would be shipped",
    4: "money is named",
    5: "somebody waits for an answer",
    6: "the meaning is not clear",
    7: "reads as automatic, and no header says so",
}
"""Why a person should look, by stake; which label has which stake stands in labels/table.py."""
_UNCLEAR = 6


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
    """(stake, why) of one item: the label's own stake, or a higher one that flags, address or rate give."""
    stakes = [LABEL[item.label].stake if item.label in LABEL else _UNCLEAR]
    if item.flags.get("opted_out_before") or "opt-out" in item.rationale:
        stakes.append(1)
    if item.flags.get("suspicious_instructions") or item.flags.get("model_suspects_instructions"):
        stakes.append(2)
    stakes += [3] * item.has_address + [4] * item.has_rate
    return min(stakes), REASONS[min(stakes)]


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
