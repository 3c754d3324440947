"""Whether stored mail is still what Gmail gave: bytes by their hash, rows by reading the bytes again, and counts."""

import json
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import NotFoundError, PermanentError, PoisonError
from cheerful_pipelines.mail.parse_message import PARSER_VERSION, parse_message
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.store import parsed_values
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import archive_month, dead_letter, gmail_message, passed_over_message

SAMPLE = 25
_LOST = sa.text("""
    with known as (
        select gmail_message_id from gmail_message_event where gmail_account_id = :account
        union
        select found ->> 'gmail_message_id' from gmail_thread_state,
               jsonb_array_elements(state -> 'messages') as found
         where gmail_account_id = :account and is_latest)
    select k.gmail_message_id from known k
     where not exists (select 1 from gmail_message g
                        where g.gmail_account_id = :account and g.gmail_message_id = k.gmail_message_id)
     order by 1
""")


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
    unreadable: tuple[str, ...] = ()
    """The parser raises on the bytes, or comparing what it read does."""
    lost: tuple[str, ...] = ()
    """Of the whole mailbox: the event log or a thread's newest state has the message, and its row is gone."""
    older_parser: int = 0
    """Bytes are sound; the row was read by an older parser (`cheerful accounts reparse`)."""

    @property
    def is_sound(self) -> bool:
        """Whether every sampled message is what it was, and no row of the mailbox is gone."""
        return not (self.missing or self.damaged or self.different or self.unreadable or self.lost)


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
        found: dict[str, list[str]] = {
            name: [] for name in ("missing", "damaged", "different", "unreadable", "older", "sound")
        }
        for row in rows:
            found[self._look_at(row)].append(row.gmail_message_id)
        return IntegrityReport(
            sampled=len(rows),
            missing=tuple(sorted(found["missing"])),
            damaged=tuple(sorted(found["damaged"])),
            different=tuple(sorted(found["different"])),
            unreadable=tuple(sorted(found["unreadable"])),
            lost=self.lost(account_id),
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
        try:
            with one_message("check"):
                read = parsed_values(parse_message(raw))
                is_same = all(_plain(value) == _plain(getattr(row, name)) for name, value in read.items())
        except PoisonError:
            return "unreadable"
        return "sound" if is_same else "different"

    def lost(self, account_id: UUID) -> tuple[str, ...]:
        """Messages without a row that the event log or the newest thread states have; needs no Gmail.

        Rows of gmail_message are never deleted: what is gone from Gmail has a tombstone, and erasing a person takes
        events and states too.
        """
        with self._database.transaction() as connection:
            return tuple(connection.execute(_LOST, {"account": account_id}).scalars())

    def is_complete(self, account_id: UUID, month: date) -> bool:
        """Whether the month was once made equal to Gmail's; of other months nothing can be missing."""
        certificate = sa.select(archive_month.c.month).where(
            archive_month.c.gmail_account_id == account_id,
            archive_month.c.month == month,
            archive_month.c.completed_at.is_not(None),
        )
        with self._database.transaction() as connection:
            return connection.execute(certificate).first() is not None

    def not_stored(self, account_id: UUID, listed: Iterable[str]) -> tuple[str, ...]:
        """Of the ids that Gmail lists, those that are neither stored, nor out of scope, nor a dead letter.

        A tombstone counts as not stored: Gmail has the message.
        """
        wanted = set(listed)
        with self._database.transaction() as connection:
            for table, alive in (
                (gmail_message, gmail_message.c.deleted_at.is_(None)),
                (passed_over_message, sa.true()),
                (dead_letter, dead_letter.c.resolved_at.is_(None)),
            ):
                for part in in_batches(sorted(wanted), 5_000):
                    known = sa.select(table.c.gmail_message_id).where(
                        table.c.gmail_account_id == account_id,
                        table.c.gmail_message_id == sa.any_(sa.cast(list(part), sa.ARRAY(sa.Text))),
                        alive,
                    )
                    wanted -= set(connection.execute(known).scalars())
        return tuple(sorted(wanted))

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
