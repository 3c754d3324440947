"""A call ends at its limit, whatever it hangs in, and what was read until then is not lost."""

import threading
import time
from collections.abc import Callable

import pytest

from cheerful_pipelines.core.errors import SlowCallError, ThrottledError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google import deadlines
from cheerful_pipelines.google.deadlines import Limit, finish_within
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail import gmail_client as gmail_client_module
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox

SOON = 0.5
"""A limit for tests; what they inject lasts far longer, so that a busy machine changes no result."""


@pytest.fixture
def mailbox(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Mailbox:
    return Mailbox(google, google_settings, database, blobs)


def seconds_until_slow(call: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(SlowCallError):
        call()
    return time.monotonic() - started


def test_a_call_that_ends_in_time_gives_its_answer_or_its_own_error() -> None:
    assert finish_within(Limit(30), lambda: 7, name="test") == 7
    with pytest.raises(KeyError):
        finish_within(Limit(30), lambda: dict[str, int]()["x"], name="test")


def test_a_call_that_hangs_where_no_socket_is_yet_is_left_alone_at_its_limit() -> None:
    over = threading.Event()
    try:
        assert seconds_until_slow(lambda: finish_within(Limit(0.05), lambda: over.wait(60), name="test")) < 30
    finally:
        over.set()


def test_bytes_that_arrive_give_a_batch_more_time_and_a_drip_gives_next_to_none() -> None:
    limit = Limit(30, bytes_a_second=16_384, longest=180)

    assert limit.allowed(16_384 * 60) == 90
    assert limit.allowed(60) < 30.01
    assert limit.allowed(10**9) == 180
    assert limit.within(10).allowed(10**9) == 10


@pytest.mark.parametrize("path", ["/profile", "/token"])
@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_a_poll_ends_within_its_limit_whether_gmail_or_the_login_hangs_or_drips(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, path: str, kind: str
) -> None:
    monkeypatch.setattr(gmail_client_module, "POLL_SECONDS", SOON)
    mailbox.google.inject_fault(path_contains=path, kind=kind, lasting_seconds=300, byte_seconds=0.2)  # type: ignore[arg-type]
    polling = GmailClients(mailbox.settings, mailbox.database).polling_client(mailbox.account)

    assert seconds_until_slow(polling.profile) < 30

    mailbox.google.clear_faults()
    monkeypatch.undo()
    later = GmailClients(mailbox.settings, mailbox.database).polling_client(mailbox.account)
    assert later.profile().address == ADDRESS


def test_a_poll_does_not_wait_for_quota_beyond_its_limit(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gmail_client_module, "POLL_SECONDS", SOON)
    polling = GmailClients(mailbox.settings, mailbox.database).polling_client(mailbox.account)
    mailbox.google.inject_fault(path_contains="/profile", status=429, reason="rateLimitExceeded", retry_after="50")
    with pytest.raises(ThrottledError):
        polling.profile()
    started = time.monotonic()

    with pytest.raises(ThrottledError):
        polling.profile()

    assert time.monotonic() - started < 30


def test_a_client_that_was_cut_off_works_again_by_itself(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    polling = mailbox.clients.polling_client(mailbox.account)
    assert polling.profile().address == ADDRESS
    monkeypatch.setattr(polling, "_limit", Limit(SOON))
    mailbox.google.inject_fault(path_contains="/profile", kind="hang", lasting_seconds=300)
    seconds_until_slow(polling.profile)
    mailbox.google.clear_faults()
    monkeypatch.undo()

    assert polling.profile().address == ADDRESS


def test_the_thread_of_a_call_that_was_cut_off_ends_soon(mailbox: Mailbox) -> None:
    client = mailbox.client.ending_at(time.monotonic() + SOON)
    mailbox.google.inject_fault(path_contains="/profile", kind="drip", lasting_seconds=300)

    seconds_until_slow(client.profile)

    deadline = time.monotonic() + 30
    while any("call Gmail getProfile" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread is still reading the drip"
        time.sleep(0.02)


def test_a_mailbox_that_hangs_ends_with_its_time_and_keeps_what_was_stored(mailbox: Mailbox) -> None:
    one = mailbox.deliver(1)
    mailbox.sync()
    mailbox.deliver(2)
    mailbox.google.inject_fault(path_contains="/batch", kind="hang", lasting_seconds=300)

    assert seconds_until_slow(lambda: mailbox.sync("run 2", seconds=2)) < 40

    assert set(mailbox.stored()) == {one}
    mailbox.google.clear_faults()
    assert mailbox.sync("run 3").inserted == 1


def test_parts_of_a_batch_that_drips_are_kept_and_the_rest_is_asked_for_again(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cheerful_pipelines.google.patience._wait", lambda _state: 0.0)
    monkeypatch.setattr(gmail_client_module, "BATCH_LIMIT", Limit(5))
    ids = [mailbox.deliver(number) for number in range(5)]
    mailbox.client.profile()
    mailbox.google.reset_counters()
    mailbox.google.inject_fault(path_contains="/batch", kind="drip", byte_seconds=0.0015)

    fetched = list(mailbox.client.fetch_raw(ids))

    assert sorted(item.gmail_message_id for item in fetched) == sorted(ids)
    assert mailbox.gets() < 10, "what had come whole was not fetched again"


@pytest.mark.parametrize("kind", ["hang", "drip"])
def test_one_sheet_that_hangs_ends_at_the_limit(
    google: LocalGoogleAdmin, google_settings: Settings, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name in ("slow", "quick"):
        google.put_sheet(name, title=name, tabs={"T": [["a"]]})
    client = SheetsClient(google_settings, first_wait_seconds=0.0)
    client.drive_version("quick")
    monkeypatch.setattr("cheerful_pipelines.google.sheets.sheets_client.POLL_SECONDS", SOON)
    google.inject_fault(path_contains="slow", kind=kind, lasting_seconds=300, byte_seconds=0.5)  # type: ignore[arg-type]

    assert seconds_until_slow(lambda: client.drive_version("slow", tries=1)) < 30
    assert client.drive_version("quick", tries=1)
    assert deadlines.current_watch() is None
