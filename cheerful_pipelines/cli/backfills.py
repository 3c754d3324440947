"""`cheerful backfill` and `cheerful backfills`: bring a campaign up to date, follow it, end it."""

import getpass
from typing import Annotated
from uuid import UUID

import typer

from cheerful_pipelines.cli.connections import campaign_store, database, shown_campaign
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.operations.backfills.backfill_store import BackfillStore
from cheerful_pipelines.operations.backfills.request_backfill import progress_in_words, request_backfill
from cheerful_pipelines.storage.blobs import BlobStore

app = typer.Typer(no_args_is_help=True)

Number = Annotated[str, typer.Argument(help="The backfill's number, as `cheerful backfills list` prints it.")]


def backfill(
    campaign: Annotated[str, typer.Argument(help="The campaign.")],
    since: Annotated[str, typer.Option(help="First month of mail: 2026-10. Default: the campaign's start.")] = "",
    until: Annotated[str, typer.Option(help="Last month of mail: 2026-11. Default: now.")] = "",
    only: Annotated[
        list[str] | None, typer.Option(help="A stage (sheet, archive, campaign) or an asset; may be given again.")
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Only say what it would take; start nothing.")] = False,
) -> None:
    """Bring a campaign up to date: sheet, mail month by month, threads, classifications, numbers. Safe to repeat."""
    settings, connected = load_settings(), database()
    found = request_backfill(
        settings, connected, BlobStore.from_url(settings.effective_blob_url()), GmailClients(settings, connected),
        campaign, since=since, until=until, only=only or (), estimate_only=estimate, requested_by=getpass.getuser(),
    )  # fmt: skip
    told = found.estimate
    usd = "unknown price" if told.llm_usd is None else f"{told.llm_usd:.2f}"
    print_table(
        ("what", "how much"),
        [
            ("months", f"{found.plan.since:%Y-%m} to {found.plan.until:%Y-%m}"),
            ("mailboxes", len(found.plan.accounts)),
            ("partitions", told.partitions),
            ("messages to fetch", told.messages),
            ("Gmail quota units", told.quota_units),
            ("minutes, about", told.minutes),
            ("calls to a paid model for what is pending now", told.llm_calls),
            ("answered from memory, without a call", told.llm_cache_hits),
            ("dollars, about", usd),
            *((f"cannot be asked now: {alias}", "reconnect it") for alias in told.skipped_accounts),
        ],
    )
    if found.number is None:
        print("only estimated; leave --estimate out to start it")
    else:
        print(f"backfill {found.number} is under way: cheerful backfills show {found.number}")


@app.command("list")
def list_backfills() -> None:
    """Every backfill, newest first."""
    store = campaign_store()
    clients = store.client_slugs()
    whose = {one.slug: clients[one.user_id] for one in store.campaigns()}
    print_table(
        ("backfill", "client", "campaign", "months", "state", "progress", "by", "asked for"),
        [
            (
                one.id, whose.get(one.slug), one.slug, f"{one.since:%Y-%m} to {one.until:%Y-%m}", one.state,
                progress_in_words(one), one.requested_by, f"{one.created_at:%Y-%m-%d %H:%M}",
            )
            for one in BackfillStore(database()).backfills()
        ],
    )  # fmt: skip


@app.command("show")
def show(number: Number) -> None:
    """One backfill, partition by partition."""
    found = BackfillStore(database()).backfill(_number(number))
    shown_campaign(found.slug)
    print_table(
        ("stage", "partition", "state", "attempt", "run"),
        [(part.stage, part.partition_key, part.state, part.attempt, part.run_id) for part in found.parts],
    )
    print(f"{found.state}: {progress_in_words(found)}")


@app.command("cancel")
def cancel(number: Number) -> None:
    """End it: what waits is not begun, what runs is stopped within seconds and loses nothing that is stored."""
    store, identity = BackfillStore(database()), _number(number)
    store.backfill(identity)
    print("cancelled" if store.finish(identity, state="cancelled") else "it was over already")


def _number(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a backfill's number.", what_to_do="See: cheerful backfills list."
        ) from None
