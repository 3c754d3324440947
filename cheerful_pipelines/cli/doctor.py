"""`cheerful doctor`: try everything the installation needs, and say what to do about what fails."""

import os
from collections.abc import Callable, Iterator

import typer

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.errors import CheerfulError, ConfigurationError
from cheerful_pipelines.settings import load_settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import is_current

Check = tuple[str, Callable[[], str]]


def doctor() -> None:
    """One line a check, ok or FAIL with what to do; exit code 1 where anything fails."""
    failed = 0
    for name, check in _checks():
        try:
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
    yield "blob store", _blobs
    yield "DAGSTER_HOME", _dagster_home
    try:
        database = Database(load_settings().require_database_url())
        store = CampaignStore(database)
        accounts, campaigns = store.accounts(), store.campaigns()
    except CheerfulError:
        return  # said above; what follows needs the registry
    from cheerful_pipelines.gmail.gmail_client import GmailClients
    from cheerful_pipelines.sheets.sheets_client import SheetsClient

    clients = GmailClients(load_settings(), database)
    for account in accounts:
        yield (
            f"Gmail of {account.alias}",
            lambda account=account: f"{clients.client(account).profile().messages_total} messages",  # type: ignore[misc]
        )
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


def _hash_key() -> str:
    key = load_settings().address_hash_key
    if key is None:
        raise ConfigurationError(
            "CHEERFUL_ADDRESS_HASH_KEY is not set.", what_to_do="Set it to 32 hexadecimal characters."
        )
    return "32 hexadecimal characters"


def _database() -> str:
    if not is_current(Database(load_settings().require_database_url())):
        raise ConfigurationError(
            "The database is not at the newest migration.",
            what_to_do="Run: python -m cheerful_pipelines.storage.migrate",
        )
    return "reachable, migrated"


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


def _dagster_home() -> str:
    if not os.environ.get("DAGSTER_HOME"):
        raise ConfigurationError("DAGSTER_HOME is not set.", what_to_do='Run: eval "$(./infra/dev.sh env)"')
    return "set"
