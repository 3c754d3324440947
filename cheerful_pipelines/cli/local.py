"""`cheerful local`: what a person would do in Gmail and Sheets, done to the local Google server."""

import csv
import io
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Annotated

import typer

from cheerful_pipelines.cli.connections import campaign_store, local_google
from cheerful_pipelines.core.errors import ConfigurationError

app = typer.Typer(no_args_is_help=True)


@app.command("load")
def load(
    mbox: Annotated[Path | None, typer.Option(help="An mbox file, or a folder of .eml files.", exists=True)] = None,
    account: Annotated[str, typer.Option(help="The account whose mailbox gets the mail.")] = "",
    sheet: Annotated[
        Path | None, typer.Option(help="A CSV file with a header row.", exists=True, dir_okay=False)
    ] = None,
    campaign: Annotated[str, typer.Option(help="The campaign whose sheet becomes this file.")] = "",
) -> None:
    """Put a mailbox or a sheet of your own into the local server."""
    if (mbox is None) != (account == "") or (sheet is None) != (campaign == "") or (mbox is None and sheet is None):
        raise ConfigurationError("Name --mbox FILE with --account ALIAS, or --sheet FILE with --campaign SLUG.")
    google, store = local_google(), campaign_store()
    if mbox is not None:
        found = store.account(account)
        google.add_mailbox(found.address)
        loaded = google.load_mbox(found.address, mbox, own_addresses=(found.address,))
        print(f"{loaded} messages are in the mailbox of {account}; the next sync takes those since its campaigns began")
    if sheet is not None:
        target = store.campaign(campaign)
        rows = google.load_csv(target.spreadsheet_id, sheet, title=target.name, tab=target.sheet_tab or "Recipients")
        print(f"{rows} rows are in the sheet of {campaign}")


@app.command("deliver")
def deliver(
    account: Annotated[str, typer.Option(help="The account whose mailbox gets it.")],
    file: Annotated[Path | None, typer.Option(help="A raw .eml file.", exists=True, dir_okay=False)] = None,
    sender: Annotated[str, typer.Option("--from", help="From, as a header has it.")] = "",
    subject: Annotated[str, typer.Option(help="Subject.")] = "Hello",
    text: Annotated[str, typer.Option(help="The words.")] = "",
    in_reply_to: Annotated[str, typer.Option(help="Message-ID of the mail that it answers.")] = "",
) -> None:
    """Deliver one mail: a file, or one written here."""
    if (file is None) == (sender == ""):
        raise ConfigurationError("Name either --file FILE or --from ADDRESS with --text WORDS.")
    found = campaign_store().account(account)
    raw = file.read_bytes() if file is not None else _written(sender, found.address, subject, text, in_reply_to)
    delivered = local_google().deliver(found.address, raw)
    print(f"delivered: message {delivered['id']} in thread {delivered['threadId']}")


@app.command("edit-sheet")
def edit_sheet(
    campaign: Annotated[str, typer.Argument(help="The campaign whose sheet to edit.")],
    cell: Annotated[str, typer.Option(help="A cell such as B5, with --value.")] = "",
    value: Annotated[str, typer.Option(help="What the cell shall hold.")] = "",
    append: Annotated[str, typer.Option(help="A row to add below, as CSV.")] = "",
    tab: Annotated[str, typer.Option(help="Default: the campaign's tab, or the first.")] = "",
) -> None:
    """Edit a cell of a campaign's sheet, or add a row."""
    if bool(cell) == bool(append):
        raise ConfigurationError("Name either --cell A1 with --value X, or --append ROW.")
    google = local_google()
    target = campaign_store().campaign(campaign)
    where = tab or target.sheet_tab or google.tabs(target.spreadsheet_id)[0]
    if cell:
        google.edit_cell(target.spreadsheet_id, where, cell, value)
    else:
        google.append_rows(target.spreadsheet_id, where, [next(csv.reader(io.StringIO(append)))])
    print(f"the tab {where!r} is edited; the sheet sensor looks every 15 seconds")


@app.command("revoke")
def revoke(account: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Take an account's token away, as its owner could."""
    local_google().revoke_token(campaign_store().account(account).address)
    print(f"{account} is revoked; the next tick marks it needs_reauth")


@app.command("restore")
def restore(account: Annotated[str, typer.Argument(help="The account.")]) -> None:
    """Let the token work again, and the account be asked again."""
    store = campaign_store()
    found = store.account(account)
    local_google().restore_token(found.address)
    store.set_account_status(found.id, status="active", reason=None)
    print(f"{account} works again")


def _written(sender: str, recipient: str, subject: str, text: str, in_reply_to: str) -> bytes:
    if any(one in text for one in "\r\n" for text in (sender, subject, in_reply_to)):
        raise ConfigurationError(
            "--from, --subject and --in-reply-to are one line each.", what_to_do="Deliver other mail with --file FILE."
        )
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = subject
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = make_msgid(domain="creatormail.example")
    if in_reply_to:
        mail["In-Reply-To"] = mail["References"] = f"<{in_reply_to.strip('<>')}>"
    mail.set_content(text)
    return mail.as_bytes()
