"""One archive with what is stored of a person: tables as JSON, and the mails that they sent or received.

Mails of others that only mention the person are not in it: they hold other people's words (own_data.py). The file is
for its owner to read, from its first byte on.
"""

import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.people.models import Person
from cheerful_pipelines.people.own_data import Rows, is_from, own_bytes, own_rows
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import addresses_in


def export_person(
    database: Database, blobs: BlobStore, user_id: UUID, addresses: Sequence[str], path: Path
) -> tuple[Person, dict[str, int]]:
    """Write the archive, which must not be there yet; returns the person and how many rows of each kind it holds.

    Raises NotFoundError if nothing is stored, FileExistsError; a file that could not be finished is removed.
    """
    store = PersonStore(database.for_client(user_id))
    person = store.find(user_id, addresses)
    if not person.is_known:
        raise NotFoundError(
            "Nothing is stored under these addresses.", what_to_do="Check the spelling, and the client."
        )
    rows = own_rows(store.rows_of(store.exchanged(person)), person.keys, addresses_in)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            _write(archive, rows, blobs, person)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return person, {name: len(found) for name, found in rows.items()}


def _write(archive: zipfile.ZipFile, rows: Rows, blobs: BlobStore, person: Person) -> None:
    for name, found in rows.items():
        archive.writestr(f"{name}.json", json.dumps(found, indent=2, ensure_ascii=False, default=str))
    for message in rows["messages"]:
        try:
            raw = blobs.get(message["raw_sha256"])
        except NotFoundError:  # deleted by age; the row tells what it said
            continue
        archive.writestr(
            f"mail/{message['gmail_account_id']}/{message['gmail_message_id']}.eml",
            raw if is_from(message, person.keys) else own_bytes(raw),
        )
