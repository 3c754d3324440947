"""Whether a mail concerns a campaign: what an account with the scope `campaign` may store whole. Pure.

A mail concerns a campaign if it is from or to a recipient, answers mail that is stored, or reports that mail to a
recipient failed. Everything else in a sender's mailbox is nobody's business here.
"""

import re
from collections.abc import Iterable, Sequence

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail.address_headers import mailboxes
from cheerful_pipelines.mail.models import ParsedMail

_READ_OF_REPORTS = 200_000
_ADDRESS = re.compile(rb"[A-Za-z0-9._%+'=~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,8}")
_ANGLED = re.compile(rb"<([^<>\s]{3,300}@[^<>\s]{1,300})>")
_REPORTERS = re.compile(r"^(mailer-?daemon|postmaster|mail-daemon|microsoftexchange.*|bounces?|no-?reply)@", re.I)
_MORE_ADDRESSES = ("reply-to", "sender", "x-failed-recipients", "resent-to", "delivered-to")

PEOPLE_A_QUERY = 10
"""A longer q would make the library send a POST instead of a GET."""

REPORTS_QUERY = "{from:mailer-daemon from:postmaster}"


def query_for(addresses: Sequence[str]) -> str:
    """The search that finds every mail from or to one of these addresses, however their domains are spelled.

    A domain beyond ASCII stands in sheets as people read it and in mail as machines do. Dots that a Gmail user leaves
    out are not searched for: what we wrote to the sheet's own form brings the whole thread in.

    >>> query_for(["Ana@Creator.example"])
    '{from:ana@creator.example to:ana@creator.example cc:ana@creator.example}'
    """
    forms = dict.fromkeys(form for address in addresses for form in (address.lower(), address_key(address)))
    return "{" + " ".join(f"{where}:{form}" for form in forms for where in ("from", "to", "cc")) + "}"


def people_in(mail: ParsedMail) -> set[str]:
    """Keys of everybody that the mail's headers name; of a delivery report also those that its text names."""
    parsed = mail.parsed
    found = {*parsed.to_keys, *((parsed.from_key,) if parsed.from_key else ())}
    more = [value for name, value in parsed.headers if name.lower() in _MORE_ADDRESSES]
    found.update(address_key(address) for text in more for _, address in mailboxes(text) if "@" in address)
    if is_report(mail):
        text = mail.fetched.raw[:_READ_OF_REPORTS]
        found.update(address_key(match.decode("ascii", "replace")) for match in _ADDRESS.findall(text))
    return found


def mails_named_in(mail: ParsedMail) -> set[str]:
    """Message-IDs that the mail answers, or that a delivery report carries."""
    found = {*mail.parsed.in_reply_to, *mail.parsed.reference_ids}
    if is_report(mail):
        text = mail.fetched.raw[:_READ_OF_REPORTS]
        found.update(match.decode("ascii", "replace") for match in _ANGLED.findall(text))
    return found


def is_report(mail: ParsedMail) -> bool:
    """Whether it may be a delivery report."""
    content_type = next((value for name, value in mail.parsed.headers if name.lower() == "content-type"), "")
    return "multipart/report" in content_type.lower() or bool(_REPORTERS.match(mail.parsed.from_address or ""))


def concerns(mail: ParsedMail, *, recipients: frozenset[str], stored_ids: Iterable[str]) -> bool:
    """Whether the mail is in scope. `stored_ids`: those of `mails_named_in` that are stored."""
    return not recipients.isdisjoint(people_in(mail)) or not mails_named_in(mail).isdisjoint(stored_ids)
