"""Least data: a sender's private mail is known by its id and by nothing else, until a recipient makes it ours."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_campaign
from cheerful_pipelines_tests.mail.gmail.mailbox import ADDRESS, Mailbox

REPORT = (
    b"From: Mail Delivery Subsystem <mailer-daemon@mail.example>\r\nTo: mia@brand.example\r\n"
    b"Subject: Delivery Status Notification (Failure)\r\nMessage-ID: <dsn@mail.example>\r\n"
    b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nNot delivered.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n"
    b"Reporting-MTA: dns; mail.example\r\n\r\nFinal-Recipient: rfc822; %s\r\nAction: failed\r\n"
    b"Status: 5.1.1\r\n--b--\r\n"
)


@pytest.fixture
def mailbox(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Mailbox:
    return Mailbox(google, google_settings, database, blobs, scope="campaign")


@pytest.fixture
def campaign(mailbox: Mailbox, database: Database) -> Campaign:
    return a_campaign(database)


def _listed(mailbox: Mailbox, campaign: Campaign, *addresses: str) -> None:
    with mailbox.database.transaction() as connection:
        for address in addresses:
            connection.execute(
                sa.text(
                    "insert into campaign_recipient (campaign_id, email_key, email, content_hash, sheet_row) "
                    "values (:id, :key, :key, 'x', 2) on conflict do nothing"
                ),
                {"id": campaign.id, "key": address},
            )


def _private(mailbox: Mailbox, *numbers: int) -> set[str]:
    return {mailbox.deliver(number, sender=f"friend{number}@home.example") for number in numbers}


def test_mail_with_recipients_is_stored_whole_and_the_rest_is_not_even_fetched(
    mailbox: Mailbox, campaign: Campaign
) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    private = _private(mailbox, *range(10, 40))
    ours = mailbox.deliver(1, sender=ADDRESS, to="ana@creator.example", labels=("SENT",))
    theirs = mailbox.deliver(2, answers="<m1@creator.example>", thread=ours)
    manager = mailbox.deliver(3, sender="manager@agency.example", answers="<m2@creator.example>", thread=ours)
    mailbox.google.reset_counters()

    report = mailbox.sync()

    assert set(mailbox.stored()) == {ours, theirs, manager}
    assert mailbox.passed_over() == private
    assert (report.inserted, report.passed_over) == (3, 30)
    assert mailbox.gets() == 3


def test_a_recipient_whose_domain_has_an_umlaut_is_found_as_mail_spells_it(
    mailbox: Mailbox, campaign: Campaign, database: Database
) -> None:
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "insert into campaign_recipient (campaign_id, email_key, email, content_hash, sheet_row) "
                "values (:id, 'ana@xn--bcher-kva.example', 'ana@bücher.example', 'x', 2)"
            ),
            {"id": campaign.id},
        )
    _private(mailbox, *range(10, 30))
    ours = mailbox.deliver(1, sender=ADDRESS, to="ana@xn--bcher-kva.example", labels=("SENT",))

    mailbox.sync()

    assert set(mailbox.stored()) == {ours}


def test_nothing_of_private_mail_is_kept(mailbox: Mailbox, campaign: Campaign, blobs: BlobStore) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    _private(mailbox, 1, 2)
    mailbox.sync()

    with mailbox.database.transaction() as connection:
        columns = connection.execute(
            sa.text("select column_name from information_schema.columns where table_name = 'passed_over_message'")
        ).scalars()
        assert set(columns) == {"gmail_account_id", "gmail_message_id", "gmail_thread_id"}
    assert mailbox.count("passed_over_message") == 2
    for table in ("gmail_message", "message", "gmail_message_event", "message_reading"):
        assert mailbox.count(table) == 0


def test_new_mail_is_looked_at_once_and_told_apart(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    private = _private(mailbox, 11)
    ours = mailbox.deliver(1)
    mailbox.sync()
    (known,) = private
    mailbox.google.modify_labels(ADDRESS, known, add=("STARRED",))
    mailbox.google.reset_counters()
    again = mailbox.sync()

    assert set(mailbox.stored()) == {ours}
    assert mailbox.passed_over() == private
    assert (mailbox.gets(), again.relabelled) == (0, 0), "a label on private mail is nobody's business"


def test_a_recipient_added_later_pulls_in_what_was_passed_over(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "zoe@creator.example")
    first = mailbox.deliver(1, sender="friend@home.example", to=f"{ADDRESS}, ana@creator.example")
    reply = mailbox.deliver(2, sender="other@home.example", thread=first, answers="<m1@creator.example>")
    private = _private(mailbox, 11, 12)
    mailbox.sync()
    before = (set(mailbox.stored()), mailbox.passed_over())
    target = mailbox.store.sync_targets()[0]
    _listed(mailbox, campaign, "ana@creator.example")
    waiting = mailbox.store.sync_targets()[0]

    report = mailbox.sync()
    mailbox.google.reset_counters()
    again = mailbox.sync()

    assert before == (set(), {first, reply} | private)
    assert (target.has_new_recipients, waiting.has_new_recipients) == (False, True)
    assert set(mailbox.stored()) == {first, reply}
    assert mailbox.passed_over() == private
    assert report.pulled_in == 2
    assert (again.units_spent, mailbox.gets()) == (2, 0)


def test_a_recipient_added_later_pulls_in_what_the_archive_passed_over_before_the_live_window(
    mailbox: Mailbox, campaign: Campaign
) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    old = mailbox.deliver(-24 * 20, sender="bo@creator.example")
    _private(mailbox, *range(-24 * 20 + 1, -24 * 20 + 9))
    mailbox.sync()
    month = (START - timedelta(days=20)).date().replace(day=1)
    mailbox.run("archive").month(month)
    assert old in mailbox.passed_over()

    _listed(mailbox, campaign, "bo@creator.example")
    report = mailbox.sync()

    assert report.pulled_in == 1
    assert set(mailbox.stored()) == {old}


def test_a_thread_that_comes_into_scope_brings_its_earlier_mail(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    first = mailbox.deliver(1, sender="agency@home.example")
    mailbox.sync()
    assert mailbox.passed_over() == {first}

    second = mailbox.deliver(2, thread=first, answers="<m1@creator.example>")
    report = mailbox.sync()

    assert set(mailbox.stored()) == {first, second}
    assert report.pulled_in == 1


@pytest.mark.parametrize(("failed", "is_ours"), [(b"ana@creator.example", True), (b"friend@home.example", False)])
def test_a_delivery_report_is_ours_if_it_is_about_a_recipient(
    mailbox: Mailbox, campaign: Campaign, failed: bytes, is_ours: bool
) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    private = _private(mailbox, *range(20, 40))
    listed = mailbox.deliver(1, raw=REPORT % failed)
    mailbox.sync()
    arriving = mailbox.deliver(2, raw=(REPORT % failed).replace(b"dsn@", b"dsn2@"))
    mailbox.sync()

    assert (set(mailbox.stored()) == {listed, arriving}) is is_ours
    assert (mailbox.passed_over() == private | {listed, arriving}) is not is_ours


def test_a_dead_letter_keeps_to_the_scope_and_is_settled_either_way(mailbox: Mailbox, campaign: Campaign) -> None:
    """An answer from another address belongs to its stored thread; a private mail is passed over, and not dead."""
    _listed(mailbox, campaign, "ana@creator.example")
    first = mailbox.deliver(1)
    mailbox.sync()
    answer = mailbox.deliver(2, sender="manager@agency.example", thread=first)
    private = mailbox.deliver(3, sender="friend@home.example")
    draft = mailbox.deliver(4, labels=("DRAFT",))
    for one in (answer, private, draft):
        mailbox.letters.bury(mailbox.account, one, stage="fetch", reason_code="transient", run_id="run")

    mailbox.run().dead_letters(mailbox.letters.due(now=datetime.now(UTC) + timedelta(days=1)))

    assert set(mailbox.stored()) == {first, answer}
    assert mailbox.passed_over() == {private}
    assert mailbox.letters.backlog(mailbox.account.id) == {}


def test_a_mail_that_stands_before_the_one_that_brings_its_thread_in_is_fetched_once(
    mailbox: Mailbox, campaign: Campaign
) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    agency = mailbox.deliver(1, sender="agency@home.example")
    answer = mailbox.deliver(2, thread=agency)
    mailbox.google.reset_counters()

    mailbox.sync()

    assert set(mailbox.stored()) == {agency, answer}
    assert mailbox.gets() == 2


def test_our_own_address_in_a_sheet_brings_in_nothing(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "mia@brand.example", "ana@creator.example")
    private = _private(mailbox, *range(10, 30))
    mailbox.sync()
    private |= _private(mailbox, 40)
    mailbox.sync()

    assert mailbox.stored() == {}
    assert mailbox.passed_over() == private
    assert not mailbox.store.sync_targets()[0].has_new_recipients


def test_an_account_from_before_windows_were_kept_is_searched_once(mailbox: Mailbox, campaign: Campaign) -> None:
    mailbox.sync()
    with mailbox.database.transaction() as connection:
        connection.execute(sa.text("update account_mark set stored_from = null"))
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()

    assert not mailbox.store.sync_targets()[0].has_new_recipients


def test_a_report_that_came_before_its_recipient_was_listed_is_pulled_in(mailbox: Mailbox, campaign: Campaign) -> None:
    """The mail sync of a new installation may well be quicker than the import of the sheet."""
    _listed(mailbox, campaign, "zoe@creator.example")
    sent = mailbox.deliver(1, sender=ADDRESS, to="ana@creator.example", labels=("SENT",))
    ours = mailbox.deliver(2, raw=REPORT % b"ana@creator.example")
    private = mailbox.deliver(3, raw=(REPORT % b"friend@home.example").replace(b"dsn@", b"dsn3@"))
    mailbox.sync()
    before = mailbox.passed_over()
    _listed(mailbox, campaign, "ana@creator.example")

    report = mailbox.sync()

    assert before == {sent, ours, private}
    assert set(mailbox.stored()) == {sent, ours}
    assert mailbox.passed_over() == {private}
    assert report.pulled_in == 2


def test_private_mail_that_is_deleted_is_forgotten(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    (private,) = _private(mailbox, 11)
    mailbox.sync()
    mailbox.google.delete(ADDRESS, private)

    mailbox.sync()

    assert mailbox.passed_over() == set()


def test_an_archive_month_and_a_lost_history_keep_to_the_scope_too(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    private, ours = _private(mailbox, *range(11, 31)), mailbox.deliver(1)
    mailbox.google.expire_history(ADDRESS)
    gap = mailbox.sync()
    month = mailbox.run().month(START.date().replace(day=1))
    again = mailbox.run().month(START.date().replace(day=1))

    assert set(mailbox.stored()) == {ours}
    assert mailbox.passed_over() == private
    assert gap.gap is not None
    assert gap.gap.found_late == 1
    assert (month.inserted, again.inserted, again.passed_over) == (0, 0, 0)


def test_an_account_that_stores_all_searches_for_nobody(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore
) -> None:
    mailbox = Mailbox(google, google_settings, database, blobs)
    _listed(mailbox, a_campaign(database), "ana@creator.example")
    private = _private(mailbox, 11, 12)

    mailbox.sync()

    assert set(mailbox.stored()) == private
    assert not mailbox.store.sync_targets()[0].has_new_recipients


def test_a_mail_without_any_address_is_passed_over(mailbox: Mailbox, campaign: Campaign) -> None:
    _listed(mailbox, campaign, "ana@creator.example")
    mailbox.sync()
    odd = mailbox.deliver(1, raw=b"\r\n\r\nno header at all")
    mailbox.sync()

    assert mailbox.passed_over() == {odd}
