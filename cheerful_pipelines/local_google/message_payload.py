"""A message as Gmail's JSON: minimal, raw, metadata or full."""

import base64
from email.message import Message
from typing import Any

from cheerful_pipelines.local_google import mail_text
from cheerful_pipelines.local_google.calls import GoogleError, not_found
from cheerful_pipelines.local_google.mailboxes import StoredMessage

FORMATS = ("minimal", "full", "raw", "metadata")


def message_json(message: StoredMessage, format_: str, metadata_headers: list[str]) -> dict[str, Any]:
    """The Message resource. A message without labels has no `labelIds`."""
    if format_.lower() not in FORMATS:
        raise GoogleError(400, f"Invalid value at 'format', \"{format_}\"")
    raw = message.raw or b""
    found: dict[str, Any] = {"id": message.id, "threadId": message.thread_id}
    if message.label_ids:
        found["labelIds"] = list(message.label_ids)
    found |= {
        "snippet": message.snippet,
        "sizeEstimate": len(raw),
        "historyId": str(message.history_id),
        "internalDate": str(message.internal_date),
    }
    if format_ == "raw":
        found["raw"] = base64.urlsafe_b64encode(raw).decode("ascii")
    elif format_ == "metadata":
        found["payload"] = {
            "mimeType": mail_text.parsed(raw).get_content_type(),
            "headers": _headers(raw, metadata_headers),
        }
    elif format_ == "full":
        found["payload"] = _part(mail_text.parsed(raw), "", message.id, _headers(raw, []))
    return found


def _headers(raw: bytes, wanted: list[str]) -> list[dict[str, str]]:
    names = {name.lower() for name in wanted}
    return [
        {"name": name, "value": mail_text.decoded(value)}
        for name, value in mail_text.read_headers(raw)
        if not names or name.lower() in names
    ]


def _part(part: Message, part_id: str, message_id: str, headers: list[dict[str, str]]) -> dict[str, Any]:
    filename = _filename(part)
    found: dict[str, Any] = {
        "partId": part_id,
        "mimeType": part.get_content_type(),
        "filename": filename,
        "headers": headers,
    }
    children = part.get_payload()
    if isinstance(children, list):
        found["body"] = {"size": 0}
        found["parts"] = [
            _part(child, f"{part_id}.{n}".lstrip("."), message_id, _part_headers(child))
            for n, child in enumerate(children)
            if isinstance(child, Message)
        ]
        return found
    content = _content(part)
    found["body"] = {"size": len(content)}
    if filename:
        found["body"]["attachmentId"] = f"{message_id}.{part_id or '0'}"
    elif content:
        found["body"]["data"] = base64.urlsafe_b64encode(content).decode("ascii")
    return found


def _part_headers(part: Message) -> list[dict[str, str]]:
    return [{"name": name, "value": mail_text.decoded(str(value))} for name, value in part.items()]


def _filename(part: Message) -> str:
    try:
        return part.get_filename() or ""
    except (ValueError, LookupError, TypeError):
        return ""


def _content(part: Message) -> bytes:
    try:
        payload = part.get_payload(decode=True)
    except (ValueError, LookupError, TypeError):
        return b""
    return payload if isinstance(payload, bytes) else b""


def attachment_json(message: StoredMessage, attachment_id: str) -> dict[str, Any]:
    """The MessagePartBody of an attachment that `full` named, or 404."""
    owner, _, part_id = attachment_id.partition(".")
    part: Message = mail_text.parsed(message.raw or b"")
    steps = [] if owner != message.id or (part_id == "0" and not part.is_multipart()) else part_id.split(".")
    for step in steps:
        children = part.get_payload()
        if not isinstance(children, list) or not step.isdigit() or int(step) >= len(children):
            raise not_found()
        child = children[int(step)]
        if not isinstance(child, Message):
            raise not_found()
        part = child
    if owner != message.id:
        raise not_found()
    content = _content(part)
    return {"size": len(content), "data": base64.urlsafe_b64encode(content).decode("ascii")}
