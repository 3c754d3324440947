"""Which row is the header and which column is which: by name, never by position. Pure.

Title rows may stand above the header. A campaign's own mapping ({"email": ["Contact", "Mail"]}) outranks the
aliases below. What happened to the headers since the last import is told by `header_drift`.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from itertools import takewhile

from cheerful_pipelines.core.errors import SheetContentError
from cheerful_pipelines.google.sheets.a1 import column_letter
from cheerful_pipelines.google.sheets.models import Cell
from cheerful_pipelines.recipients.addresses_in_cells import cell_text
from cheerful_pipelines.recipients.models import SheetColumns, SheetLayout

HEADER_WITHIN_ROWS = 20

# Written as `header_key` leaves them: no accents, no case, no punctuation. The earlier alias wins.
_ALIASES: dict[str, tuple[str, ...]] = {
    "email": (
        "email", "e mail", "email address", "e mail address", "mail", "mail address", "creator email",
        "contact email", "business email", "work email", "primary email", "email id", "emails", "e mails",
        "influencer email", "your email", "contact e mail", "email contact",
        "mailadresse", "e mail adresse", "emailadresse", "email adresse",               # German
        "correo", "correo electronico", "direccion de correo", "direccion de correo electronico",  # Spanish
        "adresse email", "adresse e mail", "adresse mail", "courriel", "mel",            # French
        "endereco de email", "endereco de e mail", "correio eletronico",                 # Portuguese
        "indirizzo email", "indirizzo e mail", "posta elettronica",                      # Italian
        "e mailadres", "emailadres", "mailadres",                                        # Dutch
        "e post", "epost", "e postadress", "e postadresse", "mejl",  # Swedish, Norwegian
        "mailadresser", "e mailadresse",                                                 # Danish
        "adres email", "adres e mail", "sahkoposti", "e posta", "eposta", "email cim",   # pl, fi, tr, hu
        "почта", "электронная почта", "эл почта", "имеил", "адрес электроннои почты",    # Russian
        "邮箱", "电子邮件", "电子邮箱", "邮件地址",
        "メール", "メールアドレス", "eメール", "이메일", "이메일 주소",
    ),
    "name": (
        "name", "full name", "fullname", "creator name", "creator", "influencer name", "influencer",
        "contact name", "contact", "display name", "nombre", "nombre completo", "nom", "nom complet",
        "nome", "nome completo", "vollstandiger name",
        "naam", "namn", "navn", "imie i nazwisko", "imie", "ad soyad", "имя", "фио",
        "姓名", "名字", "名前", "氏名", "이름", "first name", "firstname", "vorname", "prenom",
    ),
    "handle": (
        "handle", "handles", "instagram handle", "ig handle", "instagram", "ig", "insta",
        "instagram username", "tiktok handle", "tiktok", "tik tok", "social handle", "social media handle",
        "username", "user name",
        "youtube handle", "channel", "account", "profile", "usuario", "utilisateur", "benutzername",
        "nutzername", "gebruikersnaam", "anvandarnamn", "nome de usuario", "пользователь",
        "账号", "ユーザー名", "계정",
    ),
}  # fmt: skip
_RANK = {field: {alias: rank for rank, alias in enumerate(aliases)} for field, aliases in _ALIASES.items()}


_MAX_HEADER_CHARS = 200
"""Of a cell that may be a header; longer ones are no header, and their normalisation may take quadratic time."""


def header_key(value: Cell) -> str:
    """A header as it is compared: without case, accents and punctuation.

    >>> header_key(" E-Mail * "), header_key("Correo electrónico:"), header_key("creator_email")
    ('e mail', 'correo electronico', 'creator email')
    """
    decomposed = unicodedata.normalize("NFKD", cell_text(value)[:_MAX_HEADER_CHARS].casefold())
    bare = "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f")
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", bare)).strip()


def find_columns(
    rows: Sequence[Sequence[Cell]],
    *,
    mapping: Mapping[str, Sequence[str]],
    first_row: int = 1,
    first_column: int = 0,
    header_row: int | None = None,
) -> SheetColumns:
    """Find the header row and its columns among the first rows of a window that begins at `first_row`.

    `header_row`, as the sheet counts, is believed where it is given. Raises SheetContentError without an
    e-mail column.
    """
    numbered = list(enumerate(rows[: max(HEADER_WITHIN_ROWS, (header_row or 0) - first_row + 1)], first_row))
    if header_row is not None:
        numbered = [(number, row) for number, row in numbered if number == header_row]
    else:
        numbered = numbered[:HEADER_WITHIN_ROWS]
    for number, row in numbered:
        email = _column(row, "email", mapping)
        if email is not None:
            return _columns(number, first_column, row, email, mapping)
    raise SheetContentError(_what_was_seen(numbered, mapping, header_row), what_to_do=_what_to_do(mapping, header_row))


def header_drift(before: SheetLayout, after: SheetLayout) -> tuple[str, ...]:
    """What happened to the headers between two imports, a sentence each: moved, renamed, missing, new.

    >>> old = SheetLayout(headers={"A": "Name", "B": "Email", "C": "Notes"}, fields={"email": "B"})
    >>> header_drift(old, SheetLayout(headers={"A": "Email", "B": "Name", "C": "Remarks"}, fields={"email": "A"}))
    ("'Name' moved from A to B", "'Email' moved from B to A", "'Notes' (C) is now called 'Remarks'")
    """
    here = {header_key(header): letter for letter, header in after.headers.items()}
    there = {header_key(header): letter for letter, header in before.headers.items()}
    drift: list[str] = []
    renamed: set[str] = set()
    for letter, header in before.headers.items():
        key = header_key(header)
        new = after.headers.get(letter)
        if key in here:
            if after.headers.get(letter) is None or header_key(after.headers[letter]) != key:
                drift.append(f"{header!r} moved from {letter} to {here[key]}")
        elif new is not None and header_key(new) not in there:
            renamed.add(letter)
            drift.append(f"{header!r} ({letter}) is now called {new!r}")
        else:
            drift.append(f"{header!r} ({letter}) is missing")
    for letter, header in after.headers.items():
        if header_key(header) not in there and letter not in renamed:
            drift.append(f"{header!r} ({letter}) is new")
    return tuple(drift)


def _columns(
    header_row: int, first_column: int, row: Sequence[Cell], email: int, mapping: Mapping[str, Sequence[str]]
) -> SheetColumns:
    name = _column(row, "name", mapping, taken={email})
    handle = _column(row, "handle", mapping, taken={email, name})
    found = {"email": email, "name": name, "handle": handle}
    own = {field: _column(row, field, mapping) for field in mapping if field not in found}
    labels = {column: field for field, column in own.items() if column is not None}
    custom: dict[int, str] = {}
    for column, cell in enumerate(row):
        header = cell_text(cell)
        if column in found.values() or not header:
            continue  # a column without a header has no name to be kept under
        label = labels.get(column, header)
        letter = column_letter(first_column + column)
        custom[column] = label if label not in custom.values() else f"{label} ({letter})"
    missing = tuple(sorted(headers[0] for field, headers in mapping.items() if (found | own).get(field) is None))
    layout = SheetLayout(
        headers={column_letter(first_column + n): text for n, cell in enumerate(row) if (text := cell_text(cell))},
        fields={field: column_letter(first_column + n) for field, n in (found | own).items() if n is not None},
    )
    mapped = tuple(sorted(custom[column] for column in labels))
    return SheetColumns(
        header_row=header_row,
        email=email,
        name=name,
        handle=handle,
        custom=custom,
        mapped=mapped,
        missing=missing,
        layout=layout,
    )


def _column(
    row: Sequence[Cell],
    field: str,
    mapping: Mapping[str, Sequence[str]],
    *,
    taken: set[int | None] | None = None,
) -> int | None:
    """Position of a field's column. A mapped field is found under its mapped headers only: no guessing."""
    free = [(column, header_key(cell)) for column, cell in enumerate(row) if column not in (taken or set())]
    if field in mapping:
        ranks = {header_key(header): rank for rank, header in reversed(list(enumerate(mapping[field])))}
    else:
        ranks = _RANK[field]
    ranked = [(ranks[key], column) for column, key in free if key in ranks]
    return min(ranked)[1] if ranked else None


def _what_was_seen(
    rows: Sequence[tuple[int, Sequence[Cell]]], mapping: Mapping[str, Sequence[str]], header_row: int | None
) -> str:
    """The headers that stand above the first address; below it the cells are people's and are not repeated."""
    names = " or ".join(repr(header) for header in mapping.get("email", ()))
    wanted = f"the e-mail column {names}" if names else "an e-mail column"
    filled = [(number, [text for cell in row if (text := cell_text(cell))]) for number, row in rows]
    texts = [(number, row) for number, row in filled if row]
    if not texts and header_row is None:
        return f"The tab is empty, so {wanted} is missing and nothing was imported."
    where = f"row {header_row}, which the campaign names" if header_row else f"its first {HEADER_WITHIN_ROWS} rows"
    above = list(takewhile(lambda item: not any("@" in text for text in item[1]), texts))
    if not above:
        return (
            f"The tab has no header row with {wanted} in {where}; what stands there are no headers. "
            "Nothing was imported."
        )
    number, widest = max(above, key=lambda item: len(item[1]))
    seen = ", ".join(repr(text[:40]) for text in widest[:15])
    return f"The sheet has no header for {wanted}; row {number} says: {seen}. Nothing was imported."


def _what_to_do(mapping: Mapping[str, Sequence[str]], header_row: int | None) -> str:
    if header_row is not None:
        return (
            "Correct the header row with cheerful campaigns add ... --header-row N, or leave it out to have it found."
        )
    if "email" in mapping:
        return f"Name the column {mapping['email'][0]!r} again, or change the campaign's mapping."
    return "Name one column 'Email' in the sheet, or give the campaign a column mapping: --map email=HEADER."
