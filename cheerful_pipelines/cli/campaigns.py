"""`cheerful campaigns`: look at campaigns and register them."""

import re
from datetime import UTC, datetime
from typing import Annotated

import typer

from cheerful_pipelines.cli.connections import campaign_store
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SHEET_URL = re.compile(r"/spreadsheets/d/([A-Za-z0-9_-]+)")


@app.command("list")
def list_campaigns() -> None:
    """Every campaign, one a line."""
    found = campaign_store().campaigns()
    print_table(
        ("campaign", "type", "status", "starts", "sheet"),
        [(c.slug, c.campaign_type, c.status, f"{c.starts_at:%Y-%m-%d}", c.spreadsheet_id) for c in found],
    )
    if not found:
        print("no campaign yet; `cheerful campaigns add --help` tells how to add one")


@app.command("show")
def show(slug: str) -> None:
    """One campaign: settings, senders and how far it is."""
    store = campaign_store()
    campaign = store.campaign(slug)
    mark = store.campaign_mark(campaign.id)
    facts = {
        **campaign.model_dump(exclude={"id", "user_id", "column_mapping"}),
        "senders": ", ".join(account.alias for account in store.accounts(campaign_id=campaign.id)) or None,
        **mark.model_dump(exclude={"sheet_content_hash", "exported_hash"}),
    }
    print_table(("what", "value"), list(facts.items()))


@app.command("add")
def add(
    slug: Annotated[str, typer.Argument(help="Short name: letters, digits, hyphens. It is the partition key.")],
    client: Annotated[str, typer.Option(help="The client's short name; made if it is new.")],
    sheet: Annotated[str, typer.Option(help="URL or id of the sheet with the recipients.")],
    type_: Annotated[str, typer.Option("--type", help="GIFTING or PAID_PROMOTION.")] = "GIFTING",
    starts: Annotated[str, typer.Option(help="First day of outreach, YYYY-MM-DD. Default: today.")] = "",
    ends: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD.")] = "",
    name: Annotated[str, typer.Option(help="Readable name. Default: the short name.")] = "",
    status: Annotated[str, typer.Option(help="DRAFT, ACTIVE or COMPLETED.")] = "ACTIVE",
    time_zone: Annotated[str, typer.Option(help="The client's time zone: days are cut by it.")] = "UTC",
    tab: Annotated[str, typer.Option(help="Tab of the sheet. Default: the first.")] = "",
    metrics_sheet: Annotated[str, typer.Option(help="URL or id of the sheet that gets the numbers.")] = "",
    sender: Annotated[list[str] | None, typer.Option(help="Alias of a sending account; repeat for several.")] = None,
) -> None:
    """Add a campaign, or change it by its short name. Sensors take it from there."""
    if _SLUG.fullmatch(slug) is None:
        raise ConfigurationError(f"{slug!r} cannot be a partition key.", what_to_do="Use a-z, 0-9 and hyphens.")
    for given, known in ((type_, ("GIFTING", "PAID_PROMOTION")), (status, ("DRAFT", "ACTIVE", "COMPLETED"))):
        if given not in known:
            raise ConfigurationError(f"{given!r} is not one of {', '.join(known)}.")
    store = campaign_store()
    store.add_client(slug=client, name=client)
    campaign = store.add_campaign(
        client_slug=client,
        slug=slug,
        name=name or slug,
        campaign_type=type_,
        status=status,
        starts_at=_day(starts) if starts else datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0),
        ends_at=_day(ends) if ends else None,
        time_zone=time_zone,
        spreadsheet_id=spreadsheet_id(sheet),
        sheet_tab=tab or None,
        metrics_spreadsheet_id=spreadsheet_id(metrics_sheet) if metrics_sheet else None,
        sender_aliases=sender or (),
    )
    print(f"{campaign.slug} stands; the sensors make its partition and import its sheet within half a minute")


def spreadsheet_id(text: str) -> str:
    """The id in a Sheets URL, or the text itself."""
    match = _SHEET_URL.search(text)
    return match.group(1) if match else text


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigurationError(f"{text!r} is no day.", what_to_do="Write it as YYYY-MM-DD.") from None
