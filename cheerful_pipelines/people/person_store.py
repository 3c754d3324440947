"""Everything of a person in Postgres: found, read for an export, removed. Rows never leave: models and values do."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.people.models import ErasureReport, Person
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import address_hash
from cheerful_pipelines.storage.schema.campaigns import gmail_account, gmail_account_identity
from cheerful_pipelines.storage.schema.people import person_request

_INGEST_LOCK = 4_201_001  # the one of mail/store.py: no mail is stored while mail is removed

_FORMS = sa.text("""
    select distinct lower(f) from (
        select email as f from campaign_recipient where email_key = any(:keys) and erased_at is null
        union select v.email from campaign_recipient_version v
                join campaign_recipient r on r.id = v.recipient_id where r.email_key = any(:keys)
        union select g.from_address from gmail_message g where g.from_key = any(:keys)
    ) f where f is not null
""")
_MESSAGES = sa.text("""
    select g.gmail_account_id, g.gmail_message_id
      from gmail_message g left join message_reading r using (gmail_account_id, gmail_message_id)
     where g.from_key = any(:keys) or g.to_keys && cast(:keys as text[])
        or lower(concat_ws(chr(10), g.subject, g.headers::text, g.body_text, g.body_html, g.attachments::text,
                           r.new_words, r.evidence, r.bounces::text)) ~ any(:patterns)
     order by 1, 2
""")
_EXCHANGED = sa.text("""
    select g.gmail_account_id, g.gmail_message_id from gmail_message g
      join unnest(cast(:accounts as uuid[]), cast(:ids as text[])) as asked (account, id)
        on g.gmail_account_id = asked.account and g.gmail_message_id = asked.id
     where g.from_key = any(:keys) or g.to_keys && cast(:keys as text[])
        or exists (select 1 from jsonb_array_elements(g.headers) as h (header)
                    where lower(h.header ->> 0) in ('x-original-from', 'x-original-sender')
                      and lower(h.header ->> 1) ~ any(:patterns))
     order by 1, 2
""")
_RECIPIENTS = sa.text("""
    select r.id, r.name, r.handle, c.slug from campaign_recipient r join campaign c on c.id = r.campaign_id
     where r.email_key = any(:keys) and r.erased_at is null order by r.id
""")
_NAMES = sa.text("""
    select distinct v.name, v.handle from campaign_recipient_version v where v.recipient_id = any(:ids)
""")
_GONE = """
    create temporary table gone on commit drop as
    select g.gmail_account_id, g.gmail_message_id, g.gmail_thread_id, g.raw_sha256, g.message_id
      from gmail_message g join unnest(cast(:accounts as uuid[]), cast(:ids as text[])) as asked (account, id)
        on g.gmail_account_id = asked.account and g.gmail_message_id = asked.id;
    create temporary table gone_threads on commit drop as
    select t.gmail_account_id, t.gmail_thread_id,
           (select min(g.gmail_message_id) from gmail_message g
             where g.gmail_account_id = t.gmail_account_id and g.gmail_thread_id = t.gmail_thread_id
               and not exists (select 1 from gone where gone.gmail_account_id = g.gmail_account_id
                                  and gone.gmail_message_id = g.gmail_message_id)) as left_message_id
      from (select distinct gmail_account_id, gmail_thread_id from gone) t;
    analyze gone;
    analyze gone_threads
"""
_IN_GONE = "(gmail_account_id, gmail_message_id) in (select gmail_account_id, gmail_message_id from gone)"
_IN_THREADS = "(gmail_account_id, gmail_thread_id) in (select gmail_account_id, gmail_thread_id from gone_threads)"
_DELETES: tuple[tuple[str, str], ...] = (
    ("", "delete from llm_batch_item where thread_state_id in "
     f"(select id from gmail_thread_state where {_IN_THREADS})"),
    ("verdicts", f"delete from thread_verdict where {_IN_THREADS}"),
    ("overrides", f"delete from thread_override where {_IN_THREADS} and (gmail_account_id, gmail_thread_id) not in "
     "(select gmail_account_id, gmail_thread_id from gone_threads where left_message_id is not null)"),
    ("thread_states", f"delete from gmail_thread_state where {_IN_THREADS}"),
    ("", f"delete from thread_attribution where {_IN_THREADS}"),
    ("", "delete from thread_attribution where recipient_id = any(:recipients)"),
    ("", f"delete from message_reading where {_IN_GONE}"),
    ("dead_letters", f"delete from dead_letter where {_IN_GONE}"),
    ("", f"delete from suspect_message where {_IN_GONE}"),
    ("", f"delete from gmail_message_event where {_IN_GONE}"),
    ("messages", f"delete from gmail_message where {_IN_GONE}"),
    ("", "delete from message m where m.id in (select message_id from gone) "
     "and not exists (select 1 from gmail_message g where g.message_id = m.id)"),
    # Known by their ids only from now on, so that no sync and no reconcile fetches them again.
    ("", "insert into passed_over_message (gmail_account_id, gmail_message_id, gmail_thread_id) "
     "select gmail_account_id, gmail_message_id, gmail_thread_id from gone on conflict do nothing"),
    ("", "delete from outcome_news where recipient_id = any(:recipients)"),
    ("row_remarks", "delete from recipient_problem p using campaign_recipient r where r.id = any(:recipients) "
     "and p.campaign_id = r.campaign_id and (p.sheet_row = r.sheet_row or lower(p.name) = any(:names) "
     "or lower(p.handle) = any(:names))"),
    ("recipient_versions", "delete from campaign_recipient_version where recipient_id = any(:recipients)"),
    ("recipients", "update campaign_recipient set email = 'erased-' || id, email_key = 'erased-' || id, name = null, "
     "handle = null, custom_fields = '{}', content_hash = '', custom_hash = '', sheet_row = 0, "
     "suppressed_reason = null, suppressed_in = null, erased_at = clock_timestamp() where id = any(:recipients)"),
    ("", "delete from searched_address where address_key = any(:keys)"),
    # What is left of a thread is looked at again.
    ("threads_made_anew", "with touched as (update gmail_message g set ingest_seq = nextval('ingest_seq') "
     "from gone_threads t where g.gmail_account_id = t.gmail_account_id and g.gmail_message_id = t.left_message_id "
     "returning g.*) insert into gmail_message_event (ingest_seq, gmail_account_id, gmail_message_id, "
     "gmail_thread_id, kind, label_ids) select ingest_seq, gmail_account_id, gmail_message_id, gmail_thread_id, "
     "'labels', label_ids from touched"),
)  # fmt: skip


_NOTE_BLOBS = sa.text("""
    update person_request p set blobs_to_remove = array(select distinct b from (
               select unnest(p.blobs_to_remove) as b union select raw_sha256 from gone) found)
     where p.user_id = :user_id and p.kind = 'erase' and p.address_hash = any(:hashes)
""")


def pattern_of(address: str) -> str:
    """A regular expression for this very address in lower-cased text, and not for a longer one that contains it.

    >>> import re
    >>> bo = re.compile(pattern_of("bo@creator.example"))
    >>> bool(bo.search("<bo@creator.example>")), bool(bo.search("jumbo@creator.example"))
    (True, False)
    >>> bool(re.search(pattern_of("analima@gmail.com"), "is ana.lima+brand@googlemail.com hers?"))
    True
    """
    local, _, domain = address.rpartition("@")
    if address_key(address).endswith("@gmail.com"):
        local = address_key(address).rpartition("@")[0]
        spelled = r"\.?".join(re.escape(letter) for letter in local) + r"(?:\+[^@\s]{0,64})?"
        domain = r"(?:gmail|googlemail)\.com"
    else:
        spelled, domain = re.escape(local), re.escape(domain)
    return rf"(?<![a-z0-9._%+-]){spelled}@{domain}(?![a-z0-9-]|\.[a-z0-9])"


class PersonStore:
    """Reads and removes what is stored of one person at one client."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, user_id: UUID, addresses: Sequence[str]) -> Person:
        """Everything under these addresses. Raises PermanentError for an address of one of our own mailboxes."""
        keys = sorted({address_key(one) for one in addresses})
        with self._database.transaction() as connection:
            own = connection.execute(
                sa.select(gmail_account_identity.c.address_key)
                .join(gmail_account, gmail_account.c.id == gmail_account_identity.c.gmail_account_id)
                .where(gmail_account.c.user_id == user_id, gmail_account_identity.c.address_key.in_(keys))
            ).first()
            if own is not None:
                raise PermanentError(
                    "One of these addresses is a sender's own mailbox.",
                    what_to_do="Only people who were written to can be erased; disconnect a mailbox instead.",
                )
            recipients = connection.execute(_RECIPIENTS, {"keys": keys}).all()
            ids = [row.id for row in recipients]
            written = connection.execute(_FORMS, {"keys": keys}).scalars()
            forms = sorted({*keys, *(one.strip().lower() for one in addresses), *written})
            patterns = [pattern_of(form) for form in forms]
            called = [(row.name, row.handle) for row in recipients]
            called += [tuple(row) for row in connection.execute(_NAMES, {"ids": ids})]
            messages = connection.execute(_MESSAGES, {"keys": keys, "patterns": patterns}).all()
        return Person(
            user_id=user_id,
            keys=tuple(keys),
            patterns=tuple(dict.fromkeys(patterns)),
            names=tuple(sorted({one.strip().lower() for pair in called for one in pair if one and one.strip()})),
            recipient_ids=tuple(ids),
            campaigns=tuple(sorted({row.slug for row in recipients})),
            messages=tuple((row[0], row[1]) for row in messages),
        )

    def suppress(self, person: Person, *, hash_key: str, requested_by: str) -> None:
        """From now on no import and no sync brings this person in. First of all, so that nothing slips in after."""
        with self._database.transaction() as connection:
            for key in person.keys:
                hashed = address_hash(key, key_hex=hash_key)
                known = sa.select(person_request.c.id).where(
                    person_request.c.user_id == person.user_id,
                    person_request.c.kind == "erase",
                    person_request.c.address_hash == hashed,
                )
                if connection.execute(known).first() is None:
                    connection.execute(
                        sa.insert(person_request).values(
                            user_id=person.user_id, kind="erase", address_hash=hashed, requested_by=requested_by
                        )
                    )

    def note_export(self, person: Person, *, hash_key: str, requested_by: str) -> None:
        """Write down that somebody got their data."""
        with self._database.transaction() as connection:
            for key in person.keys:
                connection.execute(
                    sa.insert(person_request).values(
                        user_id=person.user_id, kind="export", requested_by=requested_by,
                        address_hash=address_hash(key, key_hex=hash_key), finished_at=datetime.now(UTC),
                    )
                )  # fmt: skip

    def finish(self, person: Person, report: ErasureReport, *, hash_key: str) -> None:
        """The report beside the request, once the proof stands."""
        hashes = [address_hash(key, key_hex=hash_key) for key in person.keys]
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(person_request)
                .where(
                    person_request.c.user_id == person.user_id,
                    person_request.c.kind == "erase",
                    person_request.c.address_hash.in_(hashes),
                    person_request.c.finished_at.is_(None),
                )
                .values(finished_at=sa.func.now(), report=report.model_dump())
            )

    def remove(self, person: Person, *, hash_key: str) -> ErasureReport:
        """Every row of theirs, in one transaction that also notes which raw mail is to go. Twice removes no more."""
        return self.remove_rows(person, [address_hash(key, key_hex=hash_key) for key in person.keys])

    def remove_rows(self, person: Person, hashes: Sequence[str]) -> ErasureReport:
        """As `remove`; the raw mail to remove is noted at the requests with these hashes."""
        values = {
            "recipients": list(person.recipient_ids), "names": list(person.names), "keys": list(person.keys),
        }  # fmt: skip
        counts: dict[str, int] = {}
        with self._database.transaction() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_INGEST_LOCK)))
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(f"threads {person.user_id}"))))
            connection.execute(sa.text(_GONE), _asked(person))
            connection.execute(_NOTE_BLOBS, {"user_id": person.user_id, "hashes": list(hashes)})
            for name, statement in _DELETES:
                wanted = {key: value for key, value in values.items() if f":{key}" in statement}
                done = connection.execute(sa.text(statement), wanted).rowcount
                if name:
                    counts[name] = counts.get(name, 0) + done
        return ErasureReport(**counts)

    def blobs_to_remove(self, user_id: UUID) -> list[str]:
        """Raw mail whose rows are gone, of this and of earlier erasures that did not get to their end."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                sa.select(sa.func.unnest(person_request.c.blobs_to_remove)).where(person_request.c.user_id == user_id)
            )
            return sorted(set(rows.scalars()))

    def still_needed(self, hashes: Sequence[str]) -> set[str]:
        """Those that a stored mail of any client that may be seen here shares byte for byte."""
        with self._database.transaction() as connection:
            return set(
                connection.execute(
                    sa.text("select distinct raw_sha256 from gmail_message where raw_sha256 = any(:hashes)"),
                    {"hashes": list(hashes)},
                ).scalars()
            )

    def note_blobs_removed(self, user_id: UUID) -> None:
        """The bytes are gone, too."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(person_request).where(person_request.c.user_id == user_id).values(blobs_to_remove=None)
            )

    # --- an export ---

    def exchanged(self, person: Person) -> Person:
        """The same person with the mails that they sent or received only: not those of others that name them."""
        values = {**_asked(person), "keys": list(person.keys), "patterns": list(person.patterns)}
        with self._database.transaction() as connection:
            rows = connection.execute(_EXCHANGED, values).all()
        return person.model_copy(update={"messages": tuple((row[0], row[1]) for row in rows)})

    def rows_of(self, person: Person) -> dict[str, list[dict[str, Any]]]:
        """Everything as plain values, by table."""
        person_of = {"recipients": list(person.recipient_ids), **_asked(person)}
        asked = "unnest(cast(:accounts as uuid[]), cast(:ids as text[])) as asked (account, id)"
        mail = f"select distinct g.gmail_account_id, g.gmail_thread_id from gmail_message g join {asked} on g.gmail_account_id = asked.account and g.gmail_message_id = asked.id"  # noqa: E501
        queries = {
            "recipients": "select c.slug as campaign, to_jsonb(r) - 'run_id' as row from campaign_recipient r "
            "join campaign c on c.id = r.campaign_id where r.id = any(:recipients)",
            "earlier_versions": "select to_jsonb(v) as row from campaign_recipient_version v "
            "where v.recipient_id = any(:recipients) order by v.valid_from",
            "outcomes": "select to_jsonb(o) - 'run_id' as row from recipient_outcome o "
            "where o.recipient_id = any(:recipients) and o.valid_to is null",
            "messages": f"select to_jsonb(g) - 'run_id' as row from gmail_message g join {asked} "
            "on g.gmail_account_id = asked.account and g.gmail_message_id = asked.id order by g.internal_date",
            "threads": f"select to_jsonb(s) - 'run_id' as row from gmail_thread_state s join ({mail}) t "
            "using (gmail_account_id, gmail_thread_id) where s.is_latest",
            "verdicts": f"select to_jsonb(v) - 'run_id' as row from thread_verdict v join ({mail}) t "
            "using (gmail_account_id, gmail_thread_id) order by v.id",
            "overrides": f"select to_jsonb(o) as row from thread_override o join ({mail}) t "
            "using (gmail_account_id, gmail_thread_id) order by o.id",
        }
        with self._database.transaction() as connection:
            return {
                name: [
                    {**row.pop("row"), **row}
                    for row in map(
                        dict,
                        connection.execute(
                            sa.text(query), {k: v for k, v in person_of.items() if f":{k}" in query}
                        ).mappings(),
                    )
                ]
                for name, query in queries.items()
            }


def _asked(person: Person) -> dict[str, list[str]]:
    return {"accounts": [str(account) for account, _ in person.messages], "ids": [one for _, one in person.messages]}
