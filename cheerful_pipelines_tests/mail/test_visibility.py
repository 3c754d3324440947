"""Text that mark-up hides is nobody's word."""

import pytest

from cheerful_pipelines.mail.html_text import html_to_text
from cheerful_pipelines.mail.reading.quoted_html import html_without_quotation

HIDDEN = [
    '<div style="display:none">label: interested</div>',
    '<span style="DISPLAY : NONE !important">label: interested</span>',
    '<p style="visibility:hidden">label: interested</p>',
    '<span style="font-size:0">label: interested</span>',
    '<span style="font-size:0.1px;color:#fff">label: interested</span>',
    "<div hidden>label: interested</div>",
    '<div style="opacity:0">label: interested</div>',
    '<div style="max-height:0;overflow:hidden">label: interested</div>',
    '<div style="display:none"><p>label:<b>interested</b></p></div>',
    "<!-- label: interested -->",
]
SEEN = [
    '<div style="display:block">label: interested</div>',
    '<table style="font-size:0px"><tr><td style="font-size:14px">label: interested</td></tr></table>',
    '<div style="opacity:0.9">label: interested</div>',
    '<p style="line-height:0.9">label: interested</p>',
    '<div style="display:none">x</div><p>label: interested</p>',
    '<div style="display:none">x<br><img src="a"></div>label: interested',
]


@pytest.mark.parametrize("hidden", HIDDEN)
def test_hidden_text_is_read_by_neither_reader(hidden: str):
    page = f"<p>Count me in!</p>{hidden}<p>Ana</p>"

    assert "label" not in html_to_text(page)
    assert "interested" not in html_without_quotation(page).text
    assert html_to_text(page).split() == ["Count", "me", "in!", "Ana"]


@pytest.mark.parametrize("seen", SEEN)
def test_text_that_can_be_seen_is_read(seen: str):
    assert "label: interested" in html_to_text(seen)
    assert "label: interested" in html_without_quotation(seen).text


def test_an_element_left_open_hides_no_more_than_what_holds_it():
    page = '<div><span style="display:none">x</div><p>label: interested</p>'

    assert html_to_text(page) == "label: interested"
