"""`cheerful campaigns`: look at campaigns and register them."""

import sys
from datetime import UTC, datetime
from typing import Annotated, Any
from zoneinfo import available_timezones

import typer

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.cli.connections import campaign_store, database
from cheerful_pipelines.cli.sheet_inputs import gid_in, read_sheets, require_order, spreadsheet_id
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.short_names import require_short_name
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore

app = typer.Typer(no_args_is_help=True)

MAX_ROWS = 10_000_000
"""Of a spreadsheet: Google's limit of cells (support.google.com/drive/answer/37603)."""


@app.command("list")
def list_campaigns() -> None:
    """Every campaign, one a line."""
    store = campaign_store()
    found, clients = store.campaigns(), store.client_slugs()
    print_table(
        ("campaign", "client", "type", "status", "starts", "sheet"),
        [
            (c.slug, clients[c.user_id], c.campaign_type, c.status, f"{c.starts_at:%Y-%m-%d}", c.spreadsheet_id)
            for c in found
        ],
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
        "client": store.client_slugs()[campaign.user_id],
        **campaign.model_dump(exclude={"id", "user_id", "column_mapping"}),
        "columns": "; ".join(f"{f}: {' or '.join(names)}" for f, names in campaign.column_mapping.items()) or None,
        "senders": ", ".join(account.alias for account in store.accounts(campaign_id=campaign.id)) or None,
        **mark.model_dump(exclude={"sheet_content_hash", "exported_hash"}),
    }
    print_table(("what", "value"), list(facts.items()))


@app.command("add")
def add(
    slug: Annotated[str, typer.Argument(help="Short name (partition key): lower-case letters, digits, hyphens.")],
    client: Annotated[str, typer.Option(help="The client's short name; `cheerful clients list` names them.")],
    sheet: Annotated[str | None, typer.Option(help="URL (with its gid) or id of the recipients' sheet.")] = None,
    type_: Annotated[str | None, typer.Option("--type", help="GIFTING (default) or PAID_PROMOTION.")] = None,
    starts: Annotated[str | None, typer.Option(help="First day of outreach, YYYY-MM-DD. Default: today.")] = None,
    ends: Annotated[str | None, typer.Option(help="Last day, YYYY-MM-DD.")] = None,
    name: Annotated[str | None, typer.Option(help="Readable name. Default: the short name.")] = None,
    status: Annotated[str | None, typer.Option(help="DRAFT, ACTIVE (default) or COMPLETED.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="The client's zone: days are cut by it. Default: UTC.")] = None,
    tab: Annotated[str | None, typer.Option(help="Title of the sheet's tab. Default: the first.")] = None,
    gid: Annotated[
        int | None, typer.Option(help="The tab by its gid; taken from the URL where it has one.", min=0)
    ] = None,
    range_: Annotated[
        str | None, typer.Option("--range", help="Only these cells: A5:F, People!A5:F, or a named range.")
    ] = None,
    header_row: Annotated[
        int | None, typer.Option(help="Row of the header. Default, or 0: looked for.", min=0, max=MAX_ROWS)
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", help="FIELD=HEADER or FIELD=HEADER,OTHER. Fields: email, name, handle, or your own."),
    ] = None,
    problems_tab: Annotated[
        bool | None, typer.Option(help='Keep a tab "Cheerful problems" in the recipients\' sheet. Default: no.')
    ] = None,
    local_only: Annotated[
        bool | None, typer.Option(help="No word of its mail to a hosted model, whatever CHEERFUL_CLASSIFIER says.")
    ] = None,
    metrics_sheet: Annotated[str | None, typer.Option(help="URL or id of the sheet that gets the numbers.")] = None,
    sender: Annotated[list[str] | None, typer.Option(help="Alias of a sending account; repeat for several.")] = None,
) -> None:
    """Add a campaign, or change one: what is not named stays as it is, "" takes a setting away."""
    store = campaign_store()
    known = next((found for found in store.campaigns() if found.slug == slug), None)
    if known is None:
        require_short_name(slug, of="campaign")
    if known is None and not sheet:
        raise ConfigurationError(f"{slug!r} is a new campaign.", what_to_do="Name its sheet: --sheet URL.")
    values = _kept_of(known) if known is not None else {**_DEFAULTS, "name": slug, "starts_at": _today()}
    given = {
        "name": name or None,
        "campaign_type": _one_of(type_, "GIFTING", "PAID_PROMOTION"),
        "status": _one_of(status, "DRAFT", "ACTIVE", "COMPLETED"),
        "starts_at": _day(starts) if starts else None,
        "ends_at": _day(ends) if ends else ends,
        "time_zone": _zone(time_zone or None),
        "sheet_tab": tab,
        "sheet_gid": gid,
        "sheet_range": range_,
        "header_row": header_row,
        "column_mapping": _mapping(map_) if map_ is not None else None,
        "writes_problems_tab": problems_tab,
        "llm_local_only": local_only,
        "metrics_spreadsheet_id": spreadsheet_id(metrics_sheet) if metrics_sheet else metrics_sheet,
    }
    if sheet:
        if gid_in(sheet) is not None or spreadsheet_id(sheet) != values.get("spreadsheet_id"):
            values |= {"sheet_tab": None, "sheet_gid": gid_in(sheet)}
        values["spreadsheet_id"] = spreadsheet_id(sheet)
    # None was not named; "" and 0 take a setting away, but a gid of 0 is the first tab, and False is an answer.
    values |= {
        key: (value if value or key in _ZERO_COUNTS else None) for key, value in given.items() if value is not None
    }
    require_order(values["starts_at"], values["ends_at"])
    store.check_campaign(
        client_slug=client, slug=slug, sender_aliases=sender or (), spreadsheet_id=values["spreadsheet_id"],
        metrics_spreadsheet_id=values["metrics_spreadsheet_id"],
    )  # fmt: skip
    remarks = read_sheets(values, known)
    campaign = store.add_campaign(client_slug=client, slug=slug, sender_aliases=sender or (), **values)
    units = [f"{kind}:{campaign.slug}" for kind in ("sheet", "campaign")]
    WorkFailureStore(database().for_every_client()).make_due(units, at=datetime.now(UTC))
    print(
        f"{'Changed' if known else 'Created'} {campaign.slug} of client {client}; its partition and its import follow "
        "within half a minute."
    )
    if not store.accounts(campaign_id=campaign.id):
        remarks.append(_NO_SENDER.format(slug=slug, client=client))
    for remark in remarks:
        print(f"warning: {remark}", file=sys.stderr)


_NO_SENDER = (
    "{slug} has no sender, so none of its mail is synced: cheerful campaigns add {slug} --client {client} "
    "--sender ALIAS"
)
_ZERO_COUNTS = ("sheet_gid", "writes_problems_tab", "llm_local_only", "column_mapping")
_DEFAULTS: dict[str, Any] = {
    "campaign_type": "GIFTING", "status": "ACTIVE", "time_zone": "UTC", "ends_at": None, "metrics_spreadsheet_id": None,
}  # fmt: skip


def _kept_of(campaign: Campaign) -> dict[str, Any]:
    return campaign.model_dump(exclude={"id", "user_id", "slug"})


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _one_of(given: str | None, *known: str) -> str | None:
    if given is not None and given not in known:
        raise ConfigurationError(f"{given!r} is not one of {', '.join(known)}.")
    return given


def _zone(given: str | None) -> str | None:
    if given is not None and given not in available_timezones():
        raise ConfigurationError(f"{given!r} is not a time zone.", what_to_do="Write it like Europe/Lisbon.")
    return given


def _mapping(given: list[str]) -> dict[str, tuple[str, ...]]:
    """`email=Contact,Mail` and the like; "" alone takes the mapping away."""
    mapping: dict[str, tuple[str, ...]] = {}
    for item in filter(None, given):
        field, equals, headers = item.partition("=")
        names = tuple(header.strip() for header in headers.split(",") if header.strip())
        if not equals or not field.strip() or not names:
            raise ConfigurationError(f"--map {item!r} names no column.", what_to_do="Write --map email=Contact,Mail.")
        mapping[field.strip()] = names
    return mapping


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise ConfigurationError(f"{text!r} is not a date.", what_to_do="Write it as YYYY-MM-DD.") from None
