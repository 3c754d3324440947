"""The words of delivery reports: patterns, severity and reasons. Data and small pure functions for `bounces.py`."""

import re
from typing import Literal

ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){0,8}[A-Za-z0-9-]{1,63}")

SUBJECT = re.compile(
    r"undeliver|delivery (?:status|fail|report|has failed|problem|error|notification)|(?:mail|message) delivery|"
    r"returned (?:mail|to sender|message)|failure notice|fail(?:ed|ure).{0,20}deliver|non.?deliver|not deliver|"
    r"mail.{0,12}(?:fail|error|undeliver|warning)|bounce|could ?n.t be delivered|"
    r"delivery .{0,30}(?:fail|delay|problem)|warning: .{0,60}(?:delay|not sent|could not)|nondeliverable|"
    r"unzustellbar|nicht zugestellt|zustellung|mail konnte nicht|remis|non remis|non distribu|échec|"
    r"no se puede entregar|"
    r"no entregado|devuelto|não entregue|falha|devolvid|mancata consegna|non recapitabile|onbestelbaar|"
    r"\bfailed mail\b|\berrors from\b|"
    r"niedostarcz|kunde inte levereras|kunne ikke leveres|undelivered|delivery incomplete|delivery delayed",
    re.I,
)
DELAY = re.compile(
    r"delayed|delivery (?:incomplete|delay)|still being retried|warning: (?:could not send|message)|temporar|"
    r"not (?:yet )?(?:been )?delivered (?:yet|after)|verzögert",
    re.I,
)
_DELAY_TEXT = re.compile(
    r"this is a warning message only|you do not need to (?:re-?send|retry)|no action is required on your part|"
    r"will (?:continue|be retried|keep) (?:trying|for|to try)|has not (?:yet )?been delivered (?:yet )?to|"
    r"delivery attempts will continue|will retry for|still trying|is still being retried|gmail will retry|"
    r"delivery (?:has been|to the following recipients? has been) delayed",
    re.I,
)
_GIVEN_UP = re.compile(r"giv(?:en|ing) up|permanent|has failed|returned to sender|did not reach", re.I)
SUCCESS = re.compile(r"\bsuccess|\bdelivered|\brelayed|return receipt", re.I)

FAILURE = re.compile(
    r"could ?n[o']t be delivered|could not be delivered|(?:was|were|has|have|been|"
    r"is) ?n[o']t (?:been )?(?:be )?deliver|"
    r"undeliver|not be delivered|delivery (?:to|has|of|status|fail)|permanent (?:fatal )?error|permanent failure|"
    r"fatal error|returned (?:mail|message|to)|unable to deliver|cannot deliver|can't deliver|failed permanently|"
    r"(?:user|recipient|mailbox|address|account|host|domain)s? .{0,40}(?:unknown|not found|does(?: not|n't) exist|"
    r"unavailable|rejected|disabled|full|over quota|invalid|not exist|unrouteable)|"
    r"(?:unknown|no such|invalid|bad|inactive|illegal) (?:local )?(?:user|recipient|mailbox|address|host|"
    r"account|alias)|"
    r"\b5\d\d[ -]\d\.\d{1,3}\.\d|\b55\d[ -]|\b5\.[0-7]\.\d{1,3}\b|quota exceeded|message (?:was )?(?:rejected|refused)|"
    r"did not reach|address(?:es)? (?:failed|not found)|had .{0,20}errors|wasn't delivered|message blocked|"
    r"nicht zugestellt|unzustellbar|konnte nicht|non (?:è|e) stato|n'a pas pu|no (?:se )?(?:ha )?pud|não (?:foi|pôde)|"
    r"mailbox .{0,20}(?:full|exceed)|isn't able to receive|not listed in|unrouteable|mail system error|"
    r"did not (?:exactly )?match|"
    r"couldn't|delivery error|problem delivering|could not send|mail is not able to be delivered|"
    r"error while delivering",
    re.I,
)

TELLS_WHOM = re.compile(rf"could not be delivered to:\s*<?{ADDRESS.pattern}", re.I)

_ORIGINAL_WORD = re.compile(r"original|(?<!server )(?<!error )message|header|text|copy|mail|unsent|returned", re.I)
_ORIGINAL_PHRASE = re.compile(
    r"original message|message header|this is a copy of|body of the|returned message|unsent message|"
    r"original mail|message follows|included below|is attached|ursprüngliche",
    re.I,
)
_ORIGINAL_HEADER = re.compile(r"[ \t]*(?:Received|Return-Path):[ \t]\S", re.I)
_NOT_REACHED = re.compile(r"did not reach the following recipient", re.I)
_EXPANDED = re.compile(rf"\(expanded from: <?({ADDRESS.pattern})>?\)", re.I)
_ADDRESSED = re.compile(rf"message was addressed(?: to)?,?\s<?({ADDRESS.pattern})", re.I)
_OVER_QUOTA = re.compile(rf"violation for <?({ADDRESS.pattern})", re.I)
_LONGEST_LINE = 300
_FIRST_LINES = 120  # characters
_MESSAGE_ID_LINE = re.compile(
    r"^[ \t>|*]*(?:Original-)?(?:Message-?ID|X-Original-Message-ID)\s*[:=]\s*<([^<>\s]{3,998})>", re.I | re.M
)

_SOFT_FIVES = re.compile(r"^5\.(?:2\.2|2\.3|2\.4|3\.1|3\.4|4\.1|4\.5|4\.7|7\.\d+|0\.0|3\.\d|4\.6|5\.\d|6\.\d)$")
_REASONS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "sender refused",
        re.compile(
            r"reverse|\bptr\b|rdns|\bhelo\b|ehlo|sender.{0,60}(?:unknown|reject|not exist|refused|invalid|"
            r"verify|not found|denied|cannot be resolved)|(?:unknown|bad|invalid|unroutable|"
            r"unresolvable) sender|your (?:ip|host|server)|client host|5\.1\.[78]\b|no pointer|from address|"
            r"hostname for ip|domain of sender|mail server .{0,20}(?:dns|not)|(?:after|in reply to) MAIL FROM|"
            r"invalid ip for sending",
            re.I,
        ),
    ),
    (
        "suspended",
        re.compile(
            r"suspend|disabled|inactive|deactivated|not active|locked|frozen|expired (?:user|account|mailbox)",
            re.I,
        ),
    ),
    (
        "mailbox full",
        re.compile(
            r"quota|mailbox .{0,12}full|is full|over.?quota|too many messages|insufficient (?:disk|storage)|"
            r"not enough (?:disk|storage|space)|exceed.{0,30}(?:storage|limit for (?:this )?mailbox)|"
            r"out of storage",
            re.I,
        ),
    ),
    (
        "message too large",
        re.compile(
            r"too (?:large|big)|size (?:limit|exceed)|message length exceeds|exceeds? .{0,30}(?:size|maximum)|"
            r"max(?:imum)? (?:message )?size",
            re.I,
        ),
    ),
    # What Microsoft's servers say of an address that they do not have.
    ("user unknown", re.compile(r"recipient address rejected: access denied", re.I)),
    (
        "rejected as spam",
        re.compile(
            r"spam|blocked|black ?list|blocklist|reputation|\bspf\b|dmarc|dkim|policy|denied by|"
            r"content.{0,20}reject|virus|rbl|spamhaus|not authori|unsolicited|rate.?limit|too many|greylist|"
            r"banned|refused due|access denied|relay|protocol violation",
            re.I,
        ),
    ),
    ("server trouble", re.compile(r"internal system error|media error|transaction failed|system config", re.I)),
    (
        "user unknown",
        re.compile(
            r"(?:user|recipient|mailbox|address|account|alias|addressee)s? .{0,60}(?:unknown|not found|"
            r"does(?: not|n't) exist|not exist|invalid|inactive|disabled|not listed|doesn't have|not known|"
            r"no longer|unavailable|rejected)|(?:unknown|no such|invalid|bad|inactive|nonexistent|"
            r"not a valid|no mailbox|illegal|unrecogni[sz]ed) .{0,20}(?:user|recipient|mailbox|address|"
            r"account|alias|person|name|here)|isn't able|not a (?:known|valid) user|"
            r"doesn't have an? .{0,20}account|undeliverable address|not our customer|no (?:mailbox|account)|"
            r"5\.1\.1|user ?unknown|disabled|inactive|not recogni[sz]ed|no valid recipient|"
            r"check (?:if|whether|that) .{0,12}address|not a registered|見つかりません|存在しません",
            re.I,
        ),
    ),
    (
        "host unknown",
        re.compile(
            r"(?:host|domain)s? .{0,25}(?:unknown|not found|does(?: not|n't) exist|not exist|"
            r"cannot be found)|no such (?:host|domain)|name or service|nxdomain|unrouteable|find a mail exchanger|"
            r"couldn't find any host|no mx|bad (?:host|destination)|unknown host|null mx",
            re.I,
        ),
    ),
    (
        "not reachable",
        re.compile(
            r"timed? ?out|name service|connection|connect|unreachable|retry|expired|too long|giving up|queue|temporar|"
            r"try again|system (?:not|busy|error)|resources|unavailable|loop|hop",
            re.I,
        ),
    ),
)


def is_delay(text: str) -> bool:
    """The report says that it goes on trying."""
    head = text[:3_000]
    return _DELAY_TEXT.search(head) is not None and _GIVEN_UP.search(head) is None


def above_the_original(text: str) -> str:
    """The report's own words: what stands above the copy of the mail that failed."""
    start = 0
    for line in text.split("\n"):
        # The very first lines may name the original without showing it.
        if start > _FIRST_LINES and _begins_original(line[:_LONGEST_LINE].rstrip()):
            return text[:start]
        start += len(line) + 1
    return text


def _begins_original(line: str) -> bool:
    if line.lstrip().startswith("--"):
        return _ORIGINAL_WORD.search(line) is not None
    phrase = _ORIGINAL_PHRASE.search(line)
    return (phrase is not None and len(line) - phrase.end() <= 61) or _ORIGINAL_HEADER.match(line) is not None


def failed_addresses(text: str) -> list[str]:
    """Addresses that the words of a report blame: `<a@b>:` first, then lines of their own, then the first named."""
    exchange = _NOT_REACHED.search(text)
    if exchange:
        named = [item.rpartition("=")[2] for item in ADDRESS.findall(text[exchange.end() : exchange.end() + 1_000])]
        if named:
            return list(dict.fromkeys(named))
    addressed = _ADDRESSED.search(text)
    if addressed:
        return [addressed.group(1)]
    blamed = re.findall(rf"^[ \t]*+<?({ADDRESS.pattern})>?[ \t]*+:(?!/)", text, re.M)
    if blamed:
        return list(dict.fromkeys(blamed))
    quoted = rf"['\"]?<?({ADDRESS.pattern})>?['\"]?"
    alone = re.findall(rf"^[ \t]*+(?:To:[ \t]*+)?{quoted}[ \t]*+(?:\(.*\))?[.,]?[ \t\r]*+$", text, re.M)
    if alone:
        return list(dict.fromkeys([*alone, *_EXPANDED.findall(text)]))
    near = re.findall(
        rf"(?:to|for|recipient|user|address|mailbox|RCPT TO:?)\b[^@\n]{{0,40}}?<?({ADDRESS.pattern})>?",
        text,
        re.I,
    )
    named = [
        item
        for item in near or ADDRESS.findall(text)
        if not item.lower().startswith(("postmaster@", "mailer-daemon@")) and not _is_sender(item, text)
    ]
    return list(dict.fromkeys([*named[:1], *_OVER_QUOTA.findall(text)]))


def _is_sender(address: str, text: str) -> bool:
    """Whom a server does not take mail from is us."""
    return f"mail from {address}".lower() in text.lower()


def message_id_line(text: str) -> re.Match[str] | None:
    """A `Message-ID:` line inside a text."""
    return _MESSAGE_ID_LINE.search(text)


def bare_message_id(headers: str) -> str:
    """A Message-ID without angle brackets among the headers of the mail that failed; empty where there is none."""
    found = re.search(r"^Message-ID:[ \t]*(\S+)[ \t\r]*$", headers, re.I | re.M)
    return found.group(1) if found else ""


def reason(status: str | None, words: str) -> str:
    """A short reason in our words; the diagnostic's words win over the status, which servers often leave general."""
    short = words[:4_000]
    for name, pattern in _REASONS:
        if pattern.search(short):
            return name
    by_status = {"1": "user unknown", "2": "mailbox full", "4": "not reachable", "7": "rejected as spam"}
    return by_status.get(status.split(".")[1], "not delivered") if status else "not delivered"


def severity(status: str | None, words: str) -> Literal["hard", "soft"]:
    """hard: this address will never take mail. soft: this mail was not taken, another may be.

    A full mailbox, a spam filter and a size limit are soft even where the server says 5.x.x; an unknown user or
    domain is hard even where it says 4.x.x.
    """
    why = reason(status, words)
    if status is not None and status.startswith(("5.1.1", "5.1.10")) and why != "mailbox full":
        return "hard"
    if why in ("user unknown", "host unknown"):
        return "hard"
    if why in (
        "mailbox full",
        "message too large",
        "rejected as spam",
        "not reachable",
        "sender refused",
        "server trouble",
        "suspended",
    ):
        return "soft"
    if status is None or status.endswith(".0.0"):
        return "hard" if re.search(r"\b5(?:5[0134]|42)\b", words[:4_000]) else "soft"
    return "hard" if status.startswith("5") and not _SOFT_FIVES.match(status) else "soft"
