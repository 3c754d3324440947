"""What the threads need from Postgres and what they leave there. Queries only; what a thread is, the pure files say.

Every look-up starts from what changed (events after a mark, recipients of one campaign) and goes over indexes, so the
work follows the change and not the mailbox. States are append-only: a writer must hold the newest state's id.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import NotFoundError, StaleStateError
from cheerful_pipelines.mail.dead_letter_store import bury
from cheerful_pipelines.mail.models import MessageEvent, ParsedMessage, StoredMessage
from cheerful_pipelines.mail.reading.models import FailedRecipient, MessageReading
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.outcome_news import note_recipients, note_threads
from cheerful_pipelines.storage.schema.campaigns import (
    campaign,
    campaign_mark,
    campaign_sender,
    gmail_account,
    gmail_account_identity,
)
from cheerful_pipelines.storage.schema.mail import gmail_message, gmail_message_event, message_reading
from cheerful_pipelines.storage.schema.recipients import campaign_recipient
from cheerful_pipelines.storage.schema.threads import gmail_thread_state, thread_attribution
from cheerful_pipelines.threads import queries
from cheerful_pipelines.threads.attribution import CampaignScope, ThreadKey
from cheerful_pipelines.threads.models import ThreadAttribution, ThreadState
from cheerful_pipelines.threads.states import STATE_VERSION, StateVersion

_CHUNK = 2_000
_DAEMONS = "^(mailer-?daemon|postmaster|mail-daemon|microsoftexchange.*|bounces?)@"


class CampaignWork(BaseModel):
    """What one run of a campaign starts from. `newest_seq` is taken before anything is read."""

    model_config = ConfigDict(frozen=True)
    campaign_id: UUID
    user_id: UUID
    slug: str
    processed_seq: int
    newest_seq: int
    recipients_revision: int
    processed_revision: int
    has_new_senders: bool
    account_ids: tuple[UUID, ...]
    """Every mailbox of the client: a hand-over may lead out of the campaign's own senders."""
    identity_keys: frozenset[str]

    @property
    def is_full(self) -> bool:
        """Recipients or senders changed, or nothing was ever processed: look at all their threads."""
        changed = self.recipients_revision != self.processed_revision or self.has_new_senders
        return changed or self.processed_seq == 0


class StoredVersion(BaseModel):
    """The head of one stored state: enough to tell whether it is there."""

    model_config = ConfigDict(frozen=True)
    id: int
    version: int
    state_hash: str
    code_version: str


class ThreadAppend(BaseModel):
    """Versions to append to one thread; `token` is the id of the newest state that they were computed on."""

    model_config = ConfigDict(frozen=True)
    key: ThreadKey
    token: int | None
    versions: tuple[StateVersion, ...]


class CampaignPulse(BaseModel):
    """What the fan-out sensor knows of one campaign."""

    model_config = ConfigDict(frozen=True)
    slug: str
    newest_relevant_seq: int
    processed_seq: int
    recipients_revision: int
    processed_revision: int
    new_senders: int
    """Mailboxes that joined the campaign after it was last processed: their older mail was never looked at."""
    newest_news: int = 0
    """What changed and is not counted yet, mail apart: a verdict, a person's word, a flag; 0 where nothing did."""
    was_computed: bool
    was_reported: bool = True
    was_exported: bool
    wants_export: bool


class ThreadStore:
    """Reads mail, writes readings, states and attributions. Writing twice changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- where a run starts ---

    def begin(self, slug: str) -> CampaignWork:
        """Marks and accounts of a campaign, with the newest event known right now. Raises NotFoundError."""
        with self._database.transaction() as connection:
            row = (
                connection.execute(
                    sa.select(campaign.c.id, campaign.c.user_id, campaign_mark)
                    .join(campaign_mark, campaign_mark.c.campaign_id == campaign.c.id)
                    .where(campaign.c.slug == slug)
                )
                .mappings()
                .one_or_none()
            )
            if row is None:
                raise NotFoundError(f"There is no campaign {slug!r}.", what_to_do="See: cheerful campaigns list.")
            accounts = connection.execute(
                sa.select(gmail_account.c.id)
                .where(gmail_account.c.user_id == row["user_id"])
                .order_by(gmail_account.c.id)
            ).scalars()
            account_ids = tuple(accounts)
            newest = connection.execute(
                sa.select(sa.func.max(gmail_message_event.c.ingest_seq)).where(
                    gmail_message_event.c.gmail_account_id.in_(account_ids)
                )
            ).scalar()
            newest_sender = connection.execute(
                sa.select(sa.func.max(campaign_sender.c.created_at)).where(campaign_sender.c.campaign_id == row["id"])
            ).scalar()
            processed_at = row["processed_at"]
            identities = connection.execute(
                sa.select(gmail_account_identity.c.address_key).where(
                    gmail_account_identity.c.gmail_account_id.in_(account_ids)
                )
            ).scalars()
            return CampaignWork(
                campaign_id=row["id"],
                user_id=row["user_id"],
                slug=slug,
                processed_seq=row["processed_ingest_seq"],
                newest_seq=max(newest or 0, row["processed_ingest_seq"]),
                recipients_revision=row["recipients_revision"],
                processed_revision=row["processed_recipients_revision"],
                has_new_senders=bool(newest_sender and processed_at and newest_sender > processed_at),
                account_ids=account_ids,
                identity_keys=frozenset(identities),
            )

    # --- which threads ---

    def touched_threads(self, work: CampaignWork) -> set[ThreadKey]:
        """Threads that changed after the mark, up to the newest event of this run; not yet judged for relevance."""
        event = gmail_message_event.c
        return self._keys(
            sa.select(event.gmail_account_id, event.gmail_thread_id)
            .where(
                event.gmail_account_id.in_(work.account_ids),
                event.ingest_seq > work.processed_seq,
                event.ingest_seq <= work.newest_seq,
            )
            .distinct()
        )

    def recipient_threads(self, work: CampaignWork, among: Iterable[ThreadKey] | None = None) -> set[ThreadKey]:
        """Threads of the campaign's senders that a recipient of it wrote in or was written to."""
        found: set[ThreadKey] = set()
        for chunk in self._chunks_or_all(among):
            sql = queries.RECIPIENT_THREADS + (queries.AMONG_THREADS if chunk is not None else "")
            values: dict[str, Any] = {"campaign_id": work.campaign_id}
            if chunk is not None:
                values |= {"accounts": [str(key[0]) for key in chunk], "threads": [key[1] for key in chunk]}
            with self._database.transaction() as connection:
                found |= {(row[0], row[1]) for row in connection.execute(sa.text(sql), values)}
        return found

    def threads_of_people(self, work: CampaignWork, keys: Iterable[str]) -> set[ThreadKey]:
        """Threads of the campaign's senders in which one of these people writes or is written to."""
        found: set[ThreadKey] = set()
        for chunk in in_batches(sorted(set(keys)), _CHUNK):
            with self._database.transaction() as connection:
                rows = connection.execute(
                    sa.text(queries.THREADS_OF_PEOPLE), {"people": list(chunk), "campaign_id": work.campaign_id}
                )
                found |= {(row[0], row[1]) for row in rows}
        return found

    def attributed_threads(self, campaign_id: UUID, among: Iterable[ThreadKey] | None = None) -> set[ThreadKey]:
        """Threads that belong to the campaign already."""
        row = thread_attribution.c
        found: set[ThreadKey] = set()
        for chunk in self._chunks_or_all(among):
            statement = sa.select(row.gmail_account_id, row.gmail_thread_id).where(row.campaign_id == campaign_id)
            if chunk is not None:
                statement = statement.where(_thread_in(row, chunk))
            found |= self._keys(statement.distinct())
        return found

    def threads_without_raw(self, campaign_id: UUID) -> set[ThreadKey]:
        """Threads of which some raw mail was let go by age: they cannot be rebuilt from it."""
        row, mail = thread_attribution.c, gmail_message.c
        return self._keys(
            sa.select(row.gmail_account_id, row.gmail_thread_id)
            .join(
                gmail_message,
                sa.and_(mail.gmail_account_id == row.gmail_account_id, mail.gmail_thread_id == row.gmail_thread_id),
            )
            .where(row.campaign_id == campaign_id, mail.raw_deleted_at.is_not(None))
            .distinct()
        )

    def report_candidates(self, work: CampaignWork, reader_version: str) -> set[ThreadKey]:
        """Threads with unread mail from mail systems: a bounce may stand in a thread that names no recipient."""
        mail, read = gmail_message.c, message_reading.c
        return self._keys(
            sa.select(mail.gmail_account_id, mail.gmail_thread_id)
            .where(
                mail.gmail_account_id.in_(work.account_ids),
                mail.ingest_seq > (0 if work.is_full else work.processed_seq),
                sa.or_(mail.from_key.regexp_match(_DAEMONS), mail.from_key.is_(None)),
                ~sa.exists().where(
                    read.gmail_account_id == mail.gmail_account_id,
                    read.gmail_message_id == mail.gmail_message_id,
                    read.reader_version == reader_version,
                ),
            )
            .distinct()
        )

    def related_threads(self, user_id: UUID, ids: Iterable[str]) -> set[ThreadKey]:
        """Threads in any mailbox of the client whose mail has, answers or reports one of these Message-IDs."""
        found: set[ThreadKey] = set()
        for chunk in in_batches(sorted(set(ids)), _CHUNK):
            with self._database.transaction() as connection:
                rows = connection.execute(sa.text(queries.RELATED), {"user_id": user_id, "ids": chunk})
                found |= {(row[0], row[1]) for row in rows}
        return found

    def report_threads(self, work: CampaignWork) -> set[ThreadKey]:
        """Threads of the client's mailboxes with a stored report about a recipient of the campaign."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.text(queries.REPORTS), {"campaign_id": work.campaign_id, "user_id": work.user_id}
            )
            return {(row[0], row[1]) for row in rows}

    def recipient_keys(self, campaign_id: UUID, among: Iterable[str]) -> set[str]:
        """Those of the address keys that are recipients of the campaign, removed ones included."""
        person = campaign_recipient.c
        with self._database.transaction() as connection:
            return set(
                connection.execute(
                    sa.select(person.email_key).where(
                        person.campaign_id == campaign_id, person.email_key.in_(sorted(set(among)))
                    )
                ).scalars()
            )

    # --- what stands in them ---

    def messages(self, threads: Iterable[ThreadKey], *, with_bodies: bool = False) -> list[StoredMessage]:
        """Every copy in these threads, deleted ones too. Without bodies the texts are empty: lighter by far."""
        columns = [column for column in gmail_message.c if with_bodies or column.name not in _BODIES]
        found: list[StoredMessage] = []
        for chunk in in_batches(sorted(set(threads)), _CHUNK):
            with self._database.transaction() as connection:
                rows = connection.execute(sa.select(*columns).where(_thread_in(gmail_message.c, chunk))).mappings()
                found.extend(_stored(row) for row in rows)
        return found

    def full_messages(self, keys: Sequence[tuple[UUID, str]]) -> list[StoredMessage]:
        """Copies by (account, Gmail message id), with their texts."""
        mail = gmail_message.c
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(gmail_message).where(sa.tuple_(mail.gmail_account_id, mail.gmail_message_id).in_(keys))
            ).mappings()
            return [_stored(row) for row in rows]

    def events(self, threads: Iterable[ThreadKey], *, until_seq: int | None = None) -> list[MessageEvent]:
        """Every event of these threads in the order of `ingest_seq`."""
        event = gmail_message_event.c
        found: list[MessageEvent] = []
        for chunk in in_batches(sorted(set(threads)), _CHUNK):
            statement = sa.select(gmail_message_event).where(_thread_in(event, chunk))
            if until_seq is not None:
                statement = statement.where(event.ingest_seq <= until_seq)
            with self._database.transaction() as connection:
                for row in connection.execute(statement).mappings():
                    found.append(MessageEvent.model_validate({name: row[name] for name in MessageEvent.model_fields}))
        return sorted(found, key=lambda item: item.ingest_seq)

    def readings(self, threads: Iterable[ThreadKey]) -> list[MessageReading]:
        """Stored readings of the mail in these threads, of whatever reader version."""
        read, mail = message_reading.c, gmail_message.c
        found: list[MessageReading] = []
        for chunk in in_batches(sorted(set(threads)), _CHUNK):
            statement = sa.select(message_reading).join(
                gmail_message,
                sa.and_(
                    read.gmail_account_id == mail.gmail_account_id,
                    read.gmail_message_id == mail.gmail_message_id,
                ),
            )
            with self._database.transaction() as connection:
                for row in connection.execute(statement.where(_thread_in(mail, chunk))).mappings():
                    found.append(_reading(row))
        return found

    def bury_unreadable(self, account_id: UUID, gmail_message_id: str, *, reason_code: str) -> None:
        """A dead letter (stage `thread`) for a stored message that no reading could be made of."""
        with self._database.transaction() as connection:
            owner = connection.execute(
                sa.select(gmail_account.c.id, gmail_account.c.user_id).where(gmail_account.c.id == account_id)
            ).one()
            bury(connection, owner, gmail_message_id, stage="thread", reason_code=reason_code, run_id="threads")

    def save_readings(self, readings: Sequence[MessageReading]) -> int:
        """Upsert; returns how many."""
        if not readings:
            return 0
        read, statement = message_reading.c, insert(message_reading)
        statement = statement.on_conflict_do_update(
            index_elements=[read.gmail_account_id, read.gmail_message_id],
            set_={name: statement.excluded[name] for name in _READING_VALUES},
        )
        rows = [
            item.model_dump(exclude={"bounces"}) | {"bounces": [b.model_dump() for b in item.bounces]}
            for item in readings
        ]
        with self._database.transaction() as connection:
            connection.execute(statement, rows)
        return len(readings)

    def rival_scopes(self, work: CampaignWork, keys: Iterable[str]) -> list[CampaignScope]:
        """Every started campaign of the client, with those of its recipients who are among the keys."""
        person = campaign_recipient.c
        recipients: dict[UUID, dict[str, int]] = {}
        with self._database.transaction() as connection:
            for chunk in in_batches(sorted(set(keys)), _CHUNK):
                rows = connection.execute(
                    sa.select(person.campaign_id, person.email_key, person.id)
                    .join(campaign, campaign.c.id == person.campaign_id)
                    .where(campaign.c.user_id == work.user_id, person.email_key.in_(chunk))
                )
                for campaign_id, key, recipient_id in rows:
                    recipients.setdefault(campaign_id, {})[key] = recipient_id
            campaigns = connection.execute(
                sa.select(
                    campaign.c.id, campaign.c.starts_at, campaign.c.ends_at,
                    sa.func.array_agg(campaign_sender.c.gmail_account_id).label("accounts"),
                )
                .join(campaign_sender, campaign_sender.c.campaign_id == campaign.c.id)
                .where(
                    campaign.c.user_id == work.user_id,
                    sa.or_(campaign.c.status != "DRAFT", campaign.c.id == work.campaign_id),
                )
                .group_by(campaign.c.id)
            )  # fmt: skip
            return [
                CampaignScope(
                    campaign_id=row.id, starts_at=row.starts_at, ends_at=row.ends_at,
                    account_ids=frozenset(row.accounts), recipients=recipients.get(row.id, {}),
                )
                for row in campaigns
            ]  # fmt: skip

    # --- states ---

    def stored_versions(self, threads: Iterable[ThreadKey]) -> dict[ThreadKey, list[StoredVersion]]:
        """Heads of all states of these threads, oldest first."""
        state = gmail_thread_state.c
        found: dict[ThreadKey, list[StoredVersion]] = {}
        for chunk in in_batches(sorted(set(threads)), _CHUNK):
            statement = sa.select(
                state.gmail_account_id,
                state.gmail_thread_id,
                state.id,
                state.version,
                state.state_hash,
                state.code_version,
            ).where(_thread_in(state, chunk))
            with self._database.transaction() as connection:
                for row in connection.execute(statement.order_by(state.version)):
                    found.setdefault((row[0], row[1]), []).append(
                        StoredVersion(id=row[2], version=row[3], state_hash=row[4], code_version=row[5])
                    )
        return found

    def append_states(self, appends: Sequence[ThreadAppend], *, run_id: str | None = None) -> int:
        """Append versions and move `is_latest`, in one transaction; returns how many rows.

        Raises StaleStateError where somebody appended since the token was read, and nothing is written then.
        """
        state = gmail_thread_state.c
        appends = [item for item in appends if item.versions]
        if not appends:
            return 0
        keys = [item.key for item in appends]
        rows = [
            _state_row(item.key, version, version is item.versions[-1], run_id)
            for item in appends
            for version in item.versions
        ]
        try:
            with self._database.transaction() as connection:
                latest = connection.execute(
                    sa.select(state.gmail_account_id, state.gmail_thread_id, state.id)
                    .where(_thread_in(state, keys), state.is_latest)
                    .order_by(state.id)
                    .with_for_update()
                )
                tokens = {(row[0], row[1]): row[2] for row in latest}
                stale = [item.key[1] for item in appends if tokens.get(item.key) != item.token]
                if stale:
                    raise StaleStateError(
                        f"{len(stale)} thread states are newer than the ones that were read (first: {stale[0]}).",
                        what_to_do="Read the newest state and decide again.",
                    )
                connection.execute(
                    sa.update(gmail_thread_state)
                    .where(_thread_in(state, keys), state.is_latest)
                    .values(is_latest=False)
                )
                connection.execute(sa.insert(gmail_thread_state), rows)
        except sa.exc.IntegrityError as error:
            raise StaleStateError(
                "Another run stored states of the same threads at the same time.",
                what_to_do="Read the newest state and decide again.",
            ) from error
        return len(rows)

    def states(self, threads: Iterable[ThreadKey]) -> list[ThreadState]:
        """All stored states of these threads, with their documents, by thread and version."""
        state = gmail_thread_state.c
        found: list[ThreadState] = []
        for chunk in in_batches(sorted(set(threads)), _CHUNK):
            statement = sa.select(gmail_thread_state).where(_thread_in(state, chunk))
            with self._database.transaction() as connection:
                for row in connection.execute(statement.order_by(state.gmail_thread_id, state.version)).mappings():
                    fields = {name: row[name] for name in ThreadState.model_fields if name != "document"}
                    found.append(ThreadState.model_validate(fields | {"document": row["state"]}))
        return found

    # --- attributions and the mark ---

    def finish(
        self,
        work: CampaignWork,
        looked_at: Iterable[ThreadKey],
        considered: Iterable[UUID],
        rows: Sequence[ThreadAttribution],
        *,
        run_id: str | None = None,
    ) -> None:
        """Replace the campaign's attributions of these threads and move its mark, in one transaction.

        `rows` may speak of every campaign in `considered`: this recomputes `is_ambiguous` of other campaigns' rows of
        the same threads, or deletes them; only their own runs add to them.
        """
        attribution = thread_attribution.c
        own = [row for row in rows if row.campaign_id == work.campaign_id]
        now = {(r.campaign_id, r.gmail_account_id, r.gmail_thread_id, r.recipient_id): r for r in rows}
        campaigns = [work.campaign_id, *considered]
        lock = sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"threads {work.user_id}"))
        with self._database.transaction() as connection:
            connection.execute(sa.select(lock))
            for chunk in in_batches(sorted(set(looked_at)), _CHUNK):
                note_threads(connection, chunk)  # those who lose a thread here, and those who keep a changed one
                stored = connection.execute(
                    sa.select(thread_attribution).where(
                        _thread_in(attribution, chunk), attribution.campaign_id.in_(campaigns)
                    )
                )
                for row in stored.mappings().all():
                    _bring_up_to_date(connection, row, now, run_id)
            if own:
                values = [row.model_dump() | {"run_id": run_id} for row in own]
                connection.execute(insert(thread_attribution).on_conflict_do_nothing(), values)
                note_recipients(connection, [row.recipient_id for row in own])
            mark = campaign_mark.c
            connection.execute(
                sa.update(campaign_mark)
                .where(mark.campaign_id == work.campaign_id)
                .values(
                    processed_ingest_seq=sa.func.greatest(mark.processed_ingest_seq, work.newest_seq),
                    processed_recipients_revision=sa.func.greatest(
                        mark.processed_recipients_revision, work.recipients_revision
                    ),
                    processed_at=sa.func.now(),
                )
            )

    def attributions(self, campaign_id: UUID) -> list[ThreadAttribution]:
        """Every attribution of the campaign, by thread."""
        row = thread_attribution.c
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(thread_attribution)
                .where(row.campaign_id == campaign_id)
                .order_by(row.gmail_account_id, row.gmail_thread_id, row.recipient_id)
            ).mappings()
            return [ThreadAttribution.model_validate({n: r[n] for n in ThreadAttribution.model_fields}) for r in rows]

    # --- for checks and the sensor ---

    def consistency(self, campaign_id: UUID) -> dict[str, int]:
        """Counts that must be zero: attributed threads without exactly one latest state, and orphaned rows."""
        with self._database.transaction() as connection:
            row = connection.execute(sa.text(queries.CONSISTENCY), {"campaign_id": campaign_id}).mappings().one()
            return {name: int(value) for name, value in row.items()}

    def fingerprint(self) -> str:
        """A short text that changes with every event, import, processing or export: an idle tick's one cheap query."""
        with self._database.transaction() as connection:
            return str(connection.execute(sa.text(queries.FINGERPRINT)).scalar_one())

    def pulses(self) -> list[CampaignPulse]:
        """Every campaign that is not a draft and whose sheet was imported once, with its newest relevant event."""
        with self._database.transaction() as connection:
            rows = connection.execute(sa.text(queries.PULSES), {"daemons": _DAEMONS}).mappings()
            return [CampaignPulse.model_validate(dict(row)) for row in rows]

    # --- inside ---

    def _keys(self, statement: sa.Select[Any]) -> set[ThreadKey]:
        with self._database.transaction() as connection:
            return {(row[0], row[1]) for row in connection.execute(statement)}

    @staticmethod
    def _chunks_or_all(among: Iterable[ThreadKey] | None) -> Iterable[list[ThreadKey] | None]:
        return [None] if among is None else list(in_batches(sorted(set(among)), _CHUNK))


_ATTRIBUTION_VALUES = {"is_ambiguous", "rule", "confidence", "conversation_key", "conversation_is_guess"}
_BODIES = frozenset(("body_text", "body_html", "attachments"))
_READING_VALUES = (
    "reader_version", "direction", "kind", "evidence", "new_words", "bounces", "bounced_message_id", "returns_at",
)  # fmt: skip


def _bring_up_to_date(
    connection: sa.Connection,
    row: sa.RowMapping,
    now: Mapping[tuple[UUID, UUID, str, int], ThreadAttribution],
    run_id: str | None,
) -> None:
    identity = (row["campaign_id"], row["gmail_account_id"], row["gmail_thread_id"], row["recipient_id"])
    found = now.get(identity)
    if found is None:
        connection.execute(sa.delete(thread_attribution).where(_same_attribution(identity)))
        return
    values = found.model_dump(include=_ATTRIBUTION_VALUES)
    if any(row[name] != value for name, value in values.items()):
        connection.execute(
            sa.update(thread_attribution).where(_same_attribution(identity)).values(**values, run_id=run_id)
        )


def _thread_in(columns: Any, keys: Sequence[ThreadKey]) -> sa.ColumnElement[bool]:
    return sa.tuple_(columns.gmail_account_id, columns.gmail_thread_id).in_(list(keys))


def _same_attribution(identity: tuple[UUID, UUID, str, int]) -> sa.ColumnElement[bool]:
    row = thread_attribution.c
    return sa.and_(
        row.campaign_id == identity[0], row.gmail_account_id == identity[1],
        row.gmail_thread_id == identity[2], row.recipient_id == identity[3],
    )  # fmt: skip


def _state_row(key: ThreadKey, version: StateVersion, is_latest: bool, run_id: str | None) -> dict[str, Any]:
    return {
        "gmail_account_id": key[0],
        "gmail_thread_id": key[1],
        "version": version.version,
        "is_latest": is_latest,
        "state": json.loads(version.state_json),
        "state_hash": version.state_hash,
        "reason": version.reason,
        "cause_ingest_seq": version.cause_ingest_seq,
        "cause_gmail_message_id": version.cause_gmail_message_id,
        "code_version": STATE_VERSION,
        "run_id": run_id,
    }


def _stored(row: Mapping[Any, Any]) -> StoredMessage:
    body = {
        "body_text": row.get("body_text", ""),
        "body_html": row.get("body_html"),
        "attachments": row.get("attachments", []),
    }
    parsed = {name: row[name] for name in ParsedMessage.model_fields if name not in body}
    outer = {name: row[name] for name in StoredMessage.model_fields if name != "parsed"}
    return StoredMessage.model_validate(outer | {"parsed": parsed | body})


def _reading(row: Mapping[Any, Any]) -> MessageReading:
    fields = {name: row[name] for name in MessageReading.model_fields}
    fields["bounces"] = tuple(FailedRecipient.model_validate(item) for item in row["bounces"])
    return MessageReading.model_validate(fields)
