"""What is wrong now, and which sink was told of it: each is told once of each change, whoever looks how often."""

from collections.abc import Collection, Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.operations.models import Severity, Trouble
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.operations import alert, alert_notified


class Alert(BaseModel):
    """A trouble with its history."""

    model_config = ConfigDict(frozen=True)
    key: str
    kind: str
    words: str
    what_to_do: str
    opened_at: datetime
    resolved_at: datetime | None
    severity: Severity = "error"
    since: datetime | None = None
    """When it began; `opened_at` is when it was noticed."""
    run_id: str | None = None


class AlertStore:
    """Opens and resolves alerts; a trouble that stays is the same alert."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def bring_up_to_date(self, found: Sequence[Trouble], *, kinds: Collection[str], now: datetime) -> None:
        """`found` is everything that is wrong of these kinds: what is missing in it is over."""
        keys = [trouble.key for trouble in found]
        columns = alert.c
        with self._database.transaction() as connection:
            for trouble in found:
                _open(connection, trouble, now)
            connection.execute(
                sa.update(alert)
                .where(columns.kind.in_(list(kinds)), columns.resolved_at.is_(None), columns.key.not_in(keys))
                .values(resolved_at=now)
            )

    def open(self, trouble: Trouble, *, now: datetime) -> None:
        """One that is wrong."""
        with self._database.transaction() as connection:
            _open(connection, trouble, now)

    def resolve(self, key: str, *, now: datetime) -> None:
        """One that is over."""
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(alert).where(alert.c.key == key, alert.c.resolved_at.is_(None)).values(resolved_at=now)
            )

    def standing(self, *, kind: str | None = None) -> list[Alert]:
        """What is wrong now, oldest first."""
        statement = sa.select(alert).where(alert.c.resolved_at.is_(None)).order_by(alert.c.opened_at, alert.c.key)
        if kind is not None:
            statement = statement.where(alert.c.kind == kind)
        with self._database.transaction() as connection:
            return [Alert.model_validate(dict(row)) for row in connection.execute(statement).mappings()]

    def open_run_ids(self, kind: str) -> list[str]:
        """The runs that open alerts of a kind are about."""
        return [one.run_id for one in self.standing(kind=kind) if one.run_id is not None]

    def changes_for(self, sink: str) -> list[Alert]:
        """What the sink was not told of: alerts that have opened, and resolved ones that it takes for open.

        What began and ended before the sink could be told is no change for it.
        """
        knows = sa.exists().where(alert_notified.c.sink == sink, alert_notified.c.alert_key == alert.c.key)
        is_open = alert.c.resolved_at.is_(None)
        statement = sa.select(alert).where(sa.or_(sa.and_(is_open, ~knows), sa.and_(~is_open, knows)))
        with self._database.transaction() as connection:
            rows = connection.execute(statement.order_by(alert.c.opened_at, alert.c.key)).mappings()
            return [Alert.model_validate(dict(row)) for row in rows]

    def note_notified(self, sink: str, told: Sequence[Alert]) -> None:
        """The sink was told; a state that changed meanwhile is told next time."""
        opened = [{"sink": sink, "alert_key": one.key} for one in told if one.resolved_at is None]
        resolved = [one.key for one in told if one.resolved_at is not None]
        columns = alert_notified.c
        with self._database.transaction() as connection:
            if opened:
                connection.execute(insert(alert_notified).on_conflict_do_nothing(), opened)
            connection.execute(sa.delete(alert_notified).where(columns.sink == sink, columns.alert_key.in_(resolved)))

    def forget_sinks_but(self, sinks: Collection[str]) -> None:
        """Those that are no longer named are forgotten: named again, one is told of all that is open."""
        with self._database.transaction() as connection:
            connection.execute(sa.delete(alert_notified).where(alert_notified.c.sink.not_in(sorted(sinks))))


def _open(connection: sa.Connection, trouble: Trouble, now: datetime) -> None:
    """New, or come back; the words of one that stands are kept fresh."""
    columns = alert.c
    values = trouble.model_dump(exclude={"key"})
    statement = insert(alert).values(key=trouble.key, opened_at=now, **values)
    came_back = columns.resolved_at.is_not(None)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[columns.key],
            set_=values
            | {
                "opened_at": sa.case((came_back, now), else_=columns.opened_at),
                "resolved_at": None,
            },
        )
    )
