"""Hours of work between two moments: Monday to Friday, 9 to 17 by the clock of the campaign's zone. Pure.

Holidays are not known: they differ by country, and a campaign's creators live in many.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

OPENS, CLOSES = time(9), time(17)
_HOURS_A_DAY = 8.0


def business_hours(begin: datetime, end: datetime, zone: ZoneInfo) -> float:
    """Hours of work from `begin` to `end`; 0 where the end comes first.

    >>> berlin = ZoneInfo("Europe/Berlin")
    >>> friday = datetime(2026, 10, 2, 16, tzinfo=berlin)
    >>> business_hours(friday, datetime(2026, 10, 5, 10, 30, tzinfo=berlin), berlin)
    2.5
    """
    first, last = begin.astimezone(zone), end.astimezone(zone)
    if last <= first:
        return 0.0
    days = (last.date() - first.date()).days
    if days == 0:
        return _worked_until(last) - _worked_until(first)
    weeks, rest = divmod(days - 1, 7)
    between = weeks * 5 + sum((first + timedelta(days=n)).weekday() < 5 for n in range(1, rest + 1))
    today = _HOURS_A_DAY if first.weekday() < 5 else 0.0
    return today - _worked_until(first) + between * _HOURS_A_DAY + _worked_until(last)


def _worked_until(moment: datetime) -> float:
    """Hours of work of that day before the moment."""
    if moment.weekday() >= 5:
        return 0.0
    seconds = (moment.hour - OPENS.hour) * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    return min(max(seconds / 3600, 0.0), _HOURS_A_DAY)
