"""What Google's error bodies have in common: reasons, status, and the words of quota. Pure.

Gmail and Drive name reasons in `errors[]`, Sheets in `details[]` (google.rpc.ErrorInfo), some answers in neither.
Sources: cloud.google.com/apis/design/errors; developers.google.com/workspace/gmail/api/guides/handle-errors;
developers.google.com/workspace/drive/api/guides/handle-errors; the names of google.api.ErrorReason.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

BY_MINUTE = frozenset(("rateLimitExceeded", "userRateLimitExceeded", "sharingRateLimitExceeded", "RATE_LIMIT_EXCEEDED"))
BY_DAY = frozenset(("dailyLimitExceeded", "quotaExceeded"))
API_DISABLED = frozenset(("SERVICE_DISABLED", "accessNotConfigured"))
SCOPE_MISSING = frozenset(("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientPermissions", "insufficientScopes"))
BY_POLICY = frozenset(("domainPolicy", "appNotAuthorizedToFile", "ORG_RESTRICTION_VIOLATION"))
STORAGE_FULL = frozenset(("storageQuotaExceeded", "teamDriveFileLimitExceeded"))

_THROTTLED_STATUS = "RESOURCE_EXHAUSTED"
_DAYS_END = ZoneInfo("America/Los_Angeles")
"""Daily quotas are counted until midnight, Pacific time. Source: docs.cloud.google.com/docs/quotas/view-manage."""


class GoogleAnswer(NamedTuple):
    """An error answer of Google's, taken apart."""

    http_status: int
    status: str
    """`PERMISSION_DENIED`, `INVALID_ARGUMENT`, ...; empty where there is none."""
    reasons: frozenset[str]
    message: str
    service: str
    """`sheets.googleapis.com`, if the answer names it."""
    limit: str
    """Name of the quota that is used up, if the answer names it."""

    @property
    def words(self) -> str:
        """The message in lower case: only for what Google gives no reason for."""
        return self.message.lower()

    @property
    def is_throttled(self) -> bool:
        """Whether it asks to slow down. Google's status and reasons decide; words only without any reason."""
        if self.http_status == 429:
            return True
        if self.http_status != 403:
            return False
        if self.status == _THROTTLED_STATUS or self.reasons & (BY_MINUTE | BY_DAY):
            return True
        return not self.reasons and self.words.startswith("quota exceeded")

    @property
    def is_daily(self) -> bool:
        """Of a throttled answer: whether the day's limit is used up."""
        told = f"{self.limit} {self.words}".lower()
        if "per minute" in told or "perminute" in told:
            return False
        return bool(self.reasons & BY_DAY) or "per day" in told or "perday" in told


def google_answer(http_status: int, body: object) -> GoogleAnswer:
    """`body`: the parsed JSON, or anything else for an answer that was not JSON."""
    error = body.get("error") if isinstance(body, Mapping) else None
    error = error if isinstance(error, Mapping) else {}
    items = [item for name in ("errors", "details") for item in _list(error.get(name)) if isinstance(item, Mapping)]
    metadata = [item["metadata"] for item in items if isinstance(item.get("metadata"), Mapping)]

    def named(key: str) -> str:
        return next((str(one[key]) for one in metadata if one.get(key)), "")

    return GoogleAnswer(
        http_status=http_status,
        status=str(error.get("status") or ""),
        reasons=frozenset(str(item["reason"]) for item in items if item.get("reason")),
        message=str(error.get("message") or ""),
        service=named("service"),
        limit=named("quota_limit"),
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def seconds_until_days_end(now: datetime) -> float:
    """Seconds until Google's daily quotas begin again: the next midnight in Pacific time.

    >>> seconds_until_days_end(datetime(2026, 7, 1, 6, 0, tzinfo=UTC))
    3600.0
    """
    here = now.astimezone(_DAYS_END)
    midnight = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), _DAYS_END)
    return (midnight.astimezone(UTC) - now).total_seconds()
