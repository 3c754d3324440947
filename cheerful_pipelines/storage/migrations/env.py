"""Alembic's entry: runs on the connection that `storage.migrate` passes in, or makes one from the settings."""

from alembic import context

from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema import metadata

connection = context.config.attributes.get("connection")
database = None if connection is not None else Database(load_settings().require_migration_database_url())
if connection is None and database is not None:
    connection = database.engine.connect()
context.configure(
    connection=connection,
    target_metadata=metadata,
    include_schemas=True,
    compare_server_default=False,
    include_name=lambda name, kind, _parents: kind != "schema" or name in (None, "public", "auth"),
)
with context.begin_transaction():
    context.run_migrations()
