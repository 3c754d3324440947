"""The command-line tool `cheerful`: one file a noun. Prints for people; decides nothing that belongs in a domain."""

import os
import sys

import typer

from cheerful_pipelines.cli import (
    accounts,
    backfills,
    campaigns,
    clients,
    doctor,
    keys,
    local,
    mentions,
    metrics,
    people,
    recipients,
    status,
    threads,
    verdicts,
)
from cheerful_pipelines.cli.entry import CheerfulGroup, run

app = typer.Typer(
    cls=CheerfulGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain text: escape sequences are filtered from the output
    help="Outreach campaigns from the command line: register, look, deliver, check. --debug prints tracebacks.",
)
app.add_typer(clients.app, name="clients", help="Clients, who pay: list, add.")
app.add_typer(campaigns.app, name="campaigns", help="Campaigns: list, show, add.")
app.add_typer(accounts.app, name="accounts", help="Sender mailboxes: list, show, add.")
app.add_typer(mentions.app, name="people", help="Mail that may be about erased people: mentions, delete, keep.")
app.add_typer(recipients.app, name="recipients", help="Recipients: list (also of the past), problems, preview.")
app.add_typer(threads.app, name="threads", help="Conversations: list, show (also of the past), changes, replay.")
app.add_typer(
    verdicts.app, name="verdicts", help="What replies mean: list, review, overrides, estimate, evaluate, spend."
)
app.add_typer(
    metrics.app,
    name="metrics",
    help="Numbers: show (also of the past), explain, changes, compare, cohorts, definitions.",
)
app.add_typer(local.app, name="local", help="The local Google server: load mail and sheets, deliver, edit, revoke.")
app.add_typer(backfills.app, name="backfills", help="Backfills: list, show, cancel.")
app.command("backfill", help="Bring a campaign up to date: sheet, mail, threads, classifications, numbers.")(
    backfills.backfill
)
app.command("override", help="Say what a thread means: your word outranks every verdict.")(verdicts.override)
app.command("erase", help="Remove a person for good; the numbers stay, nothing brings them back.")(people.erase)
app.command("export-person", help="Everything that is stored of a person, as one archive.")(people.export_person)
app.command("keys", help="The installation's keys: made once, kept in CHEERFUL_HOME, printed for a shell.")(keys.keys)
app.command("status", help="How far every account and campaign is.")(status.status)
app.command("doctor", help="Check settings, keys, database, blobs and Google; say what to do.")(doctor.doctor)


def main() -> None:
    """Entry of the script: whatever fails becomes one sentence and an exit code, never a traceback by itself.

    What a command writes (keys, raw mail, logs, an export) is its user's only, as in the scripts of infra.
    """
    os.umask(0o077)
    sys.exit(run(app, sys.argv[1:]))
