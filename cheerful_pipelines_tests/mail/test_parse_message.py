"""Raw bytes to a parsed message: never an exception, nothing lost that Postgres or threads need."""

from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.html_text import html_to_text
from cheerful_pipelines.mail.parse_message import message_ids, parse_message
from cheerful_pipelines_tests.builders import START, a_message

# A file without a header, an empty file, a list's notice without its head, and a git file among the mails.
HEADERLESS = ["msg_19.eml", ".gitattributes.eml", "sample_output_multipart.eml", "malformedHeader-noheader.eml"]


def test_a_plain_reply_is_read_whole() -> None:
    raw = (
        a_message().sender("Ana Lima <Ana@Creator.example>").to("mia@brand.example", "Max <max@brand.example>")
        .subject("Re: Grüße").text("Yes!\n").replying_to("<p1@brand.example>", "<p0@brand.example>").bytes()
    )  # fmt: skip

    parsed = parse_message(raw)

    assert parsed.parse_error is None
    assert parsed.rfc822_message_id == "m1@creator.example"
    assert parsed.in_reply_to == ("p1@brand.example",)
    assert parsed.reference_ids == ("p0@brand.example", "p1@brand.example")
    assert (parsed.from_name, parsed.from_key) == ("Ana Lima", "ana@creator.example")
    assert parsed.to_keys == ("mia@brand.example", "max@brand.example")
    assert parsed.subject == "Re: Grüße"
    assert parsed.body_text.strip() == "Yes!"
    assert parsed.header_date == START


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("<a@x.example>", ["a@x.example"]),
        ("<a@x.example> <b@x.example>", ["a@x.example", "b@x.example"]),
        ('Message from Ana <ana@x.example> of "Mon, 1 Jul 2002" <id1@x.example>', ["id1@x.example"]),
        ("a@x.example", ["a@x.example"]),
        ("<a@x.example>\r\n\t<a@x.example>", ["a@x.example"]),
        ("your mail of Monday", []),
        ("", []),
    ],
)
def test_message_ids_are_found_in_prose_and_lists(header: str, expected: list[str]) -> None:
    assert message_ids(header) == expected


def test_html_alone_gives_text_without_styles_and_scripts() -> None:
    html = "<style>p {}</style><p>Yes,</p><script>x()</script><div>count me <b>in</b>&nbsp;!</div>"

    assert html_to_text(html) == "Yes,\n\ncount me in !"


def test_an_attachment_keeps_a_name_and_never_a_path() -> None:
    mail = EmailMessage()
    mail["From"] = "ana@creator.example"
    mail.set_content("see file")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="../../etc/rates.pdf")

    (attachment,) = parse_message(mail.as_bytes()).attachments

    assert (attachment.filename, attachment.size) == ("rates.pdf", 4)


def test_what_postgres_refuses_is_replaced() -> None:
    parsed = parse_message(b"From: a@x.example\r\nSubject: a\x00b\r\n\r\nbo\x00dy")

    assert "\x00" not in parsed.subject + parsed.body_text


@given(st.binary(max_size=3000))
def test_any_bytes_are_parsed_without_an_exception_and_always_alike(raw: bytes) -> None:
    assert parse_message(raw) == parse_message(raw)


@given(st.binary(max_size=300), st.sampled_from(["utf-8", "utf-16", "no-such-charset", "iso-2022-jp"]))
def test_any_body_in_any_charset_is_parsed(body: bytes, charset: str) -> None:
    raw = b"From: a@x.example\r\nContent-Type: text/plain; charset=" + charset.encode() + b"\r\n\r\n" + body

    assert parse_message(raw).from_key == "a@x.example"


@pytest.mark.real_mail
def test_every_odd_message_of_the_corpus_is_parsed(shared_data: Path) -> None:
    """286 broken and odd mails, on 31 of which the standard library's default policy raises."""
    files = sorted((shared_data / "mime").rglob("*.eml"))

    parsed = [parse_message(path.read_bytes()) for path in files]

    headerless = [path.name for path, found in zip(files, parsed, strict=True) if not found.headers]
    assert len(parsed) == 286
    assert sorted(headerless) == sorted(HEADERLESS)
