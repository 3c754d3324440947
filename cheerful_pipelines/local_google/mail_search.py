"""messages.list and threads.list as a query: labels, the bin, dates, and the parts of Gmail's search box we speak.

What `q` says and we do not speak is refused with 400: an operator passed over in silence would find too much.
"""

import re
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from cheerful_pipelines.local_google.calls import GoogleError
from cheerful_pipelines.local_google.state import State

SPOKEN = (
    "after: before: newer: older: from: to: cc: bcc: subject: rfc822msgid: label: in: is:, - before any of them, "
    "and {a: b:} for any of some addresses"
)
_TERM = re.compile(r'(-?)\{([^{}]*)\}|(-?)([A-Za-z0-9_]+):("[^"]*"|\S+)|(\S+)')
_ALTERNATIVE = re.compile(r'(from|to|cc|bcc):("[^"]*"|\S+)\s*', re.IGNORECASE)
_ADDRESS_COLUMNS = {"from": "from_text", "to": "to_text", "cc": "to_text", "bcc": "to_text"}
_PLACES = {"inbox": "INBOX", "sent": "SENT", "draft": "DRAFT", "drafts": "DRAFT", "spam": "SPAM", "trash": "TRASH"}
_STATES = {"unread": "UNREAD", "starred": "STARRED", "important": "IMPORTANT"}
_PACIFIC = "America/Los_Angeles"  # a date in q is midnight there


class Search:
    """Conditions over the message table, collected one by one."""

    def __init__(self, address: str) -> None:
        self.conditions = ["mailbox = ?"]
        self.values: list[Any] = [address]
        self._wanted_labels: set[str] = set()
        self._anywhere = False

    def add(self, condition: str, value: object, *, negated: bool = False) -> None:
        """One condition with one value."""
        self.conditions.append(f"not ({condition})" if negated else condition)
        self.values.append(value)

    def add_any(self, conditions: list[tuple[str, object]], *, negated: bool = False) -> None:
        """One of several conditions."""
        joined = " or ".join(condition for condition, _ in conditions)
        self.conditions.append(f"not ({joined})" if negated else f"({joined})")
        self.values += [value for _, value in conditions]

    def has_label(self, label: str, *, negated: bool = False) -> None:
        """The message has (or has not) the label."""
        if not negated:
            self._wanted_labels.add(label)
        self.add("instr(labels, ?) > 0", f" {label} ", negated=negated)

    def anywhere(self) -> None:
        """Spam and the bin too."""
        self._anywhere = True

    def without_spam_and_trash(self) -> None:
        """Leave out spam and the bin, unless the search asked for the one or the other."""
        for label in ("SPAM", "TRASH"):
            if not self._anywhere and label not in self._wanted_labels:
                self.has_label(label, negated=True)

    def where(self) -> str:
        """The SQL condition."""
        return " and ".join(self.conditions)


def read_search(address: str, *, q: str, label_ids: list[str], include_spam_trash: bool) -> Search:
    """The search that a list call asks for, or 400."""
    search = Search(address)
    for label in label_ids:
        search.has_label(label)
    for group_minus, group, minus, operator, value, bare in _TERM.findall(q):
        if group:
            _any_address(search, group, negated=bool(group_minus))
            continue
        if bare:
            raise GoogleError(400, f"The local server does not search for words; q may hold {SPOKEN}.")
        _apply(search, operator.lower(), value.strip('"'), negated=bool(minus))
    if not include_spam_trash:
        search.without_spam_and_trash()
    return search


def _any_address(search: Search, group: str, *, negated: bool) -> None:
    if _ALTERNATIVE.sub("", group).strip():
        raise GoogleError(400, f"The local server does not speak '{{{group}}}' in q; it speaks {SPOKEN}.")
    terms = [(operator.lower(), value.strip('"').casefold()) for operator, value in _ALTERNATIVE.findall(group)]
    conditions: list[tuple[str, object]] = [
        (f"instr({_ADDRESS_COLUMNS[operator]}, ?) > 0", value) for operator, value in terms
    ]
    search.add_any(conditions, negated=negated)


def _apply(search: Search, operator: str, value: str, *, negated: bool) -> None:
    if operator in ("after", "newer"):
        search.add("internal_date >= ?", _moment(value), negated=negated)
    elif operator in ("before", "older"):
        search.add("internal_date < ?", _moment(value), negated=negated)
    elif operator in (*_ADDRESS_COLUMNS, "subject"):
        column = {**_ADDRESS_COLUMNS, "subject": "subject"}[operator]
        search.add(f"instr({column}, ?) > 0", value.casefold(), negated=negated)
    elif operator == "rfc822msgid":
        search.add("message_id = ?", value.strip("<>"), negated=negated)
    elif operator == "label":
        search.has_label(_PLACES.get(value.lower(), value), negated=negated)
    elif operator == "in":
        _in(search, value.lower(), negated=negated)
    elif operator == "is" and value.lower() in _STATES:
        search.has_label(_STATES[value.lower()], negated=negated)
    elif operator == "is" and value.lower() == "read":
        search.has_label("UNREAD", negated=not negated)
    else:
        raise GoogleError(400, f"The local server does not speak '{operator}:{value}' in q; it speaks {SPOKEN}.")


def _in(search: Search, place: str, *, negated: bool) -> None:
    if place == "anywhere" and not negated:
        search.anywhere()
    elif place in _PLACES:
        search.has_label(_PLACES[place], negated=negated)
    else:
        raise GoogleError(400, f"The local server does not speak 'in:{place}' in q; it speaks {SPOKEN}.")


def _moment(value: str) -> int:
    """Epoch milliseconds of epoch seconds or of a date."""
    if re.fullmatch(r"\d{5,}", value):
        return int(value) * 1000
    match = re.fullmatch(r"(\d{4})[/-](\d{1,2})[/-](\d{1,2})", value)
    try:
        if match is None:
            raise ValueError(value)
        day = datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=ZoneInfo(_PACIFIC))
    except ValueError:
        raise GoogleError(400, f"'{value}' in q is neither yyyy/mm/dd nor epoch seconds.") from None
    return int(day.timestamp() * 1000)


def find_messages(
    state: State, search: Search, *, most: int, page_token: str
) -> tuple[list[tuple[str, str]], str | None, int]:
    """One page, most recent first: ((id, thread id), ...), next page's token, how many there are in all.

    The token is a position: what arrives or goes between two pages shifts them, as it does at Google.
    """
    offset = _offset(page_token)
    rows = state.reading.execute(
        f"select id, thread_id from message where {search.where()} order by internal_date desc, seq desc "
        "limit ? offset ?",
        (*search.values, most + 1, offset),
    ).fetchall()
    total = offset + len(rows)
    return rows[:most], _token(offset + most) if len(rows) > most else None, total


def find_threads(
    state: State, search: Search, *, most: int, page_token: str
) -> tuple[list[tuple[str, str, int]], str | None]:
    """One page of threads with a message that matches, most recent first: (id, snippet, history id)."""
    offset = _offset(page_token)
    rows = state.reading.execute(
        f"select thread_id, snippet, max(history_id), max(internal_date) as newest from message "
        f"where {search.where()} group by thread_id order by newest desc, thread_id desc limit ? offset ?",
        (*search.values, most + 1, offset),
    ).fetchall()
    page = [(str(row[0]), str(row[1]), int(row[2])) for row in rows[:most]]
    return page, _token(offset + most) if len(rows) > most else None


def _token(offset: int) -> str:
    return f"{offset:020d}"


def _offset(page_token: str) -> int:
    if page_token and not re.fullmatch(r"\d{20}", page_token):
        raise GoogleError(400, "Invalid pageToken")
    return int(page_token or 0)
