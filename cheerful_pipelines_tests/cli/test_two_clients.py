"""Two clients in one installation: no command lets one's name, alias, address, sheet, thread or slug touch the other.

The table below has every command of the tool, with what a person of client `ours` could type that names something of
client `rival`. A command that is not in the table fails a test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema import metadata
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, a_message, an_account
from cheerful_pipelines_tests.cli.commands import all_commands, run_tool
from cheerful_pipelines_tests.threads.mailroom import Mailroom

SECRETS = ("rita@rival.example", "zoe@rivalcreator.example", "Zoe Secret", "zt1")
"""What only the rival's own commands may show."""

Words = tuple[str, ...]
_ADD = ("--client", "ours", "--sheet", "ours-sheet", "--starts", "2026-10-01")

REFUSED: dict[str, list[Words]] = {
    "clients add": [("Rival",), ("rival!",), ("rival", "--user-id", "00000000-0000-0000-0000-000000000001")],
    "campaigns add": [
        ("rival-spring", "--client", "ours", "--status", "COMPLETED"),
        ("new", *_ADD, "--sender", "rita"),
        ("ours-spring", "--client", "ours", "--sender", "rita"),
        ("new", "--client", "ours", "--sheet", "rival-sheet"),
        ("new", "--client", "ours", "--sheet", "https://docs.google.com/spreadsheets/d/rival-sheet/edit#gid=0"),
        ("new", "--client", "ours", "--sheet", "https://docs.google.com/spreadsheets/u/0/d/rival-metrics/edit"),
        ("new", *_ADD, "--metrics-sheet", "rival-sheet"),
        ("new", *_ADD, "--metrics-sheet", "rival-metrics"),
        ("ours-spring", "--client", "ours", "--metrics-sheet", "rival-metrics"),
        ("ours-spring", "--client", "rival", "--status", "COMPLETED"),
        ("new", "--client", "rivall", "--sheet", "ours-sheet"),
    ],
    "accounts add": [
        ("rita", "--client", "ours", "--address", "rita@rival.example", "--local"),
        ("rita", "--client", "ours", "--address", "rita@rival.example", "--local", "--replace-address"),
        ("rita", "--client", "ours", "--address", "mia@brand.example", "--local", "--replace-address"),
        ("new", "--client", "ours", "--address", "rita@rival.example", "--local"),
        ("new", "--client", "ours", "--address", "Rita@RIVAL.example", "--local"),
        ("mia", "--client", "ours", "--address", "rita@rival.example", "--local", "--replace-address"),
        ("new", "--client", "ours", "--address", "new@brand.example", "--local", "--send-as", "rita@rival.example"),
        ("mia", "--client", "rival", "--address", "mia@brand.example", "--local"),
        ("new", "--client", "rivall", "--address", "new@brand.example", "--local"),
    ],
    "accounts connect": [
        ("rita", "--client", "ours", "--address", "rita@rival.example", "--client-secrets", "{file}"),
        ("new", "--client", "ours", "--address", "rita@rival.example", "--client-secrets", "{file}"),
        ("mia", "--client", "ours", "--address", "rita@rival.example", "--client-secrets", "{file}",
         "--replace-address"),
        ("new", "--client", "rivall", "--address", "new@brand.example", "--client-secrets", "{file}"),
    ],
    "threads show": [("ours-spring", "rita/zt1"), ("ours-spring", "mia/zt1"), ("ours-spring", "rita/t1")],
    "override": [("mia/zt1", "interested", "--reason", "x"), ("mia/zt1", "--revoke"), ("rita/t1", "--revoke")],
    "erase": [("zoe@rivalcreator.example", "--client", "rivall", "--yes"), ("rita", "--client", "ours", "--yes")],
    "export-person": [("zoe@rivalcreator.example", "--client", "rivall", "--to", "{folder}/a.zip")],
    "people mentions": [("--client", "rivall")],
    "people delete-mails": [("rita/zm1", "--client", "ours", "--yes"), ("mia/zm1", "--client", "ours", "--yes")],
    "people keep-mails": [("rita/zm1", "--client", "ours"), ("rita/zm1", "--client", "rivall")],
}  # fmt: skip
"""Commands that mix the two: each is refused in words, and changes nothing of either."""

_SPRING = [("ours-spring",)]
HARMLESS: dict[str, list[Words]] = {
    "clients list": [()], "clients add": [("third",)], "campaigns list": [()], "campaigns show": _SPRING,
    "campaigns add": [("ours-spring", "--client", "ours", "--name", "Spring")],
    "accounts list": [()], "accounts show": [("mia",)], "accounts rotate-key": [()], "accounts reparse": [("mia",)],
    "accounts add": [("mia", "--client", "ours", "--address", "mia@brand.example", "--local")],
    "recipients list": _SPRING, "recipients problems": _SPRING, "recipients preview": _SPRING,
    "threads list": _SPRING, "threads show": [("ours-spring", "mia/t1")],
    "threads changes": [("ours-spring", "--since", "2026-01-01")], "threads replay": _SPRING,
    "verdicts list": _SPRING, "verdicts review": _SPRING, "verdicts overrides": _SPRING, "verdicts estimate": _SPRING,
    "verdicts spend": [()], "verdicts evaluate": [],  # the golden set: invented mail, no client's
    "metrics show": [("ours-spring",), ("ours-spring", "--by", "sender")],
    "metrics explain": [("ours-spring", "reply_rate"), ("ours-spring", "contacted", "--by", "sender", "--key", "rita")],
    "metrics changes": [("ours-spring", "--since", "{now}")], "metrics compare": _SPRING, "metrics cohorts": _SPRING,
    "metrics definitions": [()],
    "local load": [("--mbox", "{file}", "--account", "mia"), ("--sheet", "{file}", "--campaign", "ours-spring")],
    "local deliver": [("--account", "mia", "--from", "zoe@rivalcreator.example", "--text", "Hi")],
    "local edit-sheet": [("ours-spring", "--cell", "A2", "--value", "x")],
    "local revoke": [("mia",)], "local restore": [("mia",)],
    "backfills list": [()], "backfills show": [], "backfills cancel": [], "backfill": [("ours-spring", "--estimate")],
    "override": [("mia/t1", "not interested", "--reason", "x"), ("mia/t1", "--revoke")],
    "erase": [("zoe@rivalcreator.example", "--client", "ours", "--yes"), ("ana@creator.example", "--client", "ours",
              "--yes")],
    "export-person": [("zoe@rivalcreator.example", "--client", "ours", "--to", "{folder}/b.zip")],
    "people mentions": [("--client", "ours")],
    "status": [()], "doctor": [()], "keys": [()],
}  # fmt: skip
"""Ordinary use by one client: it changes nothing of the other, and shows nothing that is the other's secret."""

SHOWS_ALL = {"accounts list"}
"""Listings of the whole installation; each names the client of each line."""


def _client(database: Database, name: str, alias: str, address: str, person: tuple[str, str], thread: str) -> None:
    blobs = BlobStore.from_url("memory:///")
    google_account = an_account(database, alias=alias, address=address, client=name)
    found = a_campaign(
        database, slug=f"{name}-spring", client=name, senders=(alias,), spreadsheet_id=f"{name}-sheet",
        metrics_spreadsheet_id=f"{name}-metrics",
    )  # fmt: skip
    room = Mailroom(database, blobs)
    room.recipients(found, person[1])
    pitch = a_message().sender(address).to(person[1]).subject("A gift").message_id(f"<{name}-1@brand.example>")
    room.receive(google_account, pitch, thread=thread)
    reply = a_message().sender(person[1]).to(address).subject("Re: A gift").text("Sounds great, count me in!")
    reply = reply.message_id(f"<{name}-2@creator.example>").replying_to(f"<{name}-1@brand.example>").days_later(1)
    room.receive(google_account, reply, thread=thread)
    process_campaign(ThreadStore(database), blobs, found.slug)
    classify_pending(VerdictStore(database), LocalClassifier(), found.id, run_id=None)
    count_campaign(database, found.slug)


@pytest.fixture
def two_clients(installation: None, google: LocalGoogleAdmin, database: Database, tmp_path: Path) -> Database:
    """Clients `ours` and `rival` with a mailbox, a campaign, a person and a thread each."""
    for name in ("ours", "rival"):
        google.put_sheet(f"{name}-sheet", title=name, tabs={"People": [["Name", "Email"], ["X", f"x@{name}.example"]]})
        google.put_sheet(f"{name}-metrics", title=name, tabs={"Notes": [["n"]]})
    for address in ("mia@brand.example", "rita@rival.example", "new@brand.example"):
        google.add_mailbox(address)
    _client(database, "ours", "mia", "mia@brand.example", ("Ana", "ana@creator.example"), "t1")
    _client(database, "rival", "rita", "rita@rival.example", ("Zoe Secret", "zoe@rivalcreator.example"), "zt1")
    (tmp_path / "file").write_text(json.dumps({"installed": {"client_id": "x", "client_secret": "none"}}))
    return database


def rows_of(database: Database, client: str) -> dict[str, list[Any]]:
    """Everything of a client that the database holds, table by table."""
    user_id = CampaignStore(database).client(client).user_id
    scoped = Database(database.engine.url.render_as_string(hide_password=False)).for_client(user_id)
    found = {}
    with scoped.transaction() as connection:
        for table in metadata.sorted_tables:
            if table.schema is None:
                rows = connection.execute(sa.select(table)).mappings()
                found[table.name] = sorted(json.dumps(dict(row), default=str, sort_keys=True) for row in rows)
    scoped.close()
    return found


def _filled(words: Words, folder: Path) -> Words:
    now = "2126-01-01"
    return tuple(one.format(file=folder / "file", folder=folder, now=now) for one in words)


def test_every_command_is_in_the_table() -> None:
    assert all_commands().keys() - (REFUSED.keys() | HARMLESS.keys()) == set()
    assert (REFUSED.keys() | HARMLESS.keys()) - all_commands().keys() == set()


def test_no_command_that_names_the_other_client_changes_anything(two_clients: Database, tmp_path: Path) -> None:
    before = {name: rows_of(two_clients, name) for name in ("ours", "rival")}
    tried = 0
    for command, attempts in REFUSED.items():
        for words in attempts:
            ran = run_tool(*command.split(), *_filled(words, tmp_path))
            tried += 1
            assert ran.code != 0, (command, words, ran.output)
            assert "Traceback" not in ran.output
            assert ran.output.startswith("cheerful: "), (command, words, ran.output)
            assert {name: rows_of(two_clients, name) for name in before} == before, (command, words)
    assert [one.slug for one in CampaignStore(two_clients).clients()] == ["ours", "rival"]
    assert tried >= 30


def test_no_ordinary_command_of_one_client_touches_or_shows_the_other(
    two_clients: Database, google: LocalGoogleAdmin, tmp_path: Path
) -> None:
    before = rows_of(two_clients, "rival")
    sheets = [google.sheet_values("rival-sheet", "People"), google.sheet_values("rival-metrics", "Notes")]
    for command, attempts in HARMLESS.items():
        for words in attempts:
            ran = run_tool(*command.split(), *_filled(words, tmp_path))
            assert "Traceback" not in ran.output, (command, ran.output)
            typed = " ".join(words)
            shown = [one for one in SECRETS if one in ran.output and one not in typed]
            assert command in SHOWS_ALL or shown == [], (command, words, ran.output)
            after = rows_of(two_clients, "rival")
            changed = [name for name in before if after[name] != before[name]]
            assert command == "accounts rotate-key" or changed == [], (command, words, changed)
    assert [google.sheet_values("rival-sheet", "People"), google.sheet_values("rival-metrics", "Notes")] == sheets
    assert [one.slug for one in CampaignStore(two_clients).clients()] == ["ours", "rival", "third"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("campaigns", "add", "new", "--client", "rivall", "--sheet", "ours-sheet"), "Known clients: ours, rival."),
        (REFUSED["accounts add"][3], "one mailbox serves one client"),
        (REFUSED["accounts add"][0], "belongs to another client"),
        (REFUSED["campaigns add"][3], "belongs to a campaign of another client"),
        (("mia", "--client", "ours", "--address", "new@brand.example", "--local"), "--replace-address"),
        (("mia2", "--client", "ours", "--address", "mia@brand.example", "--local"), "connected already, as account"),
    ],
)
def test_a_refusal_says_what_to_do(two_clients: Database, words: Words, said: str) -> None:
    command = words if words[0] in ("campaigns", "accounts") else None
    if command is None:
        command = (("campaigns" if words in REFUSED["campaigns add"] else "accounts"), "add", *words)

    assert said in run_tool(*command).output


def test_every_listing_names_the_client(two_clients: Database) -> None:
    listings = ("campaigns list", "accounts list", "clients list", "status")
    of_one = ("verdicts list", "verdicts review", "verdicts overrides", "threads list", "recipients list",
              "metrics show", "metrics cohorts")  # fmt: skip
    for command in (*listings, *(f"{one} ours-spring" for one in of_one)):
        assert " ours" in run_tool(*command.split()).output.replace("\n", " "), command
