"""What Postgres' and SQLAlchemy's exceptions mean to a person. Never repeats a statement, its values or a URL."""

import sqlalchemy as sa

from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError, PermanentError, TransientError


def database_error(error: BaseException) -> CheerfulError | None:
    """The sentence for an exception of the database; None for any other exception."""
    if isinstance(error, sa.exc.ArgumentError | sa.exc.NoSuchModuleError):
        return ConfigurationError(
            "A database URL cannot be read.",
            what_to_do="Write CHEERFUL_DATABASE_URL like postgresql://USER:PASSWORD@HOST:5432/NAME.",
        )
    if isinstance(error, sa.exc.ProgrammingError) and getattr(error.orig, "pgcode", "") in ("42P01", "42703", "42883"):
        return ConfigurationError(
            "The database has not the tables of this version.",
            what_to_do="Migrate it: python -m cheerful_pipelines.storage.migrate.",
        )
    if isinstance(error, sa.exc.ProgrammingError) and getattr(error.orig, "pgcode", "") == "42501":
        return ConfigurationError(
            "The database login may not do this.", what_to_do="Run cheerful doctor: it says which roles are missing."
        )
    if isinstance(error, sa.exc.IntegrityError | sa.exc.DataError):
        return PermanentError(
            f"The database refused what was given ({type(error.orig).__name__}).",
            what_to_do="Another row has it already, or a value is too long or malformed: check what you typed.",
        )
    if isinstance(error, sa.exc.DBAPIError | sa.exc.TimeoutError):
        kind = type(getattr(error, "orig", error)).__name__
        return TransientError(
            f"The database did not do it ({kind}).", what_to_do="Try again; cheerful doctor tells what is wrong."
        )
    return None
