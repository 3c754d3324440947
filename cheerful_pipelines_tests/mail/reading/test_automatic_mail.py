"""Bounces, absences, list mail, calendars: what no person wrote, and what a person wrote all the same."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.reading.auto_replies import find_automatic, find_return
from cheerful_pipelines.mail.reading.bounces import may_be_report, read_report
from cheerful_pipelines.mail.reading.read_message import FORWARDED, read_message
from cheerful_pipelines_tests.builders import a_message
from cheerful_pipelines_tests.threads.mailroom import OURS, answer, pitch, stored


def report(*blocks: str, text: str = "Your mail could not be delivered.") -> bytes:
    """A delivery report with one status block a recipient."""
    status = "\r\n\r\n".join(("Reporting-MTA: dns; mx.example", *blocks))
    return (
        "From: MAILER-DAEMON@mx.example\r\nTo: mia@brand.example\r\nSubject: Undelivered Mail\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        f"--b\r\nContent-Type: text/plain\r\n\r\n{text}\r\n"
        f"--b\r\nContent-Type: message/delivery-status\r\n\r\n{status}\r\n\r\n"
        "--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <p1@brand.example>\r\n\r\n--b--\r\n"
    ).encode()


ANA = "Final-Recipient: rfc822; ana@creator.example\r\nAction: failed\r\nStatus: 5.1.1"
BO = ANA.replace("ana@", "bo@").replace("5.1.1", "4.2.2") + "\r\nDiagnostic-Code: smtp; 452 mailbox full"
LATE = "Final-Recipient: rfc822; ana@creator.example\r\nAction: delayed\r\nStatus: 4.4.1"
DONE = "Final-Recipient: rfc822; ana@creator.example\r\nAction: delivered\r\nStatus: 2.0.0"


def test_a_report_on_two_recipients_blames_both_and_each_for_its_own_reason() -> None:
    found = read_report(report(ANA, BO))

    assert found is not None
    assert [(f.address_key, f.severity) for f in found.failed] == [
        ("ana@creator.example", "hard"), ("bo@creator.example", "soft"),
    ]  # fmt: skip
    assert found.bounced_message_id == "p1@brand.example"


@pytest.mark.parametrize(("block", "kind"), [(LATE, "delayed"), (DONE, "delivered")])
def test_a_delay_and_a_success_are_no_bounce(block: str, kind: str) -> None:
    found = read_report(report(block))

    assert found is not None
    assert (found.kind, found.failed) == (kind, ())


def test_an_unknown_domain_is_hard_even_where_the_server_calls_it_passing() -> None:
    block = ANA.replace("5.1.1", "4.4.4") + "\r\nDiagnostic-Code: smtp; Host or domain name not found"
    found = read_report(report(block))

    assert found is not None
    assert found.failed[0].severity == "hard"


def test_gmails_own_header_names_the_failed_address() -> None:
    raw = (
        b"From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\r\nTo: mia@brand.example\r\n"
        b"X-Failed-Recipients: ana@creator.example\r\nSubject: Delivery Status Notification (Failure)\r\n\r\n"
        b"Address not found. 550 5.1.1 does not exist\r\n"
    )
    found = read_report(raw)

    assert found is not None
    assert [f.address_key for f in found.failed] == ["ana@creator.example"]


def test_a_feedback_report_is_a_complaint() -> None:
    raw = report(ANA).replace(b"delivery-status", b"feedback-report")

    found = read_report(raw)

    assert found is not None
    assert found.kind == "complaint"


def test_whom_we_wrote_to_is_blamed_and_where_it_was_sent_on_is_kept() -> None:
    block = ANA.replace("ana@creator", "box7@hosting") + "\r\nOriginal-Recipient: rfc822; ana@creator.example"
    found = read_report(report(block))

    assert found is not None
    assert [f.keys for f in found.failed] == [("ana@creator.example", "box7@hosting.example")]


def test_two_recipients_without_an_empty_line_between_them_are_two() -> None:
    found = read_report(report(f"{ANA}\r\n{BO}"))

    assert found is not None
    assert [f.address_key for f in found.failed] == ["ana@creator.example", "bo@creator.example"]


@given(st.binary(max_size=600))
def test_any_bytes_are_read_without_an_error(raw: bytes) -> None:
    assert read_report(raw) is None or read_report(raw) == read_report(raw)


@pytest.mark.parametrize(
    "text",
    ["\r\n" * 40_000, "a" * 80_000, "a@" * 40_000, "failed to user " * 5_000, "-" * 80_000, "<a@b.example> " * 6_000],
)
def test_a_hostile_report_takes_its_time_in_proportion(text: str) -> None:
    raw = (
        "From: MAILER-DAEMON@mx.example\r\nTo: mia@brand.example\r\nSubject: Undelivered Mail\r\n\r\n"
        f"Delivery failed\r\n{text}"
    ).encode()
    began = time.process_time()

    assert read_report(raw) is not None

    assert time.process_time() - began < 5.0


def test_a_person_who_writes_about_a_bounce_is_a_person() -> None:
    raw = answer("My mail bounced: 550 user unknown. Can you try this one?").subject("Re: mail delivery").bytes()

    assert read_message(stored(raw), raw, OURS).kind == "human"


def test_x_auto_response_suppress_alone_proves_nothing() -> None:
    raw = answer().header("X-Auto-Response-Suppress", "All").bytes()

    assert read_message(stored(raw), raw, OURS).kind == "human"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Auto-Submitted", "auto-replied"), ("Auto-Submitted", "auto-generated"), ("X-Autoreply", "yes"),
        ("Precedence", "auto_reply"), ("X-MS-Exchange-Inbox-Rules-Loop", "ana@creator.example"),
    ],
)  # fmt: skip
def test_a_machines_header_makes_it_automatic(name: str, value: str) -> None:
    raw = answer("Thanks, we got your mail.").header(name, value).bytes()

    assert read_message(stored(raw), None, OURS).kind == "auto_reply"


def test_auto_submitted_no_is_a_person() -> None:
    raw = answer().header("Auto-Submitted", "no").bytes()

    assert read_message(stored(raw), None, OURS).kind == "human"


@pytest.mark.parametrize(
    "subject",
    [
        "Automatic reply: Out of office", "Out of Office: A gift", "Abwesenheitsnotiz: A gift", "Ich bin im Urlaub",
        "Réponse automatique : en congés", "Respuesta automática: fuera de la oficina", "Ausência temporária",
    ],
)  # fmt: skip
def test_an_absence_without_a_header_is_known_by_its_subject(subject: str) -> None:
    found = find_automatic((), subject, "I am out of office / im Urlaub / en congés / de vacaciones / de férias")

    assert found is not None
    assert found.kind == "out_of_office"


def test_a_person_who_answers_an_absence_is_a_person() -> None:
    assert find_automatic((), "Re: Out of office", "Ha, enjoy your holiday!") is None


@pytest.mark.parametrize(
    ("words", "day"),
    [
        ("I am away until 12 October 2026.", datetime(2026, 10, 12, tzinfo=UTC)),
        ("back on October 12th", datetime(2026, 10, 12, tzinfo=UTC)),
        ("Ich bin bis zum 12.10.2026 nicht im Büro", datetime(2026, 10, 12, tzinfo=UTC)),
        ("absente jusqu'au 12 octobre", datetime(2026, 10, 12, tzinfo=UTC)),
        ("vuelvo el 12 de octubre", datetime(2026, 10, 12, tzinfo=UTC)),
        ("returning 2026-10-12", datetime(2026, 10, 12, tzinfo=UTC)),
        ("back on 2 January", datetime(2027, 1, 2, tzinfo=UTC)),
        ("away until 03/04", None),
        ("back soon, 12 October was fun", None),
    ],
)
def test_the_day_of_return_is_read_where_it_is_certain(words: str, day: datetime | None) -> None:
    assert find_return(words, received_at=datetime(2026, 10, 5, tzinfo=UTC)) == day


def test_an_answer_on_a_list_is_a_persons_and_a_newsletter_is_not() -> None:
    letter = a_message().header("List-Unsubscribe", "<https://news.example/u>")
    reply = letter.subject("Re: A gift").replying_to("<p1@brand.example>")

    assert read_message(stored(letter.bytes()), None, OURS).kind == "list"
    assert read_message(stored(reply.bytes()), None, OURS).kind == "human"


def test_our_own_pitch_is_ours_and_human_whatever_headers_it_carries() -> None:
    raw = pitch().header("List-Unsubscribe", "<mailto:stop@brand.example>").bytes()
    found = read_message(stored(raw, labels=("SENT",)), None, OURS)

    assert (found.direction, found.kind) == ("ours", "human")


def test_our_name_on_a_forged_mail_is_theirs() -> None:
    raw = pitch().header("Authentication-Results", "mx.example; dmarc=fail").bytes()

    assert read_message(stored(raw), None, OURS).direction == "theirs"
    assert read_message(stored(pitch().bytes(), labels=("SPAM",)), None, OURS).direction == "theirs"


def test_the_raw_mail_is_asked_for_only_where_it_may_be_a_report() -> None:
    assert not may_be_report((("From", "ana@creator.example"),), "Re: A gift")
    assert may_be_report((("From", "MAILER-DAEMON@mx.example"),), "Undelivered")


def test_a_person_who_passes_a_mail_on_is_a_person_and_it_is_marked() -> None:
    raw = answer(
        "Can you take this?\n\n---------- Forwarded message ---------\nFrom: Mia <mia@brand.example>\nHi"
    ).bytes()
    found = read_message(stored(raw), None, OURS)

    assert (found.kind, found.evidence) == ("human", FORWARDED)


def test_a_vacation_notice_of_what_looks_like_a_mail_system_is_no_bounce() -> None:
    """Others put people on a block list for it."""
    notice = a_message().sender("postmaster@creator.example").subject("Automatic reply: A gift for you")
    raw = (
        notice.header("Auto-Submitted", "auto-replied (vacation)").text("I am out of office until 12 October.").bytes()
    )
    found = read_message(stored(raw), raw, OURS)

    assert (found.kind, found.bounces) == ("out_of_office", ())


def test_a_report_whose_first_recipient_has_no_diagnostic_blames_the_second_for_its_own() -> None:
    found = read_report(report(ANA, BO))

    assert found is not None
    assert [f.reason for f in found.failed] == ["user unknown", "mailbox full"]


def test_an_encoded_word_that_is_none_is_read_as_it_stands() -> None:
    """Found by fuzzing: base64 that cannot be decoded raised out of the reader of delivery reports."""
    raw = b"From: mailer-daemon@brand.example\r\nSubject: =?utf-8?b?A?=\r\n\r\nYour mail was not delivered.\r\n"
    read_report(raw)


def test_a_charset_that_nobody_could_look_up_costs_only_its_part() -> None:
    """Found by fuzzing: a NUL within the charset's name raised out of the reader of delivery reports."""
    raw = (
        b"From: mailer-daemon@brand.example\r\nSubject: Returned mail\r\nContent-Type: text/plain; "
        b'charset="u\x00tf"\r\nContent-Transfer-Encoding: 8bit\r\n\r\nfailed: \xff ana@creator.example\r\n'
    )
    read_report(raw)


def test_a_returned_mail_whose_charset_is_a_wrong_one_is_read_nevertheless() -> None:
    """Found by fuzzing: to print the returned mail encoded it anew, which raised."""
    raw = (
        b"From: mailer-daemon@brand.example\r\nSubject: Returned mail\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Final-Recipient: rfc822; ana@creator.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
        b'Content-Type: text/plain; charset="us-ascii"\r\nno header \xff\r\n\r\n'
        b"--b\r\nContent-Type: message/rfc822\r\n\r\n"
        b'Subject: Hello\r\nContent-Type: text/plain; charset="us-ascii"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
        b"Hi \xff there\r\n--b--\r\n"
    )
    found = read_report(raw)

    assert found is not None
    assert [failed.address_key for failed in found.failed] == ["ana@creator.example"]
