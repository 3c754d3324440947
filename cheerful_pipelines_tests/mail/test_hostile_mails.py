"""Hostile mail is parsed, stored and read in bounded time, whatever it is; address headers without recursion."""

import email._parseaddr as old_parser  # type: ignore[import-not-found,unused-ignore]
import time

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import PoisonError
from cheerful_pipelines.mail import mail_limits
from cheerful_pipelines.mail import parse_message as parser
from cheerful_pipelines.mail.address_headers import mailboxes
from cheerful_pipelines.mail.models import FetchedMessage
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.recipients.addresses_in_cells import read_address_cell
from cheerful_pipelines.recipients.columns import header_key
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, an_account
from cheerful_pipelines_tests.hostile_mails import hostile_cells, hostile_mails, mail

MAILS = {one.name: one.raw for one in hostile_mails()}


def test_there_are_more_than_forty() -> None:
    assert len(MAILS) == len(hostile_mails()) > 40


@pytest.mark.parametrize("name", sorted(MAILS))
def test_it_is_parsed_in_time(name: str) -> None:
    began = time.process_time()

    parsed = parse_message(MAILS[name])

    assert time.process_time() - began < 2.0  # a busy machine; benchmarks/hostile_mail.py holds the bar
    assert len(parsed.to_keys) <= mail_limits.MAX_RECIPIENTS


def test_all_of_them_are_stored(database: Database, blobs: BlobStore) -> None:
    account = an_account(database)
    fetched = [
        FetchedMessage(
            gmail_message_id=f"m{number}", gmail_thread_id=f"t{number}", label_ids=("INBOX",), history_id=number,
            internal_date=START, raw=one.raw,
        )
        for number, one in enumerate(hostile_mails(), start=1)
    ]  # fmt: skip

    report = MailStore(database, blobs).store_fetched(account, fetched, run_id="run")

    with database.transaction() as connection:
        dead = connection.execute(sa.text("select gmail_message_id, reason_code from dead_letter")).all()
    assert [(hostile_mails()[int(one[1:]) - 1].name, code) for one, code in dead] == []
    assert report.inserted == len(fetched)


def test_what_was_cut_is_named_and_the_rest_is_read() -> None:
    parsed = parse_message(MAILS["100,000 recipients"])

    assert parsed.from_key == "ana@creator.example"
    assert len(parsed.to_keys) == 2_000
    assert parsed.parse_error is not None
    assert "cut: recipients after the first 2000" in parsed.parse_error


def test_headers_that_rules_read_come_through_behind_thousands_of_others() -> None:
    parsed = parse_message(b"X-A: b\r\n" * 100_000 + mail(b"Subject: Re: A gift"))

    assert (parsed.subject, parsed.from_key) == ("Re: A gift", "ana@creator.example")
    assert parsed.parse_error is not None


@pytest.mark.parametrize("error", [RecursionError, MemoryError, ValueError, AssertionError])
def test_whatever_is_raised_leaves_as_poison_without_the_mails_words(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(_raw: bytes) -> None:
        raise error("Ana <ana@creator.example>")

    monkeypatch.setattr(parser, "_read_parts", raises)

    with pytest.raises(PoisonError) as raised:
        parse_message(b"From: a@b.example\r\n\r\nhi")

    assert raised.value.reason_code == f"parse_{error.__name__}"
    assert "ana" not in str(raised.value)


def test_a_panic_of_the_rust_parser_is_contained_and_a_stop_is_not() -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    with pytest.raises(PoisonError), one_message("parse"):
        raise panic
    with pytest.raises(KeyboardInterrupt), one_message("parse"):
        raise KeyboardInterrupt


def test_one_field_that_cannot_be_read_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(_header: str) -> None:
        raise RecursionError

    monkeypatch.setattr(parser, "_one_address", raises)

    parsed = parse_message(mail(b"Subject: Re: A gift"))

    assert (parsed.subject, parsed.to_keys, parsed.from_key) == ("Re: A gift", ("mia@brand.example",), None)
    assert parsed.parse_error == "sender could not be read (RecursionError)"


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet='()<>@,:;."[]\\ \t\r\nab', max_size=30))
def test_address_headers_are_read_as_the_standard_library_read_them(header: str) -> None:
    expected = [found for found in old_parser.AddressList(header).addresslist if found != ("", "")]

    assert [tuple(found) for found in mailboxes(header) if tuple(found) != ("", "")] == expected


@pytest.mark.parametrize("pump", ["(", "a:", ",", ".", "[a", "@", "<", "\\", '"', "(a)", "<@a", ":;", "(\\", "a:;,"])
def test_address_headers_of_any_depth_are_read(pump: str) -> None:
    assert len(list(mailboxes(pump * 20_000 + " ana@creator.example"))) >= 0


def test_no_cell_takes_long() -> None:
    for name, cell in hostile_cells():
        began = time.process_time()
        read_address_cell(cell)
        header_key(cell)
        assert time.process_time() - began < 1.0, name


def test_the_fast_parser_is_kept_from_what_ends_the_process() -> None:
    assert mail_limits.is_too_much_for_the_fast_parser(MAILS["50,000 multiparts within each other"])
