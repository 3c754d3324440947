"""Delivery reports and complaints: what failed, for whom, how badly, and which of our mails it was. Pure.

Machine-readable parts (RFC 3464, RFC 5965) are believed first, X-Failed-Recipients and Gmail's own words next, the
text of the old mail servers last. A delay is no failure, a success report neither. A report about a report tells of
the outer failure: what failed within it was another mail.
"""

import json
import re
from dataclasses import dataclass
from email.message import Message
from typing import Literal

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail.address_headers import mailboxes
from cheerful_pipelines.mail.reading import report_text
from cheerful_pipelines.mail.reading.mail_parts import header_text, payload_of, read_parts, text_of, walk
from cheerful_pipelines.mail.reading.models import FailedRecipient

ReportKind = Literal["bounce", "delayed", "delivered", "complaint"]

_DAEMON = re.compile(
    r"^(?:mailer[-_.]?daemon|post[-_.]?master|mail[-_.]?daemon|mdaemon|microsoftexchange\w*|mailsubsystem|bounces?|"
    r"mail[-_.]?delivery[-_.]?(?:system|subsystem|agent)?|delivery[-_.]?(?:failure|status|system)?|"
    r"undeliver\w*|mmdf|smtp|uucp|daemon|system)(?:\+.*|-.*)?$",
    re.I,
)
_DAEMON_NAME = re.compile(r"mail(?:er)?[ -]?(?:daemon|delivery)|delivery (?:sub)?system|system administrator", re.I)
_MESSAGE_ID = re.compile(r"<([^<>\s]{3,998})>")
_STATUS = re.compile(r"\b([245]\.\d{1,3}\.\d{1,3})\b")
_OUTLOOK_COMPLAINT = re.compile(r"^complaint about message from \d", re.I)
_APPLE_OPT_OUT = "sent this email to unsubscribe from the message"
_WRAPPED = re.compile(r"!?\r?\n ")  # how mail servers break a line that is too long
_SES_KINDS: dict[str, ReportKind] = {"Bounce": "bounce", "Complaint": "complaint", "Delivery": "delivered"}


@dataclass(frozen=True)
class DeliveryReport:
    """What a report says. `bounced_message_id` stands without angle brackets."""

    kind: ReportKind
    failed: tuple[FailedRecipient, ...]
    bounced_message_id: str | None
    evidence: str


def may_be_report(headers: tuple[tuple[str, str], ...], subject: str) -> bool:
    """Cheap look at the headers: whether it is worth fetching the raw mail for `read_report`."""
    named = {name.lower(): value for name, value in headers}
    content_type = named.get("content-type", "").lower()
    if "multipart/report" in content_type or "delivery-status" in content_type or "x-failed-recipients" in named:
        return True
    return (
        _is_daemon(named.get("from", ""))
        or bool(report_text.SUBJECT.search(subject))
        or (named.get("return-path", "").strip() == "<>" and not named.get("in-reply-to"))
        or any(name in named for name in ("x-original-to-failed", "feedback-type", "x-loop-delivery-failure"))
        or bool(_OUTLOOK_COMPLAINT.match(subject))
        or "sns.amazonaws.com" in named.get("from", "")
        or named.get("auto-submitted", "").startswith("auto-")
    )


def read_report(raw: bytes) -> DeliveryReport | None:
    """The delivery report or complaint that these bytes are, or None."""
    root = read_parts(raw)
    parts = list(walk(root))
    types = {part.get_content_type() for part in parts}
    embedded = _embedded_message_id(parts)
    if "message/feedback-report" in types or _report_type(root) == "feedback-report":
        return DeliveryReport("complaint", (), embedded, "message/feedback-report")
    if "message/rfc822" in types and _OUTLOOK_COMPLAINT.match(header_text(root, "Subject")):
        return DeliveryReport("complaint", (), embedded, "Subject: complaint about message from an address")
    if header_text(root, "Auto-Submitted") and _APPLE_OPT_OUT in _own_text(parts)[:500]:
        return DeliveryReport("complaint", (), embedded, "Apple Mail's unsubscribe button")
    status_parts = [part for part in parts if part.get_content_type() in _STATUS_TYPES]
    if status_parts:
        report = _from_status(root, parts, status_parts, embedded)
        if report is not None:
            return report
    notice = _from_amazon(root, parts)
    if notice is not None:
        return notice
    report = _from_words(root, parts, embedded)
    if report is not None and report.kind == "bounce" and not report.failed:
        return _passed_on(parts) or report
    return report


def _passed_on(parts: list[Message]) -> DeliveryReport | None:
    """A gateway that blames nobody itself and hands on the report that it got."""
    for part in parts:
        payload = payload_of(part)
        if part.get_content_type() == "message/rfc822" and isinstance(payload, list) and payload:
            inner = payload[0]
            if isinstance(inner, Message) and _report_type(inner) == "delivery-status":
                within = list(walk(inner))
                status = [one for one in within if one.get_content_type() in _STATUS_TYPES]
                return _from_status(inner, within, status, _embedded_message_id(within))
    return None


def _from_amazon(root: Message, parts: list[Message]) -> DeliveryReport | None:
    """Amazon SES tells by a JSON text, sent as a mail."""
    if "amazonaws.com" not in header_text(root, "From"):
        return None
    text = next((text_of(part) for part in parts if part.get_content_type() == "text/plain"), "")
    try:
        notice, _ = json.JSONDecoder().raw_decode(_WRAPPED.sub("", text.strip()))
        kind = _SES_KINDS[notice["notificationType"]]
        bounced = notice["bounce"]["bouncedRecipients"] if kind == "bounce" else []
        failed = [_failed_recipient(_ses_block(item), str(item["emailAddress"])) for item in bounced]
    except (ValueError, KeyError, TypeError):
        return None
    return DeliveryReport(kind, tuple(item for item in failed if item), None, "notificationType of Amazon SES")


def _ses_block(item: dict[str, str]) -> dict[str, str]:
    return {"status": str(item.get("status", "")), "diagnostic-code": str(item.get("diagnosticCode", ""))}


_ORIGINALS = frozenset(("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global"))
_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")


# --- RFC 3464 -----------------------------------------------------------------------------------------------------


def _from_status(
    root: Message, parts: list[Message], status_parts: list[Message], embedded: str | None
) -> DeliveryReport | None:
    """One block a recipient; the first block speaks of the message. Several recipients may fare differently."""
    failed: list[FailedRecipient] = []
    actions: list[str] = []
    for part in status_parts:
        for block in _blocks(part):
            recipient = _recipient(block, "original-recipient", "final-recipient", "x-actual-recipient")
            action = block.get("action", "").split(" ")[0].strip().lower()
            if not recipient and not action:
                continue
            actions.append(action)
            if action in ("failed", "") or (action not in _KNOWN_ACTIONS):
                found = _failed_recipient(block, recipient)
                if found is not None and found not in failed:
                    failed.append(found)
    if failed:
        return DeliveryReport("bounce", tuple(_one_each(failed)), embedded, "message/delivery-status, action failed")
    if "delayed" in actions:
        return DeliveryReport("delayed", (), embedded, "message/delivery-status, action delayed")
    if any(action in _KNOWN_ACTIONS for action in actions):
        return DeliveryReport("delivered", (), embedded, "message/delivery-status, action delivered")
    return None


_KNOWN_ACTIONS = ("failed", "delayed", "delivered", "relayed", "expanded")


def _blocks(part: Message) -> list[dict[str, str]]:
    """Header blocks of a delivery-status part; parsed from its text where the structure was damaged."""
    payload = payload_of(part)
    if isinstance(payload, list):
        lines = [
            [(name.lower(), re.sub(r"\s+", " ", str(value))) for name, value in item.items()]
            for item in payload
            if isinstance(item, Message)
        ]
        if any(name in ("action", "final-recipient") for block in lines for name, _ in block):
            return [block for found in lines for block in _one_recipient_each(found)]
    text = text_of(part)
    return [
        {name.lower(): value.strip() for name, value in re.findall(r"^([A-Za-z-]{3,40}):[ \t]*(.*)$", block, re.M)}
        for block in re.split(r"\r?\n[ \t]*\r?\n", text)
    ]


def _one_recipient_each(lines: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Some servers leave out the empty line between two recipients: a field that comes again begins the next."""
    blocks: list[dict[str, str]] = [{}]
    for name, value in lines:
        if name == "final-recipient" and name in blocks[-1]:
            blocks.append({})
        blocks[-1].setdefault(name, value)
    return blocks


def _recipient(block: dict[str, str], *names: str) -> str:
    for name in names:
        value = block.get(name, "")
        bare = value.split(";", 1)[-1].strip().strip("<>").strip()
        found = report_text.ADDRESS.search(bare)
        if found and "x400" not in value.lower().split(";")[0]:
            return bare if bare.startswith('"') and " " not in bare else found.group(0)
    return ""


def _failed_recipient(block: dict[str, str], recipient: str) -> FailedRecipient | None:
    diagnostic = _in_words(block.get("diagnostic-code", "").split(";", 1)[-1].strip())
    if not recipient:
        found = report_text.ADDRESS.search(diagnostic) or report_text.ADDRESS.search(block.get("final-recipient", ""))
        if found is None:
            return None
        recipient = found.group(0)
    final = _recipient(block, "final-recipient")
    given = _STATUS.search(block.get("status", ""))
    said = _STATUS.search(diagnostic)
    # Exchange and others write 5.0.0 or 4.4.7 into Status and the true code into the diagnostic.
    status = given.group(1) if given else None
    if said and (status is None or status.endswith(".0.0")):
        status = said.group(1)
    key = address_key(recipient)
    return FailedRecipient(
        address_key=key,
        final_key=address_key(final) if final and address_key(final) != key else None,
        status=status,
        severity=report_text.severity(status, diagnostic),
        reason=report_text.reason(status, diagnostic),
    )


def _in_words(diagnostic: str) -> str:
    """Some Japanese servers write ISO-2022-JP into the field."""
    if "\x1b$" not in diagnostic:
        return diagnostic
    return diagnostic.encode("latin-1", "replace").decode("iso2022_jp", "replace")


def _one_each(failed: list[FailedRecipient]) -> list[FailedRecipient]:
    by_key: dict[str, FailedRecipient] = {}
    for item in failed:
        known = by_key.get(item.address_key)
        if known is None or (known.severity == "soft" and item.severity == "hard"):
            by_key[item.address_key] = item
    return list(by_key.values())


# --- headers and words --------------------------------------------------------------------------------------------


def _from_words(root: Message, parts: list[Message], embedded: str | None) -> DeliveryReport | None:
    """Reports without a machine-readable part: X-Failed-Recipients, daemon senders, the words of old servers."""
    subject = header_text(root, "Subject")
    sender = header_text(root, "From").strip("<> ")
    failed_header = header_text(root, "X-Failed-Recipients")
    text = _own_text(parts)
    daemon = _is_daemon(sender) or "message/rfc822-headers" in {part.get_content_type() for part in parts}
    evidence = _evidence(root, parts, sender, subject, failed_header, text, daemon)
    if evidence is None:
        return None
    if not failed_header and (report_text.DELAY.search(subject) or report_text.is_delay(text)):
        return DeliveryReport("delayed", (), embedded, evidence)
    above = report_text.above_the_original(text)
    addresses = report_text.ADDRESS.findall(failed_header) or report_text.failed_addresses(above)
    if report_text.SUCCESS.search(subject) and not failed_header and not report_text.FAILURE.search(above):
        return DeliveryReport("delivered", (), embedded, evidence)
    status = _STATUS.search(above)
    found = status.group(1) if status else None
    failed = tuple(
        FailedRecipient(
            address_key=key,
            status=found,
            severity=report_text.severity(found, above),
            reason=report_text.reason(found, above),
        )
        for key in dict.fromkeys(address_key(item) for item in addresses)
    )
    return DeliveryReport("bounce", failed, embedded, evidence)


def _evidence(
    root: Message, parts: list[Message], sender: str, subject: str, failed_header: str, text: str, daemon: bool
) -> str | None:
    """The header or line that makes it a report, without anybody's address; None: it is none."""
    automatic = header_text(root, "Auto-Submitted").lower()
    if failed_header:
        return "X-Failed-Recipients"
    about_subject = report_text.SUBJECT.search(subject)
    failure = report_text.FAILURE.search(report_text.above_the_original(text))
    if _report_type(root) == "delivery-status" and (about_subject or failure):
        return "multipart/report"
    replies = header_text(root, "In-Reply-To") and not daemon
    if daemon and (about_subject or failure) and automatic != "auto-replied-vacation":
        return "delivery failure from a mail system"
    if about_subject and failure and not replies:
        return f"Subject: {about_subject.group(0)}"
    if header_text(root, "Return-Path") == "<>" and failure and not replies:
        return "empty Return-Path and the words of a failure"
    if not replies and {part.get_content_type() for part in parts} & _ORIGINALS and report_text.TELLS_WHOM.search(text):
        return "the words of a failure, and the mail that failed"
    if failure and not sender:
        return "no sender and the words of a failure"
    return None


def _own_text(parts: list[Message]) -> str:
    texts = [text_of(part) for part in parts if part.get_content_type() == "text/plain" and not part.is_multipart()]
    if any(text.strip() for text in texts):
        return "\n".join(texts[:3])
    html = [text_of(part) for part in parts if part.get_content_type() == "text/html"]
    if html:
        return re.sub(r"<[^<>]{0,500}>", " ", html[0]).replace("&lt;", "<").replace("&gt;", ">").replace("&#64;", "@")
    return "\n".join(text_of(part) for part in parts[:3] if not part.is_multipart())


def _embedded_message_id(parts: list[Message]) -> str | None:
    """Message-ID of the mail that came back: its own part first, then the words, In-Reply-To last."""
    for part in parts:
        kind = part.get_content_type()
        if kind in _ORIGINALS:
            payload = payload_of(part)
            inner = payload[0] if isinstance(payload, list) and payload else None
            value = inner.get("Message-ID") if isinstance(inner, Message) else None
            found = _MESSAGE_ID.search(str(value)) if value else report_text.message_id_line(text_of(part))
            if found is not None:
                return found.group(1)
            bare = str(value) if value else report_text.bare_message_id(text_of(part))
            if len(bare.split()) == 1:  # without its angle brackets
                return bare.strip()
    for part in parts:
        if part.get_content_maintype() == "text":
            found = report_text.message_id_line(text_of(part))
            if found is not None:
                return found.group(1)
    for part in parts:
        if part.get_content_type() in _STATUS_TYPES:
            found = re.search(r"X-Original-Message-ID:\s*<([^<>\s]+)>", text_of(part), re.I)
            if found is not None:
                return found.group(1)
    answered = _MESSAGE_ID.search(header_text(parts[0], "In-Reply-To")) if parts else None
    return answered.group(1) if answered else None


def _report_type(root: Message) -> str:
    return str(root.get_param("report-type", "") or "").lower() if root.get_content_type() == "multipart/report" else ""


def _is_daemon(sender: str) -> bool:
    name, address = next(mailboxes(sender[:1_000]), ("", ""))
    local = (address or sender).split("@")[0].strip(" <>\"'")
    return bool(_DAEMON.match(local)) or bool(_DAEMON_NAME.search(name))
