"""Our errors become Dagster's failures here, and nowhere else; the retry policies stand beside them.

| class     | error                  | op RetryPolicy       | what the sensors do                            |
|-----------|------------------------|----------------------|------------------------------------------------|
| transient | TransientError         | up to 3, with jitter | mail: again in ten minutes; a sheet: next day; |
|           |                        |                      | a campaign's refresh: at the next change       |
| throttled | ThrottledError         | after Retry-After    | wait for `not_before`                          |
| auth      | AuthError              | never                | skip until reconnected                         |
| permanent | PermanentError,        | never                | a mailbox: skip until reconnected; a sheet:    |
|           | ConfigurationError     |                      | once a day; else once a watermark              |
| poison    | PoisonError            | (a dead letter)      | the dead-letter sensor                         |

Dagster's run retries (dagster.yaml) repeat crashed workers only, whatever the class.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    ThrottledError,
    TransientError,
)

API_RETRY = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that call Google or a model."""

DATABASE_RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For assets that only read and write Postgres."""

LONGEST_WAIT_IN_A_RUN_SECONDS = 60.0
"""A longer Retry-After ends the run instead of holding a worker; the account's `not_before` takes over."""


@contextmanager
def dagster_failures() -> Iterator[None]:
    """Wrap the body of an asset: every CheerfulError leaves as the Failure that its class asks for."""
    try:
        yield
    except ThrottledError as error:
        wait = error.retry_after_seconds
        if wait is not None and wait <= LONGEST_WAIT_IN_A_RUN_SECONDS:
            raise dg.RetryRequested(max_retries=3, seconds_to_wait=wait) from error
        raise dg.Failure(str(error), metadata=_metadata(error, "throttled"), allow_retries=wait is None) from error
    except TransientError as error:
        raise dg.Failure(str(error), metadata=_metadata(error, "transient")) from error
    except CheerfulError as error:
        kind = "auth" if isinstance(error, AuthError) else "permanent"
        raise dg.Failure(str(error), metadata=_metadata(error, kind), allow_retries=False) from error


def _metadata(error: CheerfulError, kind: str) -> dict[str, str]:
    return {
        "failure_class": kind,
        "what_to_do": error.what_to_do or "See the message.",
    }
