"""The clients' sheets with the usual mess, and what each row really is. Pure but for `random`.

Three layouts: a title above the header, renamed columns in another order. Every sheet has
blank rows, an error cell, an invalid address, rows without one, stray spaces, display names and duplicates.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from cheerful_pipelines.demo.models import (
    Cell,
    DemoCampaign,
    DemoSheet,
    Person,
    RowFact,
    RowKind,
    SheetEdit,
)

LAYOUTS: tuple[tuple[str, ...], ...] = (
    ("Creator", "E-Mail", "Platform", "Followers", "Handle", "Notes"),
    ("Contact e-mail", "Followers", "Name", "IG handle", "Size", "Platform"),
    ("#", "Instagram", "Creator name", "Email address", "Platform", "Followers"),
)
_EMAIL_HEADERS = frozenset({"E-Mail", "Contact e-mail", "Email address"})
_NOTES = ("", "", "", "met at the fair", "very nice reels", "ask about shade", "2nd round?", "=A1")


@dataclass(frozen=True)
class _Entry:
    """One row below the header before it has a number."""

    kind: RowKind | None  # None: blank
    person: Person | None
    email: str
    source: int = -1  # of a duplicate: position of the person among the first ones


def build_sheet(
    random: Random, campaign: DemoCampaign, layout: int, persons: Sequence[Person], *, to_mend: Person | None
) -> tuple[DemoSheet, list[RowFact], int]:
    """The sheet, what its rows are, and the 1-based row whose broken address will be mended (0: none)."""
    entries = _entries(random, persons, to_mend)
    header = LAYOUTS[layout]
    head: list[list[Cell]] = [list(header)]
    if layout == 0:
        head = [[f"{campaign.name}: creators"], [], *head]
    rows = head + [_cells(random, header, entry, number) for number, entry in enumerate(entries, 1)]
    facts = [
        RowFact(campaign.slug, number, entry.kind, entry.person.key if entry.person and entry.email else None)
        for number, entry in enumerate(entries, len(head) + 1)
        if entry.kind is not None
    ]
    mended = next((n for n, e in enumerate(entries, len(head) + 1) if to_mend and e.person is to_mend), 0)
    tabs: dict[str, list[list[Cell]]] = {campaign.sheet_tab or "Creators": rows}
    if layout == 2:
        tabs = {"Read me": [["Ask Mia before you sort this."], ["Last season's list."]], **tabs}
    return DemoSheet(campaign.spreadsheet_id, f"{campaign.name} (creators)", tabs), facts, mended


def edits(
    random: Random, campaign: DemoCampaign, layout: int, sheet: DemoSheet, facts: list[RowFact], *,
    added: Sequence[tuple[Person, datetime]], mended_row: int, mended: tuple[Person, datetime],
) -> tuple[list[SheetEdit], list[RowFact]]:  # fmt: skip
    """What the client changes later: rows below the last, and a broken address put right; facts follow."""
    tab = campaign.sheet_tab or "Creators"
    header = LAYOUTS[layout]
    found: list[SheetEdit] = []
    after = list(facts)
    last = len(sheet.tabs[tab])
    for offset, (person, at) in enumerate(added, 1):
        row = _cells(random, header, _Entry("active", person, person.address), last + offset)
        found.append(SheetEdit(at, campaign.spreadsheet_id, tab, None, "", rows=(tuple(str(cell) for cell in row),)))
        after.append(RowFact(campaign.slug, last + offset, "active", person.key, since=at))
    person, at = mended
    letter = "ABCDEF"[next(n for n, name in enumerate(header) if name in _EMAIL_HEADERS)]
    found.append(SheetEdit(at, campaign.spreadsheet_id, tab, f"{letter}{mended_row}", person.address))
    after = [replace(fact, until=at) if fact.sheet_row == mended_row else fact for fact in after]
    after.append(RowFact(campaign.slug, mended_row, "active", person.key, since=at))
    return found, after


def _entries(random: Random, persons: Sequence[Person], to_mend: Person | None) -> list[_Entry]:
    entries = [_Entry("active", person, person.address) for person in persons]
    for position in random.sample(range(len(entries)), 6):
        person = persons[position]
        address = person.address
        messy = (f"  {address} ", f"{person.name} <{address}>", f"{address}\u00a0")[position % 3]
        entries[position] = replace(entries[position], email=messy)
    copies = [(person, person.address.upper()) for person in random.sample(list(persons), 2)]
    gmail = [person for person in persons if person.address.endswith("@gmail.com")]
    if gmail:
        local = gmail[0].address.partition("@")[0]
        copies.append((gmail[0], f"{local.replace('.', '')}+collab@googlemail.com"))
        copies.append((gmail[0], f"{local[:4]}.{local[4:].replace('.', '')}@gmail.com"))
    for person, address in copies:
        first = next(n for n, entry in enumerate(entries) if entry.person is person)
        entries.insert(random.randint(first + 1, len(entries)), _Entry("duplicate", person, address))
    mess = [
        _Entry("rejected", None, "#N/A"),
        _Entry("rejected", to_mend, "name at creatormail.example"),
        _Entry("rejected", None, "hello@@postbox.example"),
        _Entry("no_address", random.choice(persons), ""),
        _Entry("no_address", random.choice(persons), ""),
        _Entry(None, None, ""),
        _Entry(None, None, ""),
    ]
    for entry in mess:
        entries.insert(random.randint(1, len(entries) - 1), entry)
    return entries


def _cells(random: Random, header: Sequence[str], entry: _Entry, number: int) -> list[Cell]:
    if entry.kind is None:
        return [] if number % 2 else ["", " ", ""]
    person = entry.person
    known: dict[str, Cell] = {
        "#": number,
        "Notes": random.choice(_NOTES),
        "Platform": person.platform if person else "",
        "Followers": person.followers if person else "#N/A",
        "Size": person.size if person else "",
        **dict.fromkeys(("Creator", "Name", "Creator name"), person.name if person else "Somebody New"),
        **dict.fromkeys(("Handle", "IG handle", "Instagram"), person.handle if person else ""),
        **dict.fromkeys(_EMAIL_HEADERS, entry.email),
    }
    return [known[name] for name in header]
