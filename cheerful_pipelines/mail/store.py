"""Mail in Postgres and the blob store: copies, canonical messages, events, marks, archive months.

Every write of mail takes one advisory lock before the first number of `ingest_seq`, so that numbers are committed in
their order: a reader that has seen number n has seen everything below it. Rows never leave: frozen models do.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import GmailAccount, missing_mark
from cheerful_pipelines.core.errors import CheerfulError, NotFoundError, PermanentError, PoisonError, TransientError
from cheerful_pipelines.mail.dead_letter_store import Owner, bury, clear_suspicion, resolve
from cheerful_pipelines.mail.models import (
    FetchedMessage,
    LabelChange,
    MessageRef,
    ParsedMail,
    ParsedMessage,
    Poisoned,
    StoredLabels,
    StoreReport,
    SyncTarget,
)
from cheerful_pipelines.mail.parse_message import PARSER_VERSION, parse_message
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.scope.relevance import people_in
from cheerful_pipelines.mail.scope.scope_store import HAS_NEW_RECIPIENTS, forget_passed_over, note_passed_over
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import ErasedPeople, erased_people
from cheerful_pipelines.storage.insert_rows import insert_rows
from cheerful_pipelines.storage.passing_errors import as_passing_error
from cheerful_pipelines.storage.schema.campaigns import campaign, campaign_sender, gmail_account
from cheerful_pipelines.storage.schema.mail import (
    account_mark,
    archive_month,
    dead_letter,
    gmail_message,
    gmail_message_event,
    message,
)

_INGEST_LOCK = 4_201_001  # any fixed number; one lock for all writers of mail
_SUBJECT_PREFIX = re.compile(r"^\s*(?:(?:re|fw|fwd|aw|sv|antw|rv|tr|wg)\s*:\s*)+", re.IGNORECASE)


class MailStore:
    """Everything the Gmail sync reads and writes of mail."""

    def __init__(self, database: Database, blobs: BlobStore, *, hash_key: str | None = None) -> None:
        self._database = database
        self._blobs = blobs
        self._hash_key = hash_key  # of erased people's addresses; not needed while nobody was erased

    @property
    def database(self) -> Database:
        """For the stores beside this one."""
        return self._database

    # --- mail ---

    def apply(
        self,
        account: GmailAccount,
        *,
        mails: Sequence[ParsedMail] = (),
        label_changes: Sequence[LabelChange] = (),
        deleted: Sequence[str] = (),
        passed_over: Sequence[MessageRef] = (),
        live_mark: int | None = None,
        run_id: str,
    ) -> StoreReport:
        """Store what one step of a sync found, and move the mark that stands for it, in one transaction.

        Raw bytes go to the blob store first: a blob without a row does no harm. Drafts are skipped; a message that
        Postgres refuses becomes a dead letter while the others are stored. Twice equals once.
        """
        with self._database.transaction() as connection:
            erased = erased_people(connection, account.user_id, key_hex=self._hash_key)
        mails, unsure = _without_poisoned(mails, erased)
        forgotten = [mail for mail in mails if _names_erased(mail, erased)]
        passed_over = [*passed_over, *(_ref(mail) for mail in forgotten)]
        gone = {mail.fetched.gmail_message_id for mail in forgotten}
        mails = [mail for mail in mails if mail.fetched.gmail_message_id not in gone]
        drafts = [mail for mail in mails if "DRAFT" in mail.fetched.label_ids]
        kept = {mail.fetched.gmail_message_id: mail for mail in mails if "DRAFT" not in mail.fetched.label_ids}
        prepared, poisoned = self._prepare(kept.values())
        with self._database.transaction() as connection:
            _take_ingest_lock(connection)
            now_erased = erased_people(connection, account.user_id, key_hex=self._hash_key)
            if now_erased.hashes != erased.hashes:
                self._take_back(connection, [item for item in prepared if _names_erased(item, now_erased)])
                raise TransientError("A person was erased meanwhile; what was fetched is looked at again.")
            counts = _store_copies(connection, account, prepared, run_id)
            for one in (*unsure, *poisoned):
                bury(connection, account, one[0], stage=one.stage, reason_code=one.reason_code, run_id=run_id)
            counts["dead"] += len(unsure) + len(poisoned)
            relabelled = sum(
                _relabel(
                    connection, account.id, change.gmail_message_id, change.label_ids, run_id, if_seq=change.if_seq
                )
                for change in label_changes
            )
            deleted_count = sum(_tombstone(connection, account.id, one, run_id) for one in deleted)
            forget_passed_over(connection, account.id, [*kept, *deleted])
            note_passed_over(connection, account.id, passed_over)
            outside = [*(mail.fetched.gmail_message_id for mail in drafts), *(ref[0] for ref in passed_over)]
            resolve(connection, account.id, list(kept))
            resolve(connection, account.id, outside, stored_only=False)  # looked at, and not for us: not dead either
            clear_suspicion(connection, account.id, [*kept, *outside])
            if live_mark is not None:
                _advance(connection, account.id, live_mark)
        counts["relabelled"] += relabelled
        return StoreReport(**counts, deleted=deleted_count, drafts=len(drafts), passed_over=len(passed_over))

    def _prepare(self, mails: Iterable[ParsedMail]) -> tuple[list["_Prepared"], list[Poisoned]]:
        """Raw bytes into the blob store, mail by mail. A blob store that is away raises; one mail's fault stays its."""
        prepared, poisoned = list[_Prepared](), list[Poisoned]()
        for mail in mails:
            try:
                with one_message("store"):
                    # The key is looked at here: what cannot be told apart is found before the transaction.
                    found = _Prepared(mail.fetched, self._blobs.put(mail.fetched.raw), mail.parsed)
                    canonical_key(found.parsed, found.sha256)
                    prepared.append(found)
            except PoisonError as error:
                poisoned.append(Poisoned(mail.fetched.gmail_message_id, "store", error.reason_code))
        return prepared, poisoned

    def _take_back(self, connection: sa.Connection, prepared: Sequence["_Prepared"]) -> None:
        """Raw bytes that were put a moment before their person was erased, and that no stored mail shares."""
        hashes = {item.sha256 for item in prepared}
        shared = connection.execute(sa.select(gmail_message.c.raw_sha256).where(gmail_message.c.raw_sha256.in_(hashes)))
        for key in hashes - set(shared.scalars()):
            self._blobs.delete(key)

    def reparse(self, account: Owner, *, run_id: str, most: int = 200) -> int:
        """Read again what an older parser read; returns how many rows changed.

        Call it until it returns 0. A changed row gets an event, so that its threads are looked at again. A message
        that cannot be read, or whose raw mail is lost or damaged, gets a dead letter (stage `parse`), keeps its
        row, and is tried again once that letter is due. So does one whose new reading Postgres refuses.
        """
        while rows := self._to_reparse(account.id, most):
            read, failed = self._parse_again(rows)
            with self._database.transaction() as connection:
                _take_ingest_lock(connection)
                for row, parsed in read:
                    if (refused := _read_again_or_not(connection, account.id, row, parsed, run_id)) is not None:
                        failed[row.gmail_message_id] = refused
                for one, code in failed.items():
                    bury(connection, account, one, stage="parse", reason_code=code, run_id=run_id)
            if changed := len(rows) - len(failed):
                return changed
        return 0

    def _to_reparse(self, account_id: UUID, most: int) -> Sequence[Any]:
        columns = gmail_message.c
        waiting = sa.exists().where(
            dead_letter.c.gmail_account_id == columns.gmail_account_id,
            dead_letter.c.gmail_message_id == columns.gmail_message_id,
            dead_letter.c.stage == "parse",
            dead_letter.c.resolved_at.is_(None),
            dead_letter.c.next_try_at > sa.func.now(),
        )
        statement = (
            sa.select(columns.id, columns.gmail_message_id, columns.raw_sha256)
            .where(
                columns.gmail_account_id == account_id,
                columns.parser_version != PARSER_VERSION,
                columns.raw_deleted_at.is_(None),
                ~waiting,
            )
            .order_by(columns.id)
            .limit(most)
        )
        with self._database.transaction() as connection:
            return connection.execute(statement).all()

    def _parse_again(self, rows: Sequence[Any]) -> tuple[list[tuple[Any, ParsedMessage]], dict[str, str]]:
        """(row and what its bytes say, Gmail's id to the reason for those that cannot be read)."""
        read, failed = list[tuple[Any, ParsedMessage]](), dict[str, str]()
        for row in rows:
            try:
                read.append((row, parse_message(self._blobs.get(row.raw_sha256))))
            except PoisonError as error:
                failed[row.gmail_message_id] = error.reason_code
            except NotFoundError:
                failed[row.gmail_message_id] = "raw_missing"
            except PermanentError:
                failed[row.gmail_message_id] = "raw_damaged"
        return read, failed

    def store_fetched(self, account: GmailAccount, messages: Sequence[FetchedMessage], *, run_id: str) -> StoreReport:
        """Parse and store copies; what cannot be parsed becomes a dead letter."""
        mails, poisoned = list[ParsedMail](), list[Poisoned]()
        for found in messages:
            try:
                mails.append(ParsedMail(found, parse_message(found.raw)))
            except PoisonError as error:
                poisoned.append(Poisoned(found.gmail_message_id, "parse", error.reason_code))
        report = self.apply(account, mails=mails, run_id=run_id)
        with self._database.transaction() as connection:
            for one in poisoned:
                bury(connection, account, one[0], stage=one.stage, reason_code=one.reason_code, run_id=run_id)
        return report.model_copy(update={"dead": report.dead + len(poisoned)})

    def apply_label_changes(self, account: GmailAccount, changes: Iterable[LabelChange], *, run_id: str) -> int:
        """Put labels on stored copies; returns how many changed. Unknown ids are ignored."""
        return self.apply(account, label_changes=list(changes), run_id=run_id).relabelled

    def mark_deleted(self, account: GmailAccount, gmail_message_ids: Iterable[str], *, run_id: str) -> int:
        """Tombstone copies that are gone from Gmail; returns how many were alive."""
        return self.apply(account, deleted=list(gmail_message_ids), run_id=run_id).deleted

    def known_message_ids(self, account_id: UUID, gmail_message_ids: Sequence[str]) -> set[str]:
        """Those of the given ids that are stored and alive."""
        return self._strings(
            sa.select(gmail_message.c.gmail_message_id).where(
                gmail_message.c.gmail_account_id == account_id,
                gmail_message.c.gmail_message_id == sa.any_(sa.cast(list(gmail_message_ids), sa.ARRAY(sa.Text))),
                gmail_message.c.deleted_at.is_(None),
            )
        )

    def stored_threads(self, account_id: UUID, gmail_thread_ids: Iterable[str]) -> set[str]:
        """Those of the given threads of which anything is stored."""
        return self._strings(
            sa.select(gmail_message.c.gmail_thread_id.distinct()).where(
                gmail_message.c.gmail_account_id == account_id,
                gmail_message.c.gmail_thread_id == sa.any_(sa.cast(list(gmail_thread_ids), sa.ARRAY(sa.Text))),
            )
        )

    def stored_rfc822_ids(self, user_id: UUID, rfc822_message_ids: Iterable[str]) -> set[str]:
        """Those of the given Message-IDs that some mail of this client has."""
        return self._strings(
            sa.select(message.c.rfc822_message_id.distinct()).where(
                message.c.user_id == user_id,
                message.c.rfc822_message_id == sa.any_(sa.cast(list(rfc822_message_ids), sa.ARRAY(sa.Text))),
            )
        )

    def labels_between(self, account_id: UUID, start: datetime, end: datetime) -> dict[str, StoredLabels]:
        """Labels by id of the stored copies that are alive, with an internal date in [start, end)."""
        columns = gmail_message.c
        statement = sa.select(columns.gmail_message_id, columns.label_ids, columns.ingest_seq).where(
            gmail_message.c.gmail_account_id == account_id,
            gmail_message.c.internal_date >= start,
            gmail_message.c.internal_date < end,
            gmail_message.c.deleted_at.is_(None),
        )
        with self._database.transaction() as connection:
            return {one: StoredLabels(tuple(labels), seq) for one, labels, seq in connection.execute(statement)}

    def _strings(self, statement: sa.Select[Any]) -> set[str]:
        with self._database.transaction() as connection:
            return set(connection.execute(statement).scalars())

    # --- marks ---

    def advance_live_mark(self, account_id: UUID, history_id: int) -> None:
        """Move the live mark; an older number than the stored one leaves it where it is."""
        with self._database.transaction() as connection:
            _advance(connection, account_id, history_id)

    def begin_listing(self, account_id: UUID, *, history_id: int, start: datetime) -> None:
        """A first listing begins: what it will be worth when it is through, however many runs it takes."""
        self._mark(account_id, listing_history_id=history_id, listing_from=start)

    def end_listing(self, account_id: UUID, *, history_id: int, start: datetime) -> None:
        """Everything in scope since `start` is stored, up to the history id: the live mark stands from here on."""
        with self._database.transaction() as connection:
            _advance(connection, account_id, history_id)
            _mark(
                connection, account_id,
                listing_history_id=None, listing_from=None, listing_before=None, stored_from=start,
            )  # fmt: skip

    def note_listed(self, account_id: UUID, gmail_message_ids: Sequence[str]) -> None:
        """A part of a first listing is done: the next run begins at its oldest stored message."""
        oldest = (
            sa.select(sa.func.date_trunc("second", sa.func.min(gmail_message.c.internal_date)) + timedelta(seconds=1))
            .where(
                gmail_message.c.gmail_account_id == account_id,
                gmail_message.c.gmail_message_id == sa.any_(sa.cast(list(gmail_message_ids), sa.ARRAY(sa.Text))),
            )
            .scalar_subquery()
        )
        self._mark(account_id, listing_before=sa.func.least(account_mark.c.listing_before, oldest))

    def begin_gap(self, account_id: UUID) -> None:
        """Gmail forgot our history id: what is stored from here on, until `end_gap`, is the repair's."""
        newest = (
            sa.select(sa.func.coalesce(sa.func.max(gmail_message_event.c.ingest_seq), 0))
            .where(gmail_message_event.c.gmail_account_id == account_id)
            .scalar_subquery()
        )
        self._mark(account_id, gap_from_seq=sa.func.coalesce(account_mark.c.gap_from_seq, newest))

    def end_gap(self, account_id: UUID, *, history_id: int, start: datetime) -> Counter[str]:
        """The live mark stands again; how many messages were "added", "deleted" and "labels" since `begin_gap`."""
        columns = gmail_message_event.c
        with self._database.transaction() as connection:
            found = connection.execute(
                sa.select(columns.kind, sa.func.count(columns.gmail_message_id.distinct()))
                .join(account_mark, account_mark.c.gmail_account_id == columns.gmail_account_id)
                .where(columns.gmail_account_id == account_id, columns.ingest_seq > account_mark.c.gap_from_seq)
                .group_by(columns.kind)
            ).all()
            _advance(connection, account_id, history_id)
            _mark(connection, account_id, gap_from_seq=None, stored_from=start)
        return Counter({kind: count for kind, count in found})

    def note_progress(self, account_id: UUID) -> None:
        """A sync that ended early left something stored: the sensor may ask for the rest."""
        self._mark(account_id, progress=account_mark.c.progress + 1)

    def _mark(self, account_id: UUID, **values: Any) -> None:
        with self._database.transaction() as connection:
            _mark(connection, account_id, **values)

    def sync_targets(self) -> list[SyncTarget]:
        """Every account with its mark and the start of its earliest campaign: one query a sensor tick."""
        statement = (
            sa.select(
                gmail_account.c.alias,
                gmail_account.c.status,
                gmail_account.c.not_before,
                account_mark.c.gmail_account_id.is_not(None).label("has_mark"),
                account_mark.c.live_history_id,
                sa.func.coalesce(account_mark.c.progress, 0).label("progress"),
                sa.func.min(campaign.c.starts_at).label("first_needed"),
                sa.and_(gmail_account.c.scope == "campaign", sa.text(HAS_NEW_RECIPIENTS)).label("has_new_recipients"),
            )
            .outerjoin(account_mark, account_mark.c.gmail_account_id == gmail_account.c.id)
            .outerjoin(campaign_sender, campaign_sender.c.gmail_account_id == gmail_account.c.id)
            .outerjoin(campaign, campaign.c.id == campaign_sender.c.campaign_id)
            .group_by(gmail_account.c.id, account_mark.c.gmail_account_id)
            .order_by(gmail_account.c.alias)
        )
        with self._database.transaction() as connection:
            return [SyncTarget.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

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
            _mark(connection, account_id, archive_complete_from=_unbroken_back(months), archive_marked_at=sa.func.now())

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


def _names_erased(mail: "ParsedMail | _Prepared", erased: ErasedPeople) -> bool:
    """Whether a mail is from or to an erased person, or tells of one: then only its id is kept."""
    if not erased.hashes:
        return False
    parsed = mail.parsed
    headers = "\n".join(value for _, value in parsed.headers)
    return any(erased.has(key) for key in people_in(ParsedMail(mail.fetched, parsed))) or erased.is_named_in(
        headers, parsed.subject, parsed.body_text, parsed.body_html
    )


def _without_poisoned(mails: Sequence[ParsedMail], erased: ErasedPeople) -> tuple[list[ParsedMail], list[Poisoned]]:
    """(mails of which it can be told whether they name an erased person, the others)."""
    sure, poisoned = list[ParsedMail](), list[Poisoned]()
    for mail in mails:
        try:
            with one_message("store"):
                _names_erased(mail, erased)
            sure.append(mail)
        except PoisonError as error:
            poisoned.append(Poisoned(mail.fetched.gmail_message_id, "store", error.reason_code))
    return sure, poisoned


def _ref(mail: ParsedMail) -> MessageRef:
    return MessageRef(mail.fetched.gmail_message_id, mail.fetched.gmail_thread_id)


def _take_ingest_lock(connection: sa.Connection) -> None:
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_INGEST_LOCK)))


class _Prepared(NamedTuple):
    """A mail whose raw bytes are in the blob store."""

    fetched: FetchedMessage
    sha256: str
    parsed: ParsedMessage


def _store_copies(
    connection: sa.Connection, account: GmailAccount, prepared: Sequence[_Prepared], run_id: str
) -> dict[str, int]:
    """Counts of inserted, relabelled, unchanged and dead. All at once; in halves only where Postgres refuses one."""
    counts = {"inserted": 0, "relabelled": 0, "unchanged": 0, "dead": 0}
    if not prepared:
        return counts
    stored = {
        row.gmail_message_id: (tuple(row.label_ids), row.deleted_at)
        for row in connection.execute(
            sa.select(gmail_message.c.gmail_message_id, gmail_message.c.label_ids, gmail_message.c.deleted_at).where(
                gmail_message.c.gmail_account_id == account.id,
                gmail_message.c.gmail_message_id.in_([item.fetched.gmail_message_id for item in prepared]),
            )
        )
    }
    for item in prepared:
        found = item.fetched
        if found.gmail_message_id not in stored:
            continue
        changed = stored[found.gmail_message_id] != (tuple(_labels(found.label_ids)), None) and _relabel(
            connection, account.id, found.gmail_message_id, found.label_ids, run_id, revive=True
        )
        counts["relabelled" if changed else "unchanged"] += 1
    new = [item for item in prepared if item.fetched.gmail_message_id not in stored]
    counts["dead"] = _insert_or_bury(connection, account, new, run_id)
    counts["inserted"] = len(new) - counts["dead"]
    return counts


def _insert_or_bury(connection: sa.Connection, account: GmailAccount, new: Sequence[_Prepared], run_id: str) -> int:
    """Store these copies; halve them until what cannot be stored is alone, and bury it. Returns how many that were.

    Raises what does not lie in a message: Postgres away, read-only, full, or a statement of ours that is wrong.
    """
    try:
        with connection.begin_nested():
            _insert_copies(connection, account, new, run_id)
        return 0
    except Exception as error:
        if not _lies_in_data(error):
            raise
        if len(new) > 1:
            middle = len(new) // 2
            return sum(_insert_or_bury(connection, account, part, run_id) for part in (new[:middle], new[middle:]))
        one = new[0].fetched.gmail_message_id
        bury(connection, account, one, stage="store", reason_code=_code_of(error), run_id=run_id)
        return 1


def _code_of(error: Exception) -> str:
    """Reason of a dead letter: the class of Postgres' error, or of what kept the statement from being made."""
    return type(getattr(error, "orig", None) or error).__name__


_DATA_CLASSES = ("22", "23", "54", "XX")
"""SQLSTATE: data, integrity, program limits (index row too large), and internal errors such as a value over 1 GB."""


def _lies_in_data(error: Exception) -> bool:
    """Whether a failed insert is the fault of a value, so that a smaller part of the page may go through."""
    if isinstance(error, CheerfulError) or as_passing_error(error) is not None:
        return False
    if isinstance(error, sa.exc.DBAPIError):
        code = str(getattr(error.orig, "pgcode", None) or "")
        return isinstance(error, sa.exc.DataError | sa.exc.IntegrityError) or code[:2] in _DATA_CLASSES
    # A value that no statement can be made of (a NUL, a number without end) fails before Postgres sees it.
    return isinstance(error, sa.exc.StatementError) or not isinstance(error, sa.exc.SQLAlchemyError)


def _insert_copies(connection: sa.Connection, account: GmailAccount, new: Sequence[_Prepared], run_id: str) -> None:
    if not new:
        return
    numbers = _next_numbers(connection, len(new))
    canonical = _canonical_ids(connection, account.user_id, new)
    events, copies = [], []
    for seq, item in zip(numbers, new, strict=True):
        found, labels = item.fetched, _labels(item.fetched.label_ids)
        both = {
            "gmail_account_id": account.id,
            "gmail_message_id": found.gmail_message_id,
            "gmail_thread_id": found.gmail_thread_id,
            "ingest_seq": seq,
            "label_ids": labels,
            "run_id": run_id,
        }
        events.append({**both, "kind": "added"})
        copies.append(
            {
                **both,
                "message_id": canonical[canonical_key(item.parsed, item.sha256)],
                "internal_date": found.internal_date,
                "raw_sha256": item.sha256,
                "size_bytes": len(found.raw),
                **parsed_values(item.parsed),
            }
        )
    insert_rows(connection, gmail_message_event, events)
    insert_rows(connection, gmail_message, copies)


def _next_numbers(connection: sa.Connection, count: int) -> list[int]:
    rows = connection.execute(sa.text("select nextval('ingest_seq') from generate_series(1, :count)"), {"count": count})
    return sorted(int(number) for number in rows.scalars())


def _canonical_ids(connection: sa.Connection, user_id: UUID, new: Sequence[_Prepared]) -> dict[str, int]:
    """Id of the canonical message of each key; those that are not there yet are made."""
    known = {canonical_key(item.parsed, item.sha256): item.parsed.rfc822_message_id for item in new}
    keys = sorted(known)
    connection.execute(
        sa.text(
            "insert into message (user_id, canonical_key, rfc822_message_id) select :user_id, key, rfc822_id "
            "from unnest(cast(:keys as text[]), cast(:ids as text[])) as found (key, rfc822_id) on conflict do nothing"
        ),
        {"user_id": user_id, "keys": keys, "ids": [known[key] for key in keys]},
    )
    rows = connection.execute(
        sa.select(message.c.canonical_key, message.c.id).where(
            message.c.user_id == user_id, message.c.canonical_key.in_(list(known))
        )
    )
    return {key: number for key, number in rows}


def _read_again_or_not(
    connection: sa.Connection, account_id: UUID, row: Any, parsed: ParsedMessage, run_id: str
) -> str | None:
    """Put a new reading into the row. Returns the reason if Postgres refuses it: that is one message's fault."""
    try:
        with connection.begin_nested():
            _read_again(connection, account_id, row, parsed, run_id)
        return None
    except Exception as error:
        if not _lies_in_data(error):
            raise
        return _code_of(error)


def _read_again(connection: sa.Connection, account_id: UUID, row: Any, parsed: ParsedMessage, run_id: str) -> None:
    stored = connection.execute(
        sa.select(gmail_message.c.gmail_thread_id, gmail_message.c.label_ids).where(gmail_message.c.id == row.id)
    ).one_or_none()
    if stored is None:  # its person was erased meanwhile
        return
    seq = _record(
        connection, account_id, row.gmail_message_id, stored.gmail_thread_id, "labels", stored.label_ids, run_id
    )
    values = parsed_values(parsed)
    lists = {name: list(values[name]) for name in ("in_reply_to", "reference_ids", "to_keys", "headers")}
    connection.execute(
        sa.update(gmail_message).where(gmail_message.c.id == row.id).values(**{**values, **lists, "ingest_seq": seq})
    )


def parsed_values(parsed: ParsedMessage) -> dict[str, Any]:
    """Columns of gmail_message; named one by one, since model_dump() copies every header."""
    return {
        "parser_version": parsed.parser_version,
        "parse_error": parsed.parse_error,
        "rfc822_message_id": parsed.rfc822_message_id,
        "in_reply_to": parsed.in_reply_to,
        "reference_ids": parsed.reference_ids,
        "subject": parsed.subject,
        "from_address": parsed.from_address,
        "from_key": parsed.from_key,
        "from_name": parsed.from_name,
        "to_keys": parsed.to_keys,
        "header_date": parsed.header_date,
        "headers": parsed.headers,
        "body_text": parsed.body_text,
        "body_html": parsed.body_html,
        "attachments": [item.model_dump() for item in parsed.attachments],
    }


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
    if_seq: int | None = None,
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
            *((gmail_message.c.ingest_seq == if_seq,) if if_seq is not None else ()),
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
        ingest_seq=sa.func.nextval("ingest_seq"),
        gmail_account_id=account_id,
        gmail_message_id=gmail_message_id,
        gmail_thread_id=gmail_thread_id,
        kind=kind,
        label_ids=_labels(label_ids),
        run_id=run_id,
    )
    return int(connection.execute(statement.returning(gmail_message_event.c.ingest_seq)).scalar_one())


def _advance(connection: sa.Connection, account_id: UUID, history_id: int) -> None:
    _mark(
        connection,
        account_id,
        live_history_id=sa.func.greatest(sa.func.coalesce(account_mark.c.live_history_id, 0), history_id),
        live_marked_at=sa.func.now(),
    )


def _mark(connection: sa.Connection, account_id: UUID, **values: Any) -> None:
    """Change the mailbox's mark row. Raises PermanentError if there is none: what a mark stands for would be lost."""
    changed = connection.execute(
        sa.update(account_mark).where(account_mark.c.gmail_account_id == account_id).values(**values)
    ).rowcount
    if not changed:
        raise missing_mark()


def _unbroken_back(months: set[date]) -> date | None:
    """The oldest month reachable from the newest without a hole."""
    if not months:
        return None
    oldest = max(months)
    while (before := (oldest - timedelta(days=1)).replace(day=1)) in months:
        oldest = before
    return oldest
