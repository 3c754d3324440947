"""Many rows into a table in one statement with one parameter. Row-level security allows no COPY into a table, and an
INSERT with a parameter a value costs Postgres twice as much as one JSON text does.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import sqlalchemy as sa


def insert_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, which all have the keys of the first; other columns get their defaults.

    Raises sqlalchemy's DataError or IntegrityError, as any INSERT would.
    """
    if not rows:
        return
    columns = ", ".join(rows[0])
    statement = sa.text(
        f"insert into {table.fullname} ({columns}) "
        f"select {columns} from json_populate_recordset(null::{table.fullname}, cast(:rows as json))"
    )
    names = rows[0].keys()
    if any(row.keys() != names for row in rows):
        raise ValueError("rows of one insert must have the same columns")
    connection.execute(statement, {"rows": json.dumps([dict(row) for row in rows], default=_plain)})


def _plain(value: object) -> object:
    """As Postgres reads it again from JSON."""
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, UUID | Decimal):
        return str(value)
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    raise TypeError(f"{type(value).__name__} is no column's value")
