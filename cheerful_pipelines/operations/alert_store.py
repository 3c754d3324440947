"""What is wrong now and what of it was said. Each change of state is to be said once, whoever looks how often."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.operations.models import Severity, Trouble
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.tables import alert


class Alert(BaseModel):
    """A trouble with its history."""

    model_config = ConfigDict(frozen=True)
    key: str
    kind: str
    words: str
    what_to_do: str
    opened_at: datetime
    resolved_at: datetime | None
    said: Literal["nothing", "opened", "resolved"]
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

    def unsaid(self) -> list[Alert]:
        """Changes of state that nobody was told of. What began and ended unheard is let go."""
        columns = alert.c
        with self._database.transaction() as connection:
            connection.execute(
                sa.update(alert)
                .where(columns.said == "nothing", columns.resolved_at.is_not(None))
                .values(said="resolved")
            )
            rows = connection.execute(
                sa.select(alert)
                .where(
                    sa.or_(
                        sa.and_(columns.said == "nothing", columns.resolved_at.is_(None)),
                        sa.and_(columns.said == "opened", columns.resolved_at.is_not(None)),
                    )
                )
                .order_by(columns.opened_at, columns.key)
            ).mappings()
            return [Alert.model_validate(dict(row)) for row in rows]

    def note_said(self, told: Sequence[Alert]) -> None:
        """They were told; a state that changed meanwhile is told next time."""
        with self._database.transaction() as connection:
            for one in told:
                said = "opened" if one.resolved_at is None else "resolved"
                connection.execute(
                    sa.update(alert).where(alert.c.key == one.key, alert.c.opened_at == one.opened_at).values(said=said)
                )


def _open(connection: sa.Connection, trouble: Trouble, now: datetime) -> None:
    """New, or come back; the words of one that stands are kept fresh."""
    columns = alert.c
    values = trouble.model_dump(exclude={"key"})
    statement = insert(alert).values(key=trouble.key, opened_at=now, said="nothing", **values)
    came_back = columns.resolved_at.is_not(None)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[columns.key],
            set_=values
            | {
                "opened_at": sa.case((came_back, now), else_=columns.opened_at),
                # Whoever has not heard that it was over need not hear that it is back.
                "said": sa.case((sa.and_(came_back, columns.said == "resolved"), "nothing"), else_=columns.said),
                "resolved_at": None,
            },
        )
    )
