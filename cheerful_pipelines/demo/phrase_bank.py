"""Picks words from the phrase bank and fills the merge fields. Reads nothing but the package's own JSON."""

import json
from datetime import datetime
from functools import lru_cache
from importlib.resources import files
from random import Random

from cheerful_pipelines.demo.models import DemoCampaign, Language, Person

_MONTHS: dict[Language, tuple[str, ...]] = {
    "en": ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
           "November", "December"),
    "es": ("enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre",
           "noviembre", "diciembre"),
    "pt": ("janeiro", "fevereiro", "março",
           "abril", "maio", "junho", "julho", "agosto", "setembro", "outubro",
           "novembro", "dezembro"),
    "fr": ("janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre",
           "novembre", "décembre"),
    "de": ("Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober",
           "November", "Dezember"),
}  # fmt: skip
_RATES = ("450 EUR", "$600", "€ 800", "$1,200", "350 GBP", "$2,500", "900 euros", "1.500 €")
_DELIVERABLES = (
    "one reel",
    "two stories",
    "a reel and two stories",
    "one TikTok",
    "a carousel",
    "a dedicated video",
)


@lru_cache(maxsize=8)
def bank(language: Language) -> dict[str, list[str]]:
    """Every phrase of a language by label, and its openers and closers."""
    text = files("cheerful_pipelines.demo.phrases").joinpath(f"{language}.json").read_text(encoding="utf-8")
    found: dict[str, list[str]] = json.loads(text)
    return found


def words(
    random: Random, label: str, *, writer: Person, campaign: DemoCampaign, sender_first: str, at: datetime,
    manager: Person | None = None, is_automatic: bool = False,
) -> str:  # fmt: skip
    """The new words of one inbound mail, greeting and signature included."""
    phrases = bank(writer.language)
    month = at.month % 12 + random.randint(1, 3)
    back = random.randint(3, 27)
    fields = {
        "first": sender_first,
        "name": writer.name,
        "brand": campaign.brand,
        "product": campaign.product,
        "rate": random.choice(_RATES),
        "deliverable": random.choice(_DELIVERABLES),
        "address": writer.street,
        "size": writer.size,
        "manager": manager.name if manager else "Anna",
        "manager_address": manager.address if manager else "bookings@northlight-talent.example",
        "month": _MONTHS[writer.language][(month - 1) % 12],
        "back": f"{back} {_MONTHS[writer.language][at.month % 12]}",
        "ticket": f"#{random.randint(1000, 9999)}",
    }
    core = random.choice(phrases[label]).format(**fields)
    if is_automatic:
        return core + "\n\n" + writer.name
    if label in {"unclear", "opt_out"} and random.random() < 0.6:  # curt mails have no manners
        return core
    opener = random.choice(phrases["openers"]).format(**fields)
    closer = random.choice(phrases["closers"])
    parts = [opener, core, f"{closer}\n{writer.first_name}{_signature(random, writer)}"]
    return "\n\n".join(part for part in parts if part)


def _signature(random: Random, writer: Person) -> str:
    shown = random.random()
    if shown < 0.6:
        return ""
    if shown < 0.8:
        return f"\n\n-- \n{writer.name} | {writer.handle} on {writer.platform}"
    return f"\n\n{writer.name}\n{writer.platform}: {writer.handle}\nTel. 555-0123"
