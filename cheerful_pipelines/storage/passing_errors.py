"""Which errors of Postgres, of the blob store and of the machine pass by themselves or by a repair.

Codes: PostgreSQL's appendix "Error Codes"; errno(3).
"""

import errno

import obstore
import sqlalchemy as sa

from cheerful_pipelines.core.errors import TransientError

_PASSING_CLASSES = ("08", "53", "57", "40")  # connection, resources (disk full 53100), intervention, rollback
_PASSING_CODES = {
    "25006",  # read-only transaction: a standby, or a provider that has locked a full database
    "25P03",  # ended for being idle in a transaction
    "55P03",  # lock timeout
    "58030",  # input or output error of the server
}
_WORDS = {
    "25006": "Postgres is read-only",
    "53100": "Postgres has no disk space left",
    "53200": "Postgres has no memory left",
    "53300": "Postgres has no connection left",
    "55P03": "a lock in Postgres was not given in time",
    "57014": "a statement in Postgres took too long",
    "40001": "two transactions in Postgres met",
    "40P01": "two transactions in Postgres met",
}
_PASSING_ERRNO = {errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE}
_LASTING_BLOB_ERRORS = (
    obstore.exceptions.NotFoundError,
    obstore.exceptions.AlreadyExistsError,
    obstore.exceptions.InvalidPathError,
    obstore.exceptions.UnknownConfigurationKeyError,
    obstore.exceptions.NotSupportedError,
    obstore.exceptions.NotModifiedError,
)
WHAT_TO_DO = "It is tried again by itself; see `cheerful doctor` if it lasts."


def as_passing_error(error: BaseException) -> TransientError | None:
    """The error in our own words if it passes by itself or by a repair; None for any other."""
    if isinstance(error, sa.exc.TimeoutError):
        return TransientError("No connection to the database was free in time.", what_to_do=WHAT_TO_DO)
    if isinstance(error, sa.exc.DBAPIError):
        return _of_database(error)
    if isinstance(error, obstore.exceptions.BaseError) and not isinstance(error, _LASTING_BLOB_ERRORS):
        return TransientError(f"The blob store failed ({type(error).__name__}).", what_to_do=WHAT_TO_DO)
    if isinstance(error, ConnectionError | TimeoutError):
        return TransientError(f"A connection failed ({type(error).__name__}).", what_to_do=WHAT_TO_DO)
    if isinstance(error, OSError) and error.errno in _PASSING_ERRNO:
        return TransientError(f"This machine failed ({errno.errorcode[error.errno]}).", what_to_do=WHAT_TO_DO)
    return None


def _of_database(error: sa.exc.DBAPIError) -> TransientError | None:
    code = str(getattr(error.orig, "pgcode", None) or "")
    has_no_code = not code and isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError)
    is_passing = code[:2] in _PASSING_CLASSES or code in _PASSING_CODES
    if not (is_passing or has_no_code or error.connection_invalidated):
        return None
    words = _WORDS.get(code, "the connection to Postgres was lost")
    told = f" ({type(error.orig).__name__}{f', {code}' if code else ''})"
    return TransientError(f"The database failed: {words}{told}.", what_to_do=WHAT_TO_DO)
