"""Invented creators: names, addresses at example domains, streets in towns that do not exist. Pure."""

from random import Random

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.demo.models import Language, Person

_GIVEN: dict[Language, tuple[str, ...]] = {
    "en": (
        "Ava", "Bea", "Callum", "Delphine", "Edie", "Finn", "Greta",
        "Hollis", "Imogen", "Jonah", "Keira", "Linus",
        "Maeve", "Niamh", "Otis", "Poppy", "Quentin", "Rosalind",
        "Saoirse", "Tobias", "Una", "Violet", "Wren",
        "Xanthe", "Yara", "Zadie", "Anwen", "Brônagh", "Chloë", "Siân",
    ),
    "es": ("Inés", "Lucía", "Íñigo", "Begoña", "Nuria", "Álvaro", "Candela", "Martín"),
    "pt": ("Inês", "Mariana", "João", "Conceição", "Tomás", "Beatriz", "Luísa"),
    "fr": ("Zoé", "Maëlle", "Anaïs", "Benoît", "Clémence", "Loïc", "Élise"),
    "de": ("Jürgen", "Mareike", "Sören", "Käthe", "Annika", "Björn", "Frauke"),
}  # fmt: skip
_FAMILY: dict[Language, tuple[str, ...]] = {
    "en": (
        "Alderwick", "Brambleton", "Copperfield", "Dunmarrow", "Elmsworth", "Fairholt", "Greymoor", "Hawksby",
        "Ingleside", "Juniperton", "Kestrelby", "Larkhall",
        "Mossgrove", "Nettlefold", "Oakhanger", "Pennywhistle",
        "Quillfeather", "Rookwood", "Silverthorne", "Thistledown",
        "Underhay", "Vexley", "Wolfenby", "Yarrowby",
        "O’Fallowmere", "St. Ambrook",
    ),
    "es": ("Montealegre", "Peñafría", "Ibárruriz", "Castañedo", "Güellón", "Valdehoyos"),
    "pt": ("Assunçãovale", "Fontebela", "Magalhãeira", "Serrador", "Coutinhal"),
    "fr": ("Beaurivage", "Délicourt", "Montfleuray", "Sautereau", "L’Hermitier"),
    "de": ("Großholz", "Mühlenbrink", "Königswiese", "Oesterfeld", "Täubchen"),
}  # fmt: skip
_DOMAINS: dict[Language, tuple[str, ...]] = {
    "en": (
        "creatormail.example",
        "studio-inbox.example",
        "lumabox.example",
        "dailyframe.example",
        "postbox.example",
    ),
    "es": ("correo.example", "creatormail.example"),
    "pt": ("caixa.example", "creatormail.example"),
    "fr": ("boite.example", "studio-inbox.example"),
    "de": ("postfach.example", "atelier-müller.example"),
}
_STREETS: dict[Language, tuple[str, ...]] = {
    "en": (
        "{n} Larkspur Lane, Fernhollow, OR 99999, USA", "{n} Quillfeather Road, Apt 3, Maplewick, Ontario",
        "Flat {n}, Tanner's Yard, Lower Brambleton, BX1 9ZZ, UK",
        "{n} Saltmarsh Avenue, Gullport, ME 99990, USA",
        "Unit {n}, 8 Dockside Row, Port Ellery, NSW, Australia",
    ),
    "es": (
        "Calle del Almendro {n}, 3º B, 99999 Villaserena", "Avenida de la Ribera {n}, 99990 Puerto Claro"),
    "pt": (
        "Rua das Oliveiras {n}, 2.º esq., 9999-001 Vila Serena",
        "Travessa do Farol {n}, 9999-010 Porto Claro"),
    "fr": ("{n} rue des Tilleuls, 99999 Valclair", "{n} bis quai des Moulins, 99990 Port-Serein"),
    "de": ("Lindenweg {n}, 99999 Neuweiler am See", "Mühlgasse {n}, 99990 Sonnenfurt"),
}  # fmt: skip
_SIZES = ("size S", "size M", "size L", "shade 02", "shade 04", "EU 38", "EU 39", "EU 42", "the blue one")
_ASCII = str.maketrans("áàâãäåçéèêëíìîïñóòôõöúùûüýÁÉÍÓÚÜÖÄÎ", "aaaaaaceeeeiiiinooooouuuuyAEIOUUOAI")
_LANGUAGES: tuple[Language, ...] = ("en",) * 13 + ("es", "pt", "fr", "de")


def people(random: Random, count: int, *, taken: set[str]) -> list[Person]:
    """So many people, none with an address in `taken`, which grows. Every 20th lives at a gmail.com shape.

    Gmail allows no hyphen in a name, so that `zz-demo…@gmail.com` cannot exist; mail is local in any case.
    """
    found: list[Person] = []
    while len(found) < count:
        language = random.choice(_LANGUAGES)
        name = f"{random.choice(_GIVEN[language])} {random.choice(_FAMILY[language])}"
        slug = _slug(name)
        domain = random.choice(_DOMAINS[language])
        address = f"zz-demo.{slug}@gmail.com" if len(found) % 20 == 7 else f"{slug}@{domain}"
        key = address_key(address)
        if key in taken:
            continue
        taken.add(key)
        found.append(_person(random, name=name, address=address, language=language))
    return found


def manager_of(person: Person, random: Random) -> Person:
    """An invented representative at an agency's example domain."""
    name = f"{random.choice(('Anna', 'Petra', 'Odile', 'Marta', 'Ingrid'))} {random.choice(_FAMILY['en'])}"
    handle = person.handle.removeprefix("@")
    address = f"{_slug(name)}.{handle[:6].strip('._')}@northlight-talent.example"
    return _person(random, name=name, address=address, language="en")


def _person(random: Random, *, name: str, address: str, language: Language) -> Person:
    return Person(
        name=name,
        address=address,
        key=address_key(address),
        handle="@" + _slug(name).replace(".", random.choice(("", "_", "."))),
        language=language,
        platform=random.choice(("Instagram", "TikTok", "YouTube")),
        followers=random.randint(12, 4200) * 100,
        street=random.choice(_STREETS[language]).format(n=random.randint(2, 98)),
        size=random.choice(_SIZES),
    )


def _slug(name: str) -> str:
    plain = name.translate(_ASCII).replace("ß", "ss").replace("’", "").replace(". ", "-")
    return ".".join(plain.lower().split())
