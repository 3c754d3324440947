"""One archive with everything that is stored of a person: tables as JSON, mails as they came."""

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cheerful_pipelines.errors import NotFoundError
from cheerful_pipelines.people.models import Person
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


def export_person(
    database: Database, blobs: BlobStore, user_id: UUID, addresses: Sequence[str], path: Path
) -> tuple[Person, dict[str, int]]:
    """Write the archive; returns the person and how many rows of each kind it holds. Raises NotFoundError."""
    store = PersonStore(database.for_client(user_id))
    person = store.find(user_id, addresses)
    if not person.is_known:
        raise NotFoundError(
            "Nothing is stored under these addresses.", what_to_do="Check the spelling, and the client."
        )
    rows = store.rows_of(person)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, found in rows.items():
            archive.writestr(f"{name}.json", json.dumps(found, indent=2, ensure_ascii=False, default=str))
        for message in rows["messages"]:
            try:
                archive.writestr(f"mail/{message['gmail_message_id']}.eml", blobs.get(message["raw_sha256"]))
            except NotFoundError:  # let go by age; the row tells what it said
                continue
    return person, {name: len(found) for name, found in rows.items()}
