"""The /local routes: what a person or a test does behind Google's back. The client is `admin.LocalGoogleAdmin`."""

import base64
from dataclasses import fields
from typing import Any

from cheerful_pipelines.local_google import a1
from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Handler, Route
from cheerful_pipelines.local_google.counters import Counters
from cheerful_pipelines.local_google.faults import Fault, Faults
from cheerful_pipelines.local_google.gmail_api import message_reference
from cheerful_pipelines.local_google.limits import Limits, Meter
from cheerful_pipelines.local_google.mailboxes import Mailboxes, StoredMessage
from cheerful_pipelines.local_google.sheet_values import Rendering, append_values, read_values, write_values
from cheerful_pipelines.local_google.spreadsheets import Spreadsheets
from cheerful_pipelines.local_google.state import State
from cheerful_pipelines.local_google.token_api import CLIENT_ID, CLIENT_SECRET
from cheerful_pipelines.local_google.tokens import SHEETS_SUBJECT, Tokens

_SPEAKS = "cheerful local Google"


class AdminApi:
    """The hidden door."""

    def __init__(
        self, state: State, mailboxes: Mailboxes, books: Spreadsheets, tokens: Tokens, faults: Faults,
        counters: Counters, meter: Meter,
    ) -> None:  # fmt: skip
        self._state = state
        self._mailboxes = mailboxes
        self._books = books
        self._tokens = tokens
        self._faults = faults
        self._counters, self._meter = counters, meter

    def routes(self) -> list[Route]:
        """Every route: POST /local/<name> with JSON, and GET /local/health."""
        table: dict[str, Handler] = {
            "add_mailbox": self.add_mailbox, "deliver": self.deliver, "modify_labels": self.modify_labels,
            "trash": self.trash, "delete": self.delete, "put_sheet": self.put_sheet, "share_sheet": self.share_sheet,
            "set_drive_facts": self.set_drive_facts,
            "edit_cell": self.edit_cell, "append_rows": self.append_rows, "sheet_values": self.sheet_values,
            "tabs": self.tabs, "credentials": self.credentials, "revoke_token": self.revoke_token,
            "restore_token": self.restore_token, "expire_access_token": self.expire_access_token,
            "expire_history": self.expire_history, "inject_fault": self.inject_fault,
            "set_fault_mix": self.set_fault_mix, "set_limits": self.set_limits, "grant_only": self.grant_only,
            "clear_faults": self.clear_faults, "counters": self.counters, "reset_counters": self.reset_counters,
            "wipe": self.wipe,
        }  # fmt: skip
        routes = [Route("local", "POST", f"/local/{name}", f"local.{name}", handler) for name, handler in table.items()]
        return [*routes, Route("local", "GET", "/local/health", "local.health", self.health)]

    def health(self, call: Call) -> Answer:
        reading = self._state.reading
        count = {
            table: reading.execute(f"select count(*) from {table}").fetchone()[0]
            for table in ("mailbox", "message", "spreadsheet")
        }
        return Answer(body={"speaks": _SPEAKS, "mailboxes": count["mailbox"], "messages": count["message"],
                            "spreadsheets": count["spreadsheet"]})  # fmt: skip

    # ---- mail

    def add_mailbox(self, call: Call) -> Answer:
        self._mailboxes.add(_text(call.json(), "address"))
        return Answer(body={})

    def deliver(self, call: Call) -> Answer:
        """Many at once, in one transaction: the answer lists them in order."""
        body = call.json()
        address = self._mailbox(body)
        with self._state.transaction():
            found = [self._deliver(address, item) for item in body.get("messages") or []]
        return Answer(body={"messages": found})

    def _deliver(self, address: str, item: dict[str, Any]) -> dict[str, Any]:
        message = self._mailboxes.deliver(
            address, base64.b64decode(item["raw"]), label_ids=item.get("label_ids") or (),
            internal_date=item.get("internal_date"), thread_id=item.get("thread_id"),
        )  # fmt: skip
        return _with_history(message)

    def modify_labels(self, call: Call) -> Answer:
        body = call.json()
        found = self._mailboxes.modify(
            self._mailbox(body), _text(body, "id"), add=body.get("add") or (), remove=body.get("remove") or ()
        )
        return Answer(body=_with_history(found))

    def trash(self, call: Call) -> Answer:
        body = call.json()
        return Answer(body=_with_history(self._mailboxes.trash(self._mailbox(body), _text(body, "id"))))

    def delete(self, call: Call) -> Answer:
        body = call.json()
        self._mailboxes.delete(self._mailbox(body), _text(body, "id"))
        return Answer(body={})

    def expire_history(self, call: Call) -> Answer:
        self._mailboxes.expire_history(self._mailbox(call.json()))
        return Answer(body={})

    # ---- sheets

    def put_sheet(self, call: Call) -> Answer:
        body = call.json()
        if not body.get("tabs"):
            raise GoogleError(400, "A spreadsheet has at least one tab.")
        self._books.replace(_text(body, "spreadsheet_id"), _text(body, "title"), body["tabs"])
        return Answer(body={})

    def share_sheet(self, call: Call) -> Answer:
        body = call.json()
        self._books.share(_text(body, "spreadsheet_id"), shared=bool(body.get("shared")))
        return Answer(body={})

    def set_drive_facts(self, call: Call) -> Answer:
        """What Drive says of the file beside its version: `trashed`, `mimeType`. Kept in memory."""
        body = call.json()
        self._books.drive_facts[_text(body, "spreadsheet_id")] = dict(body.get("facts") or {})
        return Answer(body={})

    def edit_cell(self, call: Call) -> Answer:
        """The value is stored as it stands (RAW)."""
        body = call.json()
        id_ = _text(body, "spreadsheet_id")
        where = f"{a1.quoted_title(_text(body, 'tab'))}!{_text(body, 'cell')}"
        with self._state.transaction():
            write_values(self._books, self._books.get(id_), where, [[body.get("value")]], input_option="RAW")
            self._books.touch(id_)
        return Answer(body={})

    def append_rows(self, call: Call) -> Answer:
        body = call.json()
        id_, where = _text(body, "spreadsheet_id"), a1.quoted_title(_text(body, "tab"))
        with self._state.transaction():
            append_values(
                self._books, self._books.get(id_), where, body.get("rows") or [], input_option="RAW", insert_rows=False
            )
            self._books.touch(id_)
        return Answer(body={})

    def sheet_values(self, call: Call) -> Answer:
        body = call.json()
        book = self._books.get(_text(body, "spreadsheet_id"))
        where = a1.quoted_title(_text(body, "tab"))
        _, values = read_values(self._books, book, where, Rendering(body.get("render") or "UNFORMATTED_VALUE"))
        return Answer(body={"values": values})

    def tabs(self, call: Call) -> Answer:
        book = self._books.get(_text(call.json(), "spreadsheet_id"))
        return Answer(body={"tabs": [tab.title for tab in book.tabs]})

    # ---- tokens

    def credentials(self, call: Call) -> Answer:
        """The fields of authorized-user JSON; `token_uri` is for the client, which knows the address it used."""
        subject = self._subject(call.json())
        token = self._tokens.refresh_token_for(subject)
        body = {
            "type": "authorized_user", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "refresh_token": token,
        }  # fmt: skip
        return Answer(body=body)

    def revoke_token(self, call: Call) -> Answer:
        self._tokens.revoke(self._subject(call.json()))
        return Answer(body={})

    def grant_only(self, call: Call) -> Answer:
        body = call.json()
        self._tokens.grant_only(self._subject(body), str(body.get("scopes", "")))
        return Answer(body={})

    def restore_token(self, call: Call) -> Answer:
        self._tokens.restore(self._subject(call.json()))
        return Answer(body={})

    def expire_access_token(self, call: Call) -> Answer:
        self._tokens.expire_access(self._subject(call.json()))
        return Answer(body={})

    # ---- faults and counts

    def inject_fault(self, call: Call) -> Answer:
        body = call.json()
        known = {field.name for field in fields(Fault)}
        self._faults.add(Fault(**{name: value for name, value in body.items() if name in known}))
        return Answer(body={})

    def set_fault_mix(self, call: Call) -> Answer:
        body = call.json()
        known = {field.name for field in fields(Fault)}
        mix = [
            (float(item["rate"]), Fault(**{name: value for name, value in item.items() if name in known}))
            for item in body.get("mix", [])
        ]
        self._faults.set_mix(mix, seed=int(body.get("seed", 0)))
        return Answer(body={})

    def set_limits(self, call: Call) -> Answer:
        self._meter.set(Limits(**call.json()))
        return Answer(body={})

    def clear_faults(self, call: Call) -> Answer:
        self._faults.clear()
        return Answer(body={})

    def counters(self, call: Call) -> Answer:
        return Answer(body=self._counters.as_json() | {"refused": self._meter.refused})

    def reset_counters(self, call: Call) -> Answer:
        self._counters.reset()
        return Answer(body={})

    def wipe(self, call: Call) -> Answer:
        self._state.wipe()
        self._tokens.forget_all()
        self._faults.clear()
        self._counters.reset()
        self._meter.set(Limits())
        return Answer(body={})

    # ---- parameters

    def _mailbox(self, body: dict[str, Any]) -> str:
        address = _text(body, "address").lower()
        if not self._mailboxes.exists(address):
            raise GoogleError(404, "There is no such mailbox; add it first (add_mailbox).")
        return address

    def _subject(self, body: dict[str, Any]) -> str:
        return self._mailbox(body) if body.get("address") else SHEETS_SUBJECT


def _with_history(message: StoredMessage) -> dict[str, Any]:
    return message_reference(message) | {"historyId": str(message.history_id)}


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise GoogleError(400, f"'{name}' is missing")
    return value
