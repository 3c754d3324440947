"""Mail about an erased person that names no address of theirs is listed for a person, who deletes it or keeps it."""

# ruff: noqa: F401, F811  (a fixture of test_erase)

import re
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from cheerful_pipelines.cli import app
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.people.mention_store import MentionStore
from cheerful_pipelines.people.mentions import MentionPattern, mention_patterns, postal_addresses_in, snippet
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.people.proof import prove_erased
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_message
from cheerful_pipelines_tests.people.test_erase import ANA, BO, KEY, ours, running, user_id
from cheerful_pipelines_tests.pipeline import Pipeline

ABOUT = {
    "name": "Did Lima, Ana get her parcel?",
    "handle": "I saw ana.makes post about it.",
    "street": "Please send mine to 12 Elm Street (Austin), next door.",
    "nobody": "Banana limathon at 112 Elm Streets with joana.makes_it, all good.",
}


def fits(patterns: tuple[MentionPattern, ...], text: str) -> set[str]:
    return {one.kind for one in patterns if re.search(one.form.replace(r"\y", r"\b"), text.lower())}


def test_names_handles_and_addresses_are_found_as_whole_words() -> None:
    fields = {"Shipping address": "12 Elm Street, Austin TX", "Email address": "a@x.example", "Notes": "9 Oak Road"}
    patterns = mention_patterns(["José Lima", "Al"], ["https://social.example/ana.makes/"], postal_addresses_in(fields))

    assert fits(patterns, "Jose  Lima is in") == fits(patterns, "LIMA, JOSÉ") == {"name"}
    assert fits(patterns, "see @Ana.Makes!") == {"handle"}
    assert fits(patterns, "to 12, Elm  street") == {"postal_address"}
    assert fits(patterns, "Al; josé limas; joana.makes; ana.makes2; 112 elm street; a@x.example; 9 oak road") == set()


@settings(deadline=None)
@given(name=st.text(max_size=40), handle=st.text(max_size=40), postal=st.text(max_size=60), text=st.text(max_size=80))
def test_whatever_a_sheet_holds_makes_patterns_that_can_be_searched(
    name: str, handle: str, postal: str, text: str
) -> None:
    fits(mention_patterns([name], [handle], [postal]), text)


TYPED = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)  # what Postgres holds


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=TYPED, handle=TYPED, postal=TYPED)
def test_postgres_understands_every_pattern(database: Database, name: str, handle: str, postal: str) -> None:
    forms = [one.form for one in mention_patterns([name], [handle], [postal])]
    with database.transaction() as connection:
        connection.execute(sa.text("select 'Ana Lima' ~ any(:forms)"), {"forms": [*forms, "x"]})


def test_a_snippet_is_one_line_around_the_place() -> None:
    text = "x" * 200 + "\n Ana\nLima " + "y" * 200
    shown = snippet(text, text.index("Ana"), 8)

    assert "Ana Lima" in shown
    assert shown.startswith("…")
    assert shown.endswith("…")
    assert len(shown) < 140


@pytest.fixture
def mentioned(
    running: Pipeline,
    google: LocalGoogleAdmin,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Pipeline:
    """Bo writes about Ana to both clients, naming no address of hers; the sheet knows her handle and street."""
    for client in ("brand", "rival"):
        google.put_sheet(
            f"in-{client}", title="Creators",
            tabs={"Creators": [["Name", "Email", "Handle", "Shipping address"],
                               ["Ana Lima", ANA, "@ana.makes", "12 Elm Street, Austin"], ["Bo", BO, "", ""]]},
        )  # fmt: skip
        for name, text in ABOUT.items():
            mail = a_message().sender(BO).to(f"mia@{client}.example").message_id(f"<{name}@{client}.example>")
            mail = mail.replying_to(f"<p1@{client}.example>").days_later(3).text(text)
            google.deliver(f"mia@{client}.example", mail.bytes(), internal_date=mail.at_)
    running.sync_everything()
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path))
    monkeypatch.setenv("CHEERFUL_DATABASE_URL", database_url)
    monkeypatch.setenv("CHEERFUL_LOCAL_GOOGLE_URL", google.url)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ab" * 32)
    monkeypatch.setenv("CHEERFUL_ADDRESS_HASH_KEY", KEY)
    load_settings.cache_clear()
    blobs = running.resources["blobs"]
    for place in ("people", "mentions"):
        monkeypatch.setattr(f"cheerful_pipelines.cli.{place}.BlobStore.from_url", lambda _url: blobs)
    return running


def cheerful(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def stored(pipeline: Pipeline, client: str) -> set[str]:
    with ours(pipeline, client).transaction() as connection:
        found = connection.execute(sa.text("select rfc822_message_id from gmail_message")).scalars()
        return {str(one).strip("<>").split("@")[0] for one in found}


def test_a_person_decides_about_each_mention_and_nothing_is_deleted_before(mentioned: Pipeline) -> None:
    said = cheerful("erase", ANA, "--client", "brand", "--yes")
    assert "3 more mails may be about them" in said
    assert "decide with  cheerful people mentions" in said
    assert {"name", "handle", "street", "nobody"} <= stored(mentioned, "brand")
    listed = MentionStore(ours(mentioned)).undecided(user_id(mentioned))
    assert sorted(one.kind for one in listed) == ["handle", "name", "postal_address"]
    assert _texts_of("person_mention", mentioned) == ""  # places, no words

    shown = cheerful("people", "mentions", "--client", "brand")
    assert "Did Lima, Ana get her parcel?" in " ".join(shown.split())
    assert CliRunner().invoke(app, ["people", "mentions", "--client", "rival"]).output.count("mia-") == 0
    by_kind = {one.kind: one.name for one in listed}
    refused = CliRunner().invoke(
        app, ["people", "delete-mails", by_kind["name"], "mia-brand/none", "--client", "brand"]
    )
    assert refused.exit_code == 1
    assert "name" in stored(mentioned, "brand")

    assert "deleted 1 mails" in cheerful("people", "delete-mails", by_kind["name"], "--client", "brand", "--yes")
    cheerful("people", "keep-mails", by_kind["handle"], by_kind["postal_address"], "--client", "brand")
    mentioned.sync_everything()
    assert {"handle", "street", "nobody"} <= stored(mentioned, "brand")
    assert "name" not in stored(mentioned, "brand")
    assert "name" in stored(mentioned, "rival")
    assert MentionStore(ours(mentioned)).undecided(user_id(mentioned)) == []
    with mentioned.database.transaction() as connection:
        left = connection.execute(sa.text("select blobs_to_remove from person_request where kind = 'erase'")).scalars()
        assert set(left) == {None}


def _texts_of(table: str, pipeline: Pipeline) -> str:
    """What a table says about her, as the proof would see it."""
    with pipeline.database.transaction() as connection:
        rows = " ".join(connection.execute(sa.text(f"select cast(t as text) from {table} t")).scalars()).lower()
    return " ".join(re.findall(r"lima|ana\.makes|elm", rows))


def test_an_erasure_is_not_proven_while_stored_bytes_without_a_row_name_the_person(mentioned: Pipeline) -> None:
    blobs: Any = mentioned.resources["blobs"]
    key = blobs.put(f"From: x@y.example\n\nShe is at {ANA}.".encode())
    person = PersonStore(ours(mentioned)).find(user_id(mentioned), [ANA])

    def found() -> tuple[str, ...]:
        return prove_erased(
            ours(mentioned), blobs, person, dagster_url=None, every_client=mentioned.database.for_every_client()
        ).found

    assert f"blob {key[:12]} (no row names it)" in found()
    done = CliRunner().invoke(app, ["erase", ANA, "--client", "brand", "--yes"])
    assert done.exit_code == 1
    blobs.set_aside(key)
    assert f"blob {key[:12]} (no row names it)" in found()
    blobs.delete(key)
    assert "found nowhere" in cheerful("erase", ANA, "--client", "brand", "--yes")
