"""Folding, membership and attribution are functions of what is known, never of its order."""

import random
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.models import MessageEvent
from cheerful_pipelines.mail.reading.read_message import read_message
from cheerful_pipelines.threads.attribution import CampaignScope, ThreadFacts, attribute
from cheerful_pipelines.threads.membership import LinkedMessage, conversations
from cheerful_pipelines.threads.states import fold
from cheerful_pipelines_tests.builders import START
from cheerful_pipelines_tests.threads.mailroom import ACCOUNT, OURS, answer, pitch, stored

SPRING, SUMMER = UUID(int=1), UUID(int=2)

MAIL = {
    "m1": stored(pitch().bytes(), name="m1", labels=("SENT",)),
    "m2": stored(answer().bytes(), name="m2", at=START + timedelta(days=1)),
    "m3": stored(answer("And when?", "<r3@creator.example>").bytes(), name="m3", at=START + timedelta(days=2)),
}
READINGS = {name: read_message(mail, None, OURS) for name, mail in MAIL.items()}


def event(seq: int, name: str, kind: str = "added", labels: tuple[str, ...] | None = None) -> MessageEvent:
    return MessageEvent(
        ingest_seq=seq, gmail_account_id=ACCOUNT, gmail_message_id=name, gmail_thread_id="t1", kind=kind,  # type: ignore[arg-type]
        label_ids=MAIL[name].label_ids if labels is None else labels, created_at=START,
    )  # fmt: skip


@given(st.permutations(["m1", "m2", "m3"]))
def test_the_newest_document_does_not_depend_on_the_order_of_arrival(order: list[str]) -> None:
    versions = fold([event(seq, name) for seq, name in enumerate(order)], MAIL, READINGS, OURS)
    straight = fold([event(seq, name) for seq, name in enumerate(MAIL)], MAIL, READINGS, OURS)

    assert versions[-1].state_json == straight[-1].state_json
    assert len(versions) == 3


@given(st.lists(st.sampled_from(["m1", "m2", "m3"]), max_size=8), st.integers(0, 8), st.randoms())
def test_folding_in_parts_gives_the_beginning_of_folding_at_once(
    names: list[str], cut: int, rng: random.Random
) -> None:
    kinds = ["added", "labels", "deleted"]
    events = [event(seq, name, rng.choice(kinds)) for seq, name in enumerate(names)]

    whole = fold(events, MAIL, READINGS, OURS)
    part = fold(events[:cut], MAIL, READINGS, OURS)

    assert whole[: len(part)] == part


def test_a_draft_and_mail_in_the_bin_are_left_out() -> None:
    versions = fold(
        [event(1, "m1", labels=("DRAFT",)), event(2, "m1", "labels", ("SENT",)), event(3, "m1", "labels", ("TRASH",))],
        MAIL, READINGS, OURS,
    )  # fmt: skip

    assert [len(version.document.messages) for version in versions] == [1, 0]


def test_an_event_that_changes_nothing_makes_no_version() -> None:
    versions = fold([event(1, "m2"), event(2, "m2", "labels", ("INBOX", "STARRED"))], MAIL, READINGS, OURS)

    assert len(versions) == 1


def test_who_has_to_move_follows_the_last_persons_mail() -> None:
    def waiting(*names: str) -> str:
        return fold([event(i, n) for i, n in enumerate(names)], MAIL, READINGS, OURS)[-1].document.waiting_on

    assert (waiting("m1"), waiting("m1", "m2")) == ("them", "us")


ids = st.sampled_from("abcdef")
linked = st.builds(
    LinkedMessage, key=st.integers(0, 9), message_id=st.none() | ids,
    in_reply_to=st.lists(ids, max_size=2).map(tuple), reference_ids=st.lists(ids, max_size=3).map(tuple),
)  # fmt: skip


@given(st.lists(linked, max_size=10), st.randoms())
def test_conversations_do_not_depend_on_the_order_of_messages(mails: list[LinkedMessage], rng: random.Random) -> None:
    shuffled = list(mails)
    rng.shuffle(shuffled)

    assert conversations(shuffled) == conversations(mails)


def test_two_answers_to_a_mail_that_nobody_has_are_one_conversation() -> None:
    found = conversations([LinkedMessage(1, "b", ("ghost",), ()), LinkedMessage(2, "c", (), ("ghost",))])

    assert found == {1: "b", 2: "b"}


def test_several_ids_in_one_in_reply_to_join_all_that_they_name() -> None:
    found = conversations(
        [LinkedMessage(1, "a", (), ()), LinkedMessage(2, "b", (), ()), LinkedMessage(3, "c", ("a", "b"), ())]
    )

    assert len(set(found.values())) == 1


def test_a_cycle_and_a_self_reference_do_no_harm() -> None:
    found = conversations([LinkedMessage(1, "a", ("b",), ("a",)), LinkedMessage(2, "b", ("a",), ())])

    assert found == {1: "a", 2: "a"}


def scope(campaign: UUID, *, ends: datetime | None = None, account: UUID = ACCOUNT, key: str = "ana") -> CampaignScope:
    return CampaignScope(
        campaign_id=campaign, starts_at=START - timedelta(days=1), ends_at=ends, account_ids=frozenset((account,)),
        recipients={key: campaign.int * 10},
    )  # fmt: skip


def facts(name: str = "t1", **changes: object) -> ThreadFacts:
    values = {
        "gmail_account_id": ACCOUNT, "gmail_thread_id": name, "sent": ((START, ("ana",)),), "received": (),
        "conversation_key": "c",
    }  # fmt: skip
    return ThreadFacts.model_validate(values | changes)


def test_mail_long_after_the_end_does_not_belong_to_a_campaign() -> None:
    late = START + timedelta(days=200)

    assert attribute([facts(sent=((late, ("ana",)),))], [scope(SPRING, ends=START + timedelta(days=5))]) == []


def test_a_campaign_that_ends_with_the_calendar_leaves_the_others_their_threads() -> None:
    endless = scope(SPRING, ends=datetime(9999, 12, 31, tzinfo=UTC), key="bo")

    rows = attribute([facts(), facts("t2", sent=((START, ("bo",)),))], [endless, scope(SUMMER)])

    assert sorted(row.campaign_id.int for row in rows) == sorted((SPRING.int, SUMMER.int))


def test_an_answer_in_the_grace_after_the_end_still_belongs_to_it() -> None:
    (row,) = attribute(
        [facts(sent=(), received=((START, "ana", True),))], [scope(SPRING, ends=START - timedelta(days=2))]
    )

    assert row.rule == "wrote_to_us"


def test_a_creator_who_was_copied_in_is_a_weaker_reason_than_one_who_wrote() -> None:
    campaign = scope(SPRING).model_copy(update={"recipients": {"ana": 1, "bo": 2}})
    copied = ((START, "ana", False), (START, "bo", True))

    assert [row.recipient_id for row in attribute([facts(sent=(), received=copied)], [campaign])] == [2]


def test_what_we_wrote_before_the_campaign_is_another_matter() -> None:
    before = START - timedelta(days=50)
    thread = facts(sent=((before, ("ana",)),), received=((START, "ana", True),))

    assert attribute([thread], [scope(SPRING)]) == []


def test_a_thread_joined_to_two_campaigns_is_doubtful() -> None:
    other = UUID(int=99)
    threads = [facts("t1"), facts("t2", gmail_account_id=other), facts("t3", sent=(), received=((START, "max", True),))]
    rows = attribute(threads, [scope(SPRING), scope(SUMMER, account=other)])

    joined = [row for row in rows if row.gmail_thread_id == "t3"]
    assert [(row.rule, row.is_ambiguous) for row in joined] == [("joined_by_headers", True)] * 2


@given(st.permutations(range(4)), st.permutations(range(2)))
def test_attribution_does_not_depend_on_order(threads: list[int], campaigns: list[int]) -> None:
    all_threads = [
        facts("t1"),
        facts("t2", sent=()),
        facts("t3", conversation_key="d"),
        facts("t4", sent=(), received=((START, "ana", True),)),
    ]
    all_campaigns = [scope(SPRING), scope(SUMMER, ends=START)]

    found = attribute([all_threads[i] for i in threads], [all_campaigns[i] for i in campaigns])

    assert found == attribute(all_threads, all_campaigns)


def test_times_in_a_document_are_in_utc() -> None:
    (version,) = fold([event(1, "m1")], MAIL, READINGS, OURS)

    assert version.document.messages[0].at.tzinfo is UTC
