"""One function decides when two addresses are the same person: `address_key`. Used by import, mail and metrics.

The raw form is always kept beside the key; what Gmail does to an address happens for Gmail's domains only.
"""

import unicodedata

import idna

from cheerful_pipelines.core.combining_marks import without_long_runs_of_marks

_GMAIL_DOMAINS = frozenset({"gmail.com", "googlemail.com"})


def address_key(address: str) -> str:
    """Key of an address: lower-cased, domain as IDNA ASCII; Gmail's dots, +tag and second domain removed.

    >>> address_key("Ana.Lima+brand@GoogleMail.com")
    'analima@gmail.com'
    >>> address_key("Ana.Lima+brand@example.com")
    'ana.lima+brand@example.com'

    Total: text without an @ comes back lower-cased and stripped, so that odd headers never raise.
    """
    text = unicodedata.normalize("NFC", without_long_runs_of_marks(address.strip())).strip("<>").strip()
    local, at, domain = text.rpartition("@")
    if not at:
        return text.lower()
    domain = _ascii_domain(domain.strip().rstrip("."))
    local = unicodedata.normalize("NFC", local.strip().lower())
    if domain in _GMAIL_DOMAINS:
        bare = local.split("+", 1)[0].replace(".", "")
        if bare:  # "+tag@gmail.com" is nobody's: leave it as it stands
            local = bare
        domain = "gmail.com"
    return f"{local}@{domain}"


def _ascii_domain(domain: str) -> str:
    lowered = domain.lower()
    if lowered.isascii():
        return lowered
    try:
        return idna.encode(lowered, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return lowered
