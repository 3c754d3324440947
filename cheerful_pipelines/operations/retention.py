"""Letting go by age: the order of the work. Nothing is let go unless a setting says after how many days."""

from datetime import datetime, timedelta
from typing import NamedTuple

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.operations.retention_store import RetentionStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


class LetGo(NamedTuple):
    """What was let go."""

    raw_mails: int
    rationales: int


def let_go(settings: Settings, database: Database, blobs: BlobStore, now: datetime) -> LetGo:
    """Raw mail and rationales that are older than the settings keep them. Twice lets nothing more go."""
    store, raw, rationales = RetentionStore(database.for_every_client()), 0, 0
    if settings.keep_raw_mail_days is not None:
        before = now - timedelta(days=settings.keep_raw_mail_days)
        while mails := store.due(before):
            # Bytes before the note: after a crash in between, the same mails are due again.
            for key in {mail.raw_sha256 for mail in mails} - store.still_needed(mails):
                blobs.delete(key)
            store.note_gone(mails)
            raw += len(mails)
    if settings.keep_rationales_days is not None:
        rationales = store.forget_rationales(now - timedelta(days=settings.keep_rationales_days))
    return LetGo(raw, rationales)
