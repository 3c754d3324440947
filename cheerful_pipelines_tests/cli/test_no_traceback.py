"""Whatever is typed, and whatever is away: a sentence and an exit code, never a traceback, never an escape sequence."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from cheerful_pipelines.cli import entry
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.cli.commands import Command, all_commands, run_tool

BAD_TEXTS = (
    "none",
    "a@b.example",
    "\x1b[31m\n|`![](http://x.example)",
    "../../etc/passwd",
    "-1",
    "",
    "\udcff",
    "x" * 5000,
    "9" * 22,
    "3000000000",
    "0001-01",
    "9999-12-31",
    "a@b.example\nBcc: c@d.example",
)
SLOW = {"verdicts evaluate"}
"""Runs the whole golden set, and takes nothing but a flag."""


def _calls(command: Command, text: str, file: Path) -> Iterator[list[str]]:
    """The command with every required parameter bad, then with each optional one bad besides."""
    required = [one for one in command.parameters if one.required]
    base: list[str] = []
    for one in required:
        value = str(file) if one.is_path else text
        base += [value] if one.option is None else [f"{one.option}={value}"]
    if any(word.startswith("-") and not word.startswith("--") for word in base):
        base = [word for word in base if word.startswith("--")] + ["--", *[w for w in base if not w.startswith("--")]]
    yield base
    for one in command.parameters:
        if not one.required and one.option is not None and not one.is_flag:
            yield [f"{one.option}={file if one.is_path else text}", *base]


def _require_a_sentence(command: str, words: list[str], *, may_succeed: bool) -> None:
    ran = run_tool(*command.split(), *words)
    assert "Traceback" not in ran.output, (command, words, ran.output)
    assert "nobody expected" not in ran.output, (command, words, ran.output)
    assert "\x1b" not in ran.output.replace(BAD_TEXTS[2], ""), (command, words)
    assert may_succeed or ran.code != 0, (command, words, ran.output)


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe" * 20)
    return file


def test_no_argument_of_any_command_makes_a_traceback(
    installation: None, google: LocalGoogleAdmin, database: Database, binary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(binary.parent)
    google.add_mailbox("mia@brand.example")
    an_account(database), a_campaign(database)
    tried = 0
    for name, command in all_commands().items():
        if name not in SLOW:
            for text in BAD_TEXTS:
                for words in _calls(command, text, binary):
                    _require_a_sentence(name, words, may_succeed=True)
                    tried += 1
    assert tried > 500


@pytest.mark.parametrize("away", ["database", "database name", "settings", "tables", "google"])
def test_what_is_away_is_a_sentence_in_every_command(
    installation: None, google: LocalGoogleAdmin, database: Database, owner: Database, binary: Path, away: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    an_account(database), a_campaign(database)
    url = os.environ["CHEERFUL_DATABASE_URL"]
    if away == "database":
        monkeypatch.setenv("CHEERFUL_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/x")
    if away == "database name":
        monkeypatch.setenv("CHEERFUL_DATABASE_URL", "not a url hunter2")
    if away == "settings":
        monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "hunter2")
    if away == "tables":
        monkeypatch.setenv("CHEERFUL_DATABASE_URL", url.replace(database.engine.url.database or "", "postgres"))
    if away == "google":
        monkeypatch.setenv("CHEERFUL_LOCAL_GOOGLE_URL", "http://127.0.0.1:1")
    load_settings.cache_clear()
    good = {"slug": "spring", "campaign": "spring", "account": "mia", "alias": "mia"}
    for name, command in all_commands().items():
        if name in SLOW or (away == "google" and name in ("recipients preview", "campaigns add", "doctor")):
            continue  # these four times retry, tested once below
        words = next(_calls(command, good.get("slug", "spring"), binary))
        _require_a_sentence(name, words, may_succeed=True)
        assert "hunter2" not in run_tool(*name.split(), *words).output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("local", "load", "--sheet", "{file}", "--campaign", "spring"), "is not a CSV file in UTF-8"),
        (("erase", "notanaddress", "--client", "brand", "--yes"), "'notanaddress' is not an e-mail address"),
        (("export-person", "a@", "--client", "brand", "--to", "x.zip"), "is not an e-mail address"),
        (("accounts", "add", "x", "--client", "brand", "--address", "x@brand.example", "--credentials-file", "{file}"),
         "is not a credentials file"),
        (("accounts", "add", "other", "--client", "brand", "--address", "mia@brand.example", "--local"),
         "is connected already, as account 'mia'"),
        (("accounts", "connect", "x", "--client", "brand", "--address", "x@brand.example", "--client-secrets",
          "{file}"), "OAuth client file"),
    ],
)  # fmt: skip
def test_what_was_seen_to_print_a_traceback_is_a_sentence(
    installation: None, google: LocalGoogleAdmin, database: Database, binary: Path, words: tuple[str, ...], said: str
) -> None:
    an_account(database), a_campaign(database)

    ran = run_tool(*(one.format(file=binary) for one in words))

    assert ran.code == 1
    assert "cheerful: " in ran.output
    assert said in ran.output
    assert "Traceback" not in ran.output


def test_credentials_without_their_fields_are_refused_by_name(
    installation: None, google: LocalGoogleAdmin, database: Database, tmp_path: Path
) -> None:
    an_account(database)
    bad = {"[1]": "not a credentials", '{"type": ["x"]}': "not a credentials", "{": "not a credentials"}
    fields = '"type": "authorized_user", "refresh_token": "r", "client_id": "c", "client_secret": "s"'
    bad["[" * 100_000] = "not a credentials"
    bad["{" + fields + ', "scopes": ["a", {}]}'] = "something else than text in scopes"
    bad["{" + fields + ', "token_uri": 5}'] = "something else than text in token_uri"
    bad["{" + fields + ', "expiry": "tomorrow"}'] = "cheerful: "
    bad['{"type": "authorized_user"}'] = "has no refresh_token, client_id, client_secret"
    for text, said in bad.items():
        (tmp_path / "c.json").write_text(text)
        ran = run_tool("accounts", "add", "x", "--client", "brand", "--address", "x@brand.example",
                       "--credentials-file", str(tmp_path / "c.json"))  # fmt: skip
        assert (ran.code, said in ran.output, "Traceback" in ran.output) == (1, True, False), ran.output


def test_an_error_that_nobody_expected_is_a_line_and_a_file(
    installation: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken() -> None:
        raise KeyError("ana@creator.example")

    monkeypatch.setattr("cheerful_pipelines.cli.clients.campaign_store", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    ran, debugged = run_tool("clients", "list"), run_tool("clients", "list", "--debug")

    assert ran.code == entry.EXIT_BUG
    assert "nobody expected (KeyError)" in ran.output
    assert "Traceback" not in ran.output
    assert "ana@creator.example" not in ran.output
    assert "Traceback" in debugged.output
    kept = sorted(tmp_path.glob("cheerful-*.log"))
    assert all(file.stat().st_mode & 0o077 == 0 for file in kept)
    assert "KeyError" in kept[0].read_text()


def test_escape_sequences_from_data_do_not_reach_the_terminal(
    installation: None, google: LocalGoogleAdmin, database: Database
) -> None:
    an_account(database)
    rows = [["Name", "Email"], ["\x1b]0;owned\x07\u202eAna", "bo@"]]
    google.put_sheet("sheet-spring", title="In", tabs={"P\x1b[2Jeople": rows})
    a_campaign(database)

    shown = run_tool("recipients", "preview", "spring").output + run_tool("campaigns", "add", "spring", "--client",
                                                                          "brand", "--tab", "None").output  # fmt: skip

    assert "no tab 'None'" in shown
    assert not set(shown) & set("\x1b\x07\u202e")


@pytest.mark.parametrize("url", ["hunter2", "s3://k:hunter2@", "gopher://hunter2"])
def test_a_blob_url_that_cannot_be_read_is_named_and_not_shown(
    installation: None, database: Database, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    an_account(database)
    monkeypatch.setenv("CHEERFUL_BLOB_URL", url)
    load_settings.cache_clear()

    ran = run_tool("accounts", "reparse", "mia")

    assert (ran.code, "CHEERFUL_BLOB_URL" in ran.output, "hunter2" in ran.output) == (1, True, False)


def test_a_message_of_ours_is_one_line() -> None:
    assert str(CheerfulError("a\nlevel=error b\x1b[2J", what_to_do="c")) == "a level=error b\ufffd[2J c"


def test_a_reader_that_has_seen_enough_is_no_error(installation: None, database: Database) -> None:
    done = subprocess.run(
        f"{sys.executable} -m cheerful_pipelines.cli metrics definitions | head -n 1", shell=True, capture_output=True,
        text=True,
    )  # fmt: skip

    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("home", [None, "relative/folder"])
def test_without_the_home_of_dagster_a_command_says_how_to_set_it(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    if home is not None:
        monkeypatch.setenv("DAGSTER_HOME", home)

    with pytest.raises(CheerfulError, match="DAGSTER_HOME is not set, or is not the folder"), entry.expected_errors():
        dg.DagsterInstance.get()
