"""Automatic answers, absences, list mail and calendar answers: what no person wrote to us. Pure; headers and subject.

RFC 3834 and the headers in use are believed first; subjects in the main languages where no header speaks, since some
absences carry none. `X-Auto-Response-Suppress` alone proves nothing: ordinary Exchange mail carries it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

AutomaticKind = Literal["out_of_office", "auto_reply", "list", "calendar"]

_ABSENCE_SUBJECT = re.compile(
    r"^(?:\[[^\]]{1,40}\]\s*)?(?:[^:]{2,60}\bis out of (?:the |my )?office|[^:]{2,60}\bwill be out of the office)|"
    r"^(?:auto(?:matic|mated)?[ -]?(?:reply|response|antwort)?\s*[:-]\s*)?(?:(?:i am |i'm )?(?:currently )?"
    r"out[ -]of[ -](?:the )?office|ooo\b|on (?:vacation|holiday|leave|annual leave|parental leave)|"
    r"away from (?:the |my )?"
    r"(?:office|desk|e-?mail)|vacation (?:reply|response|notice|auto)|abwesenheit|abwesend|außer haus|ausser haus|"
    r"ich bin (?:im urlaub|nicht im)|urlaub|absence|absent|en congés?|réponse d'absence|hors du bureau|"
    r"message d'absence|fuera de (?:la )?oficina|ausente|ausencia|de vacaciones|fora do escritório|ausência|"
    r"de férias|fuori (?:sede|ufficio)|assenza|in ferie|afwezig|niet aanwezig|buiten kantoor|nieobecność|"
    r"poza biurem|frånvaro|frånvarande|semester|fravær|ikke på kontoret)",
    re.I,
)
_AUTO_SUBJECT = re.compile(
    r"^(?:\[?auto(?:matic|mated|matisch)?[ -]?(?:reply|response|generated|re)\]?\b|auto:|autoreply|autoresponse|"
    r"automatische antwort|automatisch antwoord|réponse automatique|respuesta automática|resposta automática|"
    r"risposta automatica|automatisk svar|automatiskt svar|autosvar|odpowiedź automatyczna|autoodpowiedź|"
    r"antwort automatisch|we(?:'ve| have) received your|ticket (?:received|created)|your request has been received)",
    re.I,
)
_ABSENCE_WORDS = re.compile(
    r"out of (?:the )?office|(?:on|am on|away on) (?:vacation|holiday|leave|annual leave|maternity|parental)|"
    r"(?:back|return(?:ing)?) (?:in the office |to the office )?on|limited access to (?:my )?e-?mail|"
    r"away (?:until|from)|abwesend|im urlaub|nicht im (?:büro|haus)|wieder (?:erreichbar|im büro)|"
    r"absente? (?:du|jusqu)|en congés?|de retour|fuera de la oficina|de vacaciones|hasta el|ausente|"
    r"fora do escritório|de férias|retorno|in ferie|fuori ufficio|afwezig|nieobecn|semester|ferie",
    re.I,
)
_REPLY_PREFIX = re.compile(r"^\s*(?:re|aw|sv|antw|rif|odp|vs|res|r)\s*+(?:\[\d++\]\s*+)?:", re.I)
_CALENDAR = re.compile(
    r"^(?:accepted|declined|tentative(?:ly accepted)?|invitation|updated invitation|cancel(?:l)?ed(?: event)?|"
    r"zugesagt|abgesagt|accepté|refusé|aceptado|rechazado|aceito|recusado|einladung)\s*:",
    re.I,
)


@dataclass(frozen=True)
class AutomaticMail:
    """Kind, and the header or subject that says so."""

    kind: AutomaticKind
    evidence: str


def find_automatic(
    headers: tuple[tuple[str, str], ...], subject: str, new_words: str, attachment_types: tuple[str, ...] = ()
) -> AutomaticMail | None:
    """What kind of automatic mail this is, or None for a person's. Delivery reports are looked for before."""
    named = {name.lower(): value.strip() for name, value in reversed(headers)}
    if _CALENDAR.match(subject) and (
        "text/calendar" in attachment_types
        or "text/calendar" in named.get("content-type", "").lower()
        or "x-google-calendar" in " ".join(named).lower()
        or "calendar" in named.get("sender", "").lower()
    ):
        return AutomaticMail("calendar", "text/calendar")
    evidence = _automatic_header(named)
    is_reply = _REPLY_PREFIX.match(subject) is not None
    if evidence is not None:
        # An answer by a machine still says what it is: an absence has a return, an acknowledgement has none.
        absent = _ABSENCE_SUBJECT.search(_bare(subject)) or _ABSENCE_WORDS.search(new_words[:2_000])
        return AutomaticMail("out_of_office" if absent else "auto_reply", evidence)
    if not is_reply:
        if _ABSENCE_SUBJECT.search(subject.strip()):
            return AutomaticMail("out_of_office", "Subject of an absence")
        if _AUTO_SUBJECT.search(subject.strip()):
            absent = _ABSENCE_WORDS.search(new_words[:2_000])
            return AutomaticMail("out_of_office" if absent else "auto_reply", "Subject of an automatic answer")
    evidence = _list_header(named, is_reply)
    return AutomaticMail("list", evidence) if evidence else None


def _automatic_header(named: dict[str, str]) -> str | None:
    submitted = named.get("auto-submitted", "").split(";")[0].strip().lower()
    if submitted and submitted != "no":
        return f"Auto-Submitted: {submitted[:40]}"
    for name in (
        "x-autoreply", "x-autorespond", "x-autoresponder", "x-autoreply-from", "x-mail-autoreply",
        "x-ms-exchange-inbox-rules-loop", "x-pm-autoreply", "x-auto-reply", "x-vacation",
    ):  # fmt: skip
        if name in named and named[name].lower() not in ("no", "false", "0"):
            return name
    if named.get("precedence", "").lower() in ("auto_reply", "auto-reply", "autoreply"):
        return "Precedence: auto_reply"
    if "vacation" in named.get("x-apple-action", "").lower():
        return "X-Apple-Action: VACATION"
    if "vacation" in named.get("delivered-by-the-graces-of", "").lower():
        return "Delivered-By-The-Graces-Of"
    return None


def _list_header(named: dict[str, str], is_reply: bool) -> str | None:
    """Bulk mail. A reply on a discussion list is written by a person: whoever answers somebody is kept."""
    if is_reply or named.get("in-reply-to") or named.get("references"):
        return None
    for name in ("list-unsubscribe", "list-id", "feedback-id"):
        if named.get(name):
            return name
    return "Precedence: bulk" if named.get("precedence", "").lower() in ("bulk", "list", "junk") else None


def _bare(subject: str) -> str:
    return _REPLY_PREFIX.sub("", subject).strip()


# --- when they are back -------------------------------------------------------------------------------------------

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier enero janeiro gennaio",
            "feb february februar février febrero fevereiro febbraio",
            "mar march märz mars marzo março", "apr april avril abril aprile", "may mai mayo maio maggio",
            "jun june juni juin junio junho giugno", "jul july juli juillet julio julho luglio",
            "aug august août agosto", "sep sept september septembre septiembre setembro settembre",
            "oct october oktober octobre octubre outubro ottobre okt", "nov november novembre noviembre novembro",
            "dec december dezember décembre diciembre dezembro dicembre dez",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_UNTIL = re.compile(
    r"(?:until|till|through|back|return(?:ing)?|available again|bis(?: zum)?|wieder|ab dem|zurück|jusqu'?(?:au|à)|"
    r"de retour|retour|hasta|vuelvo|regreso|até|retorno|volto|fino al|tot)\b(?P<rest>.{0,60})",
    re.I | re.S,
)
_ELSEWHERE = re.compile(r"[.;!?]|\b(?:soon|bientôt|pronto|bald|breve)\b", re.I)
"""Between the word and the date: the date belongs to another sentence."""
_ISO = re.compile(r"\b(\d{4})-(\d{1,2})-(\d{1,2})\b")
_DOTTED = re.compile(r"\b(\d{1,2})\.\s?(\d{1,2})\.\s?(\d{4}|\d{2})?\b")
_DAY_MONTH = re.compile(
    r"\b(\d{1,2})(?:st|nd|rd|th|\.|er|º)?\s+(?:of |de |of the )?([^\W\d_]{3,10})\.?(?:,?\s+(?:de |del )?(\d{4}))?",
    re.I,
)
_MONTH_DAY = re.compile(r"\b([^\W\d_]{3,10})\.?\s+(\d{1,2})(?:st|nd|rd|th)?\b(?:,?\s+(\d{4}))?", re.I)


def find_return(words: str, *, received_at: datetime) -> datetime | None:
    """The day of return that an absence names, at midnight UTC; a day without a year is the next one to come.

    None where no date is found or the date is not within a year: better none than a wrong one. Dates such as
    03/04 are left alone: nobody can tell their order.
    """
    for hit in _UNTIL.finditer(words[:4_000]):
        found = _first_date(hit["rest"], received_at.date())
        if found is not None:
            return datetime(found.year, found.month, found.day, tzinfo=UTC)
    return None


def _first_date(text: str, today: date) -> date | None:
    if hit := _ISO.search(text):
        return _checked(int(hit[1]), int(hit[2]), int(hit[3]), today)
    if hit := _DOTTED.search(text):
        year = int(hit[3]) if hit[3] else None
        return _checked(year + 2000 if year and year < 100 else year, int(hit[2]), int(hit[1]), today)
    for pattern, day, month in ((_DAY_MONTH, 1, 2), (_MONTH_DAY, 2, 1)):
        for hit in pattern.finditer(text):
            if hit[month].lower() in _MONTHS and not _ELSEWHERE.search(text[: hit.start()]):
                return _checked(int(hit[3]) if hit[3] else None, _MONTHS[hit[month].lower()], int(hit[day]), today)
    return None


def _checked(year: int | None, month: int, day: int, today: date) -> date | None:
    try:
        found = date(year or today.year, month, day)
        if year is None and found < today:
            found = date(today.year + 1, month, day)
    except ValueError:
        return None
    return found if 0 <= (found - today).days <= 366 else None
