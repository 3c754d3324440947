"""Which row is the header and which column is which: by name, never by position. Pure.

Title rows may stand above the header. A campaign's own mapping ({"email": "Contact"}) outranks the aliases.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from cheerful_pipelines.errors import SheetContentError
from cheerful_pipelines.recipients.addresses_in_cells import cell_text
from cheerful_pipelines.recipients.models import Cell, SheetColumns

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


def header_key(value: Cell) -> str:
    """A header as it is compared: without case, accents and punctuation.

    >>> header_key(" E-Mail * "), header_key("Correo electrónico:"), header_key("creator_email")
    ('e mail', 'correo electronico', 'creator email')
    """
    decomposed = unicodedata.normalize("NFKD", cell_text(value).casefold())
    bare = "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f")
    return re.sub(r"[\W_]+", " ", unicodedata.normalize("NFC", bare)).strip()


def column_letter(position: int) -> str:
    """A1 name of a 0-based column.

    >>> column_letter(0), column_letter(25), column_letter(26), column_letter(701), column_letter(702)
    ('A', 'Z', 'AA', 'ZZ', 'AAA')
    """
    letters = ""
    position += 1
    while position:
        position, rest = divmod(position - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def find_columns(rows: Sequence[Sequence[Cell]], *, mapping: Mapping[str, str]) -> SheetColumns:
    """Find the header row and its columns. Raises SheetContentError without an e-mail column."""
    for position, row in enumerate(rows[:HEADER_WITHIN_ROWS]):
        email = _column(row, "email", mapping)
        if email is not None:
            return _columns(position, row, email, mapping)
    raise SheetContentError(_what_was_seen(rows, mapping), what_to_do=_what_to_do(mapping))


def _columns(position: int, row: Sequence[Cell], email: int, mapping: Mapping[str, str]) -> SheetColumns:
    name = _column(row, "name", mapping, taken={email})
    handle = _column(row, "handle", mapping, taken={email, name})
    found = {"email": email, "name": name, "handle": handle}
    renamed = {header_key(header): field for field, header in mapping.items() if field not in found}
    custom: dict[int, str] = {}
    for column, cell in enumerate(row):
        header = cell_text(cell)
        if column in found.values() or not header:
            continue  # a column without a header has no name to be kept under
        label = renamed.get(header_key(cell), header)
        custom[column] = label if label not in custom.values() else f"{label} ({column_letter(column)})"
    present = {header_key(cell) for cell in row}
    missing = tuple(sorted(header for header in mapping.values() if header_key(header) not in present))
    return SheetColumns(header_row=position + 1, email=email, name=name, handle=handle, custom=custom, missing=missing)


def _column(
    row: Sequence[Cell], field: str, mapping: Mapping[str, str], *, taken: set[int | None] | None = None
) -> int | None:
    """Position of a field's column. A mapped field is found under its mapped header only: no guessing."""
    free = [(column, header_key(cell)) for column, cell in enumerate(row) if column not in (taken or set())]
    if field in mapping:
        wanted = header_key(mapping[field])
        return next((column for column, key in free if key == wanted), None)
    ranked = [(_RANK[field][key], column) for column, key in free if key in _RANK[field]]
    return min(ranked)[1] if ranked else None


def _what_was_seen(rows: Sequence[Sequence[Cell]], mapping: Mapping[str, str]) -> str:
    """The headers that stand there; cells of a row that is data are people's and are not repeated."""
    wanted = f"the e-mail column {mapping['email']!r}" if "email" in mapping else "an e-mail column"
    top = enumerate(rows[:HEADER_WITHIN_ROWS], 1)
    filled = [(number, [text for cell in row if (text := cell_text(cell))]) for number, row in top]
    texts = [(number, row) for number, row in filled if row]
    if not texts:
        return f"The tab is empty, so {wanted} is missing and nothing was imported."
    number, widest = max(texts, key=lambda item: len(item[1]))
    if any("@" in text for _, row in texts for text in row):
        return (
            f"The tab has no header row with {wanted} in its first {HEADER_WITHIN_ROWS} rows; "
            f"addresses stand there under no known name. Nothing was imported."
        )
    seen = ", ".join(repr(text[:40]) for text in widest[:15])
    return f"The sheet has no header for {wanted}; row {number} says: {seen}. Nothing was imported."


def _what_to_do(mapping: Mapping[str, str]) -> str:
    if "email" in mapping:
        return f"Name the column {mapping['email']!r} again, or change the campaign's mapping."
    return "Name one column 'Email' in the sheet, or give the campaign a column mapping for email."
