"""Whatever Gmail, the network or the machine does: afterwards the copy equals the mailbox."""

import random
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.errors import CheerfulError, ThrottledError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.mail.gmail import gmail_client as gmail_client_module
from cheerful_pipelines.mail.gmail import listing as listing_module
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import DEATHS_UNTIL_SET_ASIDE
from cheerful_pipelines.mail.models import LabelChange
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import CREDENTIALS_KEY, START, a_message
from cheerful_pipelines_tests.killable import started
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox
from cheerful_pipelines_tests.mail.gmail.worker_to_kill import sync_three_times


@pytest.fixture
def mailbox(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore
) -> Iterator[Mailbox]:
    yield Mailbox(google, google_settings, database, blobs)
    google.clear_faults()


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff is real in production and only costs time here."""
    monkeypatch.setattr("cheerful_pipelines.google.patience._wait", lambda _state: 0.0)
    monkeypatch.setattr("cheerful_pipelines.google.quota.allowance.BURST_PAUSE_SECONDS", 0.0)


def _fill(mailbox: Mailbox, count: int, *, first: int = 0) -> None:
    mails = (
        Delivery(
            a_message().message_id(f"<m{number}@creator.example>").text(f"words {number}").bytes(),
            internal_date=START + timedelta(minutes=number),
        )
        for number in range(first, first + count)
    )
    mailbox.google.deliver_many(ADDRESS, mails)


def _sync_until_done(mailbox: Mailbox, *, tries: int = 40) -> None:
    """As sensors and retries would: again and again, whatever came in between."""
    for number in range(tries):
        try:
            if not mailbox.sync(f"run {number}").is_partial:
                return
        except CheerfulError:
            continue
    raise AssertionError("the sync never came through")


MIX = [
    {"rate": 0.03, "status": 429, "reason": "rateLimitExceeded", "retry_after": "0"},
    {"rate": 0.02, "status": 429, "reason": "rateLimitExceeded", "retry_after": "Mon, 01 Jan 2024 00:00:00 GMT"},
    {"rate": 0.05, "status": 403, "reason": "userRateLimitExceeded"},
    {"rate": 0.025, "status": 503, "reason": "backendError"},
    {"rate": 0.025, "status": 502, "kind": "html"},
    {"rate": 0.02, "kind": "reset"},
    {"rate": 0.01, "kind": "cut"},
]


def test_a_mix_of_every_fault_loses_nothing_and_fetches_hardly_anything_twice(
    mailbox: Mailbox, no_waiting: None
) -> None:
    """5,000 messages, tokens that die, changes that arrive meanwhile, history that expires once on its second page."""
    _fill(mailbox, 5_000)
    mailbox.google.reset_counters()
    mailbox.google.set_fault_mix(MIX, seed=7)
    stop = threading.Event()

    def disturb() -> None:
        chance, number = random.Random(3), 10_000
        while not stop.wait(0.3):
            mailbox.google.expire_access_token(ADDRESS)
            _fill(mailbox, 5, first=number)
            number += 5
            ids = sorted(mailbox.stored())
            if len(ids) > 20:
                mailbox.google.modify_labels(ADDRESS, chance.choice(ids), add=("STARRED",))
                mailbox.google.trash(ADDRESS, chance.choice(ids))
            if number == 10_010:
                mailbox.google.inject_fault(path_contains="/history?", status=404, reason="notFound")

    disturber = threading.Thread(target=disturb)
    disturber.start()
    try:
        _sync_until_done(mailbox)
        _sync_until_done(mailbox)
    finally:
        stop.set()
        disturber.join()
    _sync_until_done(mailbox)
    counters = mailbox.google.counters()
    mailbox.google.clear_faults()
    _drain(mailbox)

    assert mailbox.stored() == mailbox.on_server()
    assert mailbox.letters.backlog(mailbox.account.id) == {}
    assert mailbox.count("gmail_message") >= 5_000
    assert counters["messages_got_again"] <= 0.01 * counters["messages_got"]
    assert {"429", "403", "503"} <= counters["statuses"].keys()


def _drain(mailbox: Mailbox) -> None:
    due = mailbox.letters.due(now=datetime.now(UTC) + timedelta(days=9), each=10_000)
    if due:
        mailbox.run("drain").dead_letters(due)


def test_history_that_expires_on_its_second_page_keeps_what_the_first_brought(
    mailbox: Mailbox, no_waiting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailbox.deliver(1)
    mailbox.sync()
    before = mailbox.campaigns.account_mark(mailbox.account.id).live_history_id
    _fill(mailbox, 30, first=10)
    monkeypatch.setattr(gmail_client_module, "PAGE_SIZE", 10)
    mailbox.google.inject_fault(path_contains="pageToken=", status=404, reason="notFound")
    mailbox.google.reset_counters()

    report = mailbox.sync()

    assert report.gap is not None
    assert report.gap.history_id_lost == before
    assert mailbox.stored() == mailbox.on_server()
    assert mailbox.google.counters()["messages_got_again"] <= 31, "only this test's own look asked again"


def test_a_gap_is_certified_with_what_was_late_what_had_gone_and_what_had_other_labels(mailbox: Mailbox) -> None:
    kept, gone, starred = (mailbox.deliver(number) for number in (1, 2, 3))
    mailbox.sync()
    late = mailbox.deliver(4)
    mailbox.google.delete(ADDRESS, gone)
    mailbox.google.modify_labels(ADDRESS, starred, add=("STARRED",))
    mailbox.google.expire_history(ADDRESS)
    mailbox.google.reset_counters()

    report = mailbox.sync()

    assert report.gap is not None
    assert (report.gap.listed, report.gap.found_late, report.gap.vanished, report.gap.relabelled) == (3, 1, 1, 1)
    assert "1 were missing and are stored, 1 had gone" in report.gap.statement
    assert mailbox.gets() == 1, "labels are read by listing, not by fetching again"
    assert set(mailbox.stored()) == {kept, starred, late}
    assert "STARRED" in mailbox.stored()[starred]
    assert mailbox.sync().gap is None


def test_a_mailbox_that_changes_while_it_is_listed_loses_no_message_and_no_label(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is binned moves the rest up by one, and the first message of the next page slips through."""
    _fill(mailbox, 30)
    mailbox.sync()
    monkeypatch.setattr(gmail_client_module, "PAGE_SIZE", 10)
    mailbox.google.expire_history(ADDRESS)
    original, seen = mailbox.client.list_messages, list[str]()

    def list_and_change(**options: Any) -> Iterator[list[Any]]:
        for number, page in enumerate(original(**options)):
            yield page
            if number == 0 and page and len(seen) < 2 and options.get("label_id") in (None, "INBOX"):
                seen.append(page[0].gmail_message_id)
                if options.get("label_id"):
                    mailbox.google.trash(ADDRESS, page[0].gmail_message_id)
                else:
                    mailbox.google.delete(ADDRESS, page[0].gmail_message_id)

    monkeypatch.setattr(mailbox.client, "list_messages", list_and_change)

    first, second = mailbox.sync(), mailbox.sync()
    monkeypatch.undo()

    assert len(seen) == 2
    assert first.gap is not None
    assert first.gap.vanished == 0, "what went during the listing is history's to tell"
    assert first.gap.relabelled <= 2, "at most the one that was binned and the one that went"
    assert second.deleted == 1
    assert mailbox.stored() == mailbox.on_server()


def test_a_label_that_history_brought_meanwhile_outranks_a_listing(mailbox: Mailbox) -> None:
    one = mailbox.deliver(1)
    mailbox.sync()
    before = mailbox.store.labels_between(mailbox.account.id, START - timedelta(days=1), START + timedelta(days=1))
    mailbox.google.modify_labels(ADDRESS, one, add=("STARRED",))
    mailbox.sync()

    stale = LabelChange(gmail_message_id=one, label_ids=("INBOX",), if_seq=before[one].ingest_seq)
    changed = mailbox.store.apply_label_changes(mailbox.account, [stale], run_id="slow archive")

    assert changed == 0
    assert mailbox.stored() == mailbox.on_server()


def test_a_history_id_millions_behind_drops_nothing(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    mailbox.sync()
    with mailbox.database.transaction() as connection:
        connection.execute(sa.text("update account_mark set live_history_id = 1"))
    _fill(mailbox, 3, first=10)

    mailbox.sync()

    assert mailbox.stored() == mailbox.on_server()


def test_an_empty_history_page_with_a_next_token_moves_no_mark_and_loses_nothing(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    mailbox.sync()
    mailbox.deliver(2)
    mailbox.google.inject_fault(path_contains="/history?", kind="empty")

    mailbox.sync()

    assert mailbox.stored() == mailbox.on_server()


def test_a_first_sync_that_runs_out_of_time_goes_on_where_it_was_and_fetches_nothing_twice(mailbox: Mailbox) -> None:
    _fill(mailbox, 350)
    ticks = iter(range(1000))
    mailbox.google.reset_counters()

    first = mailbox.sync("run 1", seconds=350, clock=lambda: 100.0 * next(ticks))
    mark = mailbox.campaigns.account_mark(mailbox.account.id)
    mailbox.google.modify_labels(ADDRESS, next(iter(mailbox.stored())), add=("STARRED",))
    second, third = mailbox.sync("run 2"), mailbox.sync("run 3")
    counters = mailbox.google.counters()

    assert first.is_partial
    assert 0 < first.inserted < 350
    assert (mark.live_history_id, mark.listing_history_id is None) == (None, False)
    assert mailbox.store.sync_targets()[0].progress == 1
    assert (first.inserted + second.inserted, second.is_partial) == (350, False)
    assert third.relabelled == 1, "what changed during the listing is told by history"
    assert counters["messages_got_again"] == 0
    assert counters["calls"]["oauth2.token"] <= 1 + mailbox.settings.gmail_requests_at_once, "one login a connection"
    assert mailbox.stored() == mailbox.on_server()


def test_a_first_listing_goes_on_below_what_is_done_and_ends_with_a_look_at_all_of_it(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the hundredth run of a large mailbox does not list it from the top once more."""
    _fill(mailbox, 60)
    monkeypatch.setattr(listing_module, "IDS_AT_ONCE", 10)
    monkeypatch.setattr(gmail_client_module, "PAGE_SIZE", 10)
    ticks = iter(range(1000))

    first = mailbox.sync("run 1", seconds=350, clock=lambda: 100.0 * next(ticks))
    mark = mailbox.campaigns.account_mark(mailbox.account.id)
    late = mailbox.deliver(400)
    asked: list[datetime | None] = []
    original = mailbox.client.list_messages

    def note(**options: Any) -> Iterator[list[Any]]:
        if not options.get("label_id"):
            asked.append(options.get("before"))
        return original(**options)

    monkeypatch.setattr(mailbox.client, "list_messages", note)
    second = mailbox.sync("run 2")

    assert first.is_partial
    assert 0 < first.inserted < 60
    assert mark.listing_before == START + timedelta(minutes=60 - first.inserted, seconds=1)
    assert asked[:2] == [mark.listing_before, None]
    assert not second.is_partial
    assert late in mailbox.stored()
    assert mailbox.stored() == mailbox.on_server()
    assert mailbox.campaigns.account_mark(mailbox.account.id).listing_before is None


def test_a_first_listing_in_parts_overlooks_nothing_that_slips_through_between_two_pages(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(mailbox, 40)
    monkeypatch.setattr(listing_module, "IDS_AT_ONCE", 10)
    monkeypatch.setattr(gmail_client_module, "PAGE_SIZE", 10)
    original, gone = mailbox.client.list_messages, list[str]()

    def list_and_delete(**options: Any) -> Iterator[list[Any]]:
        for page in original(**options):
            yield page
            if page and not gone:
                gone.append(page[0].gmail_message_id)
                mailbox.google.delete(ADDRESS, gone[0])

    monkeypatch.setattr(mailbox.client, "list_messages", list_and_delete)

    mailbox.sync()

    assert len(mailbox.stored().keys() - set(gone)) == 39
    mailbox.sync()
    assert mailbox.stored() == mailbox.on_server()


def test_a_repair_over_several_runs_certifies_all_that_was_found(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(mailbox, 5)
    mailbox.sync()
    gone = next(iter(mailbox.stored()))
    mailbox.google.delete(ADDRESS, gone)
    _fill(mailbox, 250, first=10_000)
    mailbox.google.expire_history(ADDRESS)
    ticks = iter(range(1000))

    first = mailbox.sync("run 1", seconds=150, clock=lambda: 100.0 * next(ticks))
    second = mailbox.sync("run 2")

    assert (first.is_partial, first.gap) == (True, None)
    assert 0 < first.inserted < 250
    assert second.gap is not None
    assert (second.gap.found_late, second.gap.vanished, second.gap.relabelled) == (250, 1, 0)
    assert mailbox.stored() == mailbox.on_server()


def test_what_came_before_the_trouble_is_stored_and_not_asked_for_again(mailbox: Mailbox, no_waiting: None) -> None:
    _fill(mailbox, 100)
    mailbox.google.reset_counters()
    mailbox.google.inject_fault(path_contains="/messages/", status=429, reason="rateLimitExceeded", retry_after="900")

    with pytest.raises(ThrottledError) as caught:
        mailbox.sync()
    stored = len(mailbox.stored())
    mailbox.google.clear_faults()
    with pytest.raises(ThrottledError):
        mailbox.sync()  # the same process keeps away
    mailbox.clients = GmailClients(mailbox.settings, mailbox.database)  # as if the wait were over
    mailbox.sync()

    assert caught.value.retry_after_seconds == 900
    assert stored >= 19
    assert mailbox.google.counters()["messages_got_again"] == 0
    assert mailbox.stored() == mailbox.on_server()


def test_a_part_that_stays_broken_is_a_dead_letter_and_the_others_go_on(mailbox: Mailbox, no_waiting: None) -> None:
    poison, healthy = mailbox.deliver(1), mailbox.deliver(2)
    mailbox.google.inject_fault(path_contains=f"/messages/{poison}", status=500, times=99)

    report = mailbox.sync()

    assert (report.inserted, report.dead) == (1, 1)
    assert set(mailbox.stored()) == {healthy}
    assert mailbox.letters.backlog(mailbox.account.id) == {"transient": 1}


def test_a_message_gone_between_listing_and_fetching_is_counted_and_no_error(mailbox: Mailbox) -> None:
    gone = mailbox.deliver(1)
    mailbox.google.inject_fault(path_contains=f"/messages/{gone}", status=404, reason="notFound")

    report = mailbox.sync()

    assert (report.gone, report.dead) == (1, 0)


def test_a_token_that_dies_within_a_batch_is_renewed(mailbox: Mailbox, no_waiting: None) -> None:
    mailbox.deliver(1)
    mailbox.deliver(2)
    mailbox.google.inject_fault(path_contains="/messages/19", status=401, reason="authError", times=1)

    assert mailbox.sync().inserted == 2


def test_trouble_that_stays_is_raised_in_the_end(mailbox: Mailbox, no_waiting: None) -> None:
    mailbox.deliver(1)
    mailbox.google.inject_fault(path_contains="/batch", kind="reset", times=99)

    with pytest.raises(TransientError):
        mailbox.sync()


# --- workers that die ---


def test_killed_at_fifty_moments_and_run_again_nothing_is_lost_or_doubled(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, database_url: str
) -> None:
    """kill -9 while it lists, fetches, parses and stores, with mail arriving and changing in between."""
    folder = (google_settings.home / "blobs").as_uri()
    mailbox = Mailbox(google, google_settings, database, BlobStore.from_url(folder))
    _fill(mailbox, 1_500)
    chance = random.Random(11)
    google.reset_counters()
    for number in range(50):
        worker = started(sync_three_times, database_url, google.url, folder, CREDENTIALS_KEY, f"worker {number}")
        time.sleep(chance.uniform(0.0, 0.25))
        worker.kill()
        worker.join()
        _fill(mailbox, 2, first=5_000 + 2 * number)
        ids = sorted(mailbox.stored())
        if ids:
            google.modify_labels(ADDRESS, chance.choice(ids), add=("STARRED",))
    _sync_until_done(mailbox)  # the first listing
    _sync_until_done(mailbox)  # what changed while it went on
    _drain(mailbox)

    assert mailbox.stored() == mailbox.on_server()
    assert len(mailbox.stored()) == 1_600
    assert mailbox.count("gmail_message") == 1_600
    assert mailbox.count("message") == 1_600


def test_a_message_that_kills_its_worker_three_times_is_set_aside_by_name(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fill(mailbox, 5)
    killer = mailbox.deliver(9_000, raw=b"Subject: killer\r\n\r\nboom")

    class Killed(BaseException):
        """What kill -9 looks like from inside: nothing is tidied up."""

    def die(raw: bytes) -> object:
        if b"boom" in raw:
            raise Killed
        return parse(raw)

    import cheerful_pipelines.mail.gmail.sync as sync_module

    parse = sync_module.parse_message
    monkeypatch.setattr(sync_module, "parse_message", die)
    for number in range(DEATHS_UNTIL_SET_ASIDE):
        with pytest.raises(Killed):
            mailbox.sync(f"run {number}")

    report = mailbox.sync("run at last")

    assert report.inserted + len(mailbox.stored()) > 0
    assert len(mailbox.stored()) == 5
    assert killer not in mailbox.stored()
    assert mailbox.letters.backlog(mailbox.account.id) == {"kills_worker": 1}


def test_trouble_that_is_raised_is_no_death_however_often_it_comes(mailbox: Mailbox, no_waiting: None) -> None:
    one = mailbox.deliver(1)
    mailbox.google.inject_fault(path_contains="/batch", kind="reset", times=999)
    for _ in range(DEATHS_UNTIL_SET_ASIDE + 1):
        with pytest.raises(TransientError):
            mailbox.sync("the same run")
    mailbox.google.clear_faults()

    mailbox.sync("the same run")

    assert set(mailbox.stored()) == {one}
    assert mailbox.letters.suspects(mailbox.account.id) == {}
    assert mailbox.count("fetch_in_flight") == 0


def test_a_run_that_still_goes_on_is_not_taken_for_a_dead_one(mailbox: Mailbox) -> None:
    one = mailbox.deliver(1)
    mailbox.letters.enter_flight(mailbox.account.id, [one], run_id="the other run")

    mailbox.sync("this run", is_over=lambda _run_id: False)

    assert mailbox.letters.suspects(mailbox.account.id) == {}
    assert set(mailbox.stored()) == {one}
