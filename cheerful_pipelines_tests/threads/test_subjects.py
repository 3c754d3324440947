"""Answers without headers: what a subject may say, what it may not, and that no order of arrival matters."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import gmail_message
from cheerful_pipelines.storage.schema.threads import thread_attribution
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines.threads.subjects import SubjectThread, base_subject, seeming_answers
from cheerful_pipelines_tests.builders import MessageBuilder, a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, pitch

START = datetime(2026, 10, 1, tzinfo=UTC)
ANA, MANAGER = "ana@creator.example", "manager@agency.example"


def _thread(key: str, subject: str, day: int, *people: str, linked: bool = False) -> SubjectThread:
    return SubjectThread(key, subject, linked, frozenset(people or (ANA,)), START + timedelta(days=day))


@pytest.mark.parametrize(
    "subject",
    ["Re: A gift", "AW: A gift", "Antw: A gift", "SV: VS: A gift", "RE[3]: A  gift", "Rif: Fwd: A gift", "回复：A gift",
     "Re: [list] A gift"],
)  # fmt: skip
def test_an_answer_is_known_in_many_languages(subject: str) -> None:
    assert base_subject(subject) == ("a gift", True)


@pytest.mark.parametrize("subject", ["A gift", "Fwd: A gift", "WG: A gift", "[list] A gift"])
def test_what_is_passed_on_is_no_answer(subject: str) -> None:
    assert base_subject(subject) == ("a gift", False)


@given(st.text(max_size=80))
def test_a_subject_is_stripped_once_and_for_all(subject: str) -> None:
    base, _ = base_subject(f"Re: {subject}")

    assert base_subject(subject)[0] == base


def test_an_answer_without_headers_seems_to_answer_the_newest_that_fits() -> None:
    found = seeming_answers(
        [
            _thread("old", "A gift", 0),
            _thread("new", "A gift", 5),
            _thread("it", "Re: A gift", 6),
            _thread("x", "Re: A", 6),
        ]
    )

    assert found == {"it": "new"}


@pytest.mark.parametrize(
    "other",
    [
        _thread("p", "A gift", 0, MANAGER),
        _thread("p", "A gift", -61),
        _thread("p", "A gift", 7),
        _thread("p", "Another gift", 0),
    ],
    ids=["other people", "long ago", "later", "another subject"],
)
def test_a_subject_alone_joins_nothing(other: SubjectThread) -> None:
    assert seeming_answers([other, _thread("it", "Re: A gift", 6)]) == {}


def test_headers_that_name_a_mail_leave_nothing_to_guess() -> None:
    assert seeming_answers([_thread("p", "A gift", 0), _thread("it", "Re: A gift", 6, linked=True)]) == {}


@given(
    st.lists(
        st.tuples(st.sampled_from(["A", "Re: A", "Re: B", "B"]), st.integers(0, 4), st.sampled_from([ANA, MANAGER])),
        max_size=7,
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_gives_the_same_guess(threads: list[tuple[str, int, str]], chance: object) -> None:
    found = [_thread(str(number), *thread) for number, thread in enumerate(threads)]
    shuffled = list(found)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert seeming_answers(found) == seeming_answers(shuffled)


# --- through the store ---


def headerless() -> MessageBuilder:
    """A creator's answer from a program that drops References."""
    mail = (
        a_message().sender(ANA).to("mia@brand.example").subject("Re: A gift for you").message_id("<n1@creator.example>")
    )
    return mail.days_later(2).text("Yes please!")


def another() -> MessageBuilder:
    """Something else of the same person."""
    mail = a_message().sender(ANA).to("mia@brand.example").subject("My invoice").message_id("<i1@creator.example>")
    return mail.days_later(3).text("Here it is.")


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("at_once", [True, False], ids=["one run", "a run each"])
def test_the_guess_is_marked_and_the_same_in_any_order_and_number_of_runs(
    database: Database, blobs: BlobStore, order: tuple[int, ...], at_once: bool
) -> None:
    room, mia = Mailroom(database, blobs), an_account(database)
    room.recipients(a_campaign(database), ANA)
    mails = [(pitch(), "t1"), (headerless(), "t2"), (another(), "t3")]
    for number in order:
        _receive(room, mia, *mails[number])
        if not at_once:
            process_campaign(ThreadStore(database), blobs, "spring")
    process_campaign(ThreadStore(database), blobs, "spring")

    rows = {row["gmail_thread_id"]: row for row in room.rows(thread_attribution)}
    assert {name: row["conversation_is_guess"] for name, row in rows.items()} == {"t1": False, "t2": True, "t3": False}
    assert rows["t1"]["conversation_key"] == rows["t2"]["conversation_key"] == "n1@creator.example"
    assert rows["t3"]["conversation_key"] == "i1@creator.example"
    assert {name: row["rule"] for name, row in rows.items()} == {
        "t1": "written_to", "t2": "wrote_to_us", "t3": "wrote_to_us",
    }  # fmt: skip


def test_no_mail_comes_to_a_campaign_by_its_subject(database: Database, blobs: BlobStore) -> None:
    """A stranger who was copied in once answers without headers: a person has to see that, not a rule."""
    room, mia = Mailroom(database, blobs), an_account(database)
    room.recipients(a_campaign(database), ANA)
    _receive(room, mia, pitch().to(f"{ANA}, {MANAGER}"), "t1")
    _receive(room, mia, headerless().sender(MANAGER), "t2")
    process_campaign(ThreadStore(database), blobs, "spring")

    assert {row["gmail_thread_id"] for row in room.rows(thread_attribution)} == {"t1"}
    assert len(room.rows(gmail_message)) == 2


def _receive(room: Mailroom, mia: GmailAccount, mail: MessageBuilder, thread: str) -> None:
    room.receive(mia, mail, thread=thread, name=thread)
