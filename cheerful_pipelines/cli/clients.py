"""`cheerful clients`: who pays. A client is created here and nowhere else, so that a misspelt name creates nothing."""

from typing import Annotated
from uuid import UUID

import typer

from cheerful_pipelines.cli.connections import campaign_store
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.short_names import require_short_name

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_clients() -> None:
    """Every client, with how many campaigns and mailboxes it has."""
    store = campaign_store()
    found, campaigns, accounts = store.clients(), store.campaigns(), store.accounts()
    print_table(
        ("client", "name", "campaigns", "accounts", "user"),
        [
            (
                one.slug, one.name, sum(item.user_id == one.user_id for item in campaigns),
                sum(item.user_id == one.user_id for item in accounts), one.user_id,
            )
            for one in found
        ],
    )  # fmt: skip
    if not found:
        print("no client yet; add one: cheerful clients add NAME")


@app.command("add")
def add(
    slug: Annotated[str, typer.Argument(help="Short name: lower-case letters, digits, hyphens.")],
    name: Annotated[str, typer.Option(help="Readable name. Default: the short name.")] = "",
    user_id: Annotated[
        str, typer.Option(help="Id of the client's user in Supabase Auth, where it signs in there. Default: a new one.")
    ] = "",
) -> None:
    """Add a client; of one that is there already, --name changes the readable name."""
    store = campaign_store()
    if any(one.slug == slug for one in store.clients()):
        if user_id:
            raise ConfigurationError(
                f"The client {slug!r} is there already; its user cannot be changed.", what_to_do="Leave --user-id out."
            )
        found = store.name_client(slug, name) if name else store.client(slug)
        print(f"{found.slug} is there already, named {found.name}")
        return
    require_short_name(slug, of="client")
    store.add_client(slug=slug, name=name or slug, user_id=_user(user_id) if user_id else None)
    print(f"{slug} is created; next: cheerful campaigns add ... --client {slug}, cheerful accounts add ...")


def _user(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is not a user id.", what_to_do="Copy it from Supabase, Authentication, Users."
        ) from None
