"""Every error of ours, and the class of failure that each belongs to. No dagster here.

    CheerfulError                 has .what_to_do: a sentence for the person who reads it
    ├── ConfigurationError        a setting is missing or wrong; nothing starts
    ├── TransientError            5xx, reset, timeout, database away: try again, with backoff
    │   ├── ThrottledError        429 and its 403 twins; .retry_after_seconds where Google said so
    │   ├── UnclearAnswerError    an error answer without a reason that we know: it may pass, or be our request's fault
    │   └── SlowCallError         a call, or one mailbox's work, passed its limit of wall-clock time
    │       └── OutOfTimeError    a mailbox's time was over before a call was begun
    ├── AuthError                 the account or the credentials were refused; a person must reconnect
    └── PermanentError            fails once; trying again cannot help
        ├── NotFoundError         404: the sheet, tab or message is not there
        ├── SheetContentError     the sheet was read, but cannot be taken (no e-mail column, ...)
        ├── HistoryExpiredError   Gmail no longer knows the history id: re-read a window instead
        └── StaleStateError       somebody wrote a newer thread state; read it again
    PoisonError                   one message that cannot be fetched, parsed or stored: it becomes a dead letter

`failures.py` turns these into Dagster's failures. Messages carry ids, never addresses, subjects or bodies.
"""

from cheerful_pipelines.core.plain_text import one_line


class CheerfulError(Exception):
    """Base of all our errors. `what_to_do` tells the reader the next step."""

    def __init__(self, message: str, *, what_to_do: str = "") -> None:
        # one line: messages reach logs and terminals, and may quote a cell, a file name or Google
        super().__init__(one_line(f"{message} {what_to_do}".strip()))
        self.what_to_do = what_to_do


class ConfigurationError(CheerfulError):
    """A setting is missing or wrong. Raised before anything starts."""


class TransientError(CheerfulError):
    """Passing trouble outside: worth trying again with backoff."""


class ThrottledError(TransientError):
    """The other side asked us to slow down. `retry_after_seconds` is None where it named no time."""

    def __init__(
        self,
        message: str,
        *,
        retry_after_seconds: float | None = None,
        of_project: bool = False,
        what_to_do: str = "",
    ) -> None:
        """`of_project`: a limit that all mailboxes of the Google Cloud project share."""
        super().__init__(message, what_to_do=what_to_do)
        self.retry_after_seconds = retry_after_seconds
        self.of_project = of_project


class UnclearAnswerError(TransientError):
    """Google refused without a reason that we know, or answered with something else than was asked for."""


class SlowCallError(TransientError):
    """A call, or all work for one mailbox or sheet, took longer than its wall-clock limit and was ended."""


class OutOfTimeError(SlowCallError):
    """The time for a mailbox was over before a call was begun: nothing was slow, and the next run goes on."""


class AuthError(CheerfulError):
    """Credentials were refused: a person has to reconnect or share. Never retried."""


class PermanentError(CheerfulError):
    """Fails once, with words that say what to do. Never retried."""


class NotFoundError(PermanentError):
    """404: the thing asked for is not there."""


class SheetContentError(PermanentError):
    """The sheet was read, and what it says cannot be imported."""


class HistoryExpiredError(PermanentError):
    """Gmail answered 404 to history.list: the start id is too old."""


class StaleStateError(PermanentError):
    """A newer state of the thread exists than the one this write was based on."""


class PoisonError(CheerfulError):
    """One message that cannot be taken. `reason_code` is a short slug for the dead-letter row."""

    def __init__(self, message: str, *, reason_code: str, what_to_do: str = "") -> None:
        super().__init__(message, what_to_do=what_to_do)
        self.reason_code = reason_code
