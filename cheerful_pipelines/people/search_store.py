"""Every text in every table of a database, searched for a person's addresses. Knows no table by name."""

from collections.abc import Sequence

import sqlalchemy as sa

from cheerful_pipelines.storage.engine import Database

_COLUMNS = sa.text("""
    select table_schema, table_name, column_name from information_schema.columns
     where table_schema not in ('pg_catalog', 'information_schema')
       and (data_type in ('text', 'character varying', 'json', 'jsonb', 'ARRAY', 'bytea', 'character')
            or data_type = 'USER-DEFINED')
     order by 1, 2, ordinal_position
""")


class SearchedTables:
    """Counts what was looked through, and keeps where something was found."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self.tables = self.columns = 0
        self.found: list[str] = []
        self._patterns = list(patterns)

    def search(self, database: Database) -> None:
        """Ours, as the database's scope may see it."""
        with database.transaction() as connection:
            self._search(connection, "")

    def search_dagster(self, url: str) -> None:
        """Dagster's own: events, runs, ticks, tags, metadata."""
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool, hide_parameters=True)
        with engine.connect() as connection:
            self._search(connection, "dagster: ")

    def _search(self, connection: sa.Connection, prefix: str) -> None:
        columns = connection.execute(_COLUMNS).all()
        readable: dict[tuple[str, str], list[str]] = {}
        for schema, table, column in columns:
            readable.setdefault((schema, table), []).append(column)
        for (schema, table), names in readable.items():
            may_read = sa.text("select has_table_privilege(quote_ident(:s) || '.' || quote_ident(:t), 'select')")
            if not connection.execute(may_read, {"s": schema, "t": table}).scalar_one():
                continue
            self.tables, self.columns = self.tables + 1, self.columns + len(names)
            flags = ", ".join(f'coalesce(bool_or(lower(cast("{name}" as text)) ~ f.form), false)' for name in names)
            statement = sa.text(
                f'select {flags} from "{schema}"."{table}" cross join unnest(cast(:patterns as text[])) as f (form)'
            )
            row = connection.execute(statement, {"patterns": self._patterns}).one()
            self.found += [f"{prefix}{table}.{name}" for name, is_there in zip(names, row, strict=True) if is_there]


def stored_blobs(database: Database) -> list[str]:
    """Keys of all raw mail that rows name."""
    with database.transaction() as connection:
        return list(connection.execute(sa.text("select distinct raw_sha256 from gmail_message")).scalars())
