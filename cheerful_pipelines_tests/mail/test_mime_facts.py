"""What other parsers' own tests say of broken and odd mail, against ours; every difference with its reason."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.mail.models import ParsedMessage
from cheerful_pipelines.mail.parse_message import parse_message

pytestmark = pytest.mark.real_mail

_RAW_IN_WORD = "a raw 8-bit byte within an encoded word, which is forbidden there: we leave the one letter out"
_TEXT_IS_BODY = "a second text part: an attachment to the source, to us a part of the body, whose words count"
_EMBEDDED = (
    "the source goes into a mail within the mail; to us that is one attachment, and its words are not the writer's"
)
_PARTS = "the part is there, cut or decoded at another line end than the source's"
DIFFERENCES = {
    ("stalwart/legacy-009.eml", "subject"): _RAW_IN_WORD,
    ("stalwart/legacy-018.eml", "subject"): _RAW_IN_WORD,
    ("stalwart/legacy-024.eml", "subject"): _RAW_IN_WORD,
    ("stalwart/legacy-050.eml", "subject"): _RAW_IN_WORD,
    ("stalwart/legacy-022.eml", "subject"): "we read the letter that the source replaces",
    ("stalwart/legacy-030.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/legacy-042.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/legacy-047.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-001.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-003.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-006.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-008.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-016.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/thirdparty-002.eml", "attachments"): _TEXT_IS_BODY,
    ("stalwart/malformed-017.eml", "attachments"): "an image of no bytes",
    ("stalwart/thirdparty-002.eml", "text_bodies"): "a uuencoded scrap that both read as other rubbish",
    ("stalwart/thirdparty-010.eml", "text_bodies"): "8-bit text without a charset: the source guesses UTF-8",
    ("stalwart/thirdparty-007.eml", "from"): "a name without an @ is no address to us",
    ("mime4j/bad-newlines-multiple-parts-base64.eml", "decoded_parts"): _EMBEDDED,
    ("mime4j/base64encoded-rfc822message-nested.eml", "decoded_parts"): _EMBEDDED,
    ("mime4j/base64encoded-rfc822message.eml", "decoded_parts"): _EMBEDDED,
    ("mime4j/example.eml", "decoded_parts"): _EMBEDDED,
    ("mime4j/multipartnestedemptyparts.eml", "decoded_parts"): _PARTS,
    ("mime4j/qp-body.eml", "decoded_parts"): "given by its hash only; the text is read whole",
    ("mime4j/russian-headers.eml", "decoded_parts"): "the part is named a file: an attachment to us",
}


def _squeezed(text: str | None) -> str:
    return " ".join((text or "").split())


def _addresses(people: list[dict[str, Any]]) -> set[str]:
    return {address_key(person["address"]) for person in people if person.get("address")}


def _is_met(parsed: ParsedMessage, name: str, fact: Any) -> bool:
    if name == "subject":
        return _squeezed(parsed.subject) == _squeezed(fact)
    if name == "message_id":
        return parsed.rfc822_message_id == fact
    if name == "from":
        named = [person["address"] for person in fact if person.get("address")]
        return (parsed.from_address or "").lower() == (named[0].lower() if named else "")
    if name == "to":
        return _addresses(fact) <= set(parsed.to_keys)
    if name == "date":
        return parsed.header_date == datetime.fromisoformat(fact)
    if name == "text_bodies":
        return all(_squeezed(text) in _squeezed(parsed.body_text) for text in fact)
    if name == "html_bodies":
        return all(_squeezed(text) in _squeezed(parsed.body_html) for text in fact)
    if name == "attachments":
        return len(parsed.attachments) >= len(fact)
    assert name == "decoded_parts", name
    hashes = {item.sha256 for item in parsed.attachments}
    words = _squeezed(parsed.body_text + (parsed.body_html or ""))
    return all(part.get("sha256") in hashes or ("text" in part and _squeezed(part["text"]) in words) for part in fact)


def test_stated_facts_are_met_but_for_the_listed_differences(shared_data: Path) -> None:
    folder = shared_data / "mime"
    stated, different = 0, set()
    for name, entry in json.loads((folder / "expected.json").read_text()).items():
        parsed = parse_message((folder / name).read_bytes())
        for fact, value in (entry.get("expected") or {}).items():
            stated += 1
            if not _is_met(parsed, fact, value):
                different.add((name, fact))

    assert different == set(DIFFERENCES)
    assert stated == 292
    assert 1 - len(different) / stated > 0.91


def test_a_header_in_an_old_charset_keeps_its_letters() -> None:
    raw = "From: Jürgen <j@example.com>\r\nSubject: Grüße\r\n\r\nHallo".encode("latin-1")

    parsed = parse_message(raw)

    assert (parsed.subject, parsed.from_name, parsed.body_text.strip()) == ("Grüße", "Jürgen", "Hallo")
