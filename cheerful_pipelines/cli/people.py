"""`cheerful erase` and `cheerful export-person`: what a person may ask for."""

import getpass
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli.connections import campaign_store, database
from cheerful_pipelines.cli.inputs import require_address
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import PermanentError
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.metrics.export.export_campaign import export_campaign
from cheerful_pipelines.people.erase import erase_person
from cheerful_pipelines.people.export_person import export_person as write_archive
from cheerful_pipelines.people.mention_store import MentionStore
from cheerful_pipelines.people.person_store import PersonStore
from cheerful_pipelines.people.proof import prove_erased
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.erased_people import address_hash

Addresses = Annotated[list[str], typer.Argument(help="Every address under which the person may have written.")]
Client = Annotated[str, typer.Option(help="Whose campaigns: the client's short name.")]
By = Annotated[str, typer.Option(help="Who asks us to. Default: the name you are logged in with.")]


def erase(
    addresses: Addresses,
    client: Client,
    by: By = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it without asking.")] = False,
) -> None:
    """Remove a person for good; numbers stay, and no import or sync brings them back. Safe to repeat."""
    settings, user_id = load_settings(), _client(client, addresses)
    hash_key, unscoped = settings.require_hash_key(), Database(settings.require_database_url())
    ours = unscoped.for_client(user_id)
    person = PersonStore(ours).find(user_id, addresses)
    print_table(
        ("what", "how many"),
        [("rows in campaigns", len(person.recipient_ids)), ("campaigns", ", ".join(person.campaigns) or "none"),
         ("mails from, to or about them", len(person.messages))],
    )  # fmt: skip
    mentions = MentionStore(ours).search(person)  # now: what they are called is gone afterwards
    print(f"{len(mentions)} more mails may be about them: by name, handle or postal address. None of these is deleted.")
    if not yes:
        typer.confirm("Remove all of it for good?", abort=True)
    MentionStore(ours).keep(user_id, address_hash(person.keys[0], key_hex=hash_key), mentions)
    for slug in person.campaigns:
        count_campaign(ours, slug, of="news")  # what they did until now counts, and is not counted again
    blobs = BlobStore.from_url(settings.effective_blob_url())
    found, report = erase_person(
        unscoped.for_every_client(), blobs, user_id, addresses, hash_key=hash_key, requested_by=by or getpass.getuser()
    )
    campaigns = [one for one in CampaignStore(ours).campaigns() if one.metrics_spreadsheet_id]
    sheets = SheetsClient.from_settings(settings, unscoped.for_every_client())
    shown = _shown_again(unscoped, sheets, settings, [one for one in campaigns if one.slug in person.campaigns])
    report = report.model_copy(update={"sheets": shown})
    print_table(("removed", "how many"), [(name.replace("_", " "), n) for name, n in report.model_dump().items()])
    dagster = settings.dagster_database_url
    proof = prove_erased(
        ours, blobs, found, dagster_url=dagster.get_secret_value() if dagster else None, sheets=sheets,
        campaigns=campaigns, every_client=unscoped.for_every_client(),
    )  # fmt: skip
    print(
        f"looked through {proof.columns} columns of {proof.tables} tables, {proof.blobs} stored mails and "
        f"{proof.sheets} sheets{'' if dagster else '; not through Dagster (CHEERFUL_DAGSTER_DATABASE_URL is not set)'}"
    )
    if proof.found:
        raise PermanentError(
            f"Still found in: {', '.join(proof.found)}.",
            what_to_do="Run it again. Stored mail that no row names is deleted "
            "within two days by the job blob_sweep: run it again after that. If nothing helps, tell us.",
        )
    PersonStore(ours).finish(found, report, hash_key=hash_key)
    if left := MentionStore(ours).undecided(user_id):
        print(f"{len(left)} mails may be about them: decide with  cheerful people mentions --client {client}")
    print("found nowhere. The client's own sheet of recipients is theirs: ask them to delete the row.")


def export_person(
    addresses: Addresses,
    client: Client,
    to: Annotated[Path, typer.Option(help="The archive to write: person.zip.")],
    by: By = "",
) -> None:
    """What is stored of a person, as one archive: tables as JSON, the mails that they sent or received."""
    settings, user_id = load_settings(), _client(client, addresses)
    if to.exists():
        raise PermanentError(f"{to} is there already.", what_to_do="Choose another name.")
    blobs = BlobStore.from_url(settings.effective_blob_url())
    person, counts = write_archive(database(), blobs, user_id, addresses, to)
    PersonStore(database().for_client(user_id)).note_export(
        person, hash_key=settings.require_hash_key(), requested_by=by or getpass.getuser()
    )
    print_table(("what", "how many"), list(counts.items()))
    print(f"{to} holds personal data: give it to the person only.")
    print("What others wrote about them is not in it; what is quoted in mails that they sent or received is.")


def _client(slug: str, addresses: list[str]) -> UUID:
    """The client's user id, and addresses that are some. Raises ConfigurationError or NotFoundError."""
    for one in addresses:
        require_address(one)
    return campaign_store().client(slug).user_id


def _shown_again(unscoped: Database, sheets: SheetsClient, settings: Settings, campaigns: list[Campaign]) -> int:
    """Write the sheets anew in which the person had rows of ours; returns how many."""
    for one in campaigns:
        export_campaign(unscoped, sheets, settings, one, holder="erase")
    return len(campaigns)
