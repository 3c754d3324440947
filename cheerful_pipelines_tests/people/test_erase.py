"""A person who asked is gone from everywhere, stays gone, and no number moves; everybody else is untouched."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli import app
from cheerful_pipelines.core.errors import ConfigurationError, PermanentError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.people.erase import erase_person
from cheerful_pipelines.people.models import Person
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.people.proof import prove_erased
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import ErasedPeople, address_hash, addresses_in
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline

KEY = "cd" * 16
ANA, BO = "ana.lima@gmail.com", "bo@creator.example"
SPELLINGS = ("ana.lima@gmail.com", "AnaLima@Gmail.com", "analima+brand@googlemail.com")


@pytest.fixture
def running(pipeline: Pipeline, google: LocalGoogleAdmin) -> Pipeline:
    """Two clients who wrote to Ana and Bo; Ana answered under several spellings, a friend names her in a mail."""
    for client in ("brand", "rival"):
        address = f"mia@{client}.example"
        google.add_mailbox(address)
        google.put_sheet(
            f"in-{client}", title="Creators",
            tabs={"Creators": [["Name", "Email", "Notes"], ["Ana Lima", SPELLINGS[0], f"met {SPELLINGS[0]} in May"],
                               ["Bo", BO, ""]]},
        )  # fmt: skip
        google.put_sheet(f"out-{client}", title="Numbers", tabs={"Notes": [[client]]})
        an_account(
            pipeline.database, alias=f"mia-{client}", client=client, address=address,
            credentials_json=google.credentials_json(address),
        )  # fmt: skip
        a_campaign(
            pipeline.database, slug=f"spring-{client}", client=client, senders=(f"mia-{client}",),
            spreadsheet_id=f"in-{client}", metrics_spreadsheet_id=f"out-{client}", writes_problems_tab=True,
        )  # fmt: skip
        for number, person in enumerate((SPELLINGS[0], BO)):
            pitch = a_message().sender(address).to(person).message_id(f"<p{number}@{client}.example>")
            google.deliver(address, pitch.subject("Join us").bytes(), label_ids=("SENT",), internal_date=START)
            writes_as = SPELLINGS[1] if number == 0 else BO
            reply = a_message().sender(writes_as).to(address).message_id(f"<r{number}@{client}.example>")
            reply = reply.replying_to(f"<p{number}@{client}.example>").days_later(1).text("Yes, I would love to join!")
            google.deliver(address, reply.bytes(), internal_date=reply.at_)
        friend = a_message().sender("friend@creator.example").to(address).message_id(f"<f@{client}.example>")
        friend = friend.days_later(2).text(f"Ask my friend, she is at {SPELLINGS[2]}.")
        google.deliver(address, friend.bytes(), internal_date=friend.at_)
    pipeline.sync_everything()
    return pipeline


def user_id(pipeline: Pipeline, client: str = "brand") -> Any:
    return next(one.user_id for one in pipeline.campaigns.clients() if one.slug == client)


def ours(pipeline: Pipeline, client: str = "brand") -> Database:
    return pipeline.database.for_client(user_id(pipeline, client))


def erase_ana(pipeline: Pipeline) -> Person:
    person, _ = erase_person(
        pipeline.database, pipeline.resources["blobs"], user_id(pipeline), [ANA], hash_key=KEY, requested_by="a test"
    )
    return person


def places_of_ana(pipeline: Pipeline, client: str = "brand") -> tuple[str, ...]:
    """Where she is found: every table, blob and tab of ours of that client."""
    person = PersonStore(ours(pipeline, client)).find(user_id(pipeline, client), SPELLINGS)
    campaigns = [one for one in pipeline.campaigns.campaigns() if one.user_id == person.user_id]
    proof = prove_erased(
        ours(pipeline, client), pipeline.resources["blobs"], person,
        dagster_url=None, sheets=pipeline.resources["sheets"], campaigns=campaigns,
    )  # fmt: skip
    assert proof.tables > 30
    return proof.found


def numbers(pipeline: Pipeline, slug: str) -> list[tuple[Any, ...]]:
    with pipeline.database.transaction() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                sa.text(
                    "select grain, grain_key, metric, value, numerator, denominator from campaign_metric m "
                    "join campaign c on c.id = m.campaign_id where c.slug = :slug order by 1, 2, 3"
                ),
                {"slug": slug},
            )
        ]


def test_an_erased_person_is_found_nowhere_stays_away_and_no_number_moves(
    running: Pipeline, google: LocalGoogleAdmin
) -> None:
    before, rivals = numbers(running, "spring-brand"), numbers(running, "spring-rival")
    found_before = places_of_ana(running)
    assert {"gmail_message.from_key", "campaign_recipient.email", "gmail_message.body_text"} <= set(found_before)
    assert [place for place in found_before if place.startswith("blob")]

    erase_ana(running)
    running.run("metrics_sheet", "spring-brand")

    assert places_of_ana(running) == ()
    assert numbers(running, "spring-brand") == before

    # Everything that could bring her back: the sheet lists her, the mailbox has her mail, she writes again.
    again = a_message().sender(SPELLINGS[2]).to("mia@brand.example").message_id("<again@creator.example>")
    google.deliver("mia@brand.example", again.days_later(9).bytes(), internal_date=again.days_later(9).at_)
    later = a_message().sender("mia@brand.example").to(SPELLINGS[0]).message_id("<later@brand.example>")
    google.deliver("mia@brand.example", later.bytes(), label_ids=("SENT",), internal_date=START)
    with running.database.transaction() as connection:
        connection.execute(sa.text("update account_mark set live_history_id = null, listing_history_id = null"))
        connection.execute(sa.text("delete from passed_over_message"))
        connection.execute(sa.text("delete from searched_address"))
        connection.execute(sa.text("update campaign_mark set sheet_drive_version = null, metrics_basis = null"))
    running.sync_everything()
    running.run("gmail_archive", dg_month("mia-brand"))
    running.sync_everything()

    assert places_of_ana(running) == ()
    assert numbers(running, "spring-brand") == before
    metadata = running.metadata("sheet_recipients", "spring-brand")
    assert metadata["erased"] == 1
    assert metadata["removed"] == 0
    assert "asked to be forgotten" in metadata["problems"]
    # The other client was asked nothing.
    assert places_of_ana(running, "rival")
    assert [row for row in numbers(running, "spring-rival") if row[0] == "campaign" and row[2] == "replied"] == [
        row for row in rivals if row[0] == "campaign" and row[2] == "replied"
    ]


def dg_month(alias: str) -> Any:
    import dagster as dg

    return dg.MultiPartitionKey({"account": alias, "month": START.replace(day=1).strftime("%Y-%m-%d")})


def test_everybody_elses_mail_is_untouched_and_a_thread_of_others_is_made_anew(running: Pipeline) -> None:
    before = running.count("gmail_message")
    person, report = erase_person(
        running.database, running.resources["blobs"], user_id(running), [ANA], hash_key=KEY, requested_by="a test"
    )
    assert len(person.messages) == 3  # to her, from her, and the friend's that names her
    assert report.messages == 3
    assert report.blobs == 3
    assert running.count("gmail_message") == before - 3
    with ours(running).transaction() as connection:
        left = connection.execute(sa.text("select from_key, to_keys from gmail_message order by 1")).all()
    assert [row.from_key for row in left] == [BO, "mia@brand.example"]

    _, second = erase_person(
        running.database, running.resources["blobs"], user_id(running), [ANA], hash_key=KEY, requested_by="a test"
    )
    assert not any(second.model_dump().values())


@pytest.mark.parametrize("step", ["remove", "blobs_to_remove", "still_needed", "note_blobs_removed"])
def test_an_erasure_that_crashed_is_mended_by_running_it_again(
    running: Pipeline, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = numbers(running, "spring-brand")

    def crash(*_words: object, **_more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PersonStore, step, crash)
        with pytest.raises(KeyboardInterrupt):
            erase_ana(running)
    running.sync_everything()  # meanwhile the system runs on

    erase_ana(running)
    running.run("metrics_sheet", "spring-brand")
    assert places_of_ana(running) == ()
    assert numbers(running, "spring-brand") == before


def test_a_mail_that_is_stored_while_somebody_is_erased_does_not_slip_in(
    running: Pipeline, google: LocalGoogleAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The erasure commits between the fetch and the store: the bytes are taken back, and the step is tried again."""
    blobs = running.resources["blobs"]
    put, waiting = blobs.put, [True]

    def put_and_erase(content: bytes) -> str:
        key: str = put(content)
        if waiting:
            waiting.clear()
            erase_ana(running)
        return key

    monkeypatch.setattr(blobs, "put", put_and_erase)
    late = a_message().sender(SPELLINGS[1]).to("mia@brand.example").message_id("<late@creator.example>").days_later(3)
    google.deliver("mia@brand.example", late.bytes(), internal_date=late.at_)

    running.run("gmail_messages", "mia-brand", raise_on_error=False)
    monkeypatch.undo()
    running.sync_everything()

    assert places_of_ana(running) == ()
    from cheerful_pipelines.storage.blobs import sha256_hex

    with pytest.raises(Exception, match="not in the blob store"):
        blobs.get(sha256_hex(late.bytes()))


def test_without_the_key_nothing_is_stored_rather_than_somebody_brought_back(running: Pipeline) -> None:
    with pytest.raises(ConfigurationError, match="CHEERFUL_ADDRESS_HASH_KEY"):
        ErasedPeople(frozenset({"x"}), None)
    with pytest.raises(PermanentError, match="own mailbox"):
        PersonStore(ours(running)).find(user_id(running), ["mia@brand.example"])


def test_a_hash_knows_every_spelling_and_tells_nobody() -> None:
    hashes = {address_hash(one, key_hex=KEY) for one in SPELLINGS}
    assert len(hashes) == 1
    assert address_hash(ANA, key_hex="ab" * 16) not in hashes
    assert "analima@gmail.com" in addresses_in(f"Write to <{SPELLINGS[2]}>, or not.")
    assert "analima@gmail.com" in addresses_in("(Ana.Lima@gmail.com).")
    assert "josé@straße.example" not in addresses_in("none")
    assert "josé@xn--strae-oqa.example" in addresses_in("Mail josé@straße.example!")


def test_the_two_commands_do_it_and_say_so(
    running: Pipeline, google: LocalGoogleAdmin, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path))
    monkeypatch.setenv("CHEERFUL_DATABASE_URL", database_url)
    monkeypatch.setenv("CHEERFUL_LOCAL_GOOGLE_URL", google.url)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ab" * 32)
    monkeypatch.setenv("CHEERFUL_ADDRESS_HASH_KEY", KEY)
    load_settings.cache_clear()
    blobs = running.resources["blobs"]
    monkeypatch.setattr("cheerful_pipelines.cli.people.BlobStore.from_url", lambda _url: blobs)
    archive = tmp_path / "ana.zip"

    given = CliRunner().invoke(app, ["export-person", ANA, "--client", "brand", "--to", str(archive)])
    assert given.exit_code == 0, given.output
    with zipfile.ZipFile(archive) as opened:
        assert len([name for name in opened.namelist() if name.endswith(".eml")]) == 2  # not the friend's
        assert json.loads(opened.read("recipients.json"))[0]["email"] == SPELLINGS[0]
        assert {row["label"] for row in json.loads(opened.read("verdicts.json"))} == {"interested"}

    refused = CliRunner().invoke(app, ["erase", ANA, "--client", "brand"], input="n\n")
    assert refused.exit_code == 1
    assert places_of_ana(running)
    done = CliRunner().invoke(app, ["erase", ANA, "--client", "brand", "--yes"])
    assert done.exit_code == 0, done.output
    assert "found nowhere" in done.output
    assert places_of_ana(running) == ()
    again = CliRunner().invoke(app, ["erase", ANA, "--client", "brand", "--yes"])
    assert again.exit_code == 0, again.output
    assert CliRunner().invoke(app, ["export-person", ANA, "--client", "brand", "--to", str(archive)]).exit_code == 1
    with running.database.transaction() as connection:
        asked = connection.execute(sa.text("select kind, finished_at is not null, requested_by from person_request"))
        assert sorted((row[0], row[1]) for row in asked) == [("erase", True), ("export", True)]
    assert CampaignStore(running.database).campaign("spring-brand")
