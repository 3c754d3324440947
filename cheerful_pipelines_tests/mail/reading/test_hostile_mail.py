"""Mail made to do harm is read all the same; `benchmarks/hostile_mail.py` prints how long each takes."""

import pytest

from cheerful_pipelines.mail.html_text import html_to_text
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.reading.quoted_text import new_words
from cheerful_pipelines.mail.reading.read_message import needs_raw, read_message
from cheerful_pipelines_tests.mail.reading.hostile_mail import hostile_mails
from cheerful_pipelines_tests.threads.mailroom import stored

MAILS = dict(hostile_mails())


@pytest.mark.parametrize("name", sorted(MAILS))
def test_it_is_parsed_and_read_without_an_error(name: str) -> None:
    raw = MAILS[name]
    message = stored(raw)

    reading = read_message(message, raw if needs_raw(message) else None, frozenset())

    assert message.parsed.subject.startswith(("Re: ", "Undeliverable"))
    assert reading.kind == ("bounce" if name.startswith("report") else "human")


def test_parts_nested_by_the_thousand_leave_the_headers_and_a_reason() -> None:
    parsed = parse_message(MAILS["parts: 5,000 nested"])

    assert parsed.from_key == "ana@creator.example"
    assert parsed.parse_error == "only its headers could be read (over 2000 parts)"


def test_a_picture_within_the_page_does_not_use_up_what_is_read() -> None:
    page = '<p>Yes</p><img src="data:image/png;base64,' + "iVBORw0K" * 100_000 + '"><p>Ana</p>'

    assert html_to_text(page).split() == ["Yes", "Ana"]


@pytest.mark.parametrize("page", ["<p>Yes</p><p <p <p <p", "<p>Yes</p><!-- never closed", "<p>Yes</p> 1 < 2"])
def test_what_never_closes_hides_nothing_before_it(page: str) -> None:
    assert html_to_text(page).startswith("Yes")
    assert new_words(html_to_text(page), page).text.startswith("Yes")
