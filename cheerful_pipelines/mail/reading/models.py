"""What one copy of a mail is, as frozen values. No I/O."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

Direction = Literal["ours", "theirs"]
MessageKind = Literal[
    "human", "bounce", "delayed", "out_of_office", "auto_reply", "complaint", "list", "delivered", "calendar"
]


class FailedRecipient(BaseModel):
    """One recipient that a delivery report names."""

    model_config = ConfigDict(frozen=True)
    address_key: str  # the address that was written to, where the report tells it
    final_key: str | None = None  # where that server sent it on to, if elsewhere
    status: str | None  # "5.1.1"
    severity: Literal["hard", "soft"]
    reason: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Everybody whom this failure is about."""
        return (self.address_key,) if self.final_key is None else (self.address_key, self.final_key)


class MessageReading(BaseModel):
    """What one copy of a mail is, before any model looks at it."""

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_message_id: str
    reader_version: str
    direction: Direction
    kind: MessageKind
    evidence: str | None  # the header or line that says so; of a person's mail, that another one is passed on in it
    new_words: str
    bounces: tuple[FailedRecipient, ...]
    bounced_message_id: str | None
    returns_at: datetime | None
