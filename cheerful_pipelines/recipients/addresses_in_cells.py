"""What the address cell of a row holds: nothing, one address, several, or something else, with the reason.

Pure. Syntax is judged by python-email-validator, without DNS. When two addresses are one person is decided in
addresses.py.
"""

import re

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.google.sheets.models import Cell

_ERROR_CELL = re.compile(
    r"#(N/A|REF!|DIV/0!|VALUE!|NAME\?|NUM!|NULL!|ERROR!|SPILL!|CALC!)|Loading\.\.\.", re.IGNORECASE
)
_NO_ADDRESS_YET = frozenset(
    {"-", "--", "–", "—", "?", "n/a", "na", "none", "no", "tbd", "tba", "todo", "x", "no email", "unknown"}
)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_ANGLED = re.compile(r"<([^<>@]*+@[^<>]*+)>")
_NOTE = re.compile(r"\([^()@]*\)")
_LABEL = re.compile(r"^(mailto|e-?mail|mail)\s*:\s*", re.IGNORECASE)
_BETWEEN_ADDRESSES = re.compile(r"[;,|/\s]+")
_BETWEEN_WORDS = frozenset({"or", "and", "&", "und", "oder", "et", "ou", "y", "o", "e"})
_WORDS_BESIDE = "Words stand beside the address: leave only the address in the cell, or write Name <address>."


class CellAddresses(BaseModel):
    """`addresses` are valid, in the cell's order; `reasons` say what was wrong with the other candidates."""

    model_config = ConfigDict(frozen=True)
    addresses: tuple[str, ...] = ()
    display_name: str | None = None
    reasons: tuple[str, ...] = ()
    is_empty: bool = False
    error: str | None = None
    """A formula's error, as the cell shows it."""


def cell_text(value: Cell) -> str:
    """A cell as trimmed text. Control characters go (Postgres refuses NUL), whole numbers lose their ".0".

    >>> cell_text(" Ana\u00a0 "), cell_text(12.0), cell_text(True), cell_text(None)
    ('Ana', '12', 'TRUE', '')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:  # never 1.784e+16 for a long id
        return str(int(value))
    text = _CONTROL.sub("", str(value)).replace("\u00a0", " ")
    return text.strip()


def is_error(text: str) -> bool:
    """Whether a cell shows a formula's error (or that it is still loading) instead of a value."""
    return _ERROR_CELL.fullmatch(text) is not None


def read_address_cell(value: Cell) -> CellAddresses:
    """Take the address cell apart. What stays unclear is refused: half an address is another person's.

    >>> read_address_cell("Ana Lima <ana@creator.example>")
    CellAddresses(addresses=('ana@creator.example',), display_name='Ana Lima', reasons=(), is_empty=False, error=None)
    """
    text = _INVISIBLE.sub("", cell_text(value)).strip()
    if is_error(text):
        return CellAddresses(error=text, reasons=(f"The cell shows {text} instead of an address.",))
    if text.casefold() in _NO_ADDRESS_YET or not text:
        return CellAddresses(is_empty=True)
    text = _LABEL.sub("", text)
    whole_reason = _why_invalid(text)
    if whole_reason is None:
        return CellAddresses(addresses=(text,))
    candidates, display_name = _candidates(text)
    if not candidates:
        return CellAddresses(reasons=(_WORDS_BESIDE if "@" in text and len(text.split()) > 1 else whole_reason,))
    addresses: list[str] = []
    reasons: list[str] = []
    for candidate in candidates:
        reason = _why_invalid(candidate)
        if reason is not None:
            reasons.append(reason)
        elif candidate not in addresses:
            addresses.append(candidate)
    return CellAddresses(addresses=tuple(addresses), display_name=display_name, reasons=tuple(reasons))


def _candidates(text: str) -> tuple[list[str], str | None]:
    """Parts that are meant as addresses, in the cell's order, and the name of a single `Name <address>`.

    Nothing where words stand beside a bare address: "ana lima@..." may be two things, or one address
    with a blank in it.
    """
    angled = [found.strip() for found in _ANGLED.findall(text)]
    rest = _NOTE.sub(" ", _ANGLED.sub(";", text))
    if angled and "@" not in rest:
        name = rest.replace(";", " ").strip(" \"'") if len(angled) == 1 else ""
        return angled, name or None
    words = [word.strip("<>()[]{}\"'").rstrip(".") for word in _BETWEEN_ADDRESSES.split(rest)]
    bare = [word for word in words if word and word.casefold() not in _BETWEEN_WORDS]
    if not angled and any("@" not in word for word in bare):
        return [], None
    return sorted([*angled, *(word for word in bare if "@" in word)], key=text.find), None


def _why_invalid(address: str) -> str | None:
    """The reason, without any part of the address longer than a character, or None for a valid one."""
    try:
        check_syntax(address)
    except SyntaxProblem as problem:
        return re.sub(r"'[^', ]{2,}'", "the domain", str(problem))  # IDNA's own errors quote it
    return None


class SyntaxProblem(Exception):
    """Why a text is no address, in the library's words. May quote the address: not for logs."""


def check_syntax(address: str) -> str:
    """The address in its normal form (NFC, domain in Unicode) by RFC 5321, 5322 and 6531. Raises SyntaxProblem.

    Strict where a sheet of creators is better served by a question than by a guess: no bracketed IP addresses,
    no domains without a period, no reserved domains, no local part beyond 64 octets. No DNS look-up.
    """
    from email_validator import EmailNotValidError, validate_email  # here: runs of other assets need it not

    try:
        found = validate_email(address, check_deliverability=False, allow_quoted_local=True, strict=True)
    except EmailNotValidError as error:
        raise SyntaxProblem(str(error)) from None
    except UnicodeError:
        raise SyntaxProblem("The domain cannot be written in ASCII.") from None
    if len(found.local_part.encode()) > 64:  # the library measures unquoted ones only
        raise SyntaxProblem("The email address is too long before the @-sign.")
    return found.normalized
