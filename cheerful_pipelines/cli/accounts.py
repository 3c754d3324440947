"""`cheerful accounts`: look at sender mailboxes and connect them."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from cheerful_pipelines.cli.connections import campaign_store, database, local_google
from cheerful_pipelines.cli.inputs import require_address
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.cli.waiting import waiting_mailboxes
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.core.short_names import require_short_name
from cheerful_pipelines.mail.gmail.credentials import FIELDS, missing_fields
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.secrets import key_id

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_accounts() -> None:
    """Every mailbox, one a line."""
    store = campaign_store()
    found, clients = store.accounts(), store.client_slugs()
    print_table(
        ("account", "client", "address", "status", "scope", "reason"),
        [(a.alias, clients[a.user_id], a.address, a.status, a.scope, a.status_reason) for a in found],
    )
    if not found:
        print("no account yet; `cheerful accounts add --help` tells how to add one")
    for sentence in waiting_mailboxes(store):
        print(sentence)


@app.command("show")
def show(alias: str) -> None:
    """One mailbox and its marks."""
    store = campaign_store()
    account = store.account(alias)
    facts = {
        "client": store.client_slugs()[account.user_id],
        **account.model_dump(exclude={"id", "user_id"}),
        **store.account_mark(account.id).model_dump(),
    }
    print_table(("what", "value"), list(facts.items()))


_ALIAS = Annotated[str, typer.Argument(help="Short name (partition key): lower-case letters, digits, hyphens.")]
_CLIENT = Annotated[str, typer.Option(help="The client's short name; `cheerful clients list` names them.")]
_ADDRESS = Annotated[str, typer.Option(help="The mailbox's address.")]
_SEND_AS = Annotated[list[str] | None, typer.Option(help="Another address that is us in this mailbox.")]
_REPLACE = Annotated[
    bool,
    typer.Option(
        "--replace-address",
        help="The alias becomes another mailbox. What the old one had stays, below another alias; the new one is "
        "synced from its beginning.",
    ),
]
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
    replace_address: _REPLACE = False,
) -> None:
    """Add a mailbox, or connect it again. The credentials prove themselves with a real call before they are stored."""
    if local == (credentials_file is not None):
        raise ConfigurationError("Name either --credentials-file FILE or --local.")
    wanted = _Wanted(alias, client, address, tuple(send_as or ()), scope, replace_address)
    _check(wanted)
    if credentials_file is None:
        google = local_google()
        google.add_mailbox(address)
        credentials = google.credentials_json(address)
    else:
        credentials = _readable_json(credentials_file)
    _keep(wanted, credentials)


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
    replace_address: _REPLACE = False,
) -> None:
    """Sign in to a mailbox in the browser and connect it."""
    from cheerful_pipelines.mail.gmail.browser_login import authorize

    wanted = _Wanted(alias, client, address, tuple(send_as or ()), scope, replace_address)
    _check(wanted)
    _keep(wanted, authorize(client_secrets, address=address, open_browser=browser, token_uri=load_settings().token_uri))


@app.command("rotate-key")
def rotate_key() -> None:
    """Seal all stored credentials with CHEERFUL_CREDENTIALS_KEY; what is sealed with ..._KEY_PREVIOUS is opened by it.

    Running processes go on: start them with both keys first, run this, then take the previous one away.
    """
    settings = load_settings()
    resealed = campaign_store().reseal_credentials(keys=settings.credentials_keys())
    print(f"{resealed.opened} accounts are sealed with key {key_id(settings.require_credentials_key())}")
    for alias, error in resealed.failed.items():
        print(f"{alias}: {error}", file=sys.stderr)
    if resealed.failed:
        raise typer.Exit(1)


@app.command("reparse")
def reparse(alias: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Read stored mail again that an older version of the parser read. Asks nothing of Gmail."""
    from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
    from cheerful_pipelines.mail.store import MailStore
    from cheerful_pipelines.storage.blobs import BlobStore

    account = campaign_store().account(alias)
    store = MailStore(database(), BlobStore.from_url(load_settings().effective_blob_url()))
    total = 0
    while count := store.reparse(account, run_id="cheerful accounts reparse"):
        total += count
    print(f"{total} messages were read again; their threads follow by themselves")
    waiting = DeadLetterStore(store.database).backlog(account.id, stage="parse")
    if waiting:
        reasons = ", ".join(f"{code}: {count}" for code, count in sorted(waiting.items()))
        print(f"{sum(waiting.values())} could not be read and wait as dead letters ({reasons})")


class _Wanted(NamedTuple):
    """What the person typed."""

    alias: str
    client: str
    address: str
    send_as: tuple[str, ...]
    scope: str | None
    replace_address: bool


def _check(wanted: _Wanted) -> None:
    """Refuse what can be refused before Google is asked, a browser opened or anything stored."""
    store = campaign_store()
    if not any(one.alias == wanted.alias for one in store.accounts()):
        require_short_name(wanted.alias, of="account")
    if wanted.scope not in (None, "campaign", "all"):
        raise ConfigurationError(f"{wanted.scope!r} is not a scope.", what_to_do="It is campaign or all.")
    for one in (wanted.address, *wanted.send_as):
        require_address(one)
    store.check_account(
        client_slug=wanted.client, alias=wanted.alias, address=wanted.address, identities=wanted.send_as,
        replace_address=wanted.replace_address,
    )  # fmt: skip


def _keep(wanted: _Wanted, credentials: str) -> None:
    """Prove the credentials with a real call whose address must match, then store them."""
    from cheerful_pipelines.mail.gmail.browser_login import require_scope
    from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
    from cheerful_pipelines.mail.gmail.sync import require_same_mailbox

    store, settings = campaign_store(), load_settings()
    require_scope(json.loads(credentials).get("scopes"))
    gmail = GmailClients(settings, database()).client_for(credentials, address=wanted.address)
    profile = gmail.profile()
    require_scope(gmail.granted_scopes())
    keys = frozenset(address_key(one) for one in (wanted.address, *wanted.send_as))
    require_same_mailbox(profile, alias=wanted.alias, identity_keys=keys)
    account = store.add_account(
        client_slug=wanted.client,
        alias=wanted.alias,
        address=wanted.address,
        credentials_json=credentials,
        credentials_key=settings.require_credentials_key(),
        identities=wanted.send_as,
        scope=wanted.scope,
        replace_address=wanted.replace_address,
    )
    WorkFailureStore(database().for_every_client()).make_mailbox_due(account.alias, at=datetime.now(UTC))
    print(f"{account.alias} is connected ({profile.messages_total} messages, scope {account.scope})")
    waiting = [sentence for sentence in waiting_mailboxes(store) if sentence.startswith(f"{account.alias} ")]
    print(waiting[0] if waiting else "The sensors sync it within half a minute.")


def _readable_json(path: Path) -> str:
    if path.stat().st_mode & 0o077:
        print(f"others on this machine can read {path.name}: chmod 600 {path.name}, or delete it now", file=sys.stderr)
    try:
        text = path.read_text(encoding="utf-8")
        info = json.loads(text)
    except (ValueError, RecursionError):  # not UTF-8, not JSON, or brackets without end
        info = None
    wanted = FIELDS.get(str(info.get("type"))) if isinstance(info, dict) else None
    if wanted is None:
        raise ConfigurationError(
            f"{path.name} is not a credentials file.",
            what_to_do='It must be JSON with "type" authorized_user or service_account.',
        )
    missing = missing_fields(info, wanted)
    if missing:
        raise ConfigurationError(
            f"The credentials file {path.name} has no {', '.join(missing)}.",
            what_to_do="Use the file as Google gave it.",
        )
    wrong = [field for field, value in info.items() if field in _OPTIONAL and not _is_text(value, field)]
    if wrong:
        raise ConfigurationError(
            f"The credentials file {path.name} holds something else than text in {', '.join(wrong)}.",
            what_to_do="Use the file as Google gave it.",
        )
    return text


def _is_text(value: object, field: str) -> bool:
    if field == "scopes" and isinstance(value, list):
        return all(isinstance(one, str) for one in value)
    return value is None or isinstance(value, str)


_OPTIONAL = ("scopes", "token", "token_uri", "expiry", "universe_domain", "quota_project_id", "account", "rapt_token")
"""What google-auth reads besides, and fails on without a word where it is no text."""
