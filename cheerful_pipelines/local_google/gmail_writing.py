"""Gmail v1 on the wire: insert, import, send and drafts, as JSON with `raw` and as uploads of the bytes.

`send` really delivers: a copy arrives in every mailbox of this server that To, Cc or Bcc names. It goes nowhere
else. Resumable uploads are not spoken (501); simple and multipart ones are.
"""

import base64
import binascii
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

from cheerful_pipelines.local_google import mail_text
from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Handler, Route
from cheerful_pipelines.local_google.gmail_api import USER, address_of, message_reference, optional
from cheerful_pipelines.local_google.mail_search import find_messages, read_search
from cheerful_pipelines.local_google.mailboxes import Mailboxes, StoredMessage
from cheerful_pipelines.local_google.message_payload import message_json
from cheerful_pipelines.local_google.multipart import parse_parts
from cheerful_pipelines.local_google.state import State

_BCC = re.compile(rb"^bcc[ \t]*:.*(?:\r?\n[ \t].*)*\r?\n?", re.I | re.M)


@dataclass(frozen=True)
class Upload:
    """What a writing call carries: the mail's bytes and the fields of the Message beside them."""

    raw: bytes
    fields: dict[str, Any]

    @property
    def thread_id(self) -> str | None:
        return self.fields.get("threadId") or None


class GmailWriting:
    """The half of Gmail that makes messages."""

    def __init__(self, state: State, mailboxes: Mailboxes) -> None:
        self._state = state
        self._mailboxes = mailboxes

    def routes(self) -> list[Route]:
        """Every route of this half, and the same under /upload."""
        table: list[tuple[str, str, str, Handler, int]] = [
            ("POST", "/messages", "messages.insert", self.insert, 25),
            ("POST", "/messages/import", "messages.import", self.import_, 25),
            ("POST", "/messages/send", "messages.send", self.send, 100),
            ("POST", "/drafts", "drafts.create", self.create_draft, 10),
            ("PUT", "/drafts/{id}", "drafts.update", self.update_draft, 15),
            ("POST", "/drafts/send", "drafts.send", self.send_draft, 100),
        ]
        found = [
            Route("gmail", method, prefix + USER + path, f"gmail.users.{name}", handler, units)
            for prefix in ("", "/upload")
            for method, path, name, handler, units in table
        ]
        return [
            *found,
            Route("gmail", "GET", USER + "/drafts", "gmail.users.drafts.list", self.list_drafts, 5),
            Route("gmail", "GET", USER + "/drafts/{id}", "gmail.users.drafts.get", self.get_draft, 20),
            Route("gmail", "DELETE", USER + "/drafts/{id}", "gmail.users.drafts.delete", self.delete_draft, 10),
        ]

    # ---- messages

    def insert(self, call: Call) -> Answer:
        return self._store(call, default_source="receivedTime")

    def import_(self, call: Call) -> Answer:
        return self._store(call, default_source="dateHeader")

    def _store(self, call: Call, *, default_source: str) -> Answer:
        address = address_of(self._mailboxes, call)
        upload = read_upload(call)
        labels = upload.fields.get("labelIds") or []
        self._mailboxes.check_labels(address, labels)
        source = call.first("internalDateSource", default_source)
        date = mail_text.date_of(mail_text.read_headers(upload.raw)) if source == "dateHeader" else None
        message = self._mailboxes.deliver(
            address, upload.raw, label_ids=labels, thread_id=upload.thread_id,
            internal_date=int(date.timestamp() * 1000) if date else None,
        )  # fmt: skip
        return Answer(body=message_reference(message))

    def send(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        upload = read_upload(call)
        with self._state.transaction():
            return Answer(body=message_reference(self._send(address, upload.raw, upload.thread_id)))

    def _send(self, address: str, raw: bytes, thread_id: str | None) -> StoredMessage:
        raw = _completed(address, raw)
        headers = mail_text.read_headers(raw)
        recipients = dict.fromkeys(mail_text.addresses(headers, "to", "cc", "bcc"))
        if not recipients:
            raise GoogleError(400, "Recipient address required")
        labels = ("SENT", "INBOX", "UNREAD") if address in recipients else ("SENT",)
        sent = self._mailboxes.deliver(address, raw, label_ids=labels, thread_id=thread_id)
        copy = _without_bcc(raw)
        for recipient in recipients:
            if recipient != address and self._mailboxes.exists(recipient):
                self._mailboxes.deliver(recipient, copy, label_ids=("INBOX", "UNREAD"))
        return sent

    # ---- drafts

    def create_draft(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        upload = read_upload(call, inside="message")
        draft_id, message = self._mailboxes.create_draft(address, upload.raw, upload.thread_id)
        return Answer(body={"id": draft_id, "message": message_reference(message)})

    def update_draft(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        upload = read_upload(call, inside="message")
        message = self._mailboxes.update_draft(address, call.params["id"], upload.raw, upload.thread_id)
        return Answer(body={"id": call.params["id"], "message": message_reference(message)})

    def send_draft(self, call: Call) -> Answer:
        """The draft and its message go, a new SENT message comes, in the same thread."""
        address = address_of(self._mailboxes, call)
        draft_id = call.json().get("id") if _is_json(call) else None
        if not draft_id:
            upload = read_upload(call, inside="message")
            with self._state.transaction():
                return Answer(body=message_reference(self._send(address, upload.raw, upload.thread_id)))
        with self._state.transaction():
            draft = self._mailboxes.get(address, self._mailboxes.draft_message_id(address, str(draft_id)))
            sent = self._send(address, draft.raw or b"", draft.thread_id)
            self._mailboxes.delete(address, draft.id)
        return Answer(body=message_reference(sent))

    def get_draft(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        message = self._mailboxes.get(address, self._mailboxes.draft_message_id(address, call.params["id"]))
        return Answer(
            body={"id": call.params["id"], "message": message_json(message, call.first("format", "full"), [])}
        )

    def delete_draft(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        self._mailboxes.delete(address, self._mailboxes.draft_message_id(address, call.params["id"]))
        return Answer(204)

    def list_drafts(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        search = read_search(
            address, q=call.first("q"), label_ids=["DRAFT"], include_spam_trash=call.flag("includeSpamTrash")
        )
        page, next_token, total = find_messages(
            self._state, search, most=call.number("maxResults", 100, most=500), page_token=call.first("pageToken")
        )
        of_message = self._mailboxes.drafts_of_messages(address)
        drafts = [
            {"id": of_message[id_], "message": {"id": id_, "threadId": thread_id}}
            for id_, thread_id in page
            if id_ in of_message
        ]
        return Answer(body=optional(drafts=drafts, nextPageToken=next_token) | {"resultSizeEstimate": total})


def _is_json(call: Call) -> bool:
    return "json" in call.headers.get("content-type", "application/json")


def read_upload(call: Call, *, inside: str = "") -> Upload:
    """The mail a call carries: JSON `raw` (in `inside`, for a draft), the bytes alone, or both in a multipart body."""
    if not call.path.startswith("/upload"):
        fields = _inner(call.json(), inside)
        return Upload(_from_base64url(fields.get("raw")), fields)
    kind = call.first("uploadType", "media")
    if kind == "media":
        return Upload(call.content, {})
    if kind != "multipart":
        raise GoogleError(501, f"The local server does not speak uploadType={kind}; use media or multipart.")
    parts = parse_parts(call.content, call.headers.get("content-type", ""))
    if len(parts) != 2:
        raise GoogleError(400, "A multipart upload has two parts: JSON and the message.")
    described = Call("POST", "", {}, {}, parts[0].content).json()
    return Upload(parts[1].decoded_content(), _inner(described, inside))


def _inner(body: dict[str, Any], inside: str) -> dict[str, Any]:
    found = body.get(inside, {}) if inside else body
    return found if isinstance(found, dict) else {}


def _from_base64url(text: object) -> bytes:
    if not isinstance(text, str) or not text:
        raise GoogleError(400, "'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    if not re.fullmatch(r"[A-Za-z0-9_=+/\s-]*", text):
        raise GoogleError(400, "Invalid value at 'raw' (TYPE_BYTES), Base64 decoding failed")
    text = text.replace("+", "-").replace("/", "_")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise GoogleError(400, "Invalid value at 'raw' (TYPE_BYTES), Base64 decoding failed") from None


def _completed(address: str, raw: bytes) -> bytes:
    """The mail with From, Date and Message-ID, which Gmail adds where the writer left them out."""
    headers = mail_text.read_headers(raw)
    newline = "\r\n" if b"\r\n" in raw else "\n"
    missing = {
        "from": f"From: {address}",
        "date": f"Date: {format_datetime(datetime.fromtimestamp(time.time(), UTC))}",
        "message-id": f"Message-ID: <{uuid4().hex}@mail.gmail.com>",
    }
    lines = [line for name, line in missing.items() if not mail_text.header(headers, name)]
    return "".join(line + newline for line in lines).encode() + raw


def _without_bcc(raw: bytes) -> bytes:
    end = re.search(rb"\r?\n\r?\n", raw)
    cut = end.start() + 1 if end else len(raw)
    return _BCC.sub(b"", raw[:cut]) + raw[cut:]
