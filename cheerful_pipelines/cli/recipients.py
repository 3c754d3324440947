"""`cheerful recipients`: who is listed, or was; what could not be taken; what an import would do.

Prints addresses and names: it is for the person at the terminal, and nothing of it is logged.
"""

from datetime import UTC, datetime
from typing import Annotated

import typer

from cheerful_pipelines.cli.connections import database_of, shown_campaign
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.recipients.import_plan import plan_import
from cheerful_pipelines.recipients.import_report import PROBLEM_WORDS, diff_as_markdown
from cheerful_pipelines.recipients.store import RecipientStore

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_recipients(
    slug: Annotated[str, typer.Argument(help="The campaign.")],
    as_of: Annotated[str, typer.Option(help="A past moment: 2026-11-01, or 2026-11-01T09:30+01:00.")] = "",
) -> None:
    """The list as it is imported now, or as it was."""
    campaign = shown_campaign(slug)
    instant = moment(as_of) if as_of else datetime.now(UTC)
    found = RecipientStore(database_of(slug)).listed(campaign.id, instant=instant)
    print_table(
        ("row", "id", "address", "name", "handle", "listed since"),
        [(r.sheet_row, r.id, r.email, r.name, r.handle, f"{r.valid_from:%Y-%m-%d %H:%M}") for r in found],
    )
    print(f"{len(found)} recipients as of {instant:%Y-%m-%d %H:%M %Z}")


@app.command("problems")
def list_problems(slug: Annotated[str, typer.Argument(help="The campaign.")]) -> None:
    """Rows that the last import could not take, or took with a remark."""
    found = RecipientStore(database_of(slug)).problems(shown_campaign(slug).id)
    print_table(
        ("row", "cell", "what", "whom", "why"),
        [(p.sheet_row, p.cell, PROBLEM_WORDS[p.kind], p.name or p.handle, p.reason) for p in found],
    )
    print(f"{len(found)} problems at the last import")


@app.command("preview")
def preview(slug: Annotated[str, typer.Argument(help="The campaign.")]) -> None:
    """Read the sheet and say what an import would do. Writes nothing."""
    settings = load_settings()
    campaign = shown_campaign(slug)
    plan = plan_import(
        SheetsClient.from_settings(settings),
        RecipientStore(database_of(slug)),
        campaign,
        share=settings.removal_guard_share,
        hash_key=settings.optional_hash_key(),
    )
    print_table(("what", "rows"), [(name, count) for name, count in plan.counts.model_dump().items()])
    print()
    print(diff_as_markdown(plan.diff, plan.problems))
    for sentence in plan.drift:
        print(f"header: {sentence}")
    print(plan.verdict.words if plan.verdict.passed else f"It would stop. {plan.verdict.words}")


def moment(text: str) -> datetime:
    """A day or a time; without a zone it is UTC. Raises ConfigurationError.

    >>> moment("2026-11-01").isoformat()
    '2026-11-01T00:00:00+00:00'
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a date or time.", what_to_do="Write 2026-11-01, or 2026-11-01T09:30+01:00."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
