"""What must not leave for a hosted model: card numbers, account numbers, passwords, keys. Pure.

A postal address stays: it is what a creator is asked for and what the model is to find.
"""

import re

_CARD = re.compile(r"(?<![\d-])\d(?:[ -]?\d){12,18}(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_TAX_ID = re.compile(r"(?<![\d-])\d{3}-\d{2}-\d{4}(?![\d-])")  # United States
_SPOKEN = re.compile(
    r"(?i)\b(pass(?:word|wort|code|phrase)|contraseña|senha|mot de passe|pin|cvv|cvc|secret|api[ _-]?key|token)\b"
    r"(\s*(?:is|es|é|est|ist|[:=])\s*)(\S+)"
)
_KEY = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|xox[bap]|AKIA|AIza)[-_A-Za-z0-9]{16,}\b|\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]{10,}"
)


def without_private_words(text: str) -> tuple[str, int]:
    """The text with each secret replaced by what it was, and how many there were.

    >>> without_private_words("My card is 4111 1111 1111 1111, the password: hunter2")
    ('My card is [card number], the password: [secret]', 2)
    """
    found = 0

    def put(words: str) -> str:
        nonlocal found
        found += 1
        return words

    text = _CARD.sub(lambda match: put("[card number]") if _is_card(match.group()) else match.group(), text)
    text = _IBAN.sub(lambda match: put("[account number]") if _is_iban(match.group()) else match.group(), text)
    text = _TAX_ID.sub(lambda _: put("[tax number]"), text)
    text = _KEY.sub(lambda _: put("[secret]"), text)
    text = _SPOKEN.sub(lambda match: match[1] + match[2] + put("[secret]"), text)
    return text, found


def _is_card(written: str) -> bool:
    """Luhn's check digit, by which order and tracking numbers mostly fall out."""
    digits = [int(letter) for letter in written if letter.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return len(set(digits)) > 1 and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(written: str) -> bool:
    """ISO 13616: the number modulo 97 is 1."""
    letters = written.replace(" ", "")
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1
