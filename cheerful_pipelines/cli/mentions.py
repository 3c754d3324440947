"""`cheerful people ...`: mail that may be about an erased person without naming an address of theirs. People decide."""

import getpass
from typing import Annotated
from uuid import UUID

import typer

from cheerful_pipelines.cli.connections import campaign_store, database
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import NotFoundError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.people.erase import delete_mails
from cheerful_pipelines.people.mention_store import MentionStore
from cheerful_pipelines.people.models import OpenMention
from cheerful_pipelines.storage.blobs import BlobStore

app = typer.Typer(no_args_is_help=True)

Client = Annotated[str, typer.Option(help="Whose mail: the client's short name.")]
Mails = Annotated[list[str], typer.Argument(help="Mails as `mentions` lists them: ACCOUNT/MESSAGE.")]
By = Annotated[str, typer.Option(help="Who decided. Default: the name you are logged in with.")]


@app.command("mentions")
def mentions(client: Client) -> None:
    """Mails that name an erased person, their handle or postal address, each with the words around it."""
    found = MentionStore(database().for_client(_user_id(client))).undecided(_user_id(client))
    print_table(("mail", "by", "words"), [(one.name, one.kind.replace("_", " "), one.snippet) for one in found])
    if found:
        print("Delete those that are about them: cheerful people delete-mails; the others: cheerful people keep-mails")


@app.command("delete-mails")
def delete(
    mails: Mails,
    client: Client,
    by: By = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Delete mails of that list for good: rows, states, verdicts and raw bytes; no sync brings them back."""
    chosen = _chosen(mails, client)
    if not yes:
        typer.confirm(f"Delete {len(chosen)} mails for good?", abort=True)
    blobs = BlobStore.from_url(load_settings().effective_blob_url())
    report = delete_mails(database().for_every_client(), blobs, _user_id(client), chosen, by=by or getpass.getuser())
    print(f"deleted {report.messages} mails, {report.blobs} of them as raw bytes, too")


@app.command("keep-mails")
def keep(mails: Mails, client: Client, by: By = "") -> None:
    """Take mails off that list: they are about somebody else."""
    chosen = _chosen(mails, client)
    store = MentionStore(database().for_client(_user_id(client)))
    store.decide(chosen, decision="kept", by=by or getpass.getuser())
    print(f"kept {len(chosen)} mails")


def _user_id(slug: str) -> UUID:
    return campaign_store().client(slug).user_id


def _chosen(mails: list[str], client: str) -> list[OpenMention]:
    """The listed mails of these names. Raises NotFoundError, with nothing done, if one is not on the list."""
    listed = {
        one.name: one for one in MentionStore(database().for_client(_user_id(client))).undecided(_user_id(client))
    }
    for name in mails:
        if name not in listed:
            raise NotFoundError(
                f"{name} is not on the list of this client.", what_to_do="See: cheerful people mentions."
            )
    return [listed[name] for name in dict.fromkeys(mails)]
