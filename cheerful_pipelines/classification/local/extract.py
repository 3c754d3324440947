"""Flags and fields that can be read off a reply cheaply and rightly: an address, money, a question. Pure.

Every field carries the words it was read from (`evidence`), which occur in the text as it was given.
"""

import re
from typing import Any

from cheerful_pipelines.classification.local.normalise import fold

_STREET_WORD = (
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|pl|close|terrace|ter|square|"
    r"sq|parkway|pkwy|highway|hwy|circle|cir|crescent|grove|gardens|row|mews|parade|quay|walk|hill|view|trail|loop|pike)"
)
_COUNTED = (
    r"(?:%|k|days?|weeks?|months?|years?|hours?|minutes?|times|followers?|thousand|stor(?:y|ies)|reels?|posts?|videos?|"
    r"percent|dollars?|euros?|pounds?|people|kids|children|of|and|or|to|am|pm)"
)  # "5 days to drive" has no house number
_ADDRESS = re.compile(
    # 14 Maple Street; 4410 Cedar Ct; 1200 NW 5th Ave
    rf"\b\d{{1,5}}[a-z]?,?\s+(?!{_COUNTED}\b)(?:[\w.'-]+\s+){{0,4}}?{_STREET_WORD}\b"
    r"|\bp\.?\s?o\.?\s?box\s+\d+"
    # Calle Mayor 12; Rua das Flores, 120; Avenida Reforma 220; Carrera 7 # 12-34
    r"|\b(?:calle|c/|avenida|avda\.?|av\.|paseo|plaza|carrer|carrera|camino|rua|travessa|alameda|largo|praca|estrada)"
    r"\s+(?:[^\W\d][\w.'-]*\s+){0,5}?(?:\d+[ªº]?\s+)?(?:[^\W\d][\w.'-]*,?\s+)?(?:n[.ºo°]?\s*|numero\s+|#\s*)?\d{1,5}\b"
    # 12 rue des Lilas; 8 bis avenue Jean Jaures
    r"|\b\d{1,4}(?:\s?(?:bis|ter|[a-c]))?,?\s+(?:rue|avenue|av\.|boulevard|bd|place|chemin|allee|impasse|quai|cours|route|square)\s+[^\W\d]"
    # Gartenstrasse 5; Am Markt 2; Lindenweg 12a
    r"|\b[^\W\d]+(?:strasse|straße|str\.|weg|gasse|platz|allee|ring|ufer|damm)\s+\d{1,4}\s?[a-h]?\b"
    r"|\b(?:am|an der|auf der|im|zum|unter den)\s+[^\W\d]+\s+\d{1,4}\s?[a-h]?,\s+\d{4,5}\b"
)
_POSTCODE = re.compile(
    r"\b[a-z]{2}\.?,?\s+\d{5}(?:-\d{4})?\b|\b[a-z]{1,2}\d[a-z\d]?\s\d[a-z]{2}\b|\b[a-z]\d[a-z]\s?\d[a-z]\d\b"
    r"|\b\d{5}-\d{3}\b|\b\d{4}-\d{3}\b|\b\d{4,5}\s+[^\W\d]{3,}"
)
_MONEY = re.compile(
    r"(?P<before>r\$|us\$|\$|€|£|usd|eur|gbp|chf|brl)\s?(?P<first>\d[\d.,]{0,24}\s?k?)\b"
    r"|\b(?P<second>\d[\d.,]{0,24}\s?k?)\s?(?P<after>usd|eur|gbp|chf|brl|dollars?|dolares|euros?|pounds?|reais|francs?|r\$|\$|€|£)"
)
_CURRENCY = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "dolares": "USD",
    "€": "EUR", "eur": "EUR", "euro": "EUR", "euros": "EUR",
    "£": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
    "chf": "CHF", "franc": "CHF", "francs": "CHF", "r$": "BRL", "brl": "BRL", "reais": "BRL",
}  # fmt: skip
_DIGIT = re.compile(r"\d")
_RATE_ASKED = re.compile(
    r"\b(paid|compensation|compensated|budget|fee|rate|payment|remuneration|commission)\b[^.!?]{0,60}\?"
    r"|\b(pagad\w+|remunerad\w+|presupuesto|tarifa|pag[oa]|cache|orcamento|remunere\w*|budget|bezahlt|vergut\w+|honorar)\b[^.!?]{0,60}\?"
)
_REPRESENTS = re.compile(
    r"\b(i|we) (represent|manage)\b|\bon behalf of\b|\bmy (client|talent)\b"
    r"|'s (manager|assistant|agent|management|team) (here|writing)|\bthis is \w+'s (assistant|manager|agent)\b"
    r"|\b(represento a|soy (el|la) (manager|representante) de|sou (o|a) (assessora?|agente) d)"
    r"|\b(je represente|je suis l'agente? de|ich vertrete|ich bin (die|der) manager(in)? von)\b"
)
_BIGGEST_SENSIBLE = 10_000_000.0


def address_in(normalised: str) -> str | None:
    """The words of a postal address, or None. Street and number in five languages' shapes; nothing is validated."""
    folded = fold(normalised)
    if _DIGIT.search(folded) is None:
        return None
    match = _ADDRESS.search(folded)
    return None if match is None else normalised[match.start() : match.end()]


def fields_of(normalised: str, words: str) -> dict[str, object]:
    """Money and address of a reply, where their words stand in `words` just as they were written."""
    fields: dict[str, object] = {}
    money = money_in(normalised)
    if money is not None and money["evidence"] in words:
        fields["rate"] = money
    address = address_in(normalised)
    if address is not None and address in words:
        fields["address"] = {"evidence": address}
    return fields


def has_postcode(normalised: str) -> bool:
    """Whether something shaped like a postcode of US, UK, CA, BR, PT, FR, DE or ES stands in the text."""
    return _POSTCODE.search(fold(normalised)) is not None


def money_in(normalised: str) -> dict[str, Any] | None:
    """First sum of money: {"amount", "currency", "evidence"}; None without one."""
    match = _MONEY.search(fold(normalised))
    if match is None:
        return None
    amount = amount_of(match["first"] or match["second"])
    if amount is None:
        return None
    currency = _CURRENCY[match["before"] or match["after"]]
    return {"amount": amount, "currency": currency, "evidence": normalised[match.start() : match.end()].strip()}


def amount_of(written: str) -> float | None:
    """A number as people write it.

    >>> amount_of("1,500"), amount_of("1.200,50"), amount_of("2.5k"), amount_of("1.5")
    (1500.0, 1200.5, 2500.0, 1.5)
    """
    digits = written.strip().rstrip(".,")
    thousand = digits.endswith("k")
    digits = digits.rstrip("k").strip()
    parts = re.split(r"[.,]", digits)
    grouped = len(parts) > 1 and all(len(part) == 3 for part in parts[1:])
    whole = len(parts) == 1 or grouped
    digits = "".join(parts) if whole else "".join(parts[:-1]) + "." + parts[-1]
    try:
        amount = float(digits) * (1000 if thousand else 1)
    except ValueError:
        return None
    return amount if amount < _BIGGEST_SENSIBLE else None


def asks_for_rate(normalised: str) -> bool:
    """Whether money is asked about."""
    return _RATE_ASKED.search(fold(normalised)) is not None


def speaks_for_another(normalised: str) -> bool:
    """Whether a manager, agent or assistant writes in place of the creator."""
    return _REPRESENTS.search(fold(normalised)) is not None
