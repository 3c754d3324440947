"""How long an HTTP answer asks us to wait: Retry-After as seconds, as a date, or as words in the message."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 86_400.0
"""A longer wait is a fault of who answers (a proxy, a wrong clock): no quota is measured by more than a day."""

_IN_WORDS = re.compile(r"[Rr]etry after (\d{4}-\d{2}-\d{2}T[\d:.]+Z)")


def retry_after_seconds(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds from now, never negative and never over a day; None where the answer names no time.

    >>> retry_after_seconds({"Retry-After": "7"})
    7.0
    >>> retry_after_seconds({"retry-after": "Thu, 01 Jan 2015 00:00:00 GMT"})
    0.0
    >>> retry_after_seconds({}, "User-rate limit exceeded.  Retry after 2015-01-01T00:00:00.000Z")
    0.0
    >>> retry_after_seconds({"Retry-After": "1e99"}), retry_after_seconds({"Retry-After": "nan"})
    (86400.0, None)
    """
    value = next((value for name, value in headers.items() if name.lower() == "retry-after"), None)
    if value is not None:
        try:
            return _bounded(float(value))
        except ValueError:
            return _seconds_until(parsedate_to_datetime, value)
    match = _IN_WORDS.search(message)
    return _seconds_until(datetime.fromisoformat, match.group(1)) if match else None


def _seconds_until(read: Callable[[str], datetime], text: str) -> float | None:
    try:
        moment = read(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return _bounded((moment - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


def _bounded(seconds: float) -> float | None:
    return None if math.isnan(seconds) else min(max(0.0, seconds), LONGEST_SECONDS)
