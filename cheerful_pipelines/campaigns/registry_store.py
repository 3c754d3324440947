"""Whose a short name, a mailbox or a spreadsheet is: what `add_campaign` and `add_account` refuse, in one transaction.

Every function takes the connection of that transaction; `lock` makes registrations come one after the other, since no
constraint of Postgres can hold "not in another client's row" for a spreadsheet.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.errors import NotFoundError, PermanentError
from cheerful_pipelines.core.short_names import MAX_LENGTH, require_short_name
from cheerful_pipelines.storage.schema.campaigns import (
    campaign,
    campaign_mark,
    campaign_sender,
    client,
    gmail_account,
    gmail_account_identity,
)
from cheerful_pipelines.storage.schema.mail import (
    dead_letter,
    fetch_in_flight,
    gmail_message,
    message_reading,
    passed_over_message,
    searched_address,
    suspect_message,
)

_LOCK = 0x0C1E_4701
REPLACED = "another mailbox took its place"


class KnownAccount(NamedTuple):
    """The account that has an alias now."""

    id: UUID
    user_id: UUID
    address_key: str
    scope: str
    replaced_at: datetime | None


def lock(connection: sa.Connection) -> None:
    """Hold the registry until the transaction ends."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def client_id(connection: sa.Connection, slug: str) -> UUID:
    """The client's user id. Raises NotFoundError that lists the clients there are."""
    known = {row.slug: row.user_id for row in connection.execute(sa.select(client.c.slug, client.c.user_id))}
    if slug in known:
        return UUID(str(known[slug]))
    listed = ", ".join(sorted(known)) or "none yet"
    raise NotFoundError(
        f"There is no client {slug!r}. Known clients: {listed}.",
        what_to_do="Correct the name, or add the client first: cheerful clients add NAME.",
    )


def require_own_campaign(connection: sa.Connection, slug: str, client_slug: str) -> None:
    """Raise PermanentError where the campaign is another client's."""
    owner = _owner(connection, sa.select(campaign.c.user_id).where(campaign.c.slug == slug))
    if owner is not None and owner != client_slug:
        raise PermanentError(
            f"The campaign {slug!r} belongs to another client than {client_slug!r}.",
            what_to_do="Choose another short name, or name its client: cheerful campaigns list.",
        )


def require_own_sheets(
    connection: sa.Connection, user_id: UUID, spreadsheet_ids: Collection[str], *, slug: str
) -> None:
    """Raise PermanentError where another client's campaign reads or writes one of the spreadsheets."""
    other = connection.execute(
        sa.select(campaign.c.spreadsheet_id, campaign.c.metrics_spreadsheet_id).where(
            campaign.c.user_id != user_id,
            sa.or_(
                campaign.c.spreadsheet_id.in_(spreadsheet_ids), campaign.c.metrics_spreadsheet_id.in_(spreadsheet_ids)
            ),
        )
    ).first()
    if other is not None:
        taken = sorted(set(other) & set(spreadsheet_ids))
        raise PermanentError(
            f"The spreadsheet {', '.join(taken)} belongs to a campaign of another client; campaign {slug!r} cannot "
            "use it.",
            what_to_do="Give each client spreadsheets of its own, or name the right client.",
        )


def known_account(connection: sa.Connection, alias: str, client_slug: str) -> KnownAccount | None:
    """The account of this alias, or None. Raises PermanentError where it is another client's."""
    columns = gmail_account.c
    row = connection.execute(
        sa.select(columns.id, columns.user_id, columns.address_key, columns.scope, columns.replaced_at).where(
            columns.alias == alias
        )
    ).one_or_none()
    if row is None:
        return None
    found = KnownAccount(*row)
    if _owner(connection, sa.select(gmail_account.c.user_id).where(columns.id == found.id)) != client_slug:
        raise PermanentError(
            f"The account {alias!r} belongs to another client than {client_slug!r}.",
            what_to_do="Choose another alias, or name its client: cheerful accounts list.",
        )
    if found.replaced_at is not None:
        raise PermanentError(
            f"The account {alias!r} holds the mail of a mailbox that was replaced; it cannot be connected.",
            what_to_do="Choose another alias.",
        )
    return found


def require_free_address(connection: sa.Connection, address: str, *, alias: str, user_id: UUID) -> None:
    """Raise PermanentError where the mailbox is connected already, under another alias."""
    row = connection.execute(
        sa.select(gmail_account.c.alias, gmail_account.c.user_id).where(
            gmail_account.c.address_key == address_key(address),
            gmail_account.c.alias != alias,
            gmail_account.c.replaced_at.is_(None),
        )
    ).one_or_none()
    if row is None:
        return
    if row.user_id == user_id:
        raise PermanentError(
            f"The mailbox named for {alias!r} is connected already, as account {row.alias!r}.",
            what_to_do=f"Use that alias, or add it as a sender: cheerful campaigns add ... --sender {row.alias}.",
        )
    raise PermanentError(
        f"The mailbox named for {alias!r} is connected for another client; one mailbox serves one client.",
        what_to_do="Use a mailbox of this client's own. An agency that writes for several brands from one mailbox is "
        "the client itself, with a campaign for each brand.",
    )


def require_same_address(known: KnownAccount, address: str, *, alias: str) -> None:
    """Raise PermanentError where the alias is a mailbox with another address."""
    if known.address_key != address_key(address):
        raise PermanentError(
            f"The account {alias!r} is a mailbox with another address.",
            what_to_do="Choose another alias for the new mailbox. If it takes the place of the old one, add "
            "--replace-address: the old mailbox's mail stays, and the new one is synced from its beginning.",
        )


def require_no_mailbox_of_others(
    connection: sa.Connection, addresses: Collection[str], *, alias: str, user_id: UUID
) -> None:
    """Raise PermanentError where one of the addresses (send-as) is a connected mailbox of another client."""
    taken = connection.execute(
        sa.select(gmail_account.c.id).where(
            gmail_account.c.address_key.in_([address_key(one) for one in addresses]),
            gmail_account.c.user_id != user_id,
            gmail_account.c.replaced_at.is_(None),
        )
    ).first()
    if taken is not None:
        raise PermanentError(
            f"A --send-as address of account {alias!r} is another client's mailbox.",
            what_to_do="Name addresses of this client's own.",
        )


def claim_campaign(
    connection: sa.Connection, client_slug: str, slug: str, spreadsheet_ids: Collection[str], senders: Collection[str]
) -> tuple[UUID, list[UUID]]:
    """(the client's user id, the senders' account ids); raises what `CampaignStore.add_campaign` tells."""
    require_own_campaign(connection, slug, client_slug)
    user_id = client_id(connection, client_slug)
    if connection.execute(sa.select(campaign.c.id).where(campaign.c.slug == slug)).first() is None:
        require_short_name(slug, of="campaign")
    require_own_sheets(connection, user_id, spreadsheet_ids, slug=slug)
    return user_id, [_sender_id(connection, alias, user_id, client_slug) for alias in senders]


def _sender_id(connection: sa.Connection, alias: str, user_id: UUID, client_slug: str) -> UUID:
    found: UUID | None = connection.execute(
        sa.select(gmail_account.c.id).where(
            gmail_account.c.alias == alias,
            gmail_account.c.user_id == user_id,
            gmail_account.c.replaced_at.is_(None),
        )
    ).scalar_one_or_none()
    if found is None:
        raise NotFoundError(
            f"Client {client_slug!r} has no Gmail account {alias!r}.",
            what_to_do="Add it first: cheerful accounts add.",
        )
    return found


def claim_account(
    connection: sa.Connection,
    client_slug: str,
    alias: str,
    address: str,
    send_as: Collection[str],
    *,
    replace_address: bool,
) -> tuple[KnownAccount | None, UUID]:
    """(the account that has the alias now, the client's user id); raises what `CampaignStore.add_account` tells."""
    known = known_account(connection, alias, client_slug)
    user_id = client_id(connection, client_slug)
    if known is None:
        require_short_name(alias, of="account")
    elif not replace_address:
        require_same_address(known, address, alias=alias)
    require_free_address(connection, address, alias=alias, user_id=user_id)
    require_no_mailbox_of_others(connection, send_as, alias=alias, user_id=user_id)
    return known, user_id


def retire_account(connection: sa.Connection, known: KnownAccount, *, alias: str) -> tuple[list[UUID], int]:
    """Another mailbox takes the alias: what was stored stays, below an alias of its own, and is never compared with
    the new mailbox. Gmail's ids are unique per mailbox only, so the new mailbox gets an account row of its own.

    Returns the campaigns it sends for, and how far `account_mark.progress` had come (run keys hold it).
    """
    connection.execute(
        sa.update(gmail_account)
        .where(gmail_account.c.id == known.id)
        .values(
            alias=_alias_of_the_past(connection, alias), status="paused", status_reason=REPLACED,
            sealed_credentials=None, not_before=None, replaced_at=sa.func.now(),
        )
    )  # fmt: skip
    for table in (passed_over_message, searched_address, fetch_in_flight, suspect_message):
        connection.execute(sa.delete(table).where(table.c.gmail_account_id == known.id))
    connection.execute(  # nobody can fetch them any more
        sa.update(dead_letter)
        .where(dead_letter.c.gmail_account_id == known.id, dead_letter.c.resolved_at.is_(None))
        .values(resolved_at=sa.func.now(), next_try_at=None)
    )
    _forget_identities(connection, known)
    campaigns = connection.execute(
        sa.select(campaign_sender.c.campaign_id).where(campaign_sender.c.gmail_account_id == known.id)
    ).scalars()
    progress: Any = connection.execute(
        sa.text("select progress from account_mark where gmail_account_id = :id"), {"id": known.id}
    ).scalar()
    return list(campaigns), int(progress or 0)


def _forget_identities(connection: sa.Connection, known: KnownAccount) -> None:
    """The old addresses are no longer us: what they sent to our other mailboxes is read again as a stranger's mail."""
    mine = gmail_account_identity.c.gmail_account_id == known.id
    others = sa.select(gmail_account_identity.c.address_key).where(~mine)
    gone = list(
        connection.execute(
            sa.select(gmail_account_identity.c.address_key).where(
                mine, gmail_account_identity.c.address_key.not_in(others)
            )
        ).scalars()
    )
    connection.execute(sa.delete(gmail_account_identity).where(mine))
    accounts = sa.select(gmail_account.c.id).where(gmail_account.c.user_id == known.user_id)
    connection.execute(
        sa.delete(message_reading).where(
            message_reading.c.gmail_account_id == gmail_message.c.gmail_account_id,
            message_reading.c.gmail_message_id == gmail_message.c.gmail_message_id,
            gmail_message.c.gmail_account_id.in_(accounts),
            gmail_message.c.from_key.in_(gone),
            ~gmail_message.c.label_ids.contains(["SENT"]),
        )
    )
    connection.execute(  # every thread of the client's campaigns is looked at again, as after an import
        sa.update(campaign_mark)
        .where(campaign_mark.c.campaign_id.in_(sa.select(campaign.c.id).where(campaign.c.user_id == known.user_id)))
        .values(processed_recipients_revision=-1)
    )


def _alias_of_the_past(connection: sa.Connection, alias: str) -> str:
    """`mia-until-20261127`, with a number where that is taken."""
    day = f"-until-{datetime.now(UTC):%Y%m%d}"
    taken = set(connection.execute(sa.select(gmail_account.c.alias)).scalars())
    for number in range(1, 1000):
        ending = day if number == 1 else f"{day}-{number}"
        found = alias[: MAX_LENGTH - len(ending)].rstrip("-") + ending
        if found not in taken:
            return found
    raise PermanentError(f"Account {alias!r} was replaced too often today.", what_to_do="Choose another alias.")


def _owner(connection: sa.Connection, user_id: sa.Select[Any]) -> str | None:
    found: str | None = connection.execute(
        sa.select(client.c.slug).where(client.c.user_id.in_(user_id))
    ).scalar_one_or_none()
    return found
