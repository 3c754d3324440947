"""Mentions in Postgres: searched, kept for a person to decide, decided. Places only; words stay where they are."""

from collections.abc import Sequence
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.people.mentions import (
    FoundIn,
    MentionPattern,
    locate,
    mention_patterns,
    postal_addresses_in,
    snippet,
)
from cheerful_pipelines.people.models import Mention, OpenMention, Person
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import gmail_account
from cheerful_pipelines.storage.schema.mail import gmail_message
from cheerful_pipelines.storage.schema.people import person_mention

_CALLED = sa.text("""
    select r.name, r.handle, r.custom_fields from campaign_recipient r where r.id = any(:ids)
    union all
    select v.name, v.handle, '{}'::jsonb from campaign_recipient_version v where v.recipient_id = any(:ids)
""")
_SIGNED = sa.text("""
    select distinct from_name from gmail_message where from_key = any(:keys) and from_name is not null
       and position('@' in from_name) = 0
""")
_GIVEN = sa.text("""
    select distinct v.fields #>> '{address,evidence}' from thread_verdict v
      join gmail_message g using (gmail_account_id, gmail_thread_id)
     where g.from_key = any(:keys) and v.fields #>> '{address,evidence}' is not null
""")
_SEARCH = sa.text("""
    select g.gmail_account_id, g.gmail_message_id, g.subject, g.body_text, g.attachments::text as attachments
      from gmail_message g
     where lower(concat_ws(chr(10), g.subject, g.body_text, g.attachments::text)) ~ any(:forms)
       and not exists (select 1 from unnest(cast(:accounts as uuid[]), cast(:ids as text[])) as theirs (account, id)
                        where theirs.account = g.gmail_account_id and theirs.id = g.gmail_message_id)
     order by 1, 2
""")


class MentionStore:
    """Of one client: `database` is scoped to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def patterns(self, person: Person) -> tuple[MentionPattern, ...]:
        """Their names, handles and postal addresses, from sheets, from how they sign, and from what they wrote."""
        with self._database.transaction() as connection:
            called = connection.execute(_CALLED, {"ids": list(person.recipient_ids)}).all()
            signed = connection.execute(_SIGNED, {"keys": list(person.keys)}).scalars().all()
            given = connection.execute(_GIVEN, {"keys": list(person.keys)}).scalars().all()
        postal = [one for row in called for one in postal_addresses_in(row.custom_fields)]
        return mention_patterns(
            [*(row.name for row in called if row.name), *signed], [row.handle for row in called if row.handle],
            [*postal, *given],
        )  # fmt: skip

    def search(self, person: Person) -> list[Mention]:
        """In every stored mail that is not the person's anyway (`person.messages`)."""
        patterns = self.patterns(person)
        if not patterns:
            return []
        values = {
            "forms": [one.form for one in patterns], "accounts": [str(account) for account, _ in person.messages],
            "ids": [one for _, one in person.messages],
        }  # fmt: skip
        with self._database.transaction() as connection:
            rows = connection.execute(_SEARCH, values).all()
        texts = [
            FoundIn(row.gmail_account_id, row.gmail_message_id,
                    {"subject": row.subject, "body_text": row.body_text, "attachments": row.attachments})
            for row in rows
        ]  # fmt: skip
        return [locate(one, patterns) for one in texts]

    def keep(self, user_id: UUID, address_hash: str, mentions: Sequence[Mention]) -> None:
        """For a person to decide. What is known already, or was decided, stays as it is."""
        if not mentions:
            return
        rows = [{"user_id": user_id, "address_hash": address_hash, **one.model_dump()} for one in mentions]
        with self._database.transaction() as connection:
            connection.execute(insert(person_mention).values(rows).on_conflict_do_nothing())

    def undecided(self, user_id: UUID) -> list[OpenMention]:
        """With the words around them. A mail that is gone meanwhile needs no decision."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(person_mention, gmail_account.c.alias, gmail_message.c.subject, gmail_message.c.body_text,
                          sa.cast(gmail_message.c.attachments, sa.Text).label("attachments"))
                .join(gmail_account, gmail_account.c.id == person_mention.c.gmail_account_id)
                .join(gmail_message, sa.and_(
                    gmail_message.c.gmail_account_id == person_mention.c.gmail_account_id,
                    gmail_message.c.gmail_message_id == person_mention.c.gmail_message_id,
                ))
                .where(person_mention.c.user_id == user_id, person_mention.c.decided_at.is_(None))
                .order_by(person_mention.c.id)
            ).mappings().all()  # fmt: skip
        return [
            OpenMention(
                **{name: row[name] for name in Mention.model_fields}, alias=row["alias"],
                snippet=snippet(row[row["field"]], row["starts_at"], row["length"]),
            )
            for row in rows
        ]  # fmt: skip

    def hashes_of(self, mentions: Sequence[Mention]) -> list[str]:
        """Whose erasures found them."""
        with self._database.transaction() as connection:
            return list(
                connection.execute(
                    sa.select(person_mention.c.address_hash).distinct().where(_is_one_of(mentions))
                ).scalars()
            )

    def decide(self, mentions: Sequence[Mention], *, decision: str, by: str) -> None:
        """Write down who decided what: `deleted` or `kept`."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(person_mention)
                .where(_is_one_of(mentions), person_mention.c.decided_at.is_(None))
                .values(decision=decision, decided_by=by, decided_at=sa.func.now())
            )


def _is_one_of(mentions: Sequence[Mention]) -> sa.ColumnElement[bool]:
    columns = sa.tuple_(person_mention.c.gmail_account_id, person_mention.c.gmail_message_id)
    return columns.in_([(one.gmail_account_id, one.gmail_message_id) for one in mentions])
