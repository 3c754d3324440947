"""Bring a database to the newest migration: `python -m cheerful_pipelines.storage.migrate`.

Migrations themselves stand in `migrations/versions`; this file only runs them.
"""

import sys
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.logs import configure_logging, get_logger
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.engine import Database

MIGRATIONS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Alembic's configuration, without an ini file."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def migrate(database: Database, *, to: str = "head") -> None:
    """Upgrade in one transaction, to the newest migration or a named one. Harmless when already there."""
    config = alembic_config()
    with database.login_transaction() as connection:
        # Two processes that start together must not migrate together.
        connection.execute(sa.text("select pg_advisory_xact_lock(hashtext('cheerful migrate'))"))
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def is_current(database: Database) -> bool:
    """Whether the database stands at the newest migration. Raises TransientError where it cannot be reached."""
    with database.login_transaction() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    return found == ScriptDirectory.from_config(alembic_config()).get_current_head()


def is_ahead(database: Database) -> bool:
    """Whether a newer release migrated it: this one was rolled back to. Raises TransientError as `is_current`."""
    with database.login_transaction() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in ScriptDirectory.from_config(alembic_config()).walk_revisions()}
    return found is not None and found not in known


def main() -> None:
    """The command: our own errors as one sentence. A database of a newer release is left as it is."""
    configure_logging()
    try:
        database = Database(load_settings().require_migration_database_url())
        with database.login_transaction():  # says in words what is wrong where nothing answers
            pass
        if is_ahead(database):
            get_logger(__name__).warning("migrated_by_a_newer_release", done="nothing: it serves this release, too")
            return
        migrate(database)
    except CheerfulError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
