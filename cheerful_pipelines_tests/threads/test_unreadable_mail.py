"""A stored message that makes a reader raise stays alone: its campaign's run, replay and proof go on."""

from typing import Any

import pytest

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.core.errors import PoisonError
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.models import ParsedMessage
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.reading import quoted_text
from cheerful_pipelines.people import proof
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.mail import message_reading
from cheerful_pipelines.threads import replay
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.replay import replay_campaign
from cheerful_pipelines.threads.states import fold
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    """Two threads, an answer in each; one of them is poison."""
    made = Mailroom(database, blobs)
    account = an_account(database)
    campaign = a_campaign(database)
    made.recipients(campaign, "ana@creator.example", "bo@creator.example")
    made.receive(account, pitch(), thread="t1")
    made.receive(account, answer("Yes, poison!"), thread="t1", name="bad")
    made.receive(account, pitch("bo@creator.example", "<p2@brand.example>"), thread="t2")
    good = answer("Yes!", "<r2@creator.example>").sender("bo@creator.example").replying_to("<p2@brand.example>")
    made.receive(account, good, thread="t2", name="good")
    return made


@pytest.fixture
def mia(room: Mailroom) -> GmailAccount:
    return an_account(room.database)


def _raises_on_poison(text: str, html: str | None = None) -> quoted_text.NewWords:
    if "poison" in text:
        raise RecursionError("maximum recursion depth exceeded")
    return _new_words(text, html)


_new_words = quoted_text.new_words


def test_a_message_that_cannot_be_read_counts_as_a_persons_and_is_a_dead_letter(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoted_text, "new_words", _raises_on_poison)

    report = process_campaign(ThreadStore(room.database), room.blobs, "spring")
    again = replay_campaign(ThreadStore(room.database), room.blobs, "spring")

    readings = {row["gmail_message_id"]: row for row in room.rows(message_reading)}
    assert report.kinds == {"human": 2}
    assert (readings["bad"]["new_words"], readings["bad"]["evidence"]) == ("", "unreadable: read_RecursionError")
    assert readings["good"]["new_words"] == "Yes!"
    assert (again.equal, again.differences) == (2, ()), "a replay reads it alike"
    letters = DeadLetterStore(room.database).backlog(readings["bad"]["gmail_account_id"])
    assert letters == {"read_RecursionError": 1}


def _poison(raw: bytes) -> ParsedMessage:
    if b"poison" in raw:
        raise PoisonError("A message could not be handled.", reason_code="parse_RecursionError")
    return parse_message(raw)


def test_a_replay_names_what_cannot_be_parsed_and_compares_the_rest(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_campaign(ThreadStore(room.database), room.blobs, "spring")
    monkeypatch.setattr(replay, "parse_message", _poison)

    report = replay_campaign(ThreadStore(room.database), room.blobs, "spring")

    assert report.equal == 1
    assert [one.rpartition("/")[2] for one in report.differences] == ["t1"]
    assert [one.rpartition("/")[2] for one in report.unreadable] == ["bad"]


def test_a_replay_goes_on_past_a_thread_whose_states_cannot_be_made(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    process_campaign(ThreadStore(room.database), room.blobs, "spring")

    def raises_on_one(events: Any, messages: Any, *others: Any) -> Any:
        if "bad" in messages:
            raise KeyError("a bug")
        return fold(events, messages, *others)

    monkeypatch.setattr(replay, "fold", raises_on_one)

    report = replay_campaign(ThreadStore(room.database), room.blobs, "spring")

    assert report.equal == 1
    assert [one.rpartition("/")[2] for one in report.differences] == ["t1"]


def test_a_proof_of_erasure_searches_on_past_what_cannot_be_parsed(
    room: Mailroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "parse_message", _poison)
    hashes = [proof.stored_blobs(room.database)]
    found: list[str] = []

    count = proof._search_blobs(room.blobs, [one for part in hashes for one in part], ["bo@creator"], found)

    assert count == 4
    assert sum("could not be decoded (parse_RecursionError)" in one for one in found) == 1
    assert sum("could not be decoded" not in one for one in found) == 2, "those that name Bo are still found"
