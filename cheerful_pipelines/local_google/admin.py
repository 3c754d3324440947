"""The client of the /local routes: what tests, the demo and the command-line tool do behind Google's back.

Standard library only, and no state but the address: cheap to make, safe to share between threads.
"""

import base64
import csv
import itertools
import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from cheerful_pipelines.core.errors import NotFoundError, PermanentError, TransientError
from cheerful_pipelines.local_google.mbox import dated, is_from, read_messages

INBOX = ("INBOX", "UNREAD")
FaultKind = Literal[
    "json", "html", "reset", "cut", "garbage", "lost", "empty", "twice", "reversed", "hang", "slow", "drip", "short"
]
_CHUNK = 200
_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class Delivery:
    """One message to put into a mailbox. `internal_date` is an aware datetime, now by default."""

    raw: bytes
    label_ids: tuple[str, ...] = INBOX
    internal_date: datetime | None = None
    thread_id: str | None = None


class LocalGoogleAdmin:
    """Steers a local Google server. Errors: NotFoundError, PermanentError (refused), TransientError (no answer)."""

    def __init__(self, base_url: str) -> None:
        self.url = base_url.rstrip("/")
        # The environment's proxies are for the world outside.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    # ---- mail

    def health(self) -> dict[str, Any]:
        """{"speaks", "mailboxes", "messages", "spreadsheets"}."""
        return self._send("GET", "health", None)

    def add_mailbox(self, address: str) -> None:
        """Make a mailbox. Twice is harmless."""
        self._post("add_mailbox", address=address)

    def deliver(
        self,
        address: str,
        raw: bytes,
        *,
        label_ids: Iterable[str] = INBOX,
        internal_date: datetime | None = None,
        thread_id: str | None = None,
    ) -> dict[str, Any]:
        """Put one message into a mailbox: {"id", "threadId", "historyId", "labelIds"}."""
        delivery = Delivery(raw, tuple(label_ids), internal_date, thread_id)
        found: dict[str, Any] = self._deliver(address, [delivery])[0]
        return found

    def deliver_many(self, address: str, messages: Iterable[Delivery]) -> int:
        """Put many messages into a mailbox, in order, some hundred a request. Returns how many."""
        count, waiting = 0, iter(messages)
        while chunk := list(itertools.islice(waiting, _CHUNK)):
            count += len(self._deliver(address, chunk))
        return count

    def _deliver(self, address: str, messages: list[Delivery]) -> list[dict[str, Any]]:
        items = [
            {
                "raw": base64.b64encode(message.raw).decode("ascii"),
                "label_ids": message.label_ids,
                "internal_date": round(message.internal_date.timestamp() * 1000) if message.internal_date else None,
                "thread_id": message.thread_id,
            }
            for message in messages
        ]
        found: list[dict[str, Any]] = self._post("deliver", address=address, messages=items)["messages"]
        return found

    def load_mbox(self, address: str, path: Path | str, *, own_addresses: Iterable[str] = ()) -> int:
        """Every message of an mbox file, or of a folder of .eml files, becomes a message. Returns how many.

        What one of `own_addresses` wrote is SENT; the rest came in. The Date header is the date.
        """
        own = frozenset(address.lower() for address in own_addresses)
        deliveries = (
            Delivery(raw, ("SENT",) if is_from(raw, own) else INBOX, moment)
            for raw, moment in dated(read_messages(Path(path)))
        )
        return self.deliver_many(address, deliveries)

    def modify_labels(
        self, address: str, message_id: str, *, add: Iterable[str] = (), remove: Iterable[str] = ()
    ) -> dict[str, Any]:
        """Add and remove labels in one record of history."""
        return self._post("modify_labels", address=address, id=message_id, add=list(add), remove=list(remove))

    def trash(self, address: str, message_id: str) -> dict[str, Any]:
        """Into the bin."""
        return self._post("trash", address=address, id=message_id)

    def delete(self, address: str, message_id: str) -> None:
        """Gone for good."""
        self._post("delete", address=address, id=message_id)

    def expire_history(self, address: str) -> None:
        """Every history id given out so far answers 404 from now on."""
        self._post("expire_history", address=address)

    # ---- sheets

    def put_sheet(self, spreadsheet_id: str, *, title: str, tabs: dict[str, list[list[Any]]]) -> None:
        """Make a spreadsheet, or make it exactly this."""
        self._post("put_sheet", spreadsheet_id=spreadsheet_id, title=title, tabs=tabs)

    def load_csv(self, spreadsheet_id: str, path: Path | str, *, title: str, tab: str = "Recipients") -> int:
        """A spreadsheet of one tab from a CSV file, every cell as text. Returns the rows below the header.

        Raises PermanentError for a file that is not CSV in UTF-8.
        """
        try:
            with Path(path).open(newline="", encoding="utf-8-sig") as file:
                rows: list[list[Any]] = list(csv.reader(file))
        except (UnicodeError, csv.Error):
            raise PermanentError(
                f"{Path(path).name} is not a CSV file in UTF-8.", what_to_do="Export it again as CSV (UTF-8)."
            ) from None
        self.put_sheet(spreadsheet_id, title=title, tabs={tab: rows})
        return max(0, len(rows) - 1)

    def edit_cell(self, spreadsheet_id: str, tab: str, cell_a1: str, value: Any) -> None:
        """Write one cell, as it stands."""
        self._post("edit_cell", spreadsheet_id=spreadsheet_id, tab=tab, cell=cell_a1, value=value)

    def append_rows(self, spreadsheet_id: str, tab: str, rows: list[list[Any]]) -> None:
        """Write below the table of a tab."""
        self._post("append_rows", spreadsheet_id=spreadsheet_id, tab=tab, rows=rows)

    def sheet_values(self, spreadsheet_id: str, tab: str, *, render: str = "UNFORMATTED_VALUE") -> list[list[Any]]:
        """What a tab holds, ragged as Google gives it."""
        found: list[list[Any]] = self._post("sheet_values", spreadsheet_id=spreadsheet_id, tab=tab, render=render)[
            "values"
        ]
        return found

    def tabs(self, spreadsheet_id: str) -> list[str]:
        """The tabs' titles, in order."""
        found: list[str] = self._post("tabs", spreadsheet_id=spreadsheet_id)["tabs"]
        return found

    def share_sheet(self, spreadsheet_id: str, *, shared: bool) -> None:
        """A spreadsheet that is not shared answers 403 (404 in Drive)."""
        self._post("share_sheet", spreadsheet_id=spreadsheet_id, shared=shared)

    def set_drive_facts(self, spreadsheet_id: str, **facts: Any) -> None:
        """Have Drive say something else of the file: `trashed=True`, `mimeType="..."`; nothing named: the usual."""
        self._post("set_drive_facts", spreadsheet_id=spreadsheet_id, facts=facts)

    # ---- credentials

    def credentials_json(self, address: str) -> str:
        """Authorized-user JSON for a mailbox, which google-auth takes."""
        return json.dumps(self._post("credentials", address=address) | {"token_uri": f"{self.url}/token"})

    def sheets_credentials_json(self) -> str:
        """Authorized-user JSON for Sheets and Drive."""
        return json.dumps(self._post("credentials") | {"token_uri": f"{self.url}/token"})

    def revoke_token(self, address: str | None = None) -> None:
        """The mailbox's tokens (by default the Sheets identity's) stop working: invalid_grant and 401."""
        self._post("revoke_token", address=address)

    def grant_only(self, address: str, scopes: str) -> None:
        """At the next logins the mailbox's owner grants only these scopes, blanks between them."""
        self._post("grant_only", address=address, scopes=scopes)

    def restore_token(self, address: str | None = None) -> None:
        """The refresh token works again."""
        self._post("restore_token", address=address)

    def expire_access_token(self, address: str | None = None) -> None:
        """The next call gets 401 and has to refresh."""
        self._post("expire_access_token", address=address)

    # ---- faults and counts

    def inject_fault(
        self,
        *,
        path_contains: str,
        status: int = 503,
        reason: str = "",
        times: int = 1,
        retry_after: str | None = None,
        kind: FaultKind = "json",
        mailbox: str = "",
        lasting_seconds: float | None = None,
        **details: Any,
    ) -> None:
        """The next `times` calls whose path and query contain the text fail so; kinds are listed in `faults`.

        With `mailbox` only calls signed in as it; with `lasting_seconds` every such call until then. `details`:
        other fields of `faults.Fault` (seconds, byte_seconds, cut_at, message).
        """
        self._post(
            "inject_fault", path_contains=path_contains, status=status, reason=reason, times=times,
            retry_after=retry_after, kind=kind, mailbox=mailbox, lasting_seconds=lasting_seconds, **details,
        )  # fmt: skip

    def set_fault_mix(self, mix: list[dict[str, Any]], *, seed: int = 0) -> None:
        """Trouble by chance: dictionaries with `rate` and what `inject_fault` takes but path and times."""
        self._post("set_fault_mix", mix=[{"path_contains": "", "status": 503, **item} for item in mix], seed=seed)

    def set_limits(self, **limits: Any) -> None:
        """How slow the server is and what it lets through: the fields of `limits.Limits`. None named: no limits."""
        self._post("set_limits", **limits)

    def clear_faults(self) -> None:
        """No more trouble."""
        self._post("clear_faults")

    def counters(self) -> dict[str, Any]:
        """Calls by name, quota units by mailbox (table of 1 May 2026), and more: see `counters.as_json`."""
        return self._post("counters")

    def reset_counters(self) -> None:
        """Count from nought."""
        self._post("reset_counters")

    def wipe(self) -> None:
        """Forget every mailbox, sheet, token, fault and count. History ids go on rising."""
        self._post("wipe")

    # ---- the wire

    def _post(self, name: str, **body: Any) -> dict[str, Any]:
        return self._send("POST", name, json.dumps(body).encode())

    def _send(self, method: str, name: str, content: bytes | None) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}/local/{name}", data=content, method=method)
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            words = _message(error.read())
            kind = NotFoundError if error.code == 404 else PermanentError
            raise kind(f"The local Google server refused {name}: {words}") from None
        except (OSError, ValueError) as error:
            raise TransientError(
                f"The local Google server at {self.url} did not answer {name}: {error}.",
                what_to_do="Start it: ./infra/dev.sh start",
            ) from error


def _message(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return content[:200].decode("utf-8", "replace")
