"""Mail in Postgres and the blob store: copies, canonical messages, events, marks, dead letters, archive months.

Every write of mail takes one advisory lock before the first number of `ingest_seq`, so that numbers are committed in
their order: a reader that has seen number n has seen everything below it. Rows never leave: frozen models do.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.gmail.models import (
    DeadLetter,
    FetchedMessage,
    LabelChange,
    ParsedMessage,
    StoreReport,
    SyncTarget,
)
from cheerful_pipelines.gmail.parse_message import parse_message
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import (
    account_mark,
    archive_month,
    campaign,
    campaign_sender,
    dead_letter,
    gmail_account,
    gmail_message,
    gmail_message_event,
    ingest_seq,
    message,
)

_INGEST_LOCK = 4_201_001  # any fixed number; one lock for all writers of mail
_FIRST_RETRY = timedelta(minutes=10)
_LONGEST_RETRY = timedelta(days=1)
_SUBJECT_PREFIX = re.compile(r"^\s*(?:(?:re|fw|fwd|aw|sv|antw|rv|tr|wg)\s*:\s*)+", re.IGNORECASE)


class MailStore:
    """Everything the Gmail sync reads and writes."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    # --- mail ---

    def store_fetched(self, account: GmailAccount, messages: Sequence[FetchedMessage], *, run_id: str) -> StoreReport:
        """Store copies: raw bytes first, then one transaction. Drafts are skipped; a message that Postgres refuses
        becomes a dead letter while the others are stored."""
        drafts = [found for found in messages if "DRAFT" in found.label_ids]
        mails = {found.gmail_message_id: found for found in messages if "DRAFT" not in found.label_ids}
        prepared = [(found, self._blobs.put(found.raw), parse_message(found.raw)) for found in mails.values()]
        counts = {"inserted": 0, "relabelled": 0, "unchanged": 0, "dead": 0}
        with self._database.transaction() as connection:
            _take_ingest_lock(connection)
            for found, sha256, parsed in prepared:
                try:
                    with connection.begin_nested():
                        counts[_store_copy(connection, account, found, sha256, parsed, run_id)] += 1
                except (sa.exc.DataError, sa.exc.IntegrityError) as error:
                    counts["dead"] += 1
                    _bury(
                        connection,
                        account,
                        found.gmail_message_id,
                        "store",
                        type(error.orig).__name__,
                        run_id,
                    )
            _resolve(connection, account.id, list(mails))
        return StoreReport(**counts, drafts=len(drafts))

    def apply_label_changes(self, account: GmailAccount, changes: Iterable[LabelChange], *, run_id: str) -> int:
        """Put labels from history records on stored copies; returns how many changed. Unknown ids are ignored."""
        changed = 0
        with self._database.transaction() as connection:
            _take_ingest_lock(connection)
            for change in changes:
                changed += _relabel(connection, account.id, change.gmail_message_id, change.label_ids, run_id)
        return changed

    def mark_deleted(self, account: GmailAccount, gmail_message_ids: Iterable[str], *, run_id: str) -> int:
        """Tombstone copies that are gone from Gmail; returns how many were alive."""
        deleted = 0
        with self._database.transaction() as connection:
            _take_ingest_lock(connection)
            for gmail_message_id in gmail_message_ids:
                deleted += _tombstone(connection, account.id, gmail_message_id, run_id)
        return deleted

    def known_message_ids(self, account_id: UUID, gmail_message_ids: Sequence[str]) -> set[str]:
        """Those of the given ids that are stored and alive."""
        with self._database.transaction() as connection:
            return set(
                connection.execute(
                    sa.select(gmail_message.c.gmail_message_id).where(
                        gmail_message.c.gmail_account_id == account_id,
                        gmail_message.c.gmail_message_id.in_(gmail_message_ids),
                        gmail_message.c.deleted_at.is_(None),
                    )
                ).scalars()
            )

    def alive_between(self, account_id: UUID, start: datetime, end: datetime) -> set[str]:
        """Ids of stored copies whose internal date is in [start, end) and that are not tombstoned."""
        with self._database.transaction() as connection:
            return set(
                connection.execute(
                    sa.select(gmail_message.c.gmail_message_id).where(
                        gmail_message.c.gmail_account_id == account_id,
                        gmail_message.c.internal_date >= start,
                        gmail_message.c.internal_date < end,
                        gmail_message.c.deleted_at.is_(None),
                    )
                ).scalars()
            )

    # --- marks ---

    def advance_live_mark(self, account_id: UUID, history_id: int) -> None:
        """Move the live mark; an older number than the stored one leaves it where it is."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(account_mark)
                .where(account_mark.c.gmail_account_id == account_id)
                .values(
                    live_history_id=sa.func.greatest(sa.func.coalesce(account_mark.c.live_history_id, 0), history_id),
                    live_marked_at=sa.func.now(),
                )
            )

    def sync_targets(self) -> list[SyncTarget]:
        """Every account with its mark and the start of its earliest campaign: one query a sensor tick."""
        statement = (
            sa.select(
                gmail_account.c.alias,
                gmail_account.c.status,
                gmail_account.c.not_before,
                account_mark.c.live_history_id,
                sa.func.min(campaign.c.starts_at).label("first_needed"),
            )
            .join(account_mark, account_mark.c.gmail_account_id == gmail_account.c.id)
            .outerjoin(campaign_sender, campaign_sender.c.gmail_account_id == gmail_account.c.id)
            .outerjoin(campaign, campaign.c.id == campaign_sender.c.campaign_id)
            .group_by(gmail_account.c.id, account_mark.c.gmail_account_id)
            .order_by(gmail_account.c.alias)
        )
        with self._database.transaction() as connection:
            return [
                SyncTarget(
                    alias=row["alias"],
                    status=row["status"],
                    not_before=row["not_before"],
                    live_history_id=None if row["live_history_id"] is None else int(row["live_history_id"]),
                    first_needed=row["first_needed"],
                )
                for row in connection.execute(statement).mappings()
            ]

    # --- archive ---

    def complete_month(
        self, account_id: UUID, month: date, *, listed: int, fetched: int, vanished: int, run_id: str
    ) -> None:
        """Write that the stored month equals Gmail's, and move the archive mark back over unbroken months."""
        values = {
            "listed": listed,
            "fetched": fetched,
            "vanished": vanished,
            "completed_at": datetime.now(UTC),
            "run_id": run_id,
        }
        with self._database.transaction() as connection:
            statement = insert(archive_month).values(gmail_account_id=account_id, month=month, **values)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[archive_month.c.gmail_account_id, archive_month.c.month], set_=values
                )
            )
            months = set(
                connection.execute(
                    sa.select(archive_month.c.month).where(
                        archive_month.c.gmail_account_id == account_id,
                        archive_month.c.completed_at.is_not(None),
                    )
                ).scalars()
            )
            connection.execute(
                sa.update(account_mark)
                .where(account_mark.c.gmail_account_id == account_id)
                .values(archive_complete_from=_unbroken_back(months), archive_marked_at=sa.func.now())
            )

    def complete_months(self) -> dict[str, set[date]]:
        """First days of the complete months by account alias."""
        statement = (
            sa.select(gmail_account.c.alias, archive_month.c.month)
            .join(archive_month, archive_month.c.gmail_account_id == gmail_account.c.id)
            .where(archive_month.c.completed_at.is_not(None))
        )
        found: dict[str, set[date]] = {}
        with self._database.transaction() as connection:
            for alias, month in connection.execute(statement):
                found.setdefault(alias, set()).add(month)
        return found

    # --- dead letters ---

    def bury(self, account: GmailAccount, gmail_message_id: str, *, stage: str, reason_code: str, run_id: str) -> None:
        """A dead letter: one more attempt if it is known; the wait before the next try doubles."""
        with self._database.transaction() as connection:
            _bury(connection, account, gmail_message_id, stage, reason_code, run_id)

    def resolve(self, account_id: UUID, gmail_message_ids: Sequence[str]) -> None:
        """These messages were taken after all, or are gone from Gmail."""
        with self._database.transaction() as connection:
            _resolve(connection, account_id, gmail_message_ids, stored_only=False)

    def due_dead_letters(self, *, now: datetime, limit: int = 200) -> list[DeadLetter]:
        """Unresolved dead letters whose next try has come, oldest first."""
        statement = (
            sa.select(dead_letter)
            .where(dead_letter.c.resolved_at.is_(None), dead_letter.c.next_try_at <= now)
            .order_by(dead_letter.c.next_try_at)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [
                DeadLetter.model_validate({name: row[name] for name in DeadLetter.model_fields})
                for row in connection.execute(statement).mappings()
            ]

    def dead_letter_backlog(self, account_id: UUID) -> dict[str, int]:
        """Unresolved dead letters of an account by reason code."""
        statement = (
            sa.select(dead_letter.c.reason_code, sa.func.count())
            .where(dead_letter.c.gmail_account_id == account_id, dead_letter.c.resolved_at.is_(None))
            .group_by(dead_letter.c.reason_code)
        )
        with self._database.transaction() as connection:
            return {code: count for code, count in connection.execute(statement)}


def canonical_key(parsed: ParsedMessage, raw_sha256: str) -> str:
    """Identity of a mail within a client: its Message-ID with a fingerprint, because ids are repeated in the wild.

    Sender, Date and base subject go into the fingerprint: what list software and forwarding leave alone, so that two
    copies of one mail meet, and two different mails with one id do not. Without an id the bytes decide.
    """
    if parsed.rfc822_message_id is None:
        return f"raw:{raw_sha256}"
    subject = _SUBJECT_PREFIX.sub("", parsed.subject).casefold()
    facts = "\x1f".join((parsed.from_key or "", str(parsed.header_date or ""), subject))
    return f"id:{parsed.rfc822_message_id}#{hashlib.sha256(facts.encode()).hexdigest()[:16]}"


def _take_ingest_lock(connection: sa.Connection) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_INGEST_LOCK)))


def _store_copy(
    connection: sa.Connection,
    account: GmailAccount,
    found: FetchedMessage,
    sha256: str,
    parsed: ParsedMessage,
    run_id: str,
) -> str:
    """One of "inserted", "relabelled", "unchanged"."""
    stored = connection.execute(
        sa.select(gmail_message.c.label_ids, gmail_message.c.deleted_at).where(
            gmail_message.c.gmail_account_id == account.id,
            gmail_message.c.gmail_message_id == found.gmail_message_id,
        )
    ).one_or_none()
    if stored is not None:
        changed = _relabel(connection, account.id, found.gmail_message_id, found.label_ids, run_id, revive=True)
        return "relabelled" if changed else "unchanged"
    seq = _record(
        connection,
        account.id,
        found.gmail_message_id,
        found.gmail_thread_id,
        "added",
        found.label_ids,
        run_id,
    )
    connection.execute(
        sa.insert(gmail_message).values(
            gmail_account_id=account.id,
            gmail_message_id=found.gmail_message_id,
            gmail_thread_id=found.gmail_thread_id,
            message_id=_canonical_id(connection, account.user_id, parsed, sha256),
            label_ids=_labels(found.label_ids),
            internal_date=found.internal_date,
            raw_sha256=sha256,
            size_bytes=len(found.raw),
            ingest_seq=seq,
            run_id=run_id,
            **_parsed_values(parsed),
        )
    )
    return "inserted"


def _parsed_values(parsed: ParsedMessage) -> dict[str, Any]:
    values = parsed.model_dump(exclude={"headers", "attachments"})
    for name in ("in_reply_to", "reference_ids", "to_keys"):
        values[name] = list(values[name])
    return {
        **values,
        "headers": [list(pair) for pair in parsed.headers],
        "attachments": [item.model_dump() for item in parsed.attachments],
    }


def _canonical_id(connection: sa.Connection, user_id: UUID, parsed: ParsedMessage, sha256: str) -> int:
    key = canonical_key(parsed, sha256)
    statement = insert(message).values(user_id=user_id, canonical_key=key, rfc822_message_id=parsed.rfc822_message_id)
    # The update changes nothing; it makes RETURNING give the row that was there.
    return int(
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[message.c.user_id, message.c.canonical_key],
                set_={"canonical_key": statement.excluded.canonical_key},
            ).returning(message.c.id)
        ).scalar_one()
    )


def _labels(label_ids: Iterable[str]) -> list[str]:
    return sorted(set(label_ids))  # one order, so that the same labels are equal


def _relabel(
    connection: sa.Connection,
    account_id: UUID,
    gmail_message_id: str,
    label_ids: Iterable[str],
    run_id: str,
    *,
    revive: bool = False,
) -> int:
    labels = _labels(label_ids)
    changes = sa.or_(
        gmail_message.c.label_ids != labels,
        sa.and_(sa.literal(revive), gmail_message.c.deleted_at.is_not(None)),
    )
    row = connection.execute(
        sa.select(gmail_message.c.id, gmail_message.c.gmail_thread_id, gmail_message.c.deleted_at).where(
            gmail_message.c.gmail_account_id == account_id,
            gmail_message.c.gmail_message_id == gmail_message_id,
            changes,
        )
    ).one_or_none()
    if row is None:
        return 0
    # Gmail listed it again, so the tombstone was wrong: it counts as added anew.
    kind = "added" if revive and row.deleted_at is not None else "labels"
    seq = _record(connection, account_id, gmail_message_id, row.gmail_thread_id, kind, labels, run_id)
    values: dict[str, Any] = {"label_ids": labels, "ingest_seq": seq}
    if revive:
        values["deleted_at"] = None
    connection.execute(sa.update(gmail_message).where(gmail_message.c.id == row.id).values(**values))
    return 1


def _tombstone(connection: sa.Connection, account_id: UUID, gmail_message_id: str, run_id: str) -> int:
    row = connection.execute(
        sa.select(gmail_message.c.id, gmail_message.c.gmail_thread_id, gmail_message.c.label_ids).where(
            gmail_message.c.gmail_account_id == account_id,
            gmail_message.c.gmail_message_id == gmail_message_id,
            gmail_message.c.deleted_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return 0
    seq = _record(connection, account_id, gmail_message_id, row.gmail_thread_id, "deleted", row.label_ids, run_id)
    connection.execute(
        sa.update(gmail_message).where(gmail_message.c.id == row.id).values(deleted_at=sa.func.now(), ingest_seq=seq)
    )
    return 1


def _record(
    connection: sa.Connection,
    account_id: UUID,
    gmail_message_id: str,
    gmail_thread_id: str,
    kind: str,
    label_ids: Iterable[str],
    run_id: str,
) -> int:
    statement = sa.insert(gmail_message_event).values(
        ingest_seq=ingest_seq.next_value(),
        gmail_account_id=account_id,
        gmail_message_id=gmail_message_id,
        gmail_thread_id=gmail_thread_id,
        kind=kind,
        label_ids=_labels(label_ids),
        run_id=run_id,
    )
    return int(connection.execute(statement.returning(gmail_message_event.c.ingest_seq)).scalar_one())


def _bury(
    connection: sa.Connection,
    account: GmailAccount,
    gmail_message_id: str,
    stage: str,
    reason_code: str,
    run_id: str,
) -> None:
    now = datetime.now(UTC)
    statement = insert(dead_letter).values(
        user_id=account.user_id,
        gmail_account_id=account.id,
        gmail_message_id=gmail_message_id,
        stage=stage,
        reason_code=reason_code,
        reason=f"The message could not be taken at the step {stage!r}: {reason_code}.",
        next_try_at=now + _FIRST_RETRY,
        run_id=run_id,
    )
    wait = sa.func.least(
        _FIRST_RETRY * sa.func.power(2, dead_letter.c.attempts), sa.literal(_LONGEST_RETRY, sa.Interval)
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[
                dead_letter.c.gmail_account_id, dead_letter.c.gmail_message_id, dead_letter.c.stage
            ],
            set_={
                "attempts": dead_letter.c.attempts + 1,
                "reason_code": reason_code,
                "next_try_at": sa.literal(now) + wait,
                "resolved_at": None,
                "run_id": run_id,
            },
        )
    )  # fmt: skip


def _resolve(
    connection: sa.Connection, account_id: UUID, gmail_message_ids: Sequence[str], *, stored_only: bool = True
) -> None:
    statement = sa.update(dead_letter).where(
        dead_letter.c.gmail_account_id == account_id,
        dead_letter.c.gmail_message_id.in_(gmail_message_ids),
        dead_letter.c.resolved_at.is_(None),
    )
    if stored_only:
        statement = statement.where(
            sa.exists().where(
                gmail_message.c.gmail_account_id == account_id,
                gmail_message.c.gmail_message_id == dead_letter.c.gmail_message_id,
            )
        )
    connection.execute(statement.values(resolved_at=sa.func.now()))


def _unbroken_back(months: set[date]) -> date | None:
    """The oldest month reachable from the newest without a hole."""
    if not months:
        return None
    oldest = max(months)
    while (before := (oldest - timedelta(days=1)).replace(day=1)) in months:
        oldest = before
    return oldest
