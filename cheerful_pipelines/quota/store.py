"""The ledger in Postgres: every process that asks Gmail sees what the others spend."""

from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.quota.allowance import LONGEST_CALL_SECONDS, WINDOW_SECONDS, Answer, room
from cheerful_pipelines.storage.engine import Database

_LOCK = 4_201_002  # any fixed number: grants are made one after the other, or two could take the last units
_OTHERS = sa.text("""
    with gone as (delete from quota_spend where expires_at <= clock_timestamp())
    select gmail_account_id = :account_id as own, units, extract(epoch from expires_at - clock_timestamp())::float8
      from quota_spend where expires_at > clock_timestamp()
""")
_NOTE = sa.text("""
    insert into quota_spend (gmail_account_id, units, expires_at)
    values (:account_id, :units, clock_timestamp() + make_interval(secs => :seconds)) returning id
""")


class QuotaStore:
    """A `Ledger` of one mailbox. The project's limit counts all mailboxes."""

    def __init__(self, database: Database, account_id: UUID, *, project_units_a_minute: int) -> None:
        self._database = database
        self._account_id = account_id
        self._project_limit = project_units_a_minute

    def grant(self, wanted: int, *, at_least: int, limit: int) -> Answer:
        """See Ledger."""
        with self._database.transaction() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            rows = connection.execute(_OTHERS, {"account_id": self._account_id}).all()
            own = [(units, seconds) for is_own, units, seconds in rows if is_own]
            everyone = [(units, seconds) for _, units, seconds in rows]
            units, wait = room(own, wanted, at_least=at_least, limit=limit, now=0.0)
            if units:
                units, wait = room(everyone, units, at_least=at_least, limit=self._project_limit, now=0.0)
            spend_id = self._note(connection, units, WINDOW_SECONDS + LONGEST_CALL_SECONDS) if units else 0
        return Answer(units, spend_id, wait)

    def settle(self, spend_id: int) -> None:
        """See Ledger."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.text(
                    "update quota_spend set expires_at = clock_timestamp() + make_interval(secs => :seconds) "
                    "where id = :id"
                ),
                {"id": spend_id, "seconds": WINDOW_SECONDS},
            )

    def block(self, seconds: float, *, limit: int) -> None:
        """See Ledger."""
        with self._database.transaction() as connection:
            self._note(connection, limit, seconds)

    def _note(self, connection: sa.Connection, units: int, seconds: float) -> int:
        parameters = {"account_id": self._account_id, "units": units, "seconds": seconds}
        return int(connection.execute(_NOTE, parameters).scalar_one())
