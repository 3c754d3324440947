"""Delivery reports in the form that Gmail sends them (RFC 3464), for good, for now, or delayed. Pure."""

import hashlib
from datetime import datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import Literal

ReportKind = Literal["bounce_hard", "bounce_soft", "delayed"]

_HARD = (
    ("5.1.1", "550 5.1.1 The email account that you tried to reach does not exist."),
    ("5.1.1", "550 5.1.1 <{to}>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("5.1.2", "550 5.1.2 <{to}>: Recipient address rejected: Domain not found"),
    ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient {to} not found by SMTP address lookup"),
)
_SOFT = (
    ("4.2.2", "452 4.2.2 The email account that you tried to reach is over quota."),
    ("4.4.1", "451 4.4.1 No answer from host"),
    ("4.7.1", "450 4.7.1 <{to}>: Recipient address rejected: Greylisted, please try again later"),
)
_WORDS = {
    "bounce_hard": "** Address not found **\r\n\r\nYour message wasn't delivered to {to} because the "
    "address couldn't "
    "be found, or is unable to receive mail.",
    "bounce_soft": "** Message not delivered **\r\n\r\nThere was a problem delivering your message to "
    "{to}. Gmail has "
    "given up after three days.",
    "delayed": "** Delivery incomplete **\r\n\r\nThere was a temporary problem delivering your message "
    "to {to}. Gmail "
    "will retry for 46 more hours. You'll be notified if the delivery fails permanently.",
}


def report(
    random: Random, kind: ReportKind, *, message_id: str, at: datetime, about: str, sender: str,
    recipient: str, original: bytes,
) -> bytes:  # fmt: skip
    """A report on the mail `about` from `sender` to `recipient`, with the original inside."""
    status, diagnostic = random.choice(_HARD if kind == "bounce_hard" else _SOFT)
    diagnostic = diagnostic.format(to=recipient)
    boundary = "00000000" + hashlib.sha256(message_id.encode()).hexdigest()[:20]
    head = [
        f"From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\r\nTo: {sender}",
        "Auto-Submitted: auto-replied",
        f"Subject: Delivery Status Notification ({'Delay' if kind == 'delayed' else 'Failure'})",
        f"In-Reply-To: {about}",
        f"References: {about}",
        f"X-Failed-Recipients: {recipient}",
        f"Message-ID: {message_id}",
        f"Date: {format_datetime(at)}",
        "Return-Path: <>",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; boundary="{boundary}"; report-type=delivery-status',
    ]
    words = _WORDS[kind].format(to=recipient) + f"\r\n\r\nThe response was:\r\n{diagnostic}\r\n"
    fields = [
        "Reporting-MTA: dns; googlemail.com",
        f"Arrival-Date: {format_datetime(at - timedelta(seconds=4))}",
        f"X-Original-Message-ID: {about}",
        "",
        f"Final-Recipient: rfc822; {recipient}",
        f"Action: {'delayed' if kind == 'delayed' else 'failed'}",
        f"Status: {status}",
        "Remote-MTA: dns; mx.mail.example. (192.0.2.25, the server for the domain.)",
        f"Diagnostic-Code: smtp; {diagnostic}",
        f"Last-Attempt-Date: {format_datetime(at)}",
    ]
    if kind == "delayed":
        fields.append(f"Will-Retry-Until: {format_datetime(at + timedelta(hours=46))}")
    body = [
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="UTF-8"',
        "",
        words,
        f"--{boundary}",
        "Content-Type: message/delivery-status",
        "",
        *fields,
        "",
        f"--{boundary}",
        "Content-Type: message/rfc822",
        "",
        "",
    ]
    return "\r\n".join([*head, *body]).encode() + original + f"\r\n--{boundary}--\r\n".encode()
