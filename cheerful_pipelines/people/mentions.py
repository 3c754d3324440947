"""Mail that may be about a person without naming an address of theirs: by name, handle or postal address. Pure.

Others share a name, so nothing is deleted by what is found here: a person decides (cheerful people mentions).
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from cheerful_pipelines.people.models import Mention, MentionKind

_ADDRESS_HEADER = re.compile(
    r"addr|adress|anschrift|street|stra(?:ss|ß)e|postal|shipping|ship to|versand|direcci|endere|indirizzo|\brue\b",
    re.IGNORECASE,
)
"""Headers of a sheet's columns that hold postal addresses."""
_LEAST_LETTERS = 3
_SNIPPET = 60


class MentionPattern(NamedTuple):
    """A regular expression for Postgres and Python, and what it stands for."""

    kind: MentionKind
    form: str


class FoundIn(NamedTuple):
    """One message's texts, as searched."""

    gmail_account_id: UUID
    gmail_message_id: str
    texts: Mapping[str, str]
    """By field: subject, body_text, attachments."""


def mention_patterns(
    names: Iterable[str], handles: Iterable[str], postal_addresses: Iterable[str]
) -> tuple[MentionPattern, ...]:
    """What to search for. Whole words only; too short a name is left to chance, since every mail would have it.

    >>> [one.kind for one in mention_patterns(["Ana Lima", "Al"], ["@ana.makes"], ["12 Elm Street, Austin"])]
    ['name', 'name', 'handle', 'postal_address']
    """
    found = [MentionPattern("name", form) for name in names for form in _name_forms(name)]
    found += [MentionPattern("handle", form) for handle in handles for form in _handle_forms(handle)]
    found += [MentionPattern("postal_address", form) for one in postal_addresses for form in _postal_forms(one)]
    return tuple(dict.fromkeys(found))


def _spellings(text: str) -> list[str]:
    """As written and without accents, in lower case."""
    lowered = text.strip().lower()
    plain = "".join(one for one in unicodedata.normalize("NFKD", lowered) if not unicodedata.combining(one))
    return list(dict.fromkeys((lowered, plain)))


def _name_forms(name: str) -> list[str]:
    forms: list[str] = []
    for spelled in _spellings(name):
        words = re.findall(r"[\w'-]+", spelled)
        if len("".join(words)) < _LEAST_LETTERS:
            continue
        for order in (words, words[::-1]):
            forms.append(r"\y" + r"[\s,.]+".join(re.escape(word) for word in order) + r"\y")
    return forms


def _handle_forms(handle: str) -> list[str]:
    """From @ana.makes, or the last part of a profile's URL."""
    last = handle.strip().rstrip("/").rpartition("/")[2].lstrip("@").partition("?")[0].lower()
    if len(last) < _LEAST_LETTERS:
        return []
    return [rf"(?<![a-z0-9_.]){re.escape(last)}(?![a-z0-9_])"]


def _postal_forms(address: str) -> list[str]:
    """The lines of an address that hold a number and a word: street and house, rarely shared by chance."""
    forms: list[str] = []
    for line in re.split(r"[,;\n]", address):
        for spelled in _spellings(line):
            words = re.findall(r"\w+", spelled)
            if len(words) > 1 and any(one.isdigit() for one in words) and any(len(one) > 2 for one in words):
                forms.append(r"\y" + r"\W+".join(re.escape(word) for word in words) + r"\y")
    return forms


def postal_addresses_in(custom_fields: Mapping[str, Any]) -> list[str]:
    """Values of a sheet's columns that are named like an address, e-mail addresses aside."""
    return [
        str(value)
        for header, value in custom_fields.items()
        if value and _ADDRESS_HEADER.search(header) and "@" not in str(value)
    ]


def locate(found: FoundIn, patterns: Sequence[MentionPattern]) -> Mention:
    """The first place in a message's texts that a pattern fits; the subject's start if only Postgres sees one."""
    kind, field, starts_at, length = patterns[0].kind, "subject", 0, 0
    for pattern in patterns:
        form = re.compile(pattern.form.replace(r"\y", r"\b"), re.IGNORECASE)
        places = ((name, form.search(text)) for name, text in found.texts.items())
        if hit := next(((name, match) for name, match in places if match is not None), None):
            kind, field, starts_at, length = pattern.kind, hit[0], hit[1].start(), hit[1].end() - hit[1].start()
            break
    return Mention.model_validate(
        {
            "gmail_account_id": found.gmail_account_id, "gmail_message_id": found.gmail_message_id, "kind": kind,
            "field": field, "starts_at": starts_at, "length": length,
        }
    )  # fmt: skip


def snippet(text: str, starts_at: int, length: int) -> str:
    """The words around a place, on one line; for a terminal only, never for logs."""
    first, last = max(0, starts_at - _SNIPPET), starts_at + length + _SNIPPET
    words = " ".join(text[first:last].split())
    return f"{'…' if first else ''}{words}{'…' if last < len(text) else ''}"
