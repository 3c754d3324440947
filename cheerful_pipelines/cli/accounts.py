"""`cheerful accounts`: look at sender mailboxes and connect them."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from cheerful_pipelines.addresses import address_key
from cheerful_pipelines.cli.connections import campaign_store, database, local_google
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.errors import ConfigurationError
from cheerful_pipelines.settings import load_settings
from cheerful_pipelines.storage.secrets import key_id

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_accounts() -> None:
    """Every mailbox, one a line."""
    found = campaign_store().accounts()
    print_table(
        ("account", "address", "status", "scope", "reason"),
        [(a.alias, a.address, a.status, a.scope, a.status_reason) for a in found],
    )
    if not found:
        print("no account yet; `cheerful accounts add --help` tells how to add one")


@app.command("show")
def show(alias: str) -> None:
    """One mailbox and its marks."""
    store = campaign_store()
    account = store.account(alias)
    facts = {**account.model_dump(exclude={"id", "user_id"}), **store.account_mark(account.id).model_dump()}
    print_table(("what", "value"), list(facts.items()))


_ALIAS = Annotated[str, typer.Argument(help="Short name: it is the partition key, never an address.")]
_CLIENT = Annotated[str, typer.Option(help="The client's short name; made if it is new.")]
_ADDRESS = Annotated[str, typer.Option(help="The mailbox's address.")]
_SEND_AS = Annotated[list[str] | None, typer.Option(help="Another address that is us in this mailbox.")]
_SCOPE = Annotated[
    str | None,
    typer.Option(help="campaign (default): only mail that concerns a recipient is stored whole; all: everything."),
]


@app.command("add")
def add(
    alias: _ALIAS,
    client: _CLIENT,
    address: _ADDRESS,
    credentials_file: Annotated[
        Path | None, typer.Option(help="Authorized-user or service-account JSON.", exists=True, dir_okay=False)
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="A mailbox of the local Google server; made if new.")] = False,
    send_as: _SEND_AS = None,
    scope: _SCOPE = None,
) -> None:
    """Add a mailbox, or connect it again. The credentials prove themselves with a real call before they are stored."""
    if (credentials_file is None) == (not local):
        raise ConfigurationError("Name either --credentials-file FILE or --local.")
    _require_alias(alias)
    if local:
        google = local_google()
        google.add_mailbox(address)
        credentials = google.credentials_json(address)
    else:
        assert credentials_file is not None
        credentials = _readable_json(credentials_file)
    _keep(alias, client, address, credentials, send_as or [], scope)


@app.command("connect")
def connect(
    alias: _ALIAS,
    client: _CLIENT,
    address: _ADDRESS,
    client_secrets: Annotated[
        Path, typer.Option(help="JSON of a Desktop OAuth client of your project.", exists=True, dir_okay=False)
    ],
    browser: Annotated[bool, typer.Option(help="Open a browser here; without it the address is printed.")] = True,
    send_as: _SEND_AS = None,
    scope: _SCOPE = None,
) -> None:
    """Sign in to a mailbox in the browser and connect it."""
    from cheerful_pipelines.gmail.browser_login import authorize

    _require_alias(alias)
    credentials = authorize(client_secrets, address=address, open_browser=browser)
    _keep(alias, client, address, credentials, send_as or [], scope)


@app.command("rotate-key")
def rotate_key() -> None:
    """Seal all stored credentials with CHEERFUL_CREDENTIALS_KEY; what is sealed with ..._KEY_PREVIOUS is opened by it.

    Running processes go on: start them with both keys first, run this, then take the previous one away.
    """
    settings = load_settings()
    count = campaign_store().reseal_credentials(keys=settings.credentials_keys())
    print(f"{count} accounts are sealed with key {key_id(settings.require_credentials_key())}")


@app.command("reparse")
def reparse(alias: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Read stored mail again that an older version of the parser read. Asks nothing of Gmail."""
    from cheerful_pipelines.gmail.store import MailStore
    from cheerful_pipelines.storage.blobs import BlobStore

    account = campaign_store().account(alias)
    store = MailStore(database(), BlobStore.from_url(load_settings().effective_blob_url()))
    total = 0
    while count := store.reparse(account, run_id="cheerful accounts reparse"):
        total += count
    print(f"{total} messages were read again; their threads follow by themselves")


def _require_alias(alias: str) -> None:
    if "@" in alias or "|" in alias:
        raise ConfigurationError(f"{alias!r} cannot be a partition key.", what_to_do="Use a short name without @ or |.")


def _keep(alias: str, client: str, address: str, credentials: str, send_as: list[str], scope: str | None) -> None:
    """Prove the credentials with a real call whose address must match, then store them."""
    from cheerful_pipelines.gmail.browser_login import require_scope
    from cheerful_pipelines.gmail.gmail_client import GmailClients
    from cheerful_pipelines.gmail.sync import require_same_mailbox

    if scope not in (None, "campaign", "all"):
        raise ConfigurationError(f"{scope!r} is no scope.", what_to_do="It is campaign or all.")
    store, settings = campaign_store(), load_settings()
    require_scope(json.loads(credentials).get("scopes"))
    gmail = GmailClients(settings, database()).client_for(credentials, address=address)
    profile = gmail.profile()
    require_scope(gmail.granted_scopes())
    keys = frozenset(address_key(one) for one in (address, *send_as))
    require_same_mailbox(profile, alias=alias, identity_keys=keys)
    store.add_client(slug=client, name=client)
    account = store.add_account(
        client_slug=client,
        alias=alias,
        address=address,
        credentials_json=credentials,
        credentials_key=settings.require_credentials_key(),
        identities=send_as,
        scope=scope,
    )
    print(
        f"{alias} is connected ({profile.messages_total} messages, scope {account.scope}); the sensors sync it within "
        "half a minute"
    )


def _readable_json(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        print(f"others on this machine can read {path.name}: chmod 600 {path.name}, or delete it now", file=sys.stderr)
    text = path.read_text()
    try:
        kind = json.loads(text).get("type")
    except (ValueError, AttributeError):
        kind = None
    if kind not in ("authorized_user", "service_account"):
        raise ConfigurationError(
            f"{path.name} is no credentials file.",
            what_to_do='It must be JSON with "type" authorized_user or service_account.',
        )
    return text
