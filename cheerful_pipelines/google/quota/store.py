"""The ledger in Postgres: every process that asks Gmail sees what the others spend."""

from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.google.deadlines import LONGEST_CALL_SECONDS
from cheerful_pipelines.google.quota.allowance import (
    LONGEST_EXPIRY_SECONDS,
    WINDOW_SECONDS,
    Grant,
    Refusal,
    lowered,
    room,
)
from cheerful_pipelines.google.quota.learning import GROWTH_SECONDS, Learned, after_refusal, after_use
from cheerful_pipelines.storage.engine import Database

_LOCK = 4_201_002  # any fixed number: grants are made one after the other, or two could take the last units
_OTHERS = sa.text("""
    with gone as (delete from quota_spend where expires_at <= clock_timestamp()),
    of_another_clock as (
        update quota_spend set expires_at = clock_timestamp() + make_interval(secs => :window)
         where expires_at > clock_timestamp() + make_interval(secs => :longest))
    select gmail_account_id = :account_id as own, units,
           case when expires_at > clock_timestamp() + make_interval(secs => :longest) then :window
                else extract(epoch from expires_at - clock_timestamp()) end::float8
      from quota_spend where expires_at > clock_timestamp()
""")
_NOTE = sa.text("""
    insert into quota_spend (gmail_account_id, units, refused_units, expires_at)
    values (:account_id, :units, :refused, clock_timestamp() + make_interval(secs => :seconds)) returning id
""")
_LEARNED = sa.text("""
    select scope, units_a_minute, batch_size, early_refusals, is_growing,
           case when changed_at > clock_timestamp() then :unknown
                else extract(epoch from clock_timestamp() - changed_at) end::float8 as seconds
      from quota_learned where scope = any (:scopes)
""")
"""What was learned before the clock was set back may change at once: when that was is not known."""
_LEARN = sa.text("""
    insert into quota_learned (scope, gmail_account_id, units_a_minute, batch_size, early_refusals, is_growing,
                               changed_at)
    values (:scope, :account_id, :units_a_minute, :batch_size, :early_refusals, :is_growing, clock_timestamp())
    on conflict (scope) do update
       set units_a_minute = excluded.units_a_minute, batch_size = excluded.batch_size,
           early_refusals = excluded.early_refusals, is_growing = excluded.is_growing, changed_at = excluded.changed_at
""")
_FORGET = sa.text("delete from quota_learned where scope = :scope")
_REFUSE = sa.text("update quota_spend set refused_units = refused_units + :units where id = :id")
_ACCEPTED = sa.text("""
    select coalesce(sum(units - refused_units), 0)
      from quota_spend
     where (gmail_account_id = :account_id or :of_project) and expires_at > clock_timestamp()
       and expires_at <= clock_timestamp() + make_interval(secs => :seconds)
""")
_PROJECT = "project"


class QuotaStore:
    """A `Ledger` of one mailbox. The project's limit counts all mailboxes."""

    def __init__(self, database: Database, account_id: UUID, *, project_units_a_minute: int) -> None:
        self._database = database
        self._account_id = account_id
        self._project_limit = project_units_a_minute

    def grant(self, wanted: int, *, at_least: int, limit: int, full: int | None = None) -> Grant:
        """See Ledger."""
        full = full or limit
        with self._database.transaction() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            times = {"window": WINDOW_SECONDS, "longest": LONGEST_EXPIRY_SECONDS}
            rows = connection.execute(_OTHERS, {"account_id": self._account_id, **times}).all()
            own = [(units, seconds) for is_own, units, seconds in rows if is_own]
            everyone = [(units, seconds) for _, units, seconds in rows]
            learned = self._learned(connection)
            mine = self._after_use(connection, self._scope, learned, own, full=full, limit=limit)
            project = self._project_limit
            ours = self._after_use(connection, _PROJECT, learned, everyone, full=project, limit=project)
            limit = lowered(limit, mine, full=full, at_least=at_least)
            project = lowered(project, ours, full=project, at_least=at_least)
            units, wait = room(own, wanted, at_least=at_least, limit=limit, now=0.0)
            if units:
                units, wait = room(everyone, units, at_least=at_least, limit=project, now=0.0)
            spend_id = self._note(connection, units, WINDOW_SECONDS + LONGEST_CALL_SECONDS) if units else 0
        sizes = [found.batch_size for found in (mine, ours) if found is not None and found.batch_size is not None]
        return Grant(units, spend_id, wait, min(sizes, default=None))

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
            self._note(connection, limit, seconds, refused=limit)  # not a spend of anybody's

    def learn(self, refusal: Refusal, *, full: int) -> None:
        """See Ledger."""
        scope, assumed = (_PROJECT, self._project_limit) if refusal.of_project else (self._scope, full)
        with self._database.transaction() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            connection.execute(_REFUSE, {"id": refusal.spend_id, "units": refusal.units})
            settled = connection.execute(
                _ACCEPTED,
                {"account_id": self._account_id, "of_project": refusal.of_project, "seconds": WINDOW_SECONDS},
            ).scalar_one()
            learned = after_refusal(
                self._learned(connection).get(scope),
                assumed=assumed,
                accepted=int(settled) + refusal.accepted,
                batch_size=refusal.batch_size,
            )
            if learned is not None:
                self._keep(connection, scope, learned)

    @property
    def _scope(self) -> str:
        return str(self._account_id)

    def _learned(self, connection: sa.Connection) -> dict[str, Learned]:
        rows = connection.execute(_LEARNED, {"scopes": [self._scope, _PROJECT], "unknown": GROWTH_SECONDS})
        return {row.scope: Learned(*row[1:]) for row in rows}

    def _after_use(
        self,
        connection: sa.Connection,
        scope: str,
        learned_before: dict[str, Learned],
        spends: list[tuple[int, float]],
        *,
        full: int,
        limit: int,
    ) -> Learned | None:
        """What is still believed of a limit, written down if it changed."""
        known = learned_before.get(scope)
        if known is None:
            return None
        used = sum(units for units, _ in spends)
        learned = after_use(known, assumed=full, used=used, limit=lowered(limit, known, full=full, at_least=1))
        if learned is None:
            connection.execute(_FORGET, {"scope": scope})
        elif learned is not known:
            self._keep(connection, scope, learned)
        return learned

    def _keep(self, connection: sa.Connection, scope: str, learned: Learned) -> None:
        connection.execute(
            _LEARN,
            {
                "scope": scope,
                "account_id": None if scope == _PROJECT else self._account_id,
                "units_a_minute": learned.units_a_minute,
                "batch_size": learned.batch_size,
                "early_refusals": learned.early_refusals,
                "is_growing": learned.is_growing,
            },
        )

    def _note(self, connection: sa.Connection, units: int, seconds: float, *, refused: int = 0) -> int:
        parameters = {"account_id": self._account_id, "units": units, "refused": refused, "seconds": seconds}
        return int(connection.execute(_NOTE, parameters).scalar_one())
