"""One campaign from stored mail to thread states and attributions: the order of the work, and nothing else.

Rules stand in the pure files, queries in the store. What was done is told by a `ProcessReport`, counts only.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import NotFoundError, PermanentError, StaleStateError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.mail.models import MessageEvent, StoredMessage
from cheerful_pipelines.mail.reading.models import MessageReading
from cheerful_pipelines.mail.reading.read_message import (
    READER_VERSION,
    direction_of,
    is_unreadable,
    read_or_mark,
    wants_raw,
)
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.threads.attribution import ThreadFacts, ThreadKey, attribute
from cheerful_pipelines.threads.membership import LinkedMessage, conversations
from cheerful_pipelines.threads.models import ThreadAttribution
from cheerful_pipelines.threads.states import STATE_VERSION, StateVersion, fold
from cheerful_pipelines.threads.store import CampaignWork, StoredVersion, ThreadAppend, ThreadStore
from cheerful_pipelines.threads.subjects import SubjectThread, seeming_answers

logger = get_logger(__name__)
_Item = TypeVar("_Item")

_MOST_ROUNDS = 20
"""A conversation reaches over so many steps of shared ids at most; real ones need two or three."""
_THREADS_AT_ONCE = 500
_MESSAGES_AT_ONCE = 500
_TRIES = 3


class ProcessReport(BaseModel):
    """What one run saw and did."""

    model_config = ConfigDict(frozen=True)
    processed_seq_before: int
    processed_seq_after: int
    full: bool
    threads_touched: int
    threads_seen: int
    threads_attributed: int
    states_inserted: int
    messages_read: int
    kinds: dict[str, int]
    """Inbound messages of the attributed threads by kind."""
    ambiguous: int
    recipients_revision: int


def process_campaign(store: ThreadStore, blobs: BlobStore, slug: str, *, run_id: str | None = None) -> ProcessReport:
    """Bring the campaign's threads up to the newest event known at the start. Running it again changes nothing.

    Raises NotFoundError for an unknown campaign, StaleStateError where other runs keep winning.
    """
    work = store.begin(slug)
    touched = store.touched_threads(work)
    read = _read_reports(store, blobs, work)
    seen = _relevant_threads(store, work, touched)
    messages = store.messages(seen)
    read += _read_missing(store, blobs, work.identity_keys, messages, seen)
    readings = {(r.gmail_account_id, r.gmail_message_id): r for r in store.readings(seen)}
    rows, campaigns = _attributions(store, work, messages, readings)
    attributed = {(row.gmail_account_id, row.gmail_thread_id) for row in rows if row.campaign_id == work.campaign_id}
    inserted, kinds = 0, Counter[str]()
    by_thread = _by_thread(messages)
    for chunk in in_batches(sorted(attributed), _THREADS_AT_ONCE):
        inserted += _append(store, work, chunk, by_thread, readings, run_id)
        kinds.update(_inbound_kinds(chunk, by_thread, readings))
    store.finish(work, seen, campaigns, rows, run_id=run_id)
    return ProcessReport(
        processed_seq_before=work.processed_seq,
        processed_seq_after=work.newest_seq,
        full=work.is_full,
        threads_touched=len(touched),
        threads_seen=len(seen),
        threads_attributed=len(attributed),
        states_inserted=inserted,
        messages_read=read,
        kinds=dict(kinds),
        ambiguous=len(
            {row.gmail_thread_id for row in rows if row.is_ambiguous and row.campaign_id == work.campaign_id}
        ),
        recipients_revision=work.recipients_revision,
    )


# --- which threads ------------------------------------------------------------------------------------------------


def _relevant_threads(store: ThreadStore, work: CampaignWork, touched: set[ThreadKey]) -> set[ThreadKey]:
    """The campaign's own threads among the touched ones (all of them where the recipients changed), with their kin."""
    among = None if work.is_full else touched
    start = store.recipient_threads(work, among) | store.attributed_threads(work.campaign_id, among)
    if work.is_full:
        start |= store.report_threads(work)
    else:
        start |= _joined_threads(store, work, touched - start)
        start |= _threads_of_the_same_people(store, work, start)
    return _with_relatives(store, work, start)


def _threads_of_the_same_people(store: ThreadStore, work: CampaignWork, start: set[ThreadKey]) -> set[ThreadKey]:
    """An answer without headers is told by its subject among the other threads of the same recipient."""
    people = {
        key
        for message in store.messages(start)
        for key in (message.parsed.from_key, *message.parsed.to_keys)
        if key and key not in work.identity_keys
    }
    ours = store.recipient_keys(work.campaign_id, people) if people else set()
    return store.threads_of_people(work, ours) if ours else set()


def _joined_threads(store: ThreadStore, work: CampaignWork, strangers: set[ThreadKey]) -> set[ThreadKey]:
    """Touched threads that name no recipient, but answer the campaign's mail or report a failure of it."""
    if not strangers:
        return set()
    messages = _by_thread(store.messages(strangers))
    readings: dict[ThreadKey, list[MessageReading]] = defaultdict(list)
    where = {(m.gmail_account_id, m.gmail_message_id): key for key, found in messages.items() for m in found}
    for reading in store.readings(strangers):
        readings[where[(reading.gmail_account_id, reading.gmail_message_id)]].append(reading)
    failed = {key for found in readings.values() for r in found for item in r.bounces for key in item.keys}
    ours = store.recipient_keys(work.campaign_id, failed) if failed else set()
    joined: set[ThreadKey] = set()
    for key, found in messages.items():
        blamed = {one for r in readings[key] for item in r.bounces for one in item.keys}
        ids = _ids(found, readings[key])
        if blamed & ours:
            joined.add(key)
        elif ids:
            relatives = store.related_threads(work.user_id, ids) - {key}
            if relatives and (
                store.recipient_threads(work, relatives) or store.attributed_threads(work.campaign_id, relatives)
            ):
                joined.add(key)
    return joined


def _with_relatives(store: ThreadStore, work: CampaignWork, start: set[ThreadKey]) -> set[ThreadKey]:
    """Every thread that shares Message-IDs with these, in any mailbox of the client, until nothing is added."""
    known, frontier, asked = set(start), set(start), set[str]()
    for _ in range(_MOST_ROUNDS):
        ids = _ids(store.messages(frontier), store.readings(frontier)) - asked
        if not ids:
            break
        asked |= ids
        frontier = store.related_threads(work.user_id, ids) - known
        known |= frontier
        if not frontier:
            break
    return known


def _ids(messages: Iterable[StoredMessage], readings: Iterable[MessageReading]) -> set[str]:
    ids = {
        message_id
        for message in messages
        for message_id in (
            message.parsed.rfc822_message_id,
            *message.parsed.in_reply_to,
            *message.parsed.reference_ids,
        )
        if message_id
    }
    return ids | {reading.bounced_message_id for reading in readings if reading.bounced_message_id}


# --- readings -----------------------------------------------------------------------------------------------------


def _read_reports(store: ThreadStore, blobs: BlobStore, work: CampaignWork) -> int:
    threads = store.report_candidates(work, READER_VERSION)
    return _read_missing(store, blobs, work.identity_keys, store.messages(threads), threads) if threads else 0


def _read_missing(
    store: ThreadStore,
    blobs: BlobStore,
    identity_keys: frozenset[str],
    messages: Sequence[StoredMessage],
    threads: set[ThreadKey],
) -> int:
    """Read every message that has no reading by the present rules; raw mail is fetched only for likely reports."""
    done = {
        (r.gmail_account_id, r.gmail_message_id): r.direction
        for r in store.readings(threads)
        if r.reader_version == READER_VERSION
    }
    missing = [
        (m.gmail_account_id, m.gmail_message_id)
        for m in messages
        if (m.gmail_account_id, m.gmail_message_id) not in done
    ]
    for chunk in in_batches(sorted(missing), _MESSAGES_AT_ONCE):
        stored = store.full_messages(chunk)
        read = [read_stored(message, blobs, identity_keys) for message in stored]
        store.save_readings(read)
        _note_unreadable(store, read)
    return len(missing)


def _note_unreadable(store: ThreadStore, readings: Iterable[MessageReading]) -> None:
    """A dead letter for each: the check `no_dead_letters` and the health report name it."""
    for reading in readings:
        if is_unreadable(reading):
            code = (reading.evidence or "").rpartition(" ")[2]
            logger.warning("message_unreadable", gmail_message_id=reading.gmail_message_id, reason_code=code)
            store.bury_unreadable(reading.gmail_account_id, reading.gmail_message_id, reason_code=code)


def read_stored(message: StoredMessage, blobs: BlobStore, identity_keys: frozenset[str]) -> MessageReading:
    """Read one stored copy, with its raw bytes where they are needed; a lost blob costs only the report in it."""
    raw: bytes | None = None
    if wants_raw(message):
        try:
            raw = blobs.get(message.raw_sha256)
        except NotFoundError:
            logger.warning("raw_mail_missing", message_id=message.message_id)
        except PermanentError:
            logger.warning("raw_mail_damaged", message_id=message.message_id)
    return read_or_mark(message, raw, identity_keys)


# --- attributions and states --------------------------------------------------------------------------------------


def _attributions(
    store: ThreadStore,
    work: CampaignWork,
    messages: Sequence[StoredMessage],
    readings: Mapping[tuple[UUID, str], MessageReading],
) -> tuple[list[ThreadAttribution], set[UUID]]:
    """Attributions of the threads, and the campaigns that were considered for them."""
    facts = thread_facts(messages, readings, work.identity_keys)
    keys = {key for fact in facts for _, to in fact.sent for key in to}
    keys |= {key for fact in facts for _, key, _ in fact.received}
    scopes = store.rival_scopes(work, keys)
    return attribute(facts, scopes), {scope.campaign_id for scope in scopes}


def thread_facts(
    messages: Sequence[StoredMessage],
    readings: Mapping[tuple[UUID, str], MessageReading],
    identity_keys: frozenset[str],
) -> list[ThreadFacts]:
    """Who wrote to whom in each thread, and its conversation, from messages and readings. Drafts do not count."""
    by_thread = _by_thread(message for message in messages if "DRAFT" not in message.label_ids)
    links, pairs, subjects = [], [], []
    for found in by_thread.values():
        found.sort(key=lambda one: (one.internal_date, one.gmail_message_id))
        first = found[0]
        first_key = (str(first.gmail_account_id), first.gmail_message_id)
        for message in found:
            key = (str(message.gmail_account_id), message.gmail_message_id)
            reading = readings.get((message.gmail_account_id, message.gmail_message_id))
            failed = (reading.bounced_message_id,) if reading and reading.bounced_message_id else ()
            parsed = message.parsed
            links.append(
                LinkedMessage(
                    key,
                    parsed.rfc822_message_id,
                    (*parsed.in_reply_to, *failed),
                    parsed.reference_ids,
                    content=message.message_id,
                )
            )
            pairs.append((first_key, key))
        subjects.append(
            SubjectThread(
                first_key,
                first.parsed.subject,
                bool(first.parsed.in_reply_to or first.parsed.reference_ids),
                _people(found, identity_keys),
                first.internal_date,
            )
        )
    guesses = seeming_answers(subjects)
    named = conversations(links, pairs)
    shown = conversations(links, [*pairs, *guesses.items()]) if guesses else named
    facts = []
    for thread_key, found in by_thread.items():
        first_key = (str(found[0].gmail_account_id), found[0].gmail_message_id)
        fact = _facts(thread_key, found, readings, identity_keys, named[first_key])
        facts.append(fact.model_copy(update={"shown_key": shown[first_key], "is_guess": first_key in guesses}))
    return facts


def _people(messages: Iterable[StoredMessage], identity_keys: frozenset[str]) -> frozenset[str]:
    named = {key for message in messages for key in (message.parsed.from_key, *message.parsed.to_keys) if key}
    return frozenset(named - identity_keys)


def _facts(
    key: ThreadKey,
    found: Sequence[StoredMessage],
    readings: Mapping[tuple[UUID, str], MessageReading],
    identity_keys: frozenset[str],
    conversation_key: str,
) -> ThreadFacts:
    sent: list[tuple[datetime, tuple[str, ...]]] = []
    received: list[tuple[datetime, str, bool]] = []
    for message in found:
        reading = readings.get((message.gmail_account_id, message.gmail_message_id))
        at = message.internal_date
        if reading is not None and reading.bounces:
            received.extend((at, one, False) for item in reading.bounces for one in item.keys)
        elif direction_of(message.label_ids, message, identity_keys) == "ours":
            sent.append((at, tuple(k for k in message.parsed.to_keys if k not in identity_keys)))
        else:
            if message.parsed.from_key:
                received.append((at, message.parsed.from_key, True))
            received.extend((at, k, False) for k in message.parsed.to_keys if k not in identity_keys)
    return ThreadFacts(
        gmail_account_id=key[0],
        gmail_thread_id=key[1],
        sent=tuple(sorted(sent)),
        received=tuple(sorted(received)),
        conversation_key=conversation_key,
    )


def _append(
    store: ThreadStore,
    work: CampaignWork,
    threads: Sequence[ThreadKey],
    by_thread: Mapping[ThreadKey, Sequence[StoredMessage]],
    readings: Mapping[tuple[UUID, str], MessageReading],
    run_id: str | None,
) -> int:
    events = events_by_thread(store.events(threads, until_seq=work.newest_seq))
    computed = {
        key: fold(
            events.get(key, []),
            {message.gmail_message_id: message for message in by_thread[key]},
            {m.gmail_message_id: r for m in by_thread[key] if (r := readings.get((key[0], m.gmail_message_id)))},
            work.identity_keys,
        )
        for key in threads
    }
    for attempt in range(_TRIES):
        stored = store.stored_versions(threads)
        appends = [
            ThreadAppend(key=key, token=stored[key][-1].id if key in stored else None, versions=missing)
            for key, versions in computed.items()
            if (missing := missing_versions(versions, stored.get(key, [])))
        ]
        try:
            return store.append_states(appends, run_id=run_id)
        except StaleStateError:
            # Another campaign's run stored the same states: read them and see what is still missing.
            if attempt == _TRIES - 1:
                raise
    return 0


def missing_versions(computed: Sequence[StateVersion], stored: Sequence[StoredVersion]) -> tuple[StateVersion, ...]:
    """What to append so that the newest stored state is the newest computed one.

    Usually the stored versions are a beginning of the computed ones. Where they are not (other code or identities
    made them) history stays as it is and one version with today's reading is appended.
    """
    heads = [version.state_hash for version in stored]
    hashes = [version.state_hash for version in computed]
    if hashes[: len(heads)] == heads:
        return tuple(computed[len(heads) :])
    if not computed or hashes[-1] == heads[-1]:
        return ()
    reason = "read by new rules" if stored[-1].code_version != STATE_VERSION else "read again"
    return (computed[-1].model_copy(update={"version": stored[-1].version + 1, "reason": reason}),)


def events_by_thread(events: Iterable[MessageEvent]) -> dict[ThreadKey, list[MessageEvent]]:
    """Events grouped by (account, thread), their order kept."""
    grouped: dict[ThreadKey, list[MessageEvent]] = defaultdict(list)
    for event in events:
        grouped[(event.gmail_account_id, event.gmail_thread_id)].append(event)
    return grouped


def _by_thread(messages: Iterable[StoredMessage]) -> dict[ThreadKey, list[StoredMessage]]:
    grouped: dict[ThreadKey, list[StoredMessage]] = defaultdict(list)
    for message in messages:
        grouped[(message.gmail_account_id, message.gmail_thread_id)].append(message)
    return grouped


def _inbound_kinds(
    threads: Iterable[ThreadKey],
    by_thread: Mapping[ThreadKey, Sequence[StoredMessage]],
    readings: Mapping[tuple[UUID, str], MessageReading],
) -> Counter[str]:
    kinds = Counter[str]()
    for key in threads:
        for message in by_thread[key]:
            reading = readings.get((key[0], message.gmail_message_id))
            if reading is not None and reading.direction == "theirs":
                kinds[reading.kind] += 1
    return kinds
