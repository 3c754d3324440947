"""The check `stored_mail_is_sound` fails where mail is missing or damaged, and only there, on real parts."""

from datetime import date
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.errors import PoisonError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail import integrity_store
from cheerful_pipelines.mail import store as store_module
from cheerful_pipelines.mail.gmail.checks import month_evaluation
from cheerful_pipelines.mail.models import FetchedMessage, ParsedMessage
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox

MONTH = START.date().replace(day=1)


@pytest.fixture
def mailbox(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Mailbox:
    """Five messages, stored, in a month that was completed."""
    found = Mailbox(google, google_settings, database, blobs)
    for number in range(1, 6):
        found.deliver(number)
    found.sync()
    found.run().month(MONTH)
    return found


def checked(mailbox: Mailbox, month: date = MONTH) -> dg.AssetCheckEvaluation:
    partition = f"{mailbox.account.alias}|{month.isoformat()}"
    return month_evaluation(mailbox.database, mailbox.blobs, mailbox.clients, partition)


def change(mailbox: Mailbox, statement: str) -> None:
    with mailbox.database.transaction() as connection:
        connection.execute(sa.text(statement))


def named(found: dg.AssetCheckEvaluation, what: str) -> list[str]:
    value = found.metadata[what].value
    assert isinstance(value, list)
    return value


_THREE = "(select gmail_message_id from gmail_message order by internal_date limit 3)"


def test_a_mailbox_that_is_whole_passes(mailbox: Mailbox) -> None:
    assert checked(mailbox).passed


def test_rows_that_were_deleted_fail_without_gmail_by_the_event_log(mailbox: Mailbox) -> None:
    change(mailbox, f"delete from gmail_message where gmail_message_id in {_THREE}")
    mailbox.google.inject_fault(path_contains="/gmail/", kind="reset", times=999)

    found = checked(mailbox)
    mailbox.google.clear_faults()

    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.ERROR
    assert len(named(found, "lost")) == 3


def test_rows_that_were_deleted_with_their_events_fail_by_gmails_listing(mailbox: Mailbox) -> None:
    change(mailbox, f"delete from gmail_message_event where gmail_message_id in {_THREE}")
    change(mailbox, f"delete from gmail_message where gmail_message_id in {_THREE}")

    found = checked(mailbox)

    assert not found.passed
    assert (named(found, "lost"), len(named(found, "not_stored"))) == ([], 3)


def test_a_tombstone_for_what_gmail_still_has_fails(mailbox: Mailbox) -> None:
    change(mailbox, f"update gmail_message set deleted_at = now() where gmail_message_id in {_THREE}")

    assert len(named(checked(mailbox), "not_stored")) == 3


def test_lost_raw_mail_and_damaged_rows_fail(mailbox: Mailbox) -> None:
    with mailbox.database.transaction() as connection:
        sha = connection.execute(sa.text("select raw_sha256 from gmail_message limit 1")).scalar_one()
    mailbox.blobs.delete(sha)
    change(mailbox, f"update gmail_message set subject = 'odd' where raw_sha256 <> '{sha}'")

    found = checked(mailbox)

    assert not found.passed
    assert (len(named(found, "missing")), len(named(found, "different"))) == (1, 4)


def test_mail_that_was_deleted_in_gmail_out_of_scope_or_a_draft_is_no_loss(mailbox: Mailbox) -> None:
    gone = sorted(mailbox.stored())[0]
    mailbox.google.delete(ADDRESS, gone)
    mailbox.deliver(6, labels=("DRAFT",))
    mailbox.sync()

    assert checked(mailbox).passed


def test_a_month_that_was_never_completed_misses_nothing(mailbox: Mailbox) -> None:
    change(mailbox, "delete from archive_month")
    change(mailbox, "delete from gmail_message_event")
    change(mailbox, "delete from gmail_message")

    assert checked(mailbox).passed


def poison_one(raw: bytes) -> ParsedMessage:
    if b"words 2" in raw:
        raise PoisonError("A message could not be handled.", reason_code="parse_RecursionError")
    return store_module_parse(raw)


store_module_parse = store_module.parse_message


def test_one_message_that_cannot_be_parsed_is_named_and_the_others_are_checked(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integrity_store, "parse_message", poison_one)

    found = checked(mailbox)

    assert len(named(found, "unreadable")) == 1
    assert (found.metadata["sampled"].value, named(found, "different")) == (5, [])


def test_one_message_that_cannot_be_parsed_again_is_a_dead_letter_and_the_others_are_read(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(mailbox, "update gmail_message set parser_version = '0'")
    monkeypatch.setattr(store_module, "parse_message", poison_one)

    counts = [mailbox.store.reparse(mailbox.account, run_id="again", most=1) for _ in range(6)]

    assert sum(counts) == 4
    assert counts[-1] == 0, "it ends"
    assert mailbox.letters.backlog(mailbox.account.id) == {"parse_RecursionError": 1}
    assert len(mailbox.stored()) == 5


def test_a_reading_that_postgres_refuses_is_a_dead_letter_and_the_others_are_read_again(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(mailbox, "update gmail_message set parser_version = '0'")

    def with_nul(raw: bytes) -> ParsedMessage:
        parsed = store_module_parse(raw)
        return parsed.model_copy(update={"subject": "\x00"}) if b"words 2" in raw else parsed

    monkeypatch.setattr(store_module, "parse_message", with_nul)
    counts = [mailbox.store.reparse(mailbox.account, run_id="again") for _ in range(2)]
    refused = mailbox.letters.backlog(mailbox.account.id, stage="parse")
    monkeypatch.undo()
    change(mailbox, "update dead_letter set next_try_at = now()")

    assert counts == [4, 0]
    assert sum(refused.values()) == 1
    assert mailbox.store.reparse(mailbox.account, run_id="repaired") == 1


def test_comparing_one_message_that_raises_names_it_and_the_others_are_checked(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises_on_one(parsed: ParsedMessage) -> dict[str, Any]:
        if "words 2" in parsed.body_text:
            raise RecursionError
        return store_module.parsed_values(parsed)

    monkeypatch.setattr(integrity_store, "parsed_values", raises_on_one)

    found = checked(mailbox)

    assert len(named(found, "unreadable")) == 1
    assert (found.metadata["sampled"].value, named(found, "different")) == (5, [])


def test_one_message_that_cannot_be_parsed_stays_alone_when_copies_are_stored(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(mailbox, "delete from gmail_message")
    change(mailbox, "delete from gmail_message_event")
    ids = [ref.gmail_message_id for page in mailbox.client.list_messages() for ref in page]
    fetched = [found for found in mailbox.client.fetch_raw(ids) if isinstance(found, FetchedMessage)]
    monkeypatch.setattr(store_module, "parse_message", poison_one)

    report = mailbox.store.store_fetched(mailbox.account, fetched, run_id="run")

    assert (report.inserted, report.dead) == (4, 1)
    assert mailbox.letters.backlog(mailbox.account.id) == {"parse_RecursionError": 1}
