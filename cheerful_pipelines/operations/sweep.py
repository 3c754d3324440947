"""Raw mail that no row names: found, set aside, and deleted a day later.

Bytes are stored before their row (mail/store.py), so a crash in between leaves some, and so may an erasure or a
deletion by age. A blob may also wait for its row right now, and the same mail may be stored again at any moment. So
nothing is deleted where `put` could still find it: it is set aside first, where `get` sees it and `put` does not, and
comes back if a row names it later. No lock is needed, and no transaction is open while the store is asked.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple

from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.operations.retention_store import RetentionStore
from cheerful_pipelines.storage.blobs import BlobStore, StoredBlob
from cheerful_pipelines.storage.engine import Database

WAITS_FOR_ITS_ROW = timedelta(hours=6)
"""So old a blob must be before it is set aside: longer than any run lasts (run_monitoring: two hours)."""
KEPT_ASIDE = timedelta(days=1)
MAX_SHARE = 0.2
MAX_WITHOUT_ROWS = 100
"""More than this share, and more than this number, are not left-overs: the store is another installation's."""
_CHUNK = 1_000


class Swept(NamedTuple):
    """What was done; counts of blobs."""

    looked_at: int
    set_aside: int
    taken_back: int
    deleted: int


def sweep_blobs(database: Database, blobs: BlobStore, now: datetime) -> Swept:
    """Set aside what no row of any client names, delete what was set aside a day ago, take back what is named again.

    Raises PermanentError, with nothing changed, if so much is named by no row that the store cannot be ours.
    """
    store = RetentionStore(database.for_every_client())
    looked_at = 0
    without_rows: list[StoredBlob] = []
    named_again: list[str] = []
    for chunk in _chunks(blobs.stored()):
        looked_at += len(chunk)
        named = store.named([one.key for one in chunk])
        without_rows += [one for one in chunk if one.key not in named]
        named_again += [one.key for one in chunk if one.is_set_aside and one.key in named]
    old = [one.key for one in without_rows if not one.is_set_aside and one.modified < now - WAITS_FOR_ITS_ROW]
    over = [one.key for one in without_rows if one.is_set_aside and one.modified < now - KEPT_ASIDE]
    if len(without_rows) > max(MAX_WITHOUT_ROWS, MAX_SHARE * looked_at):
        raise PermanentError(
            f"{len(without_rows)} of {looked_at} stored mails are named by no row: nothing was changed.",
            what_to_do="Check that CHEERFUL_BLOB_URL is this database's own: installations must not share a folder.",
        )
    for key in old:
        blobs.set_aside(key)
    named_again += sorted(store.named(old))  # their rows came meanwhile
    for key in named_again:
        blobs.take_back(key)
    for key in set(over) - store.named(over):
        blobs.delete_set_aside(key)
    return Swept(looked_at, len(old), len(named_again), len(over))


def blobs_without_rows(database: Database, blobs: BlobStore) -> list[str]:
    """Keys of all stored bytes that no row of any client names, new ones too."""
    store = RetentionStore(database.for_every_client())
    found: list[str] = []
    for chunk in _chunks(blobs.stored()):
        keys = [one.key for one in chunk]
        named = store.named(keys)
        found += [key for key in keys if key not in named]
    return sorted(set(found))


def _chunks(blobs: Iterator[StoredBlob]) -> Iterator[Sequence[StoredBlob]]:
    while chunk := list(islice(blobs, _CHUNK)):
        yield chunk
