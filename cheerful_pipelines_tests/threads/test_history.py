"""The past of a conversation: what was known when, what changed since, and that nothing is overwritten."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.cli import app
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.changes import changes_between
from cheerful_pipelines.threads.history_store import HistoryStore
from cheerful_pipelines.threads.membership import LinkedMessage, conversations
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


class Past:
    """A pitch, then its answer, each processed; and the moment between."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.room = Mailroom(database, blobs)
        self.mia: GmailAccount = an_account(database)
        self.campaign: Campaign = a_campaign(database)
        self.history = HistoryStore(database)
        self.room.recipients(self.campaign, "ana@creator.example")
        self.room.receive(self.mia, pitch(), thread="t1", name="p1")
        self.process()
        self.between = self.now()
        self.room.receive(self.mia, answer(), thread="t1", name="r1")
        self.process()

    def process(self) -> None:
        process_campaign(ThreadStore(self.room.database), self.room.blobs, "spring", run_id="run-1")

    def now(self) -> datetime:
        with self.room.database.transaction() as connection:
            return connection.execute(sa.text("select clock_timestamp()")).scalar_one().astimezone(UTC)


@pytest.fixture
def past(database: Database, blobs: BlobStore) -> Past:
    return Past(database, blobs)


def test_a_state_is_what_was_known_at_the_instant(past: Past) -> None:
    (then,) = past.history.as_of(past.campaign.id, past.between)
    (now,) = past.history.as_of(past.campaign.id, past.now())

    assert (then.version, then.document.waiting_on, len(then.document.messages)) == (1, "them", 1)
    assert (now.version, now.document.waiting_on, now.document.newest_human_id) == (2, "us", "r1")
    assert past.history.as_of(past.campaign.id, datetime(2020, 1, 1, tzinfo=UTC)) == []


def test_what_changed_since_names_the_mail_that_did_it(past: Past) -> None:
    (change,) = past.history.changes(past.campaign.id, since=past.between, until=past.now())

    assert (change.alias, change.after.cause_gmail_message_id) == ("mia", "r1")
    assert changes_between(change.before, change.after.document) == (
        "theirs human r1 came", "waits on us, not them",
    )  # fmt: skip
    assert past.history.changes(past.campaign.id, since=past.now(), until=past.now()) == []


def test_what_goes_is_told_and_the_past_keeps_it(past: Past) -> None:
    before = past.now()
    past.room.change(past.mia, "r1", "deleted")
    past.process()

    (change,) = past.history.changes(past.campaign.id, since=before, until=past.now())
    (then,) = past.history.as_of(past.campaign.id, before)

    assert changes_between(change.before, change.after.document) == ("theirs human r1 went", "waits on them, not us")
    assert then.document.newest_human_id == "r1"


def test_mails_that_share_an_id_and_nothing_else_are_kept_apart() -> None:
    """Some programs give one id to everything."""
    found = conversations(
        [
            LinkedMessage(1, "same@x", (), (), content="one"),
            LinkedMessage(2, "same@x", (), (), content="two"),
            LinkedMessage(3, "copy@x", (), (), content="three"),
            LinkedMessage(4, "copy@x", (), (), content="three"),
        ]
    )

    assert found[1] != found[2]
    assert found[3] == found[4]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.lists(st.sampled_from("abcd"), max_size=2), st.integers(0, 2)),
        max_size=8,
    ),
    st.randoms(use_true_random=False),
)
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_repeated_ids_never_make_the_order_matter(mails: list[tuple[str, list[str], int]], chance: object) -> None:
    links = [LinkedMessage(k, one, (), tuple(refs), content=c) for k, (one, refs, c) in enumerate(mails)]
    shuffled = list(links)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]

    assert _groups(conversations(links)) == _groups(conversations(shuffled))


def _groups(named: dict[object, str]) -> set[frozenset[object]]:
    return {frozenset(key for key in named if named[key] == name) for name in named.values()}


# --- the command line ---


@pytest.fixture
def shell(database_url: str, tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch) -> Past:
    """The same past in an installation's own database and blob store."""
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path))
    monkeypatch.setenv("CHEERFUL_DATABASE_URL", database_url)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ab" * 32)
    monkeypatch.setenv("CHEERFUL_ADDRESS_HASH_KEY", "cd" * 16)
    load_settings.cache_clear()
    return Past(database, BlobStore.from_url(load_settings().effective_blob_url()))


def cheerful(*words: str) -> Result:
    return CliRunner().invoke(app, ["threads", *words])


def test_threads_are_listed_shown_and_replayed_at_the_terminal(shell: Past) -> None:
    listed, then = cheerful("list", "spring"), cheerful("list", "spring", "--as-of", shell.between.isoformat())
    shown = cheerful("show", "spring", "mia/t1")
    changes = cheerful("changes", "spring", "--since", shell.between.isoformat())
    replayed = cheerful("replay", "spring")

    assert "mia/t1  2        2         us" in listed.stdout
    assert "mia/t1  1        1         them" in then.stdout
    assert "  r1" in shown.stdout, "the answer stands below the pitch"
    assert "theirs human r1 came; waits on us, not them" in shown.stdout
    assert "1 changes" in changes.stdout
    assert (replayed.exit_code, "1 threads equal byte for byte" in replayed.stdout) == (0, True)


def test_a_state_that_was_tampered_with_fails_the_replay_by_name(shell: Past) -> None:
    with shell.room.database.transaction() as connection:
        connection.execute(
            sa.text("update gmail_thread_state set state = jsonb_set(state, '{waiting_on}', '\"nobody\"')")
        )

    replayed = cheerful("replay", "spring")

    assert replayed.exit_code == 1
    assert "differs:" in replayed.stdout


def test_a_thread_that_is_not_there_is_told_in_words(shell: Past) -> None:
    unknown = cheerful("show", "spring", "mia/none")
    bare = cheerful("show", "spring", "t1")

    assert isinstance(unknown.exception, CheerfulError)
    assert "has no thread mia/none" in str(unknown.exception)
    assert "unique per account only" in str(bare.exception)
