"""Gmail v1 on the wire: reading and changing mailboxes. Writing mail (insert, send, drafts) is in `gmail_writing`.

Each handler reads its parameters, asks `Mailboxes`, and words the answer as Google does. Prices are quota units
of Google's table for projects since 1 May 2026.
"""

import time
from typing import Any

from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Handler, Route
from cheerful_pipelines.local_google.mail_search import find_messages, find_threads, read_search
from cheerful_pipelines.local_google.mailbox_history import KINDS, history_page
from cheerful_pipelines.local_google.mailboxes import SYSTEM_LABELS, Mailboxes, StoredMessage
from cheerful_pipelines.local_google.message_payload import attachment_json, message_json
from cheerful_pipelines.local_google.state import State

USER = "/gmail/v1/users/{userId}"
_WATCH_DAYS = 7


def address_of(mailboxes: Mailboxes, call: Call) -> str:
    """The mailbox a call is about: `me` is the token's own; another's is refused as Google refuses it."""
    user = call.params["userId"].lower()
    address = call.subject if user == "me" else user
    if address != call.subject:
        raise GoogleError(403, f"Delegation denied for {call.subject}")
    if not mailboxes.exists(address):
        raise GoogleError(400, "Precondition check failed.", reason="failedPrecondition")
    call.mailbox = address
    return address


def message_reference(message: StoredMessage) -> dict[str, Any]:
    """id, threadId and, where there are any, labelIds: what a changing call answers."""
    found: dict[str, Any] = {"id": message.id, "threadId": message.thread_id}
    return found | ({"labelIds": list(message.label_ids)} if message.label_ids else {})


def optional(**fields: Any) -> dict[str, Any]:
    """The fields that have something to say: Google leaves empty ones out."""
    return {name: value for name, value in fields.items() if value not in (None, [], "")}


class GmailApi:
    """The reading and label-changing half of Gmail."""

    def __init__(self, state: State, mailboxes: Mailboxes) -> None:
        self._state = state
        self._mailboxes = mailboxes

    def routes(self) -> list[Route]:
        """Every route of this half."""
        table: list[tuple[str, str, str, Handler, int]] = [
            ("GET", "/profile", "getProfile", self.profile, 1),
            ("GET", "/messages", "messages.list", self.list_messages, 5),
            ("POST", "/messages/batchModify", "messages.batchModify", self.batch_modify, 50),
            ("POST", "/messages/batchDelete", "messages.batchDelete", self.batch_delete, 50),
            ("GET", "/messages/{id}", "messages.get", self.get_message, 20),
            ("DELETE", "/messages/{id}", "messages.delete", self.delete_message, 10),
            ("POST", "/messages/{id}/modify", "messages.modify", self.modify_message, 5),
            ("POST", "/messages/{id}/trash", "messages.trash", self.trash_message, 20),
            ("POST", "/messages/{id}/untrash", "messages.untrash", self.untrash_message, 5),
            ("GET", "/messages/{messageId}/attachments/{id}", "messages.attachments.get", self.attachment, 20),
            ("GET", "/threads", "threads.list", self.list_threads, 10),
            ("GET", "/threads/{id}", "threads.get", self.get_thread, 40),
            ("GET", "/labels", "labels.list", self.list_labels, 1),
            ("POST", "/labels", "labels.create", self.create_label, 5),
            ("GET", "/history", "history.list", self.list_history, 2),
            ("POST", "/watch", "watch", self.watch, 100),
            ("POST", "/stop", "stop", self.stop, 50),
        ]
        return [
            Route("gmail", method, USER + path, f"gmail.users.{name}", handler, units)
            for method, path, name, handler, units in table
        ]

    # ---- mailbox

    def profile(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        messages, threads = self._mailboxes.totals(address)
        body = {
            "emailAddress": address, "messagesTotal": messages, "threadsTotal": threads,
            "historyId": str(self._mailboxes.history_id(address)),
        }  # fmt: skip
        return Answer(body=body)

    def list_labels(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        labels = [
            {"id": id_, "name": name, "type": "system" if id_ in SYSTEM_LABELS else "user"}
            for id_, name in self._mailboxes.labels(address).items()
        ]
        return Answer(body={"labels": labels})

    def create_label(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        name = call.json().get("name")
        if not isinstance(name, str) or not name:
            raise GoogleError(400, "Invalid label name")
        return Answer(body={"id": self._mailboxes.add_label(address, name), "name": name, "type": "user"})

    def list_history(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        start = call.first("startHistoryId")
        if not start.isdigit():
            raise GoogleError(400, "Missing or invalid startHistoryId")
        kinds = tuple(call.query.get("historyTypes", [])) or KINDS
        if unknown := [kind for kind in kinds if kind not in KINDS]:
            raise GoogleError(400, f"Invalid value at 'history_types[0]', \"{unknown[0]}\"")
        page = history_page(
            self._state, address, start=int(start), kinds=kinds, label=call.first("labelId"),
            most=call.number("maxResults", 100, most=500), page_token=call.first("pageToken"),
        )  # fmt: skip
        body = optional(history=page.records, nextPageToken=page.next_page_token)
        return Answer(body=body | {"historyId": str(page.history_id)})

    def watch(self, call: Call) -> Answer:
        """Accepted and answered; this server has no Pub/Sub, so nothing is ever published."""
        address = address_of(self._mailboxes, call)
        if not call.json().get("topicName"):
            raise GoogleError(400, "topicName required")
        expiration = int((time.time() + _WATCH_DAYS * 86_400) * 1000)
        history_id = str(self._mailboxes.history_id(address))
        return Answer(body={"historyId": history_id, "expiration": str(expiration)})

    def stop(self, call: Call) -> Answer:
        address_of(self._mailboxes, call)
        return Answer(204)

    # ---- messages

    def list_messages(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        page, next_token, total = find_messages(
            self._state, self._search(address, call),
            most=call.number("maxResults", 100, most=500), page_token=call.first("pageToken"),
        )  # fmt: skip
        messages = [{"id": id_, "threadId": thread_id} for id_, thread_id in page]
        return Answer(body=optional(messages=messages, nextPageToken=next_token) | {"resultSizeEstimate": total})

    def get_message(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        message = self._mailboxes.get(address, call.params["id"])
        return Answer(body=message_json(message, call.first("format", "full"), call.query.get("metadataHeaders", [])))

    def modify_message(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        add, remove = self._label_changes(address, call.json())
        return Answer(
            body=message_reference(self._mailboxes.modify(address, call.params["id"], add=add, remove=remove))
        )

    def batch_modify(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        body = call.json()
        add, remove = self._label_changes(address, body)
        with self._state.transaction():
            for id_ in _ids(body):
                self._mailboxes.modify(address, id_, add=add, remove=remove)
        return Answer(204)

    def batch_delete(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        with self._state.transaction():
            for id_ in _ids(call.json()):
                self._mailboxes.delete(address, id_)
        return Answer(204)

    def trash_message(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        return Answer(body=message_reference(self._mailboxes.trash(address, call.params["id"])))

    def untrash_message(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        return Answer(body=message_reference(self._mailboxes.modify(address, call.params["id"], remove=("TRASH",))))

    def delete_message(self, call: Call) -> Answer:
        self._mailboxes.delete(address_of(self._mailboxes, call), call.params["id"])
        return Answer(204)

    def attachment(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        message = self._mailboxes.get(address, call.params["messageId"])
        return Answer(body=attachment_json(message, call.params["id"]))

    # ---- threads

    def list_threads(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        page, next_token = find_threads(
            self._state, self._search(address, call),
            most=call.number("maxResults", 100, most=500), page_token=call.first("pageToken"),
        )  # fmt: skip
        threads = [{"id": id_, "snippet": text, "historyId": str(history)} for id_, text, history in page]
        return Answer(body=optional(threads=threads, nextPageToken=next_token) | {"resultSizeEstimate": len(page)})

    def get_thread(self, call: Call) -> Answer:
        address = address_of(self._mailboxes, call)
        messages = self._mailboxes.thread(address, call.params["id"])
        format_ = call.first("format", "full")
        if format_ == "raw":
            raise GoogleError(400, "Invalid value at 'format', \"raw\"")
        headers = call.query.get("metadataHeaders", [])
        body = {
            "id": call.params["id"], "historyId": str(max(message.history_id for message in messages)),
            "messages": [message_json(message, format_, headers) for message in messages],
        }  # fmt: skip
        return Answer(body=body)

    # ---- parameters

    def _search(self, address: str, call: Call) -> Any:
        return read_search(
            address, q=call.first("q"), label_ids=call.query.get("labelIds", []),
            include_spam_trash=call.flag("includeSpamTrash"),
        )  # fmt: skip

    def _label_changes(self, address: str, body: dict[str, Any]) -> tuple[list[str], list[str]]:
        add, remove = body.get("addLabelIds") or [], body.get("removeLabelIds") or []
        self._mailboxes.check_labels(address, [*add, *remove])
        return add, remove


def _ids(body: dict[str, Any]) -> list[str]:
    ids = body.get("ids") or []
    if not ids or len(ids) > 1000:
        raise GoogleError(400, "No message ids specified." if not ids else "Too many message ids specified.")
    return list(ids)
