"""The writer's new words: in a dozen languages, from text and HTML, never nothing, never slowly."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.reading.quoted_text import new_words, tidy, without_quotation, without_signature

HEADERS = {
    "en": "On Mon, Oct 5, 2026 at 10:12 AM Mia <mia@brand.example> wrote:",
    "de": "Am Mo., 5. Okt. 2026 um 10:12 Uhr schrieb Mia <mia@brand.example>:",
    "fr": "Le lun. 5 oct. 2026 à 10:12, Mia <mia@brand.example> a écrit :",
    "es": "El lun, 5 oct 2026 a las 10:12, Mia (<mia@brand.example>) escribió:",
    "pt": "Em seg., 5 de out. de 2026 às 10:12, Mia <mia@brand.example> escreveu:",
    "it": "Il giorno lun 5 ott 2026 alle ore 10:12 Mia <mia@brand.example> ha scritto:",
    "nl": "Op ma 5 okt 2026 om 10:12 schreef Mia <mia@brand.example>:",
    "pl": "pon., 5 paź 2026 o 10:12 Mia <mia@brand.example> napisał(a):",
    "sv": "Den mån 5 okt. 2026 kl 10:12 skrev Mia <mia@brand.example>:",
    "da": "Den man. 5. okt. 2026 kl. 10.12 skrev Mia <mia@brand.example>:",
    "no": "man. 5. okt. 2026 kl. 10:12 skrev Mia <mia@brand.example>:",
    "cs": "po 5. 10. 2026 v 10:12 odesílatel Mia <mia@brand.example> napsal:",
    "ru": "пн, 5 окт. 2026 г. в 10:12, Mia <mia@brand.example> написал(а):",
}
BLOCKS = {
    "en": "From: Mia <mia@brand.example>\nSent: Monday, October 5, 2026 10:12 AM\nTo: Ana\nSubject: A gift",
    "de": "Von: Mia <mia@brand.example>\nGesendet: Montag, 5. Oktober 2026 10:12\nAn: Ana\nBetreff: A gift",
    "fr": "De : Mia <mia@brand.example>\nEnvoyé : lundi 5 octobre 2026 10:12\nÀ : Ana\nObjet : A gift",
    "es": "De: Mia <mia@brand.example>\nEnviado: lunes, 5 de octubre de 2026 10:12\nPara: Ana\nAsunto: A gift",
    "pt": "De: Mia <mia@brand.example>\nEnviada em: segunda-feira, 5 de outubro\nPara: Ana\nAssunto: A gift",
    "it": "Da: Mia <mia@brand.example>\nInviato: lunedì 5 ottobre 2026 10:12\nA: Ana\nOggetto: A gift",
    "nl": "Van: Mia <mia@brand.example>\nVerzonden: maandag 5 oktober 2026 10:12\nAan: Ana\nOnderwerp: A gift",
    "sv": "Från: Mia <mia@brand.example>\nSkickat: den 5 oktober 2026 10:12\nTill: Ana\nÄmne: A gift",
}


@pytest.mark.parametrize("language", HEADERS)
def test_the_line_above_a_quotation_is_known_in_this_language(language: str) -> None:
    body = f"Sounds lovely.\n\n{HEADERS[language]}\n\n> Hi Ana\n> reply STOP to unsubscribe\n"

    assert new_words(body).text == "Sounds lovely."


@pytest.mark.parametrize("language", BLOCKS)
def test_outlooks_header_block_is_known_in_this_language(language: str) -> None:
    body = f"Sounds lovely.\n\n________________________________\n{BLOCKS[language]}\n\nHi Ana, reply STOP."

    assert new_words(body).text == "Sounds lovely."


def test_answers_between_the_quoted_lines_are_kept() -> None:
    body = f"{HEADERS['en']}\n> Which size?\nMedium\n> Which colour?\nBlue\n"

    assert new_words(body).text == "Medium\nBlue"


def test_a_sentence_that_begins_like_a_header_is_the_writers_own() -> None:
    body = f"On Monday 5 we can ship 20 pieces.\n{HEADERS['en']}\n> Hi\n"

    assert new_words(body).text == "On Monday 5 we can ship 20 pieces."


def test_a_travel_plan_is_no_header_block() -> None:
    body = "From: Toronto\nTo: Lisbon\nDate: 5 May\nSee you there!"

    assert new_words(body).text == body


def test_a_forwarded_mail_is_kept_whole() -> None:
    body = (
        "Can you take this?\n\n---------- Forwarded message ---------\nFrom: Mia <mia@brand.example>\nHi Ana\n--\nMia"
    )

    assert new_words(body).text == body
    assert new_words(body).forwards
    assert not new_words("Can you take this?").forwards


def test_a_postal_address_below_the_closing_is_kept() -> None:
    """The address is what a gifting campaign asks for; it may stand where a signature stands."""
    body = "Happy to join!\n\nBest,\nAna Lima\n8 Elm Avenue\nToronto M4B 1B3"

    assert "8 Elm Avenue" in new_words(body).text


def test_an_answer_of_nothing_but_quotation_says_so() -> None:
    """Our own footer coming back must not be read as her wish."""
    found = new_words(f"{HEADERS['en']}\n\n> To unsubscribe reply STOP\n")

    assert found.only_quotation
    assert found.text != ""


def test_html_is_read_by_its_structure() -> None:
    html = (
        '<div dir="ltr">I am in!<br>Ana</div><div class="gmail_quote"><div class="gmail_attr">On Mon wrote:</div>'
        "<blockquote>reply STOP</blockquote></div>"
    )

    assert new_words("", html).text == "I am in!\nAna"


def test_an_html_wrapper_around_the_whole_body_does_not_eat_it() -> None:
    found = new_words("", '<div class="gmail_quote">I would love to</div>')

    assert found.text == "I would love to"


def test_what_outlook_puts_after_its_mark_is_quotation() -> None:
    html = '<p>Yes!</p><div id="appendonsend"></div><hr><div id="divRplyFwdMsg">From: Mia</div><p>reply STOP</p>'

    assert new_words("", html).text == "Yes!"


words = st.text(alphabet=st.sampled_from("ab>-:*_\n \tO1@<.w"), max_size=200)


@given(st.one_of(words, st.text(max_size=300)))
def test_a_body_with_words_never_comes_back_empty(body: str) -> None:
    if any(character.isalnum() for character in tidy(body)):
        assert new_words(body).text.strip() != ""


@given(st.text(max_size=300))
def test_stripping_never_adds_a_line(body: str) -> None:
    whole = tidy(body)

    assert set(without_signature(without_quotation(whole)).split("\n")) <= {*whole.split("\n"), ""}


@pytest.mark.parametrize(
    "body",
    [
        "> " * 500_000,
        "On " * 400_000,
        "On 1 2 wrote\n" * 100_000,
        "From: a@b.example\n" * 60_000,
        "-" * 1_000_000 + "x",
        "Sent from my " * 100_000,
        ">" * 1_000_000 + "\n" + "a" * 1_000_000,
    ],
    ids=["quotes", "on", "wrote", "headers", "dashes", "sent from", "arrows"],
)
def test_a_hostile_body_takes_its_time_in_proportion(body: str) -> None:
    began = time.process_time()

    new_words(body)

    assert time.process_time() - began < 5.0  # measured: under 1 s; the rest is for a busy machine


def test_deeply_nested_html_takes_its_time_in_proportion() -> None:
    began = time.process_time()

    new_words("", "<div class=gmail_quote><blockquote>" * 50_000 + "x")

    assert time.process_time() - began < 5.0


def test_a_lone_emoji_above_a_quotation_is_the_whole_answer() -> None:
    """Its quotation holds our own footer, which must never read as the writer's opt-out."""
    body = (
        '🙏\n\nOn Mon, 19 Oct 2026 at 15:24 Jonas <jonas@brand.example> wrote:\n\n> Hi,\n> reply with "unsubscribe"\n'
    )

    assert new_words(body).text.strip() == "🙏"
