"""One campaign's mail to states and attributions, on a real Postgres."""

from datetime import timedelta

import pytest

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.core.errors import NotFoundError, StaleStateError
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import message_reading
from cheerful_pipelines.storage.schema.threads import gmail_thread_state, thread_attribution
from cheerful_pipelines.threads.process import ProcessReport, process_campaign
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.store import ThreadAppend, ThreadStore
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    return Mailroom(database, blobs)


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


def process(room: Mailroom, slug: str = "spring") -> ProcessReport:
    return process_campaign(ThreadStore(room.database), room.blobs, slug, run_id="run-1")


def latest(room: Mailroom) -> list[dict[str, object]]:
    return [row["state"] for row in room.rows(gmail_thread_state) if row["is_latest"]]


def test_a_pitch_and_its_answer_are_one_thread_that_waits_on_us(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer(), thread="t1", name="r1")

    report = process(room)

    (state,) = latest(room)
    assert (state["waiting_on"], state["newest_human_id"]) == ("us", "r1")
    assert (report.states_inserted, report.kinds) == (2, {"human": 1})
    (row,) = room.rows(thread_attribution)
    assert (row["rule"], row["confidence"], row["is_ambiguous"]) == ("written_to", 1.0, False)


def test_a_second_run_inserts_nothing(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    process(room)
    before = [room.rows(table) for table in (gmail_thread_state, thread_attribution, message_reading)]

    report = process(room)

    assert (report.states_inserted, report.messages_read) == (0, 0)
    assert [room.rows(table) for table in (gmail_thread_state, thread_attribution, message_reading)] == before


def test_private_mail_gets_no_state_and_no_reading(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, a_message().sender("mum@family.example").message_id("<x@family.example>"), thread="t9")

    process(room)

    assert room.rows(gmail_thread_state) == []
    assert room.rows(message_reading) == []


def test_mail_before_the_campaign_does_not_belong_to_it(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch().days_later(-30), thread="t1")

    assert process(room).threads_attributed == 0


def test_a_recipient_added_later_brings_the_old_mail_in(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "bo@creator.example")
    room.receive(mia, pitch(), thread="t1")
    assert process(room).threads_attributed == 0

    room.recipients(campaign, "ana@creator.example")

    assert process(room).threads_attributed == 1


def test_a_managers_answer_in_a_thread_of_its_own_is_joined_by_headers(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    process(room)
    room.receive(mia, answer(message_id="<r2@agency.example>").sender("max@agency.example"), thread="t2")

    process(room)

    rows = {row["gmail_thread_id"]: row for row in room.rows(thread_attribution)}
    assert rows["t2"]["rule"] == "joined_by_headers"
    assert rows["t1"]["conversation_key"] == rows["t2"]["conversation_key"]


def test_a_bounce_in_a_thread_of_its_own_finds_its_recipient(room: Mailroom, mia: GmailAccount) -> None:
    """Some mail systems answer without In-Reply-To: the report inside says what failed."""
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    process(room)
    room.receive_raw(mia, BOUNCE, thread="t2", at=START + timedelta(hours=1))

    report = process(room)

    assert report.kinds == {"bounce": 1}
    assert {row["gmail_thread_id"] for row in room.rows(thread_attribution)} == {"t1", "t2"}


def test_a_deleted_answer_leaves_the_document_and_stays_in_the_history(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    name = room.receive(mia, answer(), thread="t1")
    process(room)
    room.change(mia, name, "deleted")

    process(room)

    states = sorted(room.rows(gmail_thread_state), key=lambda row: row["version"])
    assert [len(row["state"]["messages"]) for row in states] == [1, 2, 1]
    assert [row["is_latest"] for row in states] == [False, False, True]
    assert states[2]["reason"] == "message deleted"


def test_a_thread_that_fits_two_campaigns_equally_is_listed_in_both_and_guessed_in_neither(
    room: Mailroom, mia: GmailAccount
) -> None:
    for slug in ("spring", "summer"):
        room.recipients(a_campaign(room.database, slug=slug), "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")

    reports = [process(room, "spring"), process(room, "summer")]

    assert [report.ambiguous for report in reports] == [1, 1]
    assert [row["is_ambiguous"] for row in room.rows(thread_attribution)] == [True, True]
    assert len(room.rows(gmail_thread_state)) == 1


def test_a_campaign_that_had_ended_gives_way_to_the_one_that_runs(room: Mailroom, mia: GmailAccount) -> None:
    old = a_campaign(room.database, slug="old", ends_at=START - timedelta(hours=1))
    new = a_campaign(room.database, slug="new")
    for campaign in (old, new):
        room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")

    process(room, "old")
    process(room, "new")

    assert [row["campaign_id"] for row in room.rows(thread_attribution)] == [new.id]


def test_one_campaigns_run_leaves_the_threads_of_another_alone(room: Mailroom, mia: GmailAccount) -> None:
    spring, summer = a_campaign(room.database), a_campaign(room.database, slug="summer")
    room.recipients(spring, "ana@creator.example")
    room.recipients(summer, "bo@creator.example")
    process(room, "spring")
    room.receive(mia, pitch("bo@creator.example"), thread="t1")
    process(room, "summer")

    process(room, "spring")

    assert [row["campaign_id"] for row in room.rows(thread_attribution)] == [summer.id]


def test_clients_never_mix(room: Mailroom, mia: GmailAccount) -> None:
    """Two clients write to the same creator; her answer to one is nothing to the other."""
    leo = an_account(room.database, alias="leo", address="leo@other.example", client="other")
    a_campaign(room.database)
    other = a_campaign(room.database, slug="theirs", client="other", senders=("leo",))
    room.recipients(other, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(leo, pitch(message_id="<q@other.example>").sender("leo@other.example"), thread="t1")

    process(room, "theirs")

    assert [row["gmail_account_id"] for row in room.rows(gmail_thread_state)] == [leo.id]


def test_a_hand_over_to_another_mailbox_is_one_conversation(room: Mailroom, mia: GmailAccount) -> None:
    leo = an_account(room.database, alias="leo", address="leo@brand.example")
    campaign = a_campaign(room.database, senders=("mia", "leo"))
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(leo, answer().to("leo@brand.example"), thread="t7")

    process(room)

    rows = room.rows(thread_attribution)
    assert {row["gmail_account_id"] for row in rows} == {mia.id, leo.id}
    assert len({row["conversation_key"] for row in rows}) == 1


def test_in_steps_or_at_once_the_states_are_the_same(room: Mailroom, mia: GmailAccount, blobs: BlobStore) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    for mail in (pitch(), answer(), answer("And one more", "<r3@creator.example>").days_later(1)):
        room.receive(mia, mail, thread="t1")
        process(room)
    stepwise = [(row["version"], row["state_hash"]) for row in room.rows(gmail_thread_state)]
    with room.database.transaction() as connection:
        connection.execute(gmail_thread_state.delete())
    room.set_mark(campaign, processed_ingest_seq=0)

    process(room)

    assert [(row["version"], row["state_hash"]) for row in room.rows(gmail_thread_state)] == stepwise


def test_replay_from_raw_mail_equals_the_stored_states_byte_for_byte(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer(), thread="t1")
    process(room)

    report = replay_campaign(ThreadStore(room.database), room.blobs, "spring")

    assert (report.threads, report.states, report.equal, report.differences) == (1, 2, 1, ())


def test_replay_names_a_thread_whose_stored_state_was_changed(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    process(room)
    state = {**room.rows(gmail_thread_state)[0]["state"], "waiting_on": "us"}
    with room.database.transaction() as connection:
        connection.execute(gmail_thread_state.update().values(state=state))

    report = replay_campaign(ThreadStore(room.database), room.blobs, "spring")

    assert report.differences == (f"{mia.id}/t1",)


def test_a_stale_token_is_refused_and_writes_nothing(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    process(room)
    store = ThreadStore(room.database)
    (head,) = store.stored_versions([(mia.id, "t1")])[(mia.id, "t1")]
    version = _version(room, head.version + 1)
    store.append_states([ThreadAppend(key=(mia.id, "t1"), token=head.id, versions=(version,))])

    with pytest.raises(StaleStateError):
        store.append_states([ThreadAppend(key=(mia.id, "t1"), token=head.id, versions=(version,))])

    assert len(room.rows(gmail_thread_state)) == 2
    assert sum(row["is_latest"] for row in room.rows(gmail_thread_state)) == 1


def _version(room: Mailroom, version: int):
    from cheerful_pipelines.threads.models import ThreadDocument
    from cheerful_pipelines.threads.states import StateVersion, canonical_json

    row = room.rows(gmail_thread_state)[0]
    document = ThreadDocument.model_validate(row["state"])
    return StateVersion(
        version=version, document=document, state_json=canonical_json(document), state_hash="h", reason="test",
        cause_ingest_seq=1, cause_gmail_message_id="m1",
    )  # fmt: skip


def test_the_mark_is_the_newest_event_known_at_the_start(room: Mailroom, mia: GmailAccount) -> None:
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    store = ThreadStore(room.database)
    work = store.begin("spring")
    room.receive(mia, answer(), thread="t1")

    store.finish(work, (), (), ())

    assert store.begin("spring").processed_seq == work.newest_seq
    assert process(room).processed_seq_after > work.newest_seq


def test_an_unknown_campaign_is_named_as_such(room: Mailroom) -> None:
    with pytest.raises(NotFoundError):
        process(room, "nowhere")


BOUNCE = (
    b"From: Mail Delivery Subsystem <mailer-daemon@googlemail.example>\r\nTo: mia@brand.example\r\n"
    b"Subject: Delivery Status Notification (Failure)\r\nMessage-ID: <b1@googlemail.example>\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nAddress not found\r\n"
    b"--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; googlemail.example\r\n\r\n"
    b"Final-Recipient: rfc822; ana@creator.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"
    b"Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <p1@brand.example>\r\n\r\nHi!\r\n"
    b"--b--\r\n"
)


def test_a_mailbox_that_joins_later_brings_its_old_mail_in(room: Mailroom, mia: GmailAccount) -> None:
    leo = an_account(room.database, alias="leo", address="leo@brand.example")
    room.recipients(a_campaign(room.database), "ana@creator.example")
    room.receive(leo, pitch().sender("leo@brand.example"), thread="t1")
    assert process(room).threads_attributed == 0

    a_campaign(room.database, senders=("mia", "leo"))

    assert ThreadStore(room.database).pulses()[0].new_senders == 1
    assert process(room).threads_attributed == 1
