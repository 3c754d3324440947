"""Addresses, money, languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.classification.local.extract import address_in, amount_of, money_in, speaks_for_another
from cheerful_pipelines.classification.local.language import language_of
from cheerful_pipelines.classification.local.normalise import normalise


@pytest.mark.parametrize(
    "words",
    [
        "Ship to 8 Elm Ave, Toronto",
        "PO Box 12, Reno",
        "Calle Mayor 12, Madrid",
        "Rua das Flores, 120, Porto",
        "12 rue des Lilas, Paris",
        "Gartenstra\u00dfe 5, K\u00f6ln",
    ],
)
def test_a_postal_address_is_seen(words: str):
    assert address_in(normalise(words)) is not None


@pytest.mark.parametrize(
    "words",
    ["I have 20 thousand followers", "3 reels and 2 stories", "It took 5 days to drive there", "See you in 2027!"],
)
def test_a_number_is_no_address(words: str):
    assert address_in(normalise(words)) is None


@pytest.mark.parametrize(
    ("words", "amount", "currency"),
    [
        ("I charge $1,500 a reel", 1500.0, "USD"),
        ("300 \u20ac pro Story", 300.0, "EUR"),
        ("R$ 1.200,50 por reels", 1200.5, "BRL"),
        ("around 2.5k USD", 2500.0, "USD"),
        ("\u00a3350 each", 350.0, "GBP"),
    ],
)
def test_money_is_read_with_its_currency_and_its_words(words: str, amount: float, currency: str):
    found = money_in(normalise(words))

    assert found is not None
    assert (found["amount"], found["currency"]) == (amount, currency)
    assert found["evidence"] in words


@given(st.text())
def test_reading_a_number_never_raises(text: str):
    assert amount_of(text) is None or isinstance(amount_of(text), float)


@pytest.mark.parametrize(
    ("words", "language"),
    [
        ("Thank you, I would love to", "en"),
        ("Gracias, me gustar\u00eda saber m\u00e1s", "es"),
        ("Obrigada, n\u00e3o tenho interesse", "pt"),
        ("Merci, je ne suis pas disponible", "fr"),
        ("Danke, ich bin nicht interessiert", "de"),
        ("\U0001f44d", "und"),
    ],
)
def test_the_language_is_told_by_small_words(words: str, language: str):
    assert language_of(normalise(words)) == language


def test_a_manager_speaks_for_somebody():
    assert speaks_for_another("I represent Ana Lima.")
    assert not speaks_for_another("I am Ana Lima.")
