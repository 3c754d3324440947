"""What is let go by age, in Postgres: raw mail that is no evidence any more, and the words of old verdicts."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from cheerful_pipelines.storage.engine import Database

_DUE = sa.text("""
    select g.id, g.raw_sha256 from gmail_message g
      join message_reading r using (gmail_account_id, gmail_message_id)
     where g.internal_date < :before and g.raw_deleted_at is null
       and r.kind not in ('bounce', 'delayed', 'delivered', 'complaint')
     order by g.id limit :most
""")
_NEEDED = sa.text("""
    select distinct raw_sha256 from gmail_message
     where raw_sha256 = any(:hashes) and raw_deleted_at is null and id <> all(:ids)
""")
_NAMED = sa.text("""
    select distinct raw_sha256 from gmail_message where raw_sha256 = any(:hashes) and raw_deleted_at is null
""")
_FORGET = sa.text("""
    update thread_verdict set rationale = '', evidence_quote = null
     where created_at < :before and (rationale <> '' or evidence_quote is not null)
""")


class RawMail(NamedTuple):
    """One stored mail's bytes."""

    id: int
    raw_sha256: str


class RetentionStore:
    """`database` sees every client: two of them may hold the same bytes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, before: datetime, *, most: int = 1_000) -> list[RawMail]:
        """Mail from before then that was read, and is no delivery report: those may be read again by better rules."""
        with self._database.transaction() as connection:
            return [RawMail(*row) for row in connection.execute(_DUE, {"before": before, "most": most})]

    def still_needed(self, mails: Sequence[RawMail]) -> set[str]:
        """Hashes that another mail needs, which is not due."""
        values = {"hashes": [mail.raw_sha256 for mail in mails], "ids": [mail.id for mail in mails]}
        with self._database.transaction() as connection:
            return set(connection.execute(_NEEDED, values).scalars())

    def named(self, hashes: Sequence[str]) -> set[str]:
        """Those of the hashes that a stored message's row names, and whose bytes are to be kept."""
        with self._database.transaction() as connection:
            return set(connection.execute(_NAMED, {"hashes": list(hashes)}).scalars())

    def note_gone(self, mails: Sequence[RawMail]) -> None:
        """Their bytes are gone."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.text("update gmail_message set raw_deleted_at = now() where id = any(:ids)"),
                {"ids": [mail.id for mail in mails]},
            )

    def forget_rationales(self, before: datetime) -> int:
        """Verdicts keep label, confidence and fields; returns how many lost their words."""
        with self._database.transaction() as connection:
            return connection.execute(_FORGET, {"before": before}).rowcount
