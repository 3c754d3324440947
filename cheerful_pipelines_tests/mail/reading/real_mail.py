"""How the rules do on real mail (../shared/data), a function a figure. Tests hold the bars, a benchmark prints them."""

import json
import mailbox
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.reading.bounces import read_report
from cheerful_pipelines.mail.reading.quoted_html import html_without_quotation
from cheerful_pipelines.mail.reading.quoted_text import new_words, tidy, without_quotation
from cheerful_pipelines.mail.reading.read_message import needs_raw, read_message
from cheerful_pipelines.mail.store import canonical_key
from cheerful_pipelines.storage.blobs import sha256_hex
from cheerful_pipelines.threads.membership import LinkedMessage, conversations
from cheerful_pipelines_tests.threads.mailroom import stored


class Score(NamedTuple):
    """`right` of `cases`; `wrong` names the others."""

    right: int
    cases: int
    wrong: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.right / self.cases


def _score(results: dict[str, bool]) -> Score:
    return Score(sum(results.values()), len(results), tuple(name for name, right in results.items() if not right))


def thread_sets(data: Path) -> Iterator[tuple[str, list[bytes], dict[str, Any]]]:
    """Name, raw messages in file order, expectations."""
    for path in sorted((data / "threads").glob("*.expected.json")):
        name = path.name.removesuffix(".expected.json")
        expected = json.loads(path.read_text())
        box = path.parent / f"{name}.mbox"
        if box.exists():
            raws = [message.as_bytes() for message in mailbox.mbox(box)]
        else:
            raws = [(path.parent / name / item["file"]).read_bytes() for item in expected["messages"]]
        yield name, raws, expected


@cache
def _parsed_sets(data: Path) -> tuple[tuple[str, tuple[LinkedMessage, ...], tuple[tuple[int, ...], ...]], ...]:
    """Name, messages in file order and agreed threads of each set: parsed once a process, not once an order."""
    found = []
    for name, raws, expected in thread_sets(data):
        links = []
        for item, raw in zip(expected["messages"], raws, strict=True):
            parsed = parse_message(raw)
            content = canonical_key(parsed, sha256_hex(raw))
            links.append(
                LinkedMessage(
                    item["n"], parsed.rfc822_message_id, parsed.in_reply_to, parsed.reference_ids, content=content
                )
            )
        agreed = tuple(tuple(thread) for thread in expected["notmuch_and_dovecot_refs_agree"])
        found.append((name, tuple(links), agreed))
    return tuple(found)


def agreed_threads(data: Path, *, shuffle: int | None = None) -> Score:
    """Threads on which notmuch and Dovecot agree, in file order or shuffled by a seed."""
    results = {}
    for name, in_file_order, agreed in _parsed_sets(data):
        links = list(in_file_order)
        if shuffle is not None:
            Random(shuffle).shuffle(links)
        groups: dict[str, set[int]] = defaultdict(set)
        for key, conversation in conversations(links).items():
            groups[conversation].add(key)
        found = {frozenset(group) for group in groups.values()}
        for thread in agreed:
            results[f"{name}:{thread[0]}"] = frozenset(thread) in found
    return _score(results)


def exact_replies(data: Path) -> dict[str, Score]:
    """Replies equal to the source's, white space squeezed, by source; talon's quotation cases keep the signature."""
    results: dict[str, dict[str, bool]] = defaultdict(dict)
    for line in (data / "quotes" / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        for source, expected in case["expected"].items():
            if "reply_exact" in expected:
                keeps_signature = source == "mailgun/talon" and "bruteforce" not in case["id"]
                body = tidy(case["input"])
                got = (without_quotation(body) or body) if keeps_signature else new_words(body).text
                results[source][case["id"]] = got.split() == expected["reply_exact"].split()
            elif "reply_text_nospace" in expected:
                body = tidy(html_without_quotation(case["input"]).text)
                got = without_quotation(body) or body
                results[f"{source} html"][case["id"]] = "".join(got.split()) == expected["reply_text_nospace"]
    return {source: _score(found) for source, found in results.items()}


NOT_THE_WRITERS = {
    "mailgun/talon/bruteforce_test.test_crash_in_extract_signature.1": "a dash and a name: a signature",
    "github/email_reply_parser/email_1_1.txt": "the footer of a mailing list",
    "alfonsrv/mail-parser-reply/email_nl_1_1.txt": "the footer of a mailing list",
}


def lost_words(data: Path) -> Score:
    """Cases in which every word is kept that the source says its writer wrote; NOT_THE_WRITERS is left out."""
    results = {}
    for line in (data / "quotes" / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        for source, expected in case["expected"].items():
            wanted = [expected["reply_starts_with"]] if "reply_starts_with" in expected else []
            contained = expected.get("reply_contains", [])
            wanted += [contained] if isinstance(contained, str) else contained
            wanted += [
                fact[3]
                for fact in expected.get("facts", [])
                if fact[0] == 0 and fact[1] == "content" and fact[2] in ("contains", "equals")
            ]
            if (wanted or "reply_exact" in expected) and case["id"] not in NOT_THE_WRITERS:
                body = tidy(case["input"])
                keeps_signature = source == "mailgun/talon" and "bruteforce" not in case["id"]
                got = (without_quotation(body) or body) if keeps_signature else new_words(body).text
                exact = Counter(expected.get("reply_exact", "").split()) - Counter(got.split())
                squeezed = " ".join(got.split())
                results[f"{source}:{case['id']}"] = not exact and all(" ".join(x.split()) in squeezed for x in wanted)
    return _score(results)


def library_replies(data: Path) -> Score | None:
    """The same text cases by mail-parser-reply, the best kept public library; None where it is not installed."""
    try:
        from mailparser_reply import EmailReplyParser
    except ImportError:
        return None
    parser = EmailReplyParser(languages=["en", "de", "fr", "es", "it", "nl", "pl", "da", "sv"])
    results = {}
    for line in (data / "quotes" / "cases.jsonl").read_text().splitlines():
        case = json.loads(line)
        for source, expected in case["expected"].items():
            if "reply_exact" in expected:
                found = parser.read(case["input"]).replies
                keeps_signature = source == "mailgun/talon" and "bruteforce" not in case["id"]
                got = "" if not found else found[0].full_body if keeps_signature else found[0].body
                results[f"{source}:{case['id']}"] = got.split() == expected["reply_exact"].split()
    return _score(results)


def whole_replies(data: Path) -> Score:
    """The reply in whole messages of a dozen mail programs, from raw bytes."""
    folder = data / "quotes" / "talon-standard-replies"
    results = {}
    for name, expected in json.loads((folder / "expected.json").read_text()).items():
        parsed = parse_message((folder / name).read_bytes())
        found = new_words(parsed.body_text, parsed.body_html).text
        # Talon keeps the signature in these; ours takes it off.
        results[name] = found.split()[:1] == expected.split()[:1] and len(found.split()) <= len(expected.split())
    return _score(results)


DELAYS = (
    "sisimai/lhost-exim-41", "sisimai/lhost-gmail-06", "sisimai/lhost-gmail-09", "sisimai/lhost-opensmtpd-04",
    "sisimai/lhost-opensmtpd-12", "sisimai/lhost-opensmtpd-13", "sisimai/lhost-sendmail-29",
    "sisimai/lhost-sendmail-55", "sisimai/rfc3464-34", "bounce_email/tt_bounce_12_soft", "bounce_email/tt_bounce_18",
    "bounce_email/tt_bounce_19", "flanker/no-mx",
)  # fmt: skip
"""Their sources call these bounces. They say that delivery goes on being tried: by the project's rule no failure."""

OTHER_KINDS = {
    "flanker/delayed": ("bounce", "named delayed, but its status block says failed and its text given up"),
    "flanker/delayed-broken": ("bounce", "named delayed, but its status block says failed"),
    "flufl.bounce/qmail_08": (None, "an automatic answer that its source keeps as a bounce without an address"),
    "sisimai-not-bounce/rb-issue-368-bug": ("bounce", "it says that the mail was rejected; sisimai finds no address"),
    "sisimai/lhost-fml-03": (None, "a mailing list's warning of a repeated Message-ID: it is about no recipient"),
}

REPORTS_ON_REPORTS = ("sisimai/lhost-sendmail-38", "sisimai/lhost-sendmail-41", "sisimai/rhost-yahooinc-03")
"""The mail that failed is itself a report: what the inner one blames was not written to by the sender."""


def bounce_kinds(data: Path) -> Score:
    """Kind of each report by the project's rules; where its source has another rule, DELAYS and OTHER_KINDS say why."""
    results = {}
    for name, expected in _bounces(data):
        found = read_report((data / "bounces" / name).read_bytes())
        words = {"no_address_expected": "bounce", "not_bounce": None, "auto_reply": None}
        wanted = words.get(expected["kind"], expected["kind"])
        stem = name.removesuffix(".eml")
        wanted = "delayed" if stem in DELAYS else OTHER_KINDS[stem][0] if stem in OTHER_KINDS else wanted
        results[name] = (found.kind if found else None) == wanted
    return _score(results)


def bounce_kinds_as_sources_say(data: Path) -> Score:
    """The same without the differences of rule."""
    results = {}
    for name, expected in _bounces(data):
        found = read_report((data / "bounces" / name).read_bytes())
        words = {"no_address_expected": "bounce", "not_bounce": None, "auto_reply": None}
        results[name] = (found.kind if found else None) == words.get(expected["kind"], expected["kind"])
    return _score(results)


def failed_addresses(data: Path) -> Score:
    """Every failed address that the source or the machine-readable part names is found, as written to or sent on."""
    results = {}
    for name, expected in _bounces(data):
        stem = name.removesuffix(".eml")
        named = [*expected.get("permanent", []), *expected.get("temporary", [])]
        finals = expected.get("derived_from_headers", {}).get("dsn_final_recipients", [])
        named += [address for address in finals if "@" in address]  # X.400 names are no addresses
        report = read_report((data / "bounces" / name).read_bytes())
        wanted = {_unquoted(address_key(address)) for address in named if address}
        if stem in REPORTS_ON_REPORTS:
            wanted = {_unquoted(address_key(named[0]))}
        if wanted and expected["kind"] == "bounce" and stem not in DELAYS:
            found = {_unquoted(key) for item in (report.failed if report else ()) for key in item.keys}
            results[name] = wanted <= found
    return _score(results)


def _unquoted(key: str) -> str:
    return key.replace('"', "")


HARD_BY_RULE = {
    "filtered": "the server says that it does not know the user; at which step it says so makes no difference to us",
    "notaccept": "a domain that does not exist or takes no mail (null MX) never will",
    "networkerror": "a domain that does not exist never will",
    "rejected": "the server says that it does not know the user",
    "mailboxfull": "one report on two people: the first, whom the server does not know, is compared",
}
"""sisimai's reasons that it counts as soft, where our reading of the same words is hard, and why."""

SOFT_BY_RULE = {
    "sisimai/lhost-interscanmss-03": "it gives no reason at all",
    "sisimai/lhost-sendmail-14": "a person forwarded a report; the report itself is quoted",
}


def bounce_severity(data: Path) -> Score:
    """hard or soft as sisimai says; HARD_BY_RULE and SOFT_BY_RULE explain every difference."""
    results = {}
    for name, expected in _bounces(data):
        report = read_report((data / "bounces" / name).read_bytes())
        verdicts = {event["hard_bounce"] for event in expected.get("events", [])}
        if len(verdicts) == 1 and report is not None and report.failed and expected["kind"] == "bounce":
            results[name] = (report.failed[0].severity == "hard") == verdicts.pop()
    return _score(results)


def unexplained_severities(data: Path) -> tuple[str, ...]:
    """Differences from sisimai that no rule of ours names: must be empty."""
    events = {name: expected.get("events", []) for name, expected in _bounces(data)}
    found = []
    for name in bounce_severity(data).wrong:
        report = read_report((data / "bounces" / name).read_bytes())
        assert report is not None
        worst = report.failed[0]
        by_rule = events[name][0]["reason"] in HARD_BY_RULE and worst.reason in ("user unknown", "host unknown")
        if not (worst.severity == "hard" and by_rule) and name.removesuffix(".eml") not in SOFT_BY_RULE:
            found.append(name)
    return tuple(found)


def bounced_message_ids(data: Path) -> Score:
    """The Message-ID of the mail that failed, where the report holds one."""
    results = {}
    for name, expected in _bounces(data):
        wanted = expected.get("derived_from_headers", {}).get("embedded_message_id")
        report = read_report((data / "bounces" / name).read_bytes())
        # x5-01 is a report within a gateway's mail: the id that counts is the inner report's, not the report itself.
        if wanted and report is not None and name != "sisimai/lhost-x5-01.eml":
            results[name] = (report.bounced_message_id or "") == wanted.strip("<> ")
    return _score(results)


def automatic_replies(data: Path) -> Score:
    """auto_reply, human or bounce, of whole messages through the reader."""
    folder = data / "autoreplies"
    results = {}
    for name, expected in json.loads((folder / "expected.json").read_text()).items():
        kind = _kind((folder / name).read_bytes())
        results[name] = {"out_of_office": "auto_reply"}.get(kind, kind) == expected["kind"]
    return _score(results)


def kinds_of_list_mail(data: Path) -> Counter[str]:
    """Kinds that people's mail on lists is given: any report or automatic answer here is a person lost."""
    kinds: Counter[str] = Counter()
    for _, raws, _ in thread_sets(data):
        kinds.update(_kind(raw) for raw in raws)
    return kinds


def _kind(raw: bytes) -> str:
    message = stored(raw)
    return read_message(message, raw if needs_raw(message) else None, frozenset()).kind


def _bounces(data: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(json.loads((data / "bounces" / "expected.json").read_text()).items())
