"""`cheerful doctor`: try everything the installation needs, and say what to do about what fails."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli.entry import expected_errors
from cheerful_pipelines.cli.waiting import waiting_mailboxes
from cheerful_pipelines.core.errors import CheerfulError, ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import is_ahead, is_current
from cheerful_pipelines.storage.row_security import row_security_problems

if TYPE_CHECKING:
    from cheerful_pipelines.mail.gmail.gmail_client import GmailClient

MOST_CLOCK_SECONDS = 5.0
LEAST_FREE_GIGABYTES = 1.0

_RUNNING = "sensors and daemon"
"""The first check of what is only so once everything runs."""

Check = tuple[str, Callable[[], str]]


def doctor(
    before_start: Annotated[
        bool,
        typer.Option("--before-start", help="Only what must hold before the daemon starts; no mailbox, no sheet."),
    ] = False,
) -> None:
    """One line a check, ok or FAIL with what to do; exit code 1 where anything fails."""
    failed = 0
    for name, check in takewhile(lambda one: one[0] != _RUNNING or not before_start, _checks()):
        try:
            with expected_errors():
                print(f"ok    {name}: {check()}")
        except CheerfulError as error:
            failed += 1
            print(f"FAIL  {name}: {error}")
    if failed:
        raise typer.Exit(1)


def _checks() -> Iterator[Check]:
    yield "settings", _settings
    yield "credentials key", lambda: f"{len(load_settings().require_credentials_key())} hexadecimal characters"
    yield "address hash key", _hash_key
    yield "database", _database
    yield "clients kept apart", _row_security
    yield "blob store", _blobs
    yield "DAGSTER_HOME", _dagster_home
    yield "clock", _clock
    yield "disk", _disk
    yield "Sheets credentials", _sheets_credentials
    yield _RUNNING, _sensors
    yield "pools", _pools
    yield "addresses of the web UI's clients", _client_addresses
    try:
        database = Database(load_settings().require_database_url()).for_every_client()
        store = CampaignStore(database)
        accounts, campaigns = [one for one in store.accounts() if one.replaced_at is None], store.campaigns()
    except CheerfulError:
        return  # said above; what follows needs the registry
    from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
    from cheerful_pipelines.mail.gmail.gmail_client import GmailClients

    clients = GmailClients(load_settings(), database)
    for account in accounts:
        yield (
            f"Gmail of {account.alias}",
            lambda account=account: _mailbox(clients.client(account)),  # type: ignore[misc]
        )
    yield "mailboxes with work", lambda: " ".join(waiting_mailboxes(store)) or "all have campaigns with recipients"
    for campaign in campaigns:
        yield (
            f"sheet of {campaign.slug}",
            lambda campaign=campaign: (  # type: ignore[misc]
                f"version {SheetsClient.from_settings(load_settings()).drive_version(campaign.spreadsheet_id)}"
            ),
        )


def _settings() -> str:
    settings = load_settings()
    return f"mode {settings.mode}, environment {settings.environment}"


def _client_addresses() -> str:
    """Whether failed sign-ins are counted by client. Production alone: a machine of one's own has one user."""
    settings = load_settings()
    if settings.environment == "production" and not settings.names_client_addresses:
        raise ConfigurationError(
            "CHEERFUL_CLIENT_ADDRESS_HEADER is not set: behind a proxy all clients of the web UI count as one, and ten "
            "failed sign-ins of a stranger hold up every new browser.",
            what_to_do="Name the header in which your proxy tells the client's address (Fly: Fly-Client-IP; most "
            "others: X-Forwarded-For) with CHEERFUL_TRUSTED_PROXIES, or none if there is no proxy.",
        )
    header = settings.client_address_header
    return "of the connection itself" if header in (None, "none") else f"{header}, from trusted proxies only"


def _hash_key() -> str:
    key = load_settings().address_hash_key
    if key is None:
        raise ConfigurationError(
            "CHEERFUL_ADDRESS_HASH_KEY is not set.", what_to_do="Set it to 32 hexadecimal characters."
        )
    return "32 hexadecimal characters"


def _database() -> str:
    database = Database(load_settings().require_database_url())
    if is_ahead(database):
        return "reachable, migrated by a newer release"
    if not is_current(database):
        raise ConfigurationError(
            "The database is not at the newest migration.",
            what_to_do="Run: python -m cheerful_pipelines.storage.migrate",
        )
    return "reachable, migrated"


def _row_security() -> str:
    found = row_security_problems(Database(load_settings().require_database_url()))
    if found:
        raise ConfigurationError(
            f"{'; '.join(found).capitalize()}.",
            what_to_do="Give CHEERFUL_DATABASE_URL the login cheerful_pipeline and CHEERFUL_MIGRATION_DATABASE_URL the "
            "owner's, then migrate.",
        )
    return "row-level security is forced on every table; the database role is not a superuser and cannot bypass it"


def _mailbox(client: "GmailClient") -> str:
    """A real call; then what the person has granted, which must be reading and should be no more."""
    from cheerful_pipelines.mail.gmail import browser_login

    messages = client.profile().messages_total
    granted = client.granted_scopes()
    if granted is None:
        return f"{messages} messages"
    browser_login.require_scope(granted)
    more = sorted(scope.rpartition("/")[2] for scope in granted if "gmail" in scope or "mail." in scope)
    beyond = [scope for scope in more if scope != "gmail.readonly"]
    return f"{messages} messages" + (f"; grants more than reading: {', '.join(beyond)}" if beyond else "")


def _pools() -> str:
    """How many steps of a kind run at once; a slot of a run that is over would hold up the rest."""
    if not (Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml").is_file():
        return "not asked: Dagster was not started here yet"
    from cheerful_pipelines.operations.dagster_state import pools_here  # Dagster takes a second to import

    pools, stuck = pools_here()
    if stuck:
        raise ConfigurationError(
            f"Slots held by runs that are over: {', '.join(stuck)}.",
            what_to_do="The daemon frees them within two minutes; else free them under Deployment, Concurrency.",
        )
    return ", ".join(f"{name} {slots}" for name, slots in pools.items()) or "none used yet"


def _blobs() -> str:
    url = load_settings().effective_blob_url()
    try:
        store = BlobStore.from_url(url)
        store.get(store.put(b"cheerful doctor was here"))
    except OSError as error:
        raise ConfigurationError(
            f"The blob store cannot be written ({type(error).__name__}).", what_to_do="Check CHEERFUL_BLOB_URL."
        ) from error
    return "written and read back"


def _clock() -> str:
    """Windows of mail and of quota are told by this clock; Postgres has another."""
    with Database(load_settings().require_database_url()).login_transaction() as connection:
        theirs: datetime = connection.exec_driver_sql("select clock_timestamp()").scalar_one()
    seconds = abs((datetime.now(UTC) - theirs).total_seconds())
    if seconds > MOST_CLOCK_SECONDS:
        raise ConfigurationError(
            f"This machine's clock and the database's differ by {seconds:.0f} s.", what_to_do="Let both follow NTP."
        )
    return f"{seconds:.1f} s from the database's"


def _disk() -> str:
    free = shutil.disk_usage(load_settings().home if load_settings().home.exists() else "/").free / 1e9
    if free < LEAST_FREE_GIGABYTES:
        raise ConfigurationError(f"{free:.1f} GB are free.", what_to_do="Make room, or move CHEERFUL_HOME.")
    return f"{free:.0f} GB free"


def _sheets_credentials() -> str:
    """Whether the file is one that Google's libraries can read; whether Google takes it is tried with each sheet."""
    settings = load_settings()
    if settings.mode == "local":
        return "not needed: Google is the server on this machine"
    path = settings.sheets_credentials_file
    try:
        found = {} if path is None else json.loads(path.read_text())
    except (OSError, ValueError):
        found = {}
    if not isinstance(found, dict) or not {"private_key", "refresh_token"} & found.keys():
        raise ConfigurationError(
            "There are no credentials for Sheets and Drive.",
            what_to_do="Set the secret CHEERFUL_SHEETS_CREDENTIALS to the service account's JSON (infra/run.sh makes a "
            "file of it), or CHEERFUL_SHEETS_CREDENTIALS_FILE to its path.",
        )
    return str(found.get("type", "credentials"))


def _sensors() -> str:
    """Whether Dagster runs what it should: every sensor and schedule on, the daemon alive."""
    if not (Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml").is_file():
        return "not asked: Dagster was not started here yet"
    from cheerful_pipelines.operations.dagster_state import automation_here  # Dagster takes a second to import

    stopped, silent = automation_here()
    if stopped:
        raise ConfigurationError(f"Switched off: {', '.join(stopped)}.", what_to_do="Switch them on under Automation.")
    if silent:
        raise ConfigurationError(f"The daemon is not heard of: {', '.join(silent)}.", what_to_do="Start the daemon.")
    return "all on, the daemon is alive"


def _dagster_home() -> str:
    if not os.environ.get("DAGSTER_HOME"):
        raise ConfigurationError("DAGSTER_HOME is not set.", what_to_do='Run: eval "$(./infra/dev.sh env)"')
    return "set"
