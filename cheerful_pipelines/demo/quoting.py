"""How people's programs carry the mail that they answer: Gmail, Outlook, Apple Mail; five languages. Pure."""

from datetime import datetime
from html import escape
from typing import Literal

from cheerful_pipelines.demo.mails import Letter, html_of
from cheerful_pipelines.demo.models import Language

QuoteStyle = Literal["gmail", "outlook", "apple", "none"]

_GMAIL: dict[Language, str] = {
    "en": "On {date} {name} <{address}> wrote:",
    "es": "El {date}, {name} (<{address}>) escribió:",
    "pt": "{name} <{address}> escreveu ({date}):",
    "fr": "Le {date}, {name} <{address}> a écrit :",
    "de": "Am {date} schrieb {name} <{address}>:",
}
_OUTLOOK: dict[Language, tuple[str, str, str, str]] = {
    "en": ("From", "Sent", "To", "Subject"),
    "es": ("De", "Enviado", "Para", "Asunto"),
    "pt": ("De", "Enviado", "Para", "Assunto"),
    "fr": ("De", "Envoyé", "À", "Objet"),
    "de": ("Von", "Gesendet", "An", "Betreff"),
}
_DAYS: dict[Language, tuple[str, ...]] = {
    "en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
    "es": ("lun", "mar", "mié", "jue", "vie", "sáb", "dom"),
    "pt": ("segunda", "terça", "quarta", "quinta", "sexta", "sábado", "domingo"),
    "fr": ("lun.", "mar.", "mer.", "jeu.", "ven.", "sam.", "dim."),
    "de": ("Mo.", "Di.", "Mi.", "Do.", "Fr.", "Sa.", "So."),
}
_MONTHS: dict[Language, tuple[str, ...]] = {
    "en": ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    "es": ("ene", "feb", "mar", "abr", "may", "jun", "jul", "ago", "sept", "oct", "nov", "dic"),
    "pt": ("jan.", "fev.", "mar.", "abr.", "mai.", "jun.", "jul.", "ago.", "set.", "out.", "nov.", "dez."),
    "fr": ("janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."),
    "de": ("Jan.", "Feb.", "März", "Apr.", "Mai", "Juni", "Juli", "Aug.", "Sept.", "Okt.", "Nov.", "Dez."),
}


def with_history(words: str, earlier: Letter, style: QuoteStyle, language: Language) -> tuple[str, str]:
    """Plain text and HTML of an answer: the new words, then the earlier letter in the style's own dress."""
    if style == "none":
        return words, html_of(words)
    if style == "outlook":
        return _outlook(words, earlier, language)
    name, address = earlier.sender
    date = _date(earlier.at, language)
    if style == "apple":
        month = _MONTHS[language][earlier.at.month - 1]
        date = f"{earlier.at.day} {month} {earlier.at.year}, at {earlier.at:%H:%M}"
        line = _GMAIL["en"].format(date=date + ",", name=name, address=address)
    else:
        line = _GMAIL[language].format(date=date, name=name, address=address)
    plain = f"{words}\n\n{line}\n\n{_quoted(earlier.text)}\n"
    inner = earlier.html or html_of(earlier.text)
    if style == "apple":
        return plain, (
            f'<div>{html_of(words)}</div><div><br><blockquote type="cite"><div>{escape(line)}</div><br>'
            f"<div>{inner}</div></blockquote></div>"
        )
    return plain, (
        f'<div dir="ltr">{html_of(words)}</div><br><div class="gmail_quote">'
        f'<div dir="ltr" class="gmail_attr">{escape(line)}<br></div>'
        f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{inner}</blockquote></div>'
    )


def _outlook(words: str, earlier: Letter, language: Language) -> tuple[str, str]:
    sender, sent, to, subject = _OUTLOOK[language]
    block = [
        (sender, f"{earlier.sender[0]} <{earlier.sender[1]}>"),
        (sent, _date(earlier.at, language)),
        (to, "; ".join(f"{name} <{address}>" for name, address in earlier.to)),
        (subject, earlier.subject),
    ]
    lines = "\n".join(f"{key}: {value}" for key, value in block)
    rows = "<br>".join(f"<b>{key}:</b> {escape(value)}" for key, value in block)
    plain = f"{words}\n\n________________________________\n{lines}\n\n{earlier.text}"
    return plain, (
        f'<div>{html_of(words)}</div><div id="appendonsend"></div><hr style="display:inline-block;width:98%">'
        f'<div id="divRplyFwdMsg" dir="ltr">{rows}</div><div>{earlier.html or html_of(earlier.text)}</div>'
    )


def _quoted(text: str) -> str:
    return "\n".join(f">{line}" if line.startswith(">") else f"> {line}" for line in text.rstrip().split("\n"))


def _date(at: datetime, language: Language) -> str:
    day, month = _DAYS[language][at.weekday()], _MONTHS[language][at.month - 1]
    if language == "en":
        return f"{day}, {at.day} {month} {at.year} at {at:%H:%M}"
    if language == "de":
        return f"{day}, {at.day}. {month} {at.year} um {at:%H:%M} Uhr"
    if language == "es":
        return f"{day}, {at.day} {month} {at.year} a las {at:%H:%M}"
    if language == "pt":
        return f"{day}, {at.day}/{at.month:02}/{at.year} à(s) {at:%H:%M}"
    return f"{day} {at.day} {month} {at.year} à {at:%H:%M}"
