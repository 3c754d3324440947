"""The order of an erasure. A crash after any step is mended by running it again: what keeps the person out comes first,
and the rows go together with a note of the bytes that go after them.
"""

from collections.abc import Sequence
from uuid import UUID

from cheerful_pipelines.people.mention_store import MentionStore
from cheerful_pipelines.people.models import ErasureReport, Mention, Person
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


def erase_person(
    database: Database, blobs: BlobStore, user_id: UUID, addresses: Sequence[str], *, hash_key: str, requested_by: str
) -> tuple[Person, ErasureReport]:
    """Keep the person out, then remove rows, then raw mail. Raises PermanentError for an address of our own.

    `database` must see every client: a raw mail that another client's mailbox shares byte for byte stays.
    """
    store = PersonStore(database.for_client(user_id))
    person = store.find(user_id, addresses)
    store.suppress(person, hash_key=hash_key, requested_by=requested_by)
    person = store.find(user_id, addresses)  # with what was stored until a moment ago
    report = store.remove(person, hash_key=hash_key)
    return person, report.model_copy(update={"blobs": delete_bytes(database, blobs, user_id)})


def delete_mails(
    database: Database, blobs: BlobStore, user_id: UUID, mentions: Sequence[Mention], *, by: str
) -> ErasureReport:
    """Remove mails that a person chose from the mentions, as an erasure would. `database` must see every client."""
    ours = database.for_client(user_id)
    mails = tuple((one.gmail_account_id, one.gmail_message_id) for one in mentions)
    chosen = Person(user_id=user_id, keys=(), patterns=(), names=(), recipient_ids=(), campaigns=(), messages=mails)
    store = MentionStore(ours)
    report = PersonStore(ours).remove_rows(chosen, store.hashes_of(mentions))
    gone = delete_bytes(database, blobs, user_id)
    store.decide(mentions, decision="deleted", by=by)
    return report.model_copy(update={"blobs": gone})


def delete_bytes(database: Database, blobs: BlobStore, user_id: UUID) -> int:
    """Raw mail whose rows are gone, and that no other stored mail shares; also what an earlier crash left."""
    store = PersonStore(database.for_client(user_id))
    hashes = store.blobs_to_remove(user_id)
    gone = sorted(set(hashes) - PersonStore(database).still_needed(hashes))
    for key in gone:
        blobs.delete(key)
    store.note_blobs_removed(user_id)
    return len(gone)
