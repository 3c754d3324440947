"""What was found of a person and what was done about it. Counts and ids; addresses only in who is looked for."""

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Person(BaseModel):
    """One person at one client: every way in which their addresses are written, and where they stand."""

    model_config = ConfigDict(frozen=True)
    user_id: UUID
    keys: tuple[str, ...]
    """Address keys that the request names."""
    patterns: tuple[str, ...]
    """Regular expressions, for Postgres and Python, that find the addresses in lower-cased text however spelled."""
    names: tuple[str, ...]
    """Names and handles that sheets gave; searched for in remarks on rows only, since others share them."""
    recipient_ids: tuple[int, ...]
    campaigns: tuple[str, ...]
    messages: tuple[tuple[UUID, str], ...]
    """(account, Gmail's message id) of every mail from, to or about them."""

    @property
    def is_known(self) -> bool:
        """Whether anything was found."""
        return bool(self.recipient_ids or self.messages)


MentionKind = Literal["name", "handle", "postal_address"]
MentionField = Literal["subject", "body_text", "attachments"]


class Mention(BaseModel):
    """A place in a mail that may be about a person; the mail names no address of theirs. No words are kept."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_message_id: str
    kind: MentionKind
    field: MentionField
    starts_at: int
    """Characters from the start of the field."""
    length: int


class OpenMention(Mention):
    """One that nobody has decided yet, with the words around it: for a terminal only."""

    alias: str
    snippet: str

    @property
    def name(self) -> str:
        """How a person names the mail: Gmail's message id is unique per account only."""
        return f"{self.alias}/{self.gmail_message_id}"


class ErasureReport(BaseModel):
    """What an erasure removed. Numbers only: it is kept."""

    model_config = ConfigDict(frozen=True)
    recipients: int = 0
    recipient_versions: int = 0
    row_remarks: int = 0
    messages: int = 0
    blobs: int = 0
    thread_states: int = 0
    verdicts: int = 0
    overrides: int = 0
    dead_letters: int = 0
    threads_made_anew: int = 0
    """Threads in which mail of others stays: their states are rebuilt without this person's."""
    sheets: int = 0
    """Metrics sheets from which our rows about them were taken."""


class Proof(BaseModel):
    """What the search for an erased person looked through, and where something was still found."""

    model_config = ConfigDict(frozen=True)
    tables: int
    columns: int
    blobs: int
    sheets: int
    found: tuple[str, ...]
    """Where: `table.column`, `blob`, `sheet ID tab`. Empty is the proof."""
