"""The main job end to end: sheet row in, number out, over real HTTP, on real mail too; twice equals once."""

import json
from collections import Counter
from email.utils import parseaddr
from pathlib import Path

import pytest

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline

THREAD_SETS = (
    "notmuch-default", "notmuch-threading", "notmuch-duplicate", "notmuch-broken", "spamassassin-ilug",
    "spamassassin-freshrpms", "spamassassin-ilug-social", "spamassassin-iiu", "spamassassin-webdev",
    "apache-asterix-dev-201709-mailarchivesao", "apache-httpd-users-2020-07", "apache-httpd-users-2020-07.asf",
    "apache-httpd-users-200606-part",
)  # fmt: skip


def test_one_row_one_mail_one_reply_one_number(
    pipeline: Pipeline,
    google: LocalGoogleAdmin,
    database: Database,
) -> None:
    """The smallest campaign there is, from the sheet to the number and back into a sheet; then all of it again."""
    google.add_mailbox("mia@brand.example")
    google.put_sheet("in", title="Creators", tabs={"Creators": [["Name", "Email"], ["Ana", "ana@creator.example"]]})
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    an_account(database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(database, spreadsheet_id="in", metrics_spreadsheet_id="out")
    pitch = a_message().sender("mia@brand.example").to("ana@creator.example").message_id("<p1@brand.example>")
    reply = a_message().message_id("<r1@creator.example>").replying_to("<p1@brand.example>").days_later(1)
    google.deliver("mia@brand.example", pitch.bytes(), label_ids=("SENT",), internal_date=START)
    google.deliver("mia@brand.example", reply.text("Yes, I would love to join!").bytes(), internal_date=reply.at_)

    pipeline.sync_everything()

    numbers = pipeline.metrics("spring")
    assert numbers["contacted"] == 1
    assert numbers["delivered"] == 1
    assert numbers["replied"] == 1
    assert numbers["positive"] == 1
    assert numbers["reply_rate"] == 1.0
    assert {"Summary", "Daily", "Senders", "Threads", "About", "Notes"} <= set(google.tabs("out"))

    before = {table: pipeline.count(table) for table in ("gmail_message", "gmail_thread_state", "thread_verdict")}
    pipeline.sync_everything()

    assert {table: pipeline.count(table) for table in before} == before
    assert pipeline.metadata("gmail_messages", "mia")["inserted"] == 0
    assert pipeline.metadata("email_threads", "spring")["states_inserted"] == 0
    assert pipeline.metadata("metrics_sheet", "spring")["cells_written"] == 0


def test_a_client_corrects_a_label_in_the_sheet_and_it_counts_survives_and_can_be_taken_back(
    pipeline: Pipeline,
    google: LocalGoogleAdmin,
    database: Database,
) -> None:
    """The column Override: read with each import, above every verdict, untouched by exports."""
    google.add_mailbox("mia@brand.example")
    google.put_sheet("in", title="Creators", tabs={"Creators": [["Name", "Email"], ["Ana", "ana@creator.example"]]})
    google.put_sheet("out", title="Numbers", tabs={"Notes": [["ours"]]})
    an_account(database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(database, spreadsheet_id="in", metrics_spreadsheet_id="out")
    pitch = a_message().sender("mia@brand.example").to("ana@creator.example").message_id("<p1@brand.example>")
    reply = a_message().message_id("<r1@creator.example>").replying_to("<p1@brand.example>").days_later(1)
    google.deliver("mia@brand.example", pitch.bytes(), label_ids=("SENT",), internal_date=START)
    google.deliver("mia@brand.example", reply.text("Yes, I would love to join!").bytes(), internal_date=reply.at_)
    pipeline.sync_everything()
    sheets = pipeline.resources["sheets"]
    header = sheets.read_ranges("out", ["Threads"], dates_as_numbers=True)[0][0]
    column = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[header.index("Override")]
    assert header[header.index("Override") + 1] == "Override reason"

    sheets.update_values("out", [(f"Threads!{column}2", [["Not interested"]])])
    pipeline.sync_everything()

    assert pipeline.metadata("sheet_overrides", "spring")["overrides"] == "1 set, 0 taken back."
    assert pipeline.metrics("spring")["positive"] == 0
    row = sheets.read_ranges("out", ["Threads"], dates_as_numbers=True)[0][1]
    assert row[header.index("Override")] == "Not interested"
    assert row[header.index("Status")] == "not interested"
    pipeline.sync_everything()
    assert pipeline.metadata("sheet_overrides", "spring")["overrides"] == "0 set, 0 taken back."
    assert pipeline.metadata("metrics_sheet", "spring")["cells_written"] == 0

    sheets.update_values("out", [(f"Threads!{column}2", [["hm, perhaps"]])])
    pipeline.run("sheet_overrides", "spring")
    said = pipeline.metadata("sheet_overrides", "spring")["overrides"]
    assert "Row 2: not a label" in said
    assert "perhaps" not in said
    assert pipeline.metrics("spring")["positive"] == 0

    sheets.update_values("out", [(f"Threads!{column}2", [[""]])])
    pipeline.sync_everything()
    assert pipeline.metrics("spring")["positive"] == 1


@pytest.mark.real_mail
@pytest.mark.parametrize("name", THREAD_SETS)
def test_real_mail_goes_through_the_whole_job_and_a_second_run_adds_nothing(
    pipeline: Pipeline,
    google: LocalGoogleAdmin,
    database: Database,
    shared_data: Path,
    name: str,
) -> None:
    """A real list as a mailbox: its busiest writer is the sender account, everybody else a recipient."""
    folder = shared_data / "threads"
    expected = json.loads((folder / f"{name}.expected.json").read_text())["messages"]
    mail = folder / f"{name}.mbox"
    google.add_mailbox("desk@cheerful.example")
    delivered = google.load_mbox("desk@cheerful.example", mail if mail.exists() else folder / name)
    assert delivered == len(expected)

    account = an_account(
        database, alias="desk", address="desk@cheerful.example",
        credentials_json=google.credentials_json("desk@cheerful.example"),
    )  # fmt: skip
    google.put_sheet("list", title="List", tabs={"List": [["Email"]]})
    a_campaign(database, slug="list", senders=("desk",), spreadsheet_id="list", starts_at=START.replace(year=1995))
    pipeline.run("gmail_messages", "desk")
    assert pipeline.count("gmail_message") == len(expected)
    assert pipeline.count("dead_letter") == 0

    writers = _writers(database)
    google.put_sheet("list", title="List", tabs={"List": [["Email"], *[[writer] for writer in writers]]})
    pipeline.sync_everything()
    pipeline.sync_everything()

    assert pipeline.metadata("gmail_messages", "desk")["inserted"] == 0
    assert pipeline.metadata("email_threads", "list")["states_inserted"] == 0
    threads = Counter(_threads_with_mail_from(database, {address_key(writer) for writer in writers}))
    assert pipeline.count("gmail_thread_state where is_latest") == len(threads)
    assert account.alias == "desk"


def _writers(database: Database) -> list[str]:
    from sqlalchemy import text

    with database.transaction() as connection:
        rows = connection.execute(
            text("select distinct from_address from gmail_message where from_address is not null")
        )
        return sorted(address for (found,) in rows if "@" in (address := parseaddr(found)[1] or found))


def _threads_with_mail_from(database: Database, keys: set[str]) -> list[str]:
    from sqlalchemy import text

    with database.transaction() as connection:
        rows = connection.execute(
            text(
                "select distinct gmail_thread_id from gmail_message g where exists (select 1 from campaign_recipient r "
                "where r.email_key = g.from_key or r.email_key = any(g.to_keys))"
            )
        )
        return [row[0] for row in rows if keys]
