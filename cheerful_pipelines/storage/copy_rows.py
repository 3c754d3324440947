"""Many rows into a table by COPY: half the Postgres CPU of an INSERT, which has every value parsed as SQL first."""

import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg2
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB


def copy_rows(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows, which all have the keys of the first; other columns get their defaults.

    Raises sqlalchemy's DataError or IntegrityError, as an INSERT would.
    """
    if not rows:
        return
    names = list(rows[0])
    kinds = [table.c[name].type for name in names]
    text = io.StringIO(
        "".join(
            "\t".join(_field(row[name], kind) for name, kind in zip(names, kinds, strict=True)) + "\n" for row in rows
        )
    )
    columns = ", ".join(names)
    try:
        driver: Any = connection.connection
        with driver.cursor() as cursor:
            cursor.copy_expert(f"copy {table.fullname} ({columns}) from stdin", text)
    except psycopg2.DataError as error:
        raise sa.exc.DataError("copy", None, error) from error
    except psycopg2.IntegrityError as error:
        raise sa.exc.IntegrityError("copy", None, error) from error


def _field(value: Any, kind: Any) -> str:
    """One value as COPY's text format has it.

    >>> _field("a\\tb", sa.Text()), _field(None, sa.Text()), _field(["x,y", 'q"'], ARRAY(sa.Text))
    ('a\\\\tb', '\\\\N', '{"x,y","q\\\\\\\\""}')
    """
    if value is None:
        return "\\N"
    if isinstance(kind, JSONB):
        return _escaped(json.dumps(value))
    if isinstance(kind, ARRAY):
        items = (str(item).replace("\\", "\\\\").replace('"', '\\"') for item in value)
        return _escaped("{" + ",".join(f'"{item}"' for item in items) + "}")
    if isinstance(value, datetime):
        return value.isoformat()
    return _escaped(value) if isinstance(value, str) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
