"""`cheerful accounts`: look at sender mailboxes and connect them."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cheerful_pipelines.addresses import address_key
from cheerful_pipelines.cli.connections import campaign_store, database, local_google
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.errors import ConfigurationError
from cheerful_pipelines.settings import load_settings

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


@app.command("add")
def add(
    alias: Annotated[str, typer.Argument(help="Short name: it is the partition key, never an address.")],
    client: Annotated[str, typer.Option(help="The client's short name; made if it is new.")],
    address: Annotated[str, typer.Option(help="The mailbox's address.")],
    credentials_file: Annotated[
        Path | None, typer.Option(help="Authorized-user or service-account JSON.", exists=True, dir_okay=False)
    ] = None,
    local: Annotated[bool, typer.Option("--local", help="A mailbox of the local Google server; made if new.")] = False,
    send_as: Annotated[list[str] | None, typer.Option(help="Another address that is us in this mailbox.")] = None,
) -> None:
    """Add a mailbox, or connect it again. The credentials prove themselves with a real call before they are stored."""
    if "@" in alias or "|" in alias:
        raise ConfigurationError(f"{alias!r} cannot be a partition key.", what_to_do="Use a short name without @ or |.")
    if (credentials_file is None) == (not local):
        raise ConfigurationError("Name either --credentials-file FILE or --local.")
    if local:
        google = local_google()
        google.add_mailbox(address)
        credentials = google.credentials_json(address)
    else:
        assert credentials_file is not None
        credentials = _readable_json(credentials_file)
    from cheerful_pipelines.gmail.gmail_client import GmailClients
    from cheerful_pipelines.gmail.sync import require_same_mailbox

    store, settings = campaign_store(), load_settings()
    profile = GmailClients(settings, database()).client_for(credentials, address=address).profile()
    keys = frozenset(address_key(one) for one in (address, *(send_as or ())))
    require_same_mailbox(profile, alias=alias, identity_keys=keys)
    store.add_client(slug=client, name=client)
    store.add_account(
        client_slug=client,
        alias=alias,
        address=address,
        credentials_json=credentials,
        credentials_key=settings.require_credentials_key(),
        identities=send_as or (),
    )
    print(f"{alias} is connected ({profile.messages_total} messages); the sensors sync it within half a minute")


def _readable_json(path: Path) -> str:
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
