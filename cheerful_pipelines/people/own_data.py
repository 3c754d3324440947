"""What of the stored rows is a person's own to get: their mail, not what others wrote about them. Pure.

Quoted text within a mail that they sent or received stays: they have it already. What goes: the mails between others,
who else was in a conversation or in Bcc, what colleagues noted, and quotations from mails that are not theirs.
"""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

Row = dict[str, Any]
Rows = dict[str, list[Row]]

_BCC = re.compile(rb"^bcc:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_OF_COLLEAGUES = ("author", "reason")


def own_rows(rows: Rows, keys: Collection[str], addresses_in: Callable[[str], set[str]]) -> Rows:
    """The rows as the person may have them. `addresses_in` gives the keys of a header's addresses."""
    messages = [_own_message(row, keys, addresses_in) for row in rows["messages"]]
    ids = {(str(row["gmail_account_id"]), row["gmail_message_id"]) for row in messages}
    texts = [" ".join(row["body_text"].split()) for row in messages]
    whole = {_thread(row) for row in rows["threads"] if _messages(row) <= ids}
    return {
        **rows,
        "messages": messages,
        "threads": [_own_thread(row, ids, keys) for row in rows["threads"]],
        "verdicts": [_own_verdict(row, texts, is_whole=_thread(row) in whole) for row in rows["verdicts"]],
        "overrides": [{name: row[name] for name in row if name not in _OF_COLLEAGUES} for row in rows["overrides"]],
    }


def is_from(row: Mapping[str, Any], keys: Collection[str]) -> bool:
    """Whether the person sent it."""
    return row["from_key"] in keys


def own_bytes(raw: bytes) -> bytes:
    """A mail that somebody else sent, without its Bcc: only its sender knows who was in there."""
    end = _END_OF_HEADERS.search(raw)
    at = end.start() + 1 if end else len(raw)
    return _BCC.sub(b"", raw[:at]) + raw[at:]


def _own_message(row: Row, keys: Collection[str], addresses_in: Callable[[str], set[str]]) -> Row:
    if is_from(row, keys):
        return row
    named: dict[bool, set[str]] = {True: set(), False: set()}
    for name, value in row["headers"]:
        if name.lower() in ("to", "cc", "bcc"):
            named[name.lower() == "bcc"] |= addresses_in(value)
    hidden = named[True] - named[False] - set(keys)
    return {
        **row,
        "headers": [header for header in row["headers"] if header[0].lower() != "bcc"],
        "to_keys": [key for key in row["to_keys"] if key not in hidden],
    }


def _own_thread(row: Row, ids: Collection[tuple[str, str]], keys: Collection[str]) -> Row:
    state = row["state"]
    account = str(row["gmail_account_id"])
    mine = [one for one in state["messages"] if (account, one["gmail_message_id"]) in ids]
    theirs = [key for key in state["participant_keys"] if key in keys]
    return {**row, "state": {**state, "messages": mine, "participant_keys": theirs}}


def _own_verdict(row: Row, texts: Collection[str], *, is_whole: bool) -> Row:
    """A rationale may tell what others wrote in the thread; a quotation stays if a mail of theirs says so."""
    if is_whole:
        return row
    quote = " ".join((row["evidence_quote"] or "").split())
    is_theirs = quote != "" and any(quote in text for text in texts)
    return {**row, "rationale": "", "evidence_quote": row["evidence_quote"] if is_theirs else None}


def _thread(row: Row) -> tuple[str, str]:
    return str(row["gmail_account_id"]), row["gmail_thread_id"]


def _messages(row: Row) -> set[tuple[str, str]]:
    return {(str(row["gmail_account_id"]), one["gmail_message_id"]) for one in row["state"]["messages"]}
