"""Whether stored mail is still what Gmail gave: bytes by their hash, rows by reading the bytes again, and counts."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.errors import NotFoundError, PermanentError
from cheerful_pipelines.gmail.parse_message import PARSER_VERSION, parse_message
from cheerful_pipelines.gmail.store import parsed_values
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import gmail_message, passed_over_message

SAMPLE = 25


class MailCounts(NamedTuple):
    """Of one mailbox."""

    stored: int
    """Alive, neither in spam nor trash: whether Gmail's own total counts those is not documented."""
    passed_over: int


class IntegrityReport(BaseModel):
    """A random sample of one mailbox month. Ids are Gmail's message ids."""

    model_config = ConfigDict(frozen=True)
    sampled: int
    missing: tuple[str, ...] = ()
    """The blob store does not have the raw bytes."""
    damaged: tuple[str, ...] = ()
    """The raw bytes do not have their hash, or not the stored size."""
    different: tuple[str, ...] = ()
    """The same parser reads something else from the bytes than the row holds."""
    older_parser: int = 0
    """Bytes are sound; the row was read by an older parser (`cheerful accounts reparse`)."""

    @property
    def is_sound(self) -> bool:
        """Whether every sampled message is what it was."""
        return not (self.missing or self.damaged or self.different)


class IntegrityStore:
    """Reads stored mail against itself; writes nothing."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database, self._blobs = database, blobs

    def sample_month(self, account_id: UUID, month: date, *, most: int = SAMPLE) -> IntegrityReport:
        """Look at up to `most` messages of the month, other ones each time."""
        start = datetime(month.year, month.month, 1, tzinfo=UTC)
        end = (start + timedelta(days=32)).replace(day=1)
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(gmail_message)
                .where(
                    gmail_message.c.gmail_account_id == account_id,
                    gmail_message.c.internal_date >= start,
                    gmail_message.c.internal_date < end,
                    gmail_message.c.raw_deleted_at.is_(None),
                )
                .order_by(sa.func.random())
                .limit(most)
            ).all()
        found: dict[str, list[str]] = {"missing": [], "damaged": [], "different": [], "older": [], "sound": []}
        for row in rows:
            found[self._look_at(row)].append(row.gmail_message_id)
        return IntegrityReport(
            sampled=len(rows),
            missing=tuple(sorted(found["missing"])),
            damaged=tuple(sorted(found["damaged"])),
            different=tuple(sorted(found["different"])),
            older_parser=len(found["older"]),
        )

    def _look_at(self, row: Any) -> str:
        try:
            raw = self._blobs.get(row.raw_sha256)
        except NotFoundError:
            return "missing"
        except PermanentError:
            return "damaged"
        if len(raw) != row.size_bytes:
            return "damaged"
        if row.parser_version != PARSER_VERSION:
            return "older"
        read = parsed_values(parse_message(raw))
        return (
            "sound" if all(_plain(value) == _plain(getattr(row, name)) for name, value in read.items()) else "different"
        )

    def counts(self, account_id: UUID) -> MailCounts:
        """What is known of the mailbox."""
        alive = sa.select(sa.func.count()).where(
            gmail_message.c.gmail_account_id == account_id,
            gmail_message.c.deleted_at.is_(None),
            ~gmail_message.c.label_ids.overlap(["SPAM", "TRASH"]),
        )
        passed = sa.select(sa.func.count()).where(passed_over_message.c.gmail_account_id == account_id)
        with self._database.transaction() as connection:
            return MailCounts(connection.execute(alive).scalar_one(), connection.execute(passed).scalar_one())


def _plain(value: Any) -> Any:
    """Equal for what Postgres gives back as another type: tuples as lists, moments in another zone."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return json.dumps(value, sort_keys=True, default=str)
