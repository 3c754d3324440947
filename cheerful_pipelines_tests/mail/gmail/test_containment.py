"""A message never fails its mailbox: whatever is wrong with it becomes its dead letter, and the others are stored."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.mail import store as store_module
from cheerful_pipelines.mail.gmail import sync as sync_module
from cheerful_pipelines.mail.gmail.sync import STORE_PAGE
from cheerful_pipelines.mail.scope import relevance
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_message
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox


@pytest.fixture
def mailbox(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore
) -> Iterator[Mailbox]:
    yield Mailbox(google, google_settings, database, blobs)
    google.clear_faults()


def fill(mailbox: Mailbox, count: int) -> None:
    mails = (
        Delivery(
            a_message().message_id(f"<m{number}@creator.example>").text(f"words {number}").bytes(),
            internal_date=START + timedelta(minutes=number),
        )
        for number in range(count)
    )
    mailbox.google.deliver_many(ADDRESS, mails)


class PanicException(BaseException):
    """As a Rust parser's panic looks from Python."""


PanicException.__module__ = "pyo3_runtime"


@pytest.mark.parametrize("raised", [RecursionError("deep"), ValueError("x"), PanicException("panic"), MemoryError()])
def test_a_parser_that_raises_buries_one_message(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, raised: BaseException
) -> None:
    fill(mailbox, 5)
    bad = mailbox.deliver(9_000, raw=b"Subject: bad\r\n\r\nboom")
    parse = sync_module.parse_message

    def fail(raw: bytes) -> Any:
        if b"boom" in raw:
            raise raised
        return parse(raw)

    monkeypatch.setattr(sync_module, "parse_message", fail)

    report = mailbox.sync()

    assert (report.inserted, report.dead) == (5, 1)
    assert not report.is_partial
    assert list(mailbox.letters.backlog(mailbox.account.id)) == [f"parse_{type(raised).__name__}"]
    monkeypatch.undo()
    due = mailbox.letters.due(now=datetime.now(UTC) + timedelta(days=2))
    assert mailbox.run("later").dead_letters(due).inserted == 1
    assert bad in mailbox.stored()
    assert mailbox.letters.backlog(mailbox.account.id) == {}


def test_deciding_about_the_scope_of_one_message_buries_that_one(
    google: LocalGoogleAdmin,
    google_settings: Settings,
    database: Database,
    blobs: BlobStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox(google, google_settings, database, blobs, scope="campaign")
    mailbox.sync("first")
    fill(mailbox, 2)
    mailbox.deliver(9_000, raw=b"Subject: bad\r\n\r\nboom")
    concerns = relevance.concerns

    def fail(mail: Any, **options: Any) -> bool:
        if b"boom" in mail.fetched.raw:
            raise RecursionError
        return concerns(mail, **options)

    monkeypatch.setattr(relevance, "concerns", fail)

    report = mailbox.sync()

    assert report.dead == 1
    assert report.passed_over == 2


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bad=st.sets(st.integers(0, 39), max_size=6))
def test_of_a_page_that_postgres_refuses_exactly_the_guilty_are_buried(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, bad: set[int]
) -> None:
    if mailbox.google.health()["messages"] == 0:
        fill(mailbox, 40)
    with mailbox.database.transaction() as connection:
        for table in ("gmail_message", "gmail_message_event", "dead_letter", "suspect_message", "message"):
            connection.execute(sa.text(f"delete from {table}"))
        connection.execute(sa.text("update account_mark set live_history_id = null, listing_before = null"))
    insert = store_module._insert_copies

    def refuse(connection: sa.Connection, account: Any, new: Any, run_id: str) -> None:
        for item in new:
            number = int(str(item.parsed.rfc822_message_id).strip("<>").split("@")[0][1:])
            if number in bad:
                # Three kinds in turn: a program limit of Postgres, a value out of range, no statement at all.
                if number % 3 == 0:
                    connection.execute(sa.text("select repeat('x', 1073741824)"))
                elif number % 3 == 1:
                    connection.execute(sa.text("select cast(:n as integer)"), {"n": 10**30})
                raise OverflowError
        insert(connection, account, new, run_id)

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "_insert_copies", refuse)
        refs = [ref for page in mailbox.client.list_messages() for ref in page]
        report = mailbox.run("run")._fetch_all({ref.gmail_message_id: ref.gmail_thread_id for ref in refs})

    assert (report.inserted, report.dead) == (40 - len(bad), len(bad))
    assert len(mailbox.stored()) == 40 - len(bad)


@pytest.mark.parametrize("code", ["53100", "53300", "25006", "57P01"])
def test_a_postgres_that_is_full_or_away_buries_nothing_and_moves_no_mark(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    fill(mailbox, 3)

    def fail(connection: sa.Connection, *_: Any) -> None:
        connection.execute(sa.text(f"do $$ begin raise exception using errcode = '{code}'; end $$"))

    with monkeypatch.context() as patched:
        patched.setattr(store_module, "_insert_copies", fail)
        with pytest.raises(TransientError):
            mailbox.sync()

    assert mailbox.letters.backlog(mailbox.account.id) == {}
    assert mailbox.campaigns.account_mark(mailbox.account.id).live_history_id is None
    assert mailbox.sync("later").inserted == 3


def test_a_history_id_of_absurd_size_moves_no_mark(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cheerful_pipelines.google.patience._wait", lambda _state: 0.0)
    call = type(mailbox.client)._call

    def absurd(client: Any, operation: Any, request: Any) -> Any:
        return {**call(client, operation, request), **({"historyId": "9" * 40} if operation == "getProfile" else {})}

    monkeypatch.setattr(type(mailbox.client), "_call", absurd)

    with pytest.raises(TransientError, match="history id"):
        mailbox.sync()

    assert mailbox.campaigns.account_mark(mailbox.account.id).live_history_id is None


def _history_holds(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], Any]) -> None:
    """What Gmail answers to history.list is changed before it is read."""
    call = type(mailbox.client)._call

    def changed(client: Any, operation: Any, request: Any) -> Any:
        answer = call(client, operation, request)
        return {**answer, "history": change(answer["history"])} if answer.get("history") else answer

    monkeypatch.setattr(type(mailbox.client), "_call", changed)


def _without_ids(records: list[Any]) -> list[Any]:
    for record in records:
        for name in ("messagesAdded", "labelsAdded", "messagesDeleted"):
            for item in record.get(name, ()):
                del item["message"]["id"]
    return records


@pytest.mark.parametrize(
    "change",
    [
        _without_ids, lambda records: [None, *records[:1]], lambda _records: "none",
        lambda records: [{**one, "id": "9" * 40, "messagesAdded": [7]} for one in records],
    ],
    ids=["no ids", "no record", "no list", "absurd"],
)  # fmt: skip
def test_malformed_history_is_compared_instead_and_the_mark_moves_on(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Any]], Any]
) -> None:
    starred, gone = mailbox.deliver(1), mailbox.deliver(2)
    mailbox.sync("first")
    before = mailbox.campaigns.account_mark(mailbox.account.id).live_history_id
    mailbox.deliver(3)
    mailbox.deliver(4)
    mailbox.google.modify_labels(ADDRESS, starred, add=("STARRED",))
    mailbox.google.delete(ADDRESS, gone)
    with monkeypatch.context() as patched:
        _history_holds(mailbox, patched, change)
        report = mailbox.sync("second")
        quiet = mailbox.sync("third")

    assert report.malformed > 0
    assert report.gap is not None
    assert f"has {report.malformed} records that cannot be read" in report.gap.statement
    assert mailbox.stored() == mailbox.on_server()
    assert int(mailbox.campaigns.account_mark(mailbox.account.id).live_history_id or 0) > int(before or 0)
    assert (quiet.malformed, quiet.gap) == (0, None)


def test_what_else_a_malformed_page_told_is_stored_at_once_and_its_mark_waits_for_the_comparison(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.sync("first")
    before = mailbox.campaigns.account_mark(mailbox.account.id).live_history_id
    mailbox.deliver(1)
    _history_holds(mailbox, monkeypatch, lambda records: [None, *records])
    with monkeypatch.context() as patched:
        patched.setattr(sync_module.MailboxSync, "_reconcile", _fails)
        with pytest.raises(TransientError):
            mailbox.sync("second")

    assert len(mailbox.stored()) == 1
    assert mailbox.campaigns.account_mark(mailbox.account.id).live_history_id == before
    assert mailbox.sync("third").gap is not None


def _fails(*_: Any, **__: Any) -> Any:
    raise TransientError("away")


def test_malformed_items_of_a_listing_cost_the_others_nothing(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(mailbox, 3)
    call = type(mailbox.client)._call

    def changed(client: Any, operation: Any, request: Any) -> Any:
        answer = call(client, operation, request)
        if operation == "messages.list" and "messages" in answer:
            return {**answer, "messages": [None, {"id": 7}, {"threadId": "t"}, *answer["messages"]]}
        return {**answer, "labels": [{}, *answer["labels"]]} if operation == "labels.list" else answer

    monkeypatch.setattr(type(mailbox.client), "_call", changed)

    assert mailbox.sync().inserted == 3
    mailbox.google.expire_history(ADDRESS)
    assert mailbox.sync("again").gap is not None


def test_suspects_of_one_death_come_in_halves(mailbox: Mailbox) -> None:
    fill(mailbox, STORE_PAGE)
    refs = [ref.gmail_message_id for page in mailbox.client.list_messages() for ref in page]
    mailbox.letters.enter_flight(mailbox.account.id, refs, run_id="killed")
    mailbox.client.profile()
    mailbox.google.reset_counters()

    report = mailbox.sync("next")

    assert report.inserted == STORE_PAGE
    batch = mailbox.settings.gmail_batch_size
    assert mailbox.google.counters()["requests"] < 2 * (STORE_PAGE // 2 // batch + 1) + 12
    assert mailbox.letters.suspects(mailbox.account.id) == {}


def test_a_gap_repair_lists_each_label_once_and_only_large_ones_in_each_slice(mailbox: Mailbox) -> None:
    mailbox.google.deliver_many(
        ADDRESS,
        (
            Delivery(a_message().message_id(f"<g{number}@creator.example>").bytes(),
                     internal_date=datetime.now(UTC) - timedelta(days=14 * number + 1))
            for number in range(20)
        ),
    )  # fmt: skip
    start = datetime.now(UTC) - timedelta(days=300)
    mark = mailbox.campaigns.account_mark
    mailbox.run("first").live(mark=mark(mailbox.account.id), first_needed=start, now=datetime.now(UTC))
    gone, starred = sorted(mailbox.stored())[:2]
    mailbox.google.delete(ADDRESS, gone)
    mailbox.google.modify_labels(ADDRESS, starred, add=("STARRED",))
    mailbox.google.expire_history(ADDRESS)
    labels = len(mailbox.client.label_ids())
    mailbox.google.reset_counters()

    report = mailbox.run("repair").live(mark=mark(mailbox.account.id), first_needed=start, now=datetime.now(UTC))

    assert report.gap is not None
    assert (report.gap.vanished, report.gap.relabelled) == (1, 1)
    assert mailbox.stored() == mailbox.on_server()
    slices = 12
    assert mailbox.google.counters()["calls"]["gmail.users.messages.list"] <= labels + 2 * slices + 5
