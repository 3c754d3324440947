"""The sync against the real local server: afterwards the database says what the mailbox says, whatever happened."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import AuthError, PermanentError, ThrottledError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.parse_message import PARSER_VERSION
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_message, an_account
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox


@pytest.fixture
def mailbox(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Mailbox:
    return Mailbox(google, google_settings, database, blobs)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backoff is real in production and only costs time here."""
    monkeypatch.setattr("cheerful_pipelines.google.patience._wait", lambda _state: 0.0)
    monkeypatch.setattr("cheerful_pipelines.google.quota.allowance.BURST_PAUSE_SECONDS", 0.0)


def test_the_first_sync_lists_and_the_next_follow_history(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    first = mailbox.sync()
    mailbox.deliver(2)
    second = mailbox.sync()
    third = mailbox.sync()

    assert (first.inserted, second.inserted, third.inserted) == (1, 1, 0)
    assert first.mark_before is None
    assert second.mark_before == first.mark_after
    assert third.units_spent == 2  # one history.list
    assert mailbox.stored() == mailbox.on_server()


def _robot(mailbox: Mailbox) -> str:
    """Credentials of a service account with domain-wide delegation."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    robot = {
        "type": "service_account",
        "client_email": "robot@project.example",
        "private_key_id": "1",
        "private_key": pem,
        "token_uri": f"{mailbox.google.url}/token",
    }
    return json.dumps(robot)


def test_a_clock_of_ours_that_is_wrong_is_not_the_accounts_fault(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = mailbox.clients.client_for(_robot(mailbox), address="mia@brand.example")
    an_hour_ahead = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)
    monkeypatch.setattr("google.auth._helpers.utcnow", lambda: an_hour_ahead)

    with pytest.raises(TransientError, match="clock of this machine"):
        client.profile()


def test_a_call_inside_a_transaction_is_a_mistake_of_ours(mailbox: Mailbox) -> None:
    """Also where Python runs with -O, which takes assertions away."""
    client = mailbox.client

    with mailbox.database.transaction(), pytest.raises(RuntimeError, match="transaction is open"):
        client.profile()


def test_a_service_account_opens_a_mailbox_by_delegation_and_no_other(mailbox: Mailbox) -> None:
    robot = _robot(mailbox)
    mailbox.deliver(1)
    mailbox.account = an_account(mailbox.database, credentials_json=robot)

    report = mailbox.sync()

    assert report.inserted == 1
    stranger = mailbox.clients.client_for(robot, address="nobody@brand.example")
    with pytest.raises(AuthError, match="invalid_grant"):
        stranger.profile()


def test_raw_bytes_come_back_byte_for_byte(mailbox: Mailbox) -> None:
    raw = a_message().bytes() + b"8-bit \xff\xfe and a bare \n line"
    mailbox.google.deliver(ADDRESS, raw, internal_date=START)

    mailbox.sync()

    with mailbox.database.transaction() as connection:
        key = connection.execute(sa.text("select raw_sha256 from gmail_message")).scalar_one()
    assert mailbox.blobs.get(key) == raw


def test_what_an_older_parser_read_is_read_again_without_gmail(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    mailbox.deliver(2)
    mailbox.sync()
    with mailbox.database.transaction() as connection:
        connection.execute(sa.text("update gmail_message set parser_version = '0', subject = '', parse_error = 'odd'"))
    events = mailbox.count("gmail_message_event")
    mailbox.google.reset_counters()

    counts = [mailbox.store.reparse(mailbox.account, run_id="again", most=1) for _ in range(3)]

    with mailbox.database.transaction() as connection:
        rows = connection.execute(sa.text("select subject, parse_error, parser_version from gmail_message")).all()
    assert counts == [1, 1, 0]
    assert {tuple(row) for row in rows} == {("Hello", None, PARSER_VERSION)}
    assert mailbox.count("gmail_message_event") == events + 2, "their threads are looked at again"
    assert mailbox.google.counters()["requests"] == 0


def test_labels_trash_and_deletion_follow(mailbox: Mailbox) -> None:
    one, two, three = (mailbox.deliver(number) for number in (1, 2, 3))
    mailbox.sync()
    mailbox.google.modify_labels(ADDRESS, one, add=("STARRED",), remove=("UNREAD",))
    mailbox.google.trash(ADDRESS, two)
    mailbox.google.delete(ADDRESS, three)

    report = mailbox.sync()

    assert (report.relabelled, report.deleted, report.inserted) == (2, 1, 0)
    assert mailbox.stored() == mailbox.on_server()
    assert "STARRED" in mailbox.stored()[one]
    assert mailbox.count("gmail_message") == 3  # the deleted one stays as a tombstone


def test_an_expired_history_is_read_again_and_says_what_was_late(mailbox: Mailbox) -> None:
    gone = mailbox.deliver(1)
    mailbox.sync()
    moment = datetime.now(UTC)
    late = a_message().message_id("<late@creator.example>").at(moment).bytes()
    mailbox.google.deliver(ADDRESS, late, internal_date=moment)
    mailbox.google.expire_history(ADDRESS)

    report = mailbox.sync()

    assert report.gap is not None
    assert (report.gap.found_late, report.gap.vanished) == (1, 0)
    assert "The window is complete" in report.gap.statement
    assert set(mailbox.stored()) >= {gone}
    assert mailbox.stored() == mailbox.on_server()


def test_a_draft_is_never_stored_and_its_sent_form_is(mailbox: Mailbox) -> None:
    mailbox.deliver(1, labels=("DRAFT",))
    assert mailbox.sync().inserted == 0

    sent = mailbox.deliver(2, labels=("SENT",))
    mailbox.sync()

    assert set(mailbox.stored()) == {sent}


def test_the_live_mark_never_moves_back(mailbox: Mailbox) -> None:
    mailbox.store.advance_live_mark(mailbox.account.id, 9_000_000_000_000_000_000)
    mailbox.store.advance_live_mark(mailbox.account.id, 5)

    assert mailbox.campaigns.account_mark(mailbox.account.id).live_history_id == 9_000_000_000_000_000_000


def test_a_revoked_token_is_an_auth_error_and_a_foreign_mailbox_is_refused(mailbox: Mailbox) -> None:
    mailbox.google.revoke_token(ADDRESS)
    with pytest.raises(AuthError, match="invalid_grant"):
        mailbox.sync()

    mailbox.google.add_mailbox("other@brand.example")
    mailbox.account = an_account(
        mailbox.database, credentials_json=mailbox.google.credentials_json("other@brand.example")
    )
    with pytest.raises(PermanentError, match="another mailbox"):
        mailbox.sync()


def test_passing_faults_cost_a_retry_and_nothing_else(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    mailbox.google.inject_fault(path_contains="/profile", status=500)
    mailbox.google.inject_fault(path_contains="/messages?", status=502, kind="html")
    mailbox.google.inject_fault(path_contains="/batch", status=429, reason="rateLimitExceeded", retry_after="1")

    assert mailbox.sync().inserted == 1


def test_a_fault_that_stays_is_raised_after_bounded_tries(mailbox: Mailbox) -> None:
    mailbox.google.reset_counters()
    mailbox.google.inject_fault(path_contains="/profile", status=403, reason="userRateLimitExceeded", times=99)

    with pytest.raises(ThrottledError):
        mailbox.sync()

    mailbox.google.clear_faults()


def test_a_month_is_completed_exactly_and_again_for_free(mailbox: Mailbox) -> None:
    kept, vanishing = mailbox.deliver(1), mailbox.deliver(2)
    mailbox.sync()
    mailbox.google.delete(ADDRESS, vanishing)
    late = mailbox.deliver(3)
    month = date(START.year, START.month, 1)

    def archive() -> tuple[int, int, int]:
        report = mailbox.run().month(month)
        return report.listed, report.inserted, report.vanished

    assert archive() == (2, 1, 1)
    assert archive() == (2, 0, 0)
    assert set(mailbox.stored()) == {kept, late}
    assert mailbox.campaigns.account_mark(mailbox.account.id).archive_complete_from == month


def test_a_message_that_does_not_come_is_a_dead_letter_until_it_comes(mailbox: Mailbox) -> None:
    poison, healthy = mailbox.deliver(1), mailbox.deliver(2)
    for _ in range(2):
        mailbox.letters.bury(mailbox.account, poison, stage="fetch", reason_code="transient", run_id="run")
    due = mailbox.letters.due(now=datetime.now(UTC) + timedelta(days=2))
    assert [(letter.gmail_message_id, letter.attempts) for letter in due] == [(poison, 2)]

    mailbox.run().dead_letters(due)

    assert mailbox.letters.backlog(mailbox.account.id) == {}
    assert set(mailbox.stored()) == {poison}
    mailbox.sync()
    assert set(mailbox.stored()) == {poison, healthy}


def test_one_mail_in_two_accounts_is_one_canonical_message_and_two_copies(mailbox: Mailbox) -> None:
    mailbox.deliver(1)
    mailbox.sync()
    mailbox.google.add_mailbox("max@brand.example")
    other = an_account(
        mailbox.database, alias="max", address="max@brand.example",
        credentials_json=mailbox.google.credentials_json("max@brand.example"),
    )  # fmt: skip
    raw = a_message().message_id("<m1@creator.example>").at(START + timedelta(hours=1)).text("words 1").bytes()
    mailbox.google.deliver("max@brand.example", raw, internal_date=START)
    MailboxSync(other, mailbox.clients.client(other), mailbox.store, run_id="run").live(
        mark=mailbox.campaigns.account_mark(other.id), first_needed=START, now=datetime.now(UTC)
    )

    assert (mailbox.count("message"), mailbox.count("gmail_message")) == (1, 2)


STEPS = st.lists(
    st.tuples(st.sampled_from(["deliver", "star", "trash", "delete", "sync", "expire"]), st.integers(0, 5)), max_size=14
)


@given(STEPS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_between_syncs_the_stored_copy_equals_the_mailbox(
    mailbox: Mailbox, steps: list[tuple[str, int]]
) -> None:
    """Deliveries, labels, bins, deletions and expired histories in any order; then one sync, and one for free."""
    alive = list(mailbox.on_server())
    for step, number in steps:
        if step == "deliver":
            moment = datetime.now(UTC)
            raw = a_message().message_id(f"<{moment.timestamp()}@creator.example>").at(moment).bytes()
            alive.append(mailbox.google.deliver(ADDRESS, raw, internal_date=moment)["id"])
        elif step == "sync":
            mailbox.sync()
        elif step == "expire":
            mailbox.google.expire_history(ADDRESS)
        elif alive:
            one = alive[number % len(alive)]
            if step == "star":
                mailbox.google.modify_labels(ADDRESS, one, add=("STARRED",))
            elif step == "trash":
                mailbox.google.trash(ADDRESS, one)
            else:
                mailbox.google.delete(ADDRESS, one)
                alive.remove(one)
    mailbox.sync()

    assert mailbox.stored() == mailbox.on_server()
    again = mailbox.sync()
    assert (again.inserted, again.relabelled, again.deleted) == (0, 0, 0)


@pytest.mark.real_mail
def test_all_real_lists_are_stored_whole_and_a_second_run_inserts_nothing(mailbox: Mailbox, shared_data: Path) -> None:
    """13 sets in one mailbox: repeated Message-IDs, broken headers, two routes of one month."""
    delivered = 0
    for expected in sorted((shared_data / "threads").glob("*.expected.json")):
        name = expected.name.removesuffix(".expected.json")
        mbox = shared_data / "threads" / f"{name}.mbox"
        delivered += mailbox.google.load_mbox(ADDRESS, mbox if mbox.exists() else shared_data / "threads" / name)
    started = START.replace(year=1990)
    for turn in (1, 2):
        report = mailbox.run(f"run {turn}").live(
            mark=mailbox.campaigns.account_mark(mailbox.account.id), first_needed=started, now=datetime.now(UTC)
        )

    assert delivered == 1378
    assert mailbox.count("gmail_message") == delivered
    assert mailbox.count("dead_letter") == 0
    assert report.inserted == 0
