"""How long an HTTP answer asks us to wait: Retry-After as seconds, as a date, or as words in the message."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_IN_WORDS = re.compile(r"[Rr]etry after (\d{4}-\d{2}-\d{2}T[\d:.]+Z)")


def retry_after_seconds(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds from now, never negative; None where the answer names no time.

    >>> retry_after_seconds({"Retry-After": "7"})
    7.0
    >>> retry_after_seconds({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"})
    0.0
    >>> retry_after_seconds({}, "User-rate limit exceeded.  Retry after 2015-01-01T00:00:00.000Z")
    0.0
    """
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if value is not None:
        try:
            return max(0.0, float(value))
        except ValueError:
            try:
                return _seconds_until(parsedate_to_datetime(value))
            except (TypeError, ValueError):
                return None
    match = _IN_WORDS.search(message)
    return _seconds_until(datetime.fromisoformat(match.group(1))) if match else None


def _seconds_until(moment: datetime) -> float:
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
