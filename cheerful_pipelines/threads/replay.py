"""The proof of the event-sourced states: rebuilt from raw mail and events, compared byte for byte."""

from collections.abc import Mapping, Sequence
from random import Random

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.core.errors import PermanentError, PoisonError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.mail.models import StoredMessage
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.reading.read_message import read_or_mark, wants_raw
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.threads.attribution import ThreadKey
from cheerful_pipelines.threads.models import ThreadState
from cheerful_pipelines.threads.process import events_by_thread
from cheerful_pipelines.threads.states import STATE_VERSION, StateVersion, canonical_json, fold, state_hash
from cheerful_pipelines.threads.store import ThreadStore

logger = get_logger(__name__)

_THREADS_AT_ONCE = 200


class ReplayReport(BaseModel):
    """`differences` names threads by id; `made_by_other_code` are those whose states another version made."""

    model_config = ConfigDict(frozen=True)
    threads: int
    states: int
    equal: int
    made_by_other_code: int
    differences: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    """`account/message` whose raw mail is lost, damaged or cannot be parsed; their threads are among `differences`."""


def replay_campaign(
    store: ThreadStore, blobs: BlobStore, slug: str, *, sample: int | None = None, seed: int = 0
) -> ReplayReport:
    """Recompute the states of the campaign's threads from raw bytes and events; nothing is written.

    `sample` threads at random (by `seed`), or all. Raises NotFoundError for an unknown campaign. A message that
    cannot be read is named; its thread counts as different, and every other thread is compared.
    """
    work = store.begin(slug)
    threads = sorted(store.attributed_threads(work.campaign_id) - store.threads_without_raw(work.campaign_id))
    if sample is not None and sample < len(threads):
        threads = sorted(Random(seed).sample(threads, sample))
    states = equal = other = 0
    differences: list[str] = []
    unreadable: list[str] = []
    for start in range(0, len(threads), _THREADS_AT_ONCE):
        chunk = threads[start : start + _THREADS_AT_ONCE]
        stored = _states_by_thread(store.states(chunk))
        # Another campaign of the same thread may be ahead of this one: events count up to the newest state's own.
        until = {
            key: max([work.processed_seq, *(state.cause_ingest_seq for state in stored.get(key, []))]) for key in chunk
        }
        replayed = _replayed(store, blobs, chunk, work.identity_keys, until, unreadable)
        for key in chunk:
            before, now = stored.get(key, []), replayed.get(key)
            states += len(before)
            if any(state.code_version != STATE_VERSION for state in before):
                other += 1
            elif now is not None and _same(before, now):
                equal += 1
            else:
                differences.append(f"{key[0]}/{key[1]}")
    return ReplayReport(
        threads=len(threads),
        states=states,
        equal=equal,
        made_by_other_code=other,
        differences=tuple(differences),
        unreadable=tuple(unreadable),
    )


def _replayed(
    store: ThreadStore,
    blobs: BlobStore,
    threads: Sequence[ThreadKey],
    identity_keys: frozenset[str],
    until: Mapping[ThreadKey, int],
    unreadable: list[str],
) -> dict[ThreadKey, list[StateVersion]]:
    """Versions of each thread from raw bytes and its events up to a number of its own.

    Threads with a message that cannot be read are left out, and the message added to `unreadable`. Threads whose states
    cannot be made are left out, too.
    """
    messages: dict[ThreadKey, dict[str, StoredMessage]] = {key: {} for key in threads}
    raws: dict[str, bytes] = {}
    for stored in store.messages(threads):
        key = (stored.gmail_account_id, stored.gmail_thread_id)
        try:
            raw = blobs.get(stored.raw_sha256)
            fresh = stored.model_copy(update={"parsed": parse_message(raw)})
        except (PermanentError, PoisonError):  # lost, damaged, or poison: the other threads go on
            unreadable.append(f"{stored.gmail_account_id}/{stored.gmail_message_id}")
            messages.pop(key, None)
            continue
        raws[stored.raw_sha256] = raw
        if key in messages:
            messages[key][stored.gmail_message_id] = fresh
    events = events_by_thread(store.events(threads, until_seq=max(until.values(), default=0)))
    replayed: dict[ThreadKey, list[StateVersion]] = {}
    for key, found in messages.items():
        try:
            with one_message("replay"):
                readings = {
                    name: read_or_mark(message, raws[message.raw_sha256] if wants_raw(message) else None, identity_keys)
                    for name, message in found.items()
                }
                until_then = [event for event in events.get(key, []) if event.ingest_seq <= until[key]]
                replayed[key] = fold(until_then, found, readings, identity_keys)
        except PoisonError as error:  # it counts as different
            logger.warning("thread_not_replayed", gmail_thread_id=key[1], reason_code=error.reason_code)
    return replayed


def _same(stored: Sequence[ThreadState], replayed: Sequence[StateVersion]) -> bool:
    """Byte for byte: the stored document's canonical JSON, and the hash that was stored beside it."""
    if len(stored) != len(replayed):
        return False
    return all(
        canonical_json(old.document) == new.state_json
        and old.state_hash == new.state_hash == state_hash(new.state_json)
        and old.version == new.version
        and old.cause_ingest_seq == new.cause_ingest_seq
        for old, new in zip(stored, replayed, strict=True)
    )


def _states_by_thread(states: Sequence[ThreadState]) -> dict[ThreadKey, list[ThreadState]]:
    grouped: dict[ThreadKey, list[ThreadState]] = {}
    for state in states:
        grouped.setdefault((state.gmail_account_id, state.gmail_thread_id), []).append(state)
    return grouped
