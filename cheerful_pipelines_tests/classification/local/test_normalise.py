"""Text before anybody reads it."""

from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.classification.local.normalise import fold, normalise, quote_from


def test_curly_quotes_dashes_and_fullwidth_letters_become_plain():
    assert normalise("don\u2019t \u2013 \u201cＳＴＯＰ\u201d") == 'don\'t - "STOP"'


def test_what_cannot_be_seen_is_gone():
    assert normalise("un\u200bsub\u00adscribe\u202e me\ufeff") == "unsubscribe me"


def test_lines_stay_and_blanks_are_squeezed():
    assert normalise(" one\t two \r\n\u00a0three ") == "one two\nthree"


@given(st.text())
def test_normalising_twice_changes_nothing(text: str):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text())
def test_folding_never_moves_a_character(text: str):
    assert len(fold(text)) == len(text)


@given(st.text(min_size=1))
def test_a_quotation_always_stands_in_the_original(text: str):
    quote = quote_from(text, normalise(text))

    assert quote is None or quote in text


def test_a_quotation_keeps_the_writers_own_spelling():
    original = "Hi!\nPlease don\u2019t write again.\nBye"

    assert quote_from(original, "Please don't write again.") == "Please don\u2019t write again."
