"""The command-line tool as a person uses it: real Postgres, real local server, words instead of tracebacks."""

import json
import os
import secrets
import subprocess
import sys
import threading
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.cli import app
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.recipients.import_plan import plan_import
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


@pytest.fixture(autouse=True)
def _installation(google_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment that `dev.sh env` would export."""
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path))
    monkeypatch.setenv("CHEERFUL_DATABASE_URL", database_url)
    monkeypatch.setenv("CHEERFUL_LOCAL_GOOGLE_URL", google_url)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ab" * 32)
    monkeypatch.setenv("CHEERFUL_ADDRESS_HASH_KEY", "cd" * 16)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    load_settings.cache_clear()


def cheerful(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def registered(google: LocalGoogleAdmin) -> None:
    """One account and one campaign, made by the tool itself."""
    google.put_sheet("in", title="In", tabs={"People": [["Name", "Email"], ["Ana", "ana@creator.example"]]})
    assert cheerful("clients", "add", "brand").exit_code == 0
    assert (
        cheerful("accounts", "add", "mia", "--client", "brand", "--address", "mia@brand.example", "--local").exit_code
        == 0
    )
    added = cheerful(
        "campaigns", "add", "spring", "--client", "brand", "--sender", "mia", "--starts", "2026-10-01",
        "--sheet", "https://docs.google.com/spreadsheets/d/in/edit#gid=0",
    )  # fmt: skip
    assert added.exit_code == 0, added.output


def test_what_is_added_is_listed_and_shown(google: LocalGoogleAdmin) -> None:
    registered(google)

    assert "spring" in cheerful("campaigns", "list").stdout
    assert "mia@brand.example" in cheerful("accounts", "list").stdout
    assert "2026-10-01" in cheerful("campaigns", "show", "spring").stdout
    assert "live_history_id" in cheerful("accounts", "show", "mia").stdout


def test_adding_twice_changes_nothing(google: LocalGoogleAdmin, database: Database) -> None:
    registered(google)
    registered(google)

    assert len(CampaignStore(database).campaigns()) == len(CampaignStore(database).accounts()) == 1


def test_a_change_keeps_what_it_does_not_name(google: LocalGoogleAdmin, database: Database) -> None:
    """Correcting a sheet's tab must not put the campaign's start to today."""
    registered(google)
    before = CampaignStore(database).campaign("spring")

    changed = cheerful(
        "campaigns", "add", "spring", "--client", "brand", "--range", "A1:F", "--header-row", "3", "--problems-tab",
        "--map", "email=Contact,Mail", "--map", "city=Town",
    )  # fmt: skip
    after = CampaignStore(database).campaign("spring")

    assert changed.exit_code == 0, changed.output
    new = {"sheet_range": "A1:F", "header_row": 3, "writes_problems_tab": True}
    mapping = {"email": ("Contact", "Mail"), "city": ("Town",)}
    assert after == before.model_copy(update={**new, "column_mapping": mapping})
    assert before.sheet_gid == 0
    assert "email: Contact or Mail" in cheerful("campaigns", "show", "spring").stdout

    cheerful(
        "campaigns", "add", "spring", "--client", "brand", "--range", "", "--header-row", "0", "--no-problems-tab",
        "--map", "",
    )  # fmt: skip
    assert CampaignStore(database).campaign("spring") == before


def test_a_campaign_of_one_client_cannot_be_changed_as_anothers(google: LocalGoogleAdmin, database: Database) -> None:
    registered(google)

    refused = cheerful("campaigns", "add", "spring", "--client", "rival", "--status", "COMPLETED")

    assert "another client" in str(refused.exception)
    assert CampaignStore(database).campaign("spring").status == "ACTIVE"


def test_recipients_are_previewed_listed_and_their_problems_told(google: LocalGoogleAdmin, database: Database) -> None:
    registered(google)
    rows = [["Name", "Email"], ["Ana", "ana@creator.example"], ["Bo", "bo@"]]
    google.put_sheet("in", title="In", tabs={"People": rows})

    preview = cheerful("recipients", "preview", "spring")
    empty = cheerful("recipients", "list", "spring")
    store, sheets = RecipientStore(database), SheetsClient.from_settings(load_settings())
    campaign = CampaignStore(database).campaign("spring")
    plan = plan_import(sheets, store, campaign, share=0.2, hash_key=None)
    store.apply(campaign, plan.diff, plan.problems, expected_revision=0, record=plan.record("run"))

    assert "| added | 2 | new |" in preview.stdout, preview.output
    assert "0 recipients" in empty.stdout
    assert "ana@creator.example" in cheerful("recipients", "list", "spring").stdout
    assert "0 recipients as of 2026-01-01" in cheerful("recipients", "list", "spring", "--as-of", "2026-01-01").stdout
    assert "B3" in cheerful("recipients", "problems", "spring").stdout


def test_a_mail_is_delivered_and_a_mailbox_loaded(google: LocalGoogleAdmin, tmp_path: Path) -> None:
    registered(google)
    (tmp_path / "mail.mbox").write_bytes(
        b"From a Mon Jan  1 00:00:00 2026\n" + a_message().bytes().replace(b"\r\n", b"\n")
    )

    delivered = cheerful("local", "deliver", "--account", "mia", "--from", "ana@creator.example", "--text", "Yes!")
    loaded = cheerful("local", "load", "--mbox", str(tmp_path / "mail.mbox"), "--account", "mia")

    assert delivered.exit_code == 0, delivered.output
    assert "1 messages" in loaded.stdout
    assert google.health()["messages"] == 2


def test_a_sheet_is_loaded_edited_and_appended_to(google: LocalGoogleAdmin, tmp_path: Path) -> None:
    registered(google)
    (tmp_path / "people.csv").write_text("Name,Email\nBo,bo@creator.example\n")

    assert cheerful("local", "load", "--sheet", str(tmp_path / "people.csv"), "--campaign", "spring").exit_code == 0
    assert cheerful("local", "edit-sheet", "spring", "--cell", "A2", "--value", "Bob").exit_code == 0
    assert cheerful("local", "edit-sheet", "spring", "--append", '"Cy, Jr",cy@creator.example').exit_code == 0

    assert google.sheet_values("in", "Recipients")[1:] == [
        ["Bob", "bo@creator.example"],
        ["Cy, Jr", "cy@creator.example"],
    ]


def test_doctor_says_ok_to_all_and_names_what_is_broken(google: LocalGoogleAdmin) -> None:
    registered(google)
    healthy = cheerful("doctor")
    google.revoke_token("mia@brand.example")
    broken = cheerful("doctor")

    assert (healthy.exit_code, broken.exit_code) == (0, 1), healthy.output
    assert "FAIL" not in healthy.stdout
    (line,) = [line for line in broken.stdout.splitlines() if line.startswith("FAIL")]
    assert line.startswith("FAIL  Gmail of mia:")
    assert "cheerful accounts add" in line


def test_the_doctor_of_production_asks_how_clients_of_the_web_ui_are_told_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    public = {"ENVIRONMENT": "production", "MODE": "live", "WEB_URL": "https://cheerful.example"}
    public |= {"CREDENTIALS_KEY": secrets.token_hex(32), "ADDRESS_HASH_KEY": secrets.token_hex(16)}
    for name, value in public.items():
        monkeypatch.setenv(f"CHEERFUL_{name}", value)

    def line() -> str:
        load_settings.cache_clear()
        return next(line for line in cheerful("doctor").stdout.splitlines() if "web UI's clients" in line)

    assert line().startswith("FAIL  addresses of the web UI's clients: CHEERFUL_CLIENT_ADDRESS_HEADER is not set")
    monkeypatch.setenv("CHEERFUL_CLIENT_ADDRESS_HEADER", "none")
    assert line() == "ok    addresses of the web UI's clients: of the connection itself"
    monkeypatch.setenv("CHEERFUL_CLIENT_ADDRESS_HEADER", "Fly-Client-IP")
    monkeypatch.setenv("CHEERFUL_TRUSTED_PROXIES", "172.16.0.0/12")
    assert line() == "ok    addresses of the web UI's clients: Fly-Client-IP, from trusted proxies only"


def test_what_a_person_repairs_is_tried_at_once_and_its_failure_kept(
    google: LocalGoogleAdmin, database: Database
) -> None:
    registered(google)
    store, now = WorkFailureStore(database), datetime.now(UTC)
    for unit in ("mailbox:mia", "archive:mia", "mailbox:other"):
        store.record(unit, "auth", at=now, run_id="r1", watermark="7")
    for unit in ("sheet:spring", "campaign:spring", "sheet:other"):
        store.record(unit, "permanent", at=now, run_id="r1", watermark="7")
    again = ("accounts", "add", "mia", "--client", "brand", "--address", "mia@brand.example", "--local")
    assert cheerful(*again).exit_code == 0
    assert cheerful("campaigns", "add", "spring", "--client", "brand", "--header-row", "1").exit_code == 0

    found = store.failures()
    due = sorted(unit for unit, one in found.items() if one.next_try_at < now + timedelta(minutes=30))
    assert due == ["archive:mia", "campaign:spring", "mailbox:mia", "sheet:spring"]
    assert {one.run_id for one in found.values()} == {"r1"}
    assert len(found) == 6


def test_revoke_and_restore_are_undone_by_each_other(google: LocalGoogleAdmin, database: Database) -> None:
    registered(google)
    store = CampaignStore(database)
    store.set_account_status(store.account("mia").id, status="needs_reauth", reason="invalid_grant")

    assert cheerful("local", "revoke", "mia").exit_code == 0
    assert cheerful("local", "restore", "mia").exit_code == 0

    assert store.account("mia").status == "active"
    assert cheerful("doctor").exit_code == 0


def test_status_shows_every_account_and_campaign(google: LocalGoogleAdmin) -> None:
    registered(google)

    shown = cheerful("status")

    assert shown.exit_code == 0, shown.output
    assert "mia" in shown.stdout
    assert "spring" in shown.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("campaigns", "show", "none"), "There is no campaign 'none'"),
        (("accounts", "show", "none"), "There is no Gmail account 'none'"),
        (("campaigns", "add", "Not A Slug", "--client", "b", "--sheet", "x"), "cannot be a partition key"),
        (("campaigns", "add", "x", "--client", "b", "--sheet", "x", "--starts", "soon"), "YYYY-MM-DD"),
        (("campaigns", "add", "x", "--client", "b", "--sheet", "x", "--type", "RAFFLE"), "PAID_PROMOTION"),
        (("accounts", "add", "a@b.example", "--client", "b", "--address", "a@b.example", "--local"), "without @"),
        (("accounts", "add", "mia", "--client", "b", "--address", "a@b.example"), "--credentials-file"),
        (("local", "load",), "Name --mbox"),
        (("campaigns", "add", "x", "--client", "b"), "--sheet URL"),
        (("campaigns", "add", "x", "--client", "b", "--sheet", "x", "--map", "email"), "--map email=Contact,Mail"),
        (("campaigns", "add", "x", "--client", "b", "--sheet", "x", "--time-zone", "Moon"), "Europe/Lisbon"),
        (("recipients", "list", "none"), "There is no campaign 'none'"),
    ],
)  # fmt: skip
def test_bad_input_is_a_sentence(words: tuple[str, ...], said: str) -> None:
    result = cheerful(*words)

    assert isinstance(result.exception, CheerfulError)
    assert said in str(result.exception)


def test_the_installed_script_prints_one_line_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cheerful_pipelines.cli", "campaigns", "show", "none"], capture_output=True, text=True
    )

    assert done.returncode == 1
    assert done.stderr.startswith("cheerful: There is no campaign 'none'")
    assert "Traceback" not in done.stderr


def test_what_a_command_writes_is_its_users_only_whatever_the_shells_umask(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = ["bash", "-c", 'umask 022 && exec "$@"', "-", sys.executable, "-m", "cheerful_pipelines.cli", "keys"]
    done = subprocess.run(command, env={**os.environ, "CHEERFUL_HOME": str(home)}, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    written = [home, *home.rglob("*")]
    assert len(written) > 2
    assert [path.name for path in written if path.stat().st_mode & 0o077] == []


def test_a_wrong_key_is_said_without_showing_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "abcdef")
    done = subprocess.run([sys.executable, "-m", "cheerful_pipelines.cli", "doctor"], capture_output=True, text=True)

    assert done.returncode == 1
    assert "exactly 64 hexadecimal characters, this one has 6" in done.stdout
    assert "abcdef" not in done.stdout + done.stderr


def test_credentials_that_do_not_prove_themselves_leave_nothing_behind(
    google: LocalGoogleAdmin, database: Database, tmp_path: Path
) -> None:
    google.add_mailbox("mia@brand.example")
    google.add_mailbox("theo@brand.example")
    (tmp_path / "theo.json").write_text(google.credentials_json("theo@brand.example"))
    (tmp_path / "mia.json").write_text(google.credentials_json("mia@brand.example"))
    google.revoke_token("mia@brand.example")
    cheerful("clients", "add", "brand")

    for file, said in (("theo.json", "another mailbox"), ("mia.json", "invalid_grant")):
        result = cheerful(
            "accounts", "add", "mia", "--client", "brand", "--address", "mia@brand.example",
            "--credentials-file", str(tmp_path / file),
        )  # fmt: skip
        assert isinstance(result.exception, CheerfulError), result.output
        assert said in str(result.exception)

    assert CampaignStore(database).accounts() == []


def _desktop_client(google: LocalGoogleAdmin, tmp_path: Path) -> Path:
    client = {
        "client_id": "desktop.apps.example", "client_secret": "none", "token_uri": f"{google.url}/token",
        "auth_uri": f"{google.url}/o/oauth2/auth", "redirect_uris": ["http://localhost"],
    }  # fmt: skip
    path = tmp_path / "client.json"
    path.write_text(json.dumps({"installed": client}))
    return path


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> None:
    """A person whose browser follows every redirect, against a server without TLS."""
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")

    class Browser:
        def open(self, url: str, **_options: object) -> bool:
            threading.Thread(target=lambda: urllib.request.urlopen(url).read(), daemon=True).start()
            return True

    monkeypatch.setattr("webbrowser.get", lambda _name=None: Browser())


def _connect(client: Path, address: str = "mia@brand.example") -> Result:
    cheerful("clients", "add", "brand")
    return cheerful(
        "accounts", "connect", "mia", "--client", "brand", "--address", address, "--client-secrets", str(client)
    )


def test_a_mailbox_is_connected_in_the_browser_and_stores_no_more_than_its_campaigns_need(
    google: LocalGoogleAdmin, database: Database, tmp_path: Path, browser: None
) -> None:
    google.add_mailbox("mia@brand.example")

    connected = _connect(_desktop_client(google, tmp_path))

    account = CampaignStore(database).account("mia")
    assert connected.exit_code == 0, connected.output
    assert "scope campaign" in connected.stdout
    assert (account.status, account.scope) == ("active", "campaign")
    assert GmailClients(load_settings(), database).client(account).profile().address == "mia@brand.example"


def test_a_box_left_unticked_and_a_refusal_are_told_and_nothing_is_stored(
    google: LocalGoogleAdmin, database: Database, tmp_path: Path, browser: None
) -> None:
    google.add_mailbox("mia@brand.example")
    google.grant_only("mia@brand.example", "https://www.googleapis.com/auth/userinfo.email")
    unticked = _connect(_desktop_client(google, tmp_path))
    refused = _connect(_desktop_client(google, tmp_path), "nobody@brand.example")

    assert "gmail.readonly was not granted" in str(unticked.exception)
    assert "access_denied" in str(refused.exception)
    assert CampaignStore(database).accounts() == []


def test_the_key_is_rotated_without_a_moment_in_which_credentials_cannot_be_opened(
    google: LocalGoogleAdmin, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(google)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ef" * 32)
    load_settings.cache_clear()
    lost = cheerful("accounts", "rotate-key")
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY_PREVIOUS", "ab" * 32)
    load_settings.cache_clear()
    account = CampaignStore(database).account("mia")
    before = GmailClients(load_settings(), database).client(account).profile()
    rotated = cheerful("accounts", "rotate-key")
    monkeypatch.delenv("CHEERFUL_CREDENTIALS_KEY_PREVIOUS")
    load_settings.cache_clear()
    after = GmailClients(load_settings(), database).client(account).profile()

    assert "CHEERFUL_CREDENTIALS_KEY_PREVIOUS" in str(lost.exception)
    assert "1 accounts are sealed with key" in rotated.stdout
    assert before == after


def test_a_scope_is_kept_unless_it_is_named_and_a_wider_one_reads_the_months_again(
    google: LocalGoogleAdmin, database: Database
) -> None:
    def add(*more: str) -> str:
        cheerful("clients", "add", "brand")
        words = ("accounts", "add", "mia", "--client", "brand", "--address", "mia@brand.example", "--local", *more)
        assert cheerful(*words).exit_code == 0
        return CampaignStore(database).account("mia").scope

    scopes = [add(), add()]
    with database.transaction() as connection:
        connection.execute(
            sa.text("insert into passed_over_message select id, 'm', 't' from gmail_account where alias = 'mia'")
        )
        connection.execute(
            sa.text(
                "insert into archive_month (gmail_account_id, month, listed, fetched, vanished, completed_at) "
                "select id, '2026-10-01', 1, 0, 0, now() from gmail_account"
            )
        )
        connection.execute(sa.text("update account_mark set archive_complete_from = '2026-10-01'"))
    scopes += [add("--scope", "all"), add()]

    assert scopes == ["campaign", "campaign", "all", "all"]
    with database.transaction() as connection:
        assert connection.execute(sa.text("select count(*) from passed_over_message")).scalar_one() == 0
        assert connection.execute(sa.text("select count(*) from archive_month")).scalar_one() == 0
        assert connection.execute(sa.text("select archive_complete_from from account_mark")).scalar_one() is None


def test_a_key_file_that_others_can_read_is_pointed_out(google: LocalGoogleAdmin, tmp_path: Path) -> None:
    google.add_mailbox("mia@brand.example")
    file = tmp_path / "mia.json"
    file.write_text(google.credentials_json("mia@brand.example"))

    def add() -> Result:
        cheerful("clients", "add", "brand")
        return cheerful(
            "accounts", "add", "mia", "--client", "brand", "--address", "mia@brand.example",
            "--credentials-file", str(file),
        )  # fmt: skip

    file.chmod(0o644)
    open_to_all = add()
    file.chmod(0o600)
    closed = add()

    assert (open_to_all.exit_code, closed.exit_code) == (0, 0)
    assert "chmod 600" in open_to_all.output
    assert "chmod 600" not in closed.output


@pytest.fixture
def spring_with_an_answer(database: Database, blobs: BlobStore) -> Database:
    """Campaign `spring`, account `mia`, one thread `t1` whose answer is judged."""
    room = Mailroom(database, blobs)
    mia, spring = an_account(database), a_campaign(database)
    room.recipients(spring, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer("Sounds great, count me in!").replying_to("<p1@brand.example>"), thread="t1")
    process_campaign(ThreadStore(database), blobs, spring.slug)
    return database


def judge(database: Database) -> None:
    """What `thread_classifications` does."""
    classify_pending(VerdictStore(database), LocalClassifier(), a_campaign(database).id, run_id=None)


def test_pending_work_is_counted_without_asking_anyone(spring_with_an_answer: Database) -> None:
    before = cheerful("verdicts", "estimate", "spring")
    judge(spring_with_an_answer)
    after = cheerful("verdicts", "estimate", "spring")

    assert "to be judged               1" in before.stdout
    assert "to be judged               0" in after.stdout
    assert "no language model was asked" in cheerful("verdicts", "spend").stdout


def test_a_person_outranks_the_classifier_until_taken_back(spring_with_an_answer: Database) -> None:
    judge(spring_with_an_answer)
    said = cheerful("override", "mia/t1", "Not interested", "--reason", "said so on the phone", "--author", "kim")

    assert said.exit_code == 0, said.output
    listed = cheerful("verdicts", "list", "spring").stdout
    assert "not_interested" in listed
    assert "a person" in listed
    kept = cheerful("verdicts", "overrides", "spring").stdout
    assert "kim" in kept
    assert "said so on the phone" in kept
    assert "taken back" in cheerful("override", "mia/t1", "--revoke").stdout
    assert "no override stood" in cheerful("override", "mia/t1", "--revoke").stdout
    assert "interested" in cheerful("verdicts", "list", "spring").stdout
    assert "a person" not in cheerful("verdicts", "list", "spring").stdout


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        (("mia/t1", "perhaps", "--reason", "x"), "not interested"),
        (("mia/t1", "question"), "--reason"),
        (("t1", "question", "--reason", "x"), "ALIAS/THREAD"),
        (("mia/none", "question", "--reason", "x"), "cheerful threads list"),
    ],
)
def test_an_override_that_cannot_be_set_says_what_to_write(
    spring_with_an_answer: Database, words: tuple[str, ...], helps: str
) -> None:
    failed = cheerful("override", *words)

    assert failed.exit_code != 0
    assert isinstance(failed.exception, CheerfulError)
    assert helps in str(failed.exception)
    assert "0 overrides" in cheerful("verdicts", "overrides", "spring").stdout


@pytest.fixture
def counted(spring_with_an_answer: Database) -> Database:
    """The campaign's numbers stand."""
    judge(spring_with_an_answer)
    count_campaign(spring_with_an_answer, "spring")
    return spring_with_an_answer


def test_numbers_are_shown_explained_and_compared(counted: Database) -> None:
    shown = cheerful("metrics", "show", "spring").stdout
    assert "reply_rate" in shown
    assert "1 / 1" in shown
    assert "too early to tell" in shown

    explained = cheerful("metrics", "explain", "spring", "reply_rate").stdout
    assert "1 of 1 = 100.0%" in explained
    assert "mia/t1" in explained
    assert "ana@creator.example" not in explained

    compared = cheerful("metrics", "compare", "spring").stdout
    assert all(vendor in compared for vendor in ("ours", "Instantly", "Reply.io", "Smartlead", "lemlist"))
    assert "2026-W" in cheerful("metrics", "cohorts", "spring").stdout
    assert "replied / delivered" in cheerful("metrics", "definitions", "reply_rate").stdout
    assert "mia" in cheerful("metrics", "show", "spring", "--by", "sender").stdout
    assert "1 in all" in cheerful("metrics", "explain", "spring", "contacted", "--by", "sender", "--key", "mia").stdout


def test_the_past_is_asked_for_as_known_then_or_as_happened_by_then(counted: Database) -> None:
    now = datetime.now(UTC).isoformat()
    room, mia = Mailroom(counted, BlobStore.from_url("memory:///")), an_account(counted)
    room.receive(mia, answer("Here is my address.", "<r2@creator.example>").replying_to("<p1@brand.example>"),
                 thread="t1", name="late")  # fmt: skip
    process_campaign(ThreadStore(counted), room.blobs, "spring")
    thread_opted_out = cheerful("override", "mia/t1", "opt out", "--reason", "by phone")
    assert thread_opted_out.exit_code == 0
    count_campaign(counted, "spring", of="news")

    def opted_out(*words: str) -> str:
        lines = cheerful("metrics", "show", "spring", *words).stdout.splitlines()
        return next(line for line in lines if line.split()[1:2] == ["opted_out"]).split()[2]

    assert (opted_out(), opted_out("--as-of", now)) == ("1", "0")
    changed = cheerful("metrics", "changes", "spring", "--since", now).stdout
    assert "opted_out" in changed
    assert "the past is restated" in changed
    happened = cheerful("metrics", "show", "spring", "--until", "2026-09-01").stdout
    assert [line.split()[2] for line in happened.splitlines() if line.split()[1:2] == ["contacted"]] == ["0"]


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        (("show", "spring", "--by", "moon"), "cohort"),
        (("show", "spring", "--as-of", "2026-01-01"), "--until"),
        (("show", "spring", "--as-of", "2026-01-01", "--until", "2026-01-01"), "two different questions"),
        (("explain", "spring", "replay_rate"), "reply_rate"),
        (("explain", "spring", "reply_rate", "--by", "day", "--key", "2026-10-01"), "campaign, sender, step, cohort"),
        (("explain", "spring", "contacted", "--by", "sender"), "--key"),
        (("definitions", "moon"), "reply_rate"),
    ],
)
def test_a_question_about_numbers_that_makes_no_sense_is_answered_in_words(
    counted: Database, words: tuple[str, ...], helps: str
) -> None:
    failed = cheerful("metrics", *words)

    assert failed.exit_code != 0
    assert isinstance(failed.exception, CheerfulError)
    assert helps in str(failed.exception)
