"""Puts the invented world into the local Google server and the registry: twice is once, interrupted is continued.

`python -m cheerful_pipelines.demo.seed` does it by the environment's settings. What comes after the first six weeks is
the player's part.
"""

from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.logs import configure_logging, get_logger
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.demo.models import DemoWorld
from cheerful_pipelines.demo.progress import DemoProgress, load_progress, save_progress
from cheerful_pipelines.demo.world import TOTAL_DAYS, campaigns_of, generate_world
from cheerful_pipelines.local_google.admin import Delivery, LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database

SEED = 7
_LOT = 200
_log = get_logger(__name__)


class SeedReport(BaseModel):
    """What seeding did. `was_seeded`: everything stood already and nothing was touched."""

    model_config = ConfigDict(frozen=True)
    was_seeded: bool
    clients: int = 0
    campaigns: int = 0
    accounts: int = 0
    sheets: int = 0
    messages: int = 0


def seed_demo(admin: LocalGoogleAdmin, campaigns: CampaignStore, settings: Settings) -> SeedReport:
    """Fill the sheets, deliver six weeks of mail, register. Raises ConfigurationError without a credentials key.

    Known to be seeded: the progress file says so, the server holds mail, the registry every campaign. What one of them
    lost is put back, with the same anchor day. Where the file itself is lost, the registry tells the day, and the
    player has nothing left to play: a mail delivered twice would be worse than none.
    """
    key = settings.require_credentials_key()
    progress = load_progress(settings.home) or _found_in_registry(campaigns)
    progress = progress or DemoProgress(seed=SEED, anchor=datetime.now(tz=UTC).date())
    if progress.is_seeded and not admin.health()["messages"]:  # another server, or a wiped one
        progress = DemoProgress(seed=progress.seed, anchor=progress.anchor)
    save_progress(settings.home, progress)
    if progress.is_seeded and _found_in_registry(campaigns) is not None:
        return SeedReport(was_seeded=True)
    world = generate_world(progress.seed, progress.anchor)
    messages = 0
    if not progress.is_seeded:
        if not progress.filled:  # later the sheets may have been edited
            _put_sheets(admin, world)
        progress, messages = _fill_mailboxes(admin, world, progress, settings)
    _register(admin, campaigns, world, key)
    save_progress(settings.home, progress.model_copy(update={"is_seeded": True}))
    _log.info("demo_seeded", messages=messages, campaigns=len(world.campaigns))
    return SeedReport(
        was_seeded=False,
        clients=len(world.clients),
        campaigns=len(world.campaigns),
        accounts=len(world.accounts),
        sheets=2 * len(world.sheets),
        messages=messages,
    )


def _found_in_registry(campaigns: CampaignStore) -> DemoProgress | None:
    known = {campaign.slug: campaign for campaign in campaigns.campaigns()}
    planned = campaigns_of(datetime.now(tz=UTC).date())
    if not all(plan.slug in known for plan in planned):
        return None
    first = min(plan.starts_at for plan in planned)
    begun = min(known[plan.slug].starts_at for plan in planned)
    anchor = datetime.now(tz=UTC).date() + (begun - first)
    return DemoProgress(seed=SEED, anchor=anchor, is_seeded=True, played=TOTAL_DAYS * 1000)


def _put_sheets(admin: LocalGoogleAdmin, world: DemoWorld) -> None:
    for campaign, sheet in zip(world.campaigns, world.sheets, strict=True):
        admin.put_sheet(
            sheet.spreadsheet_id, title=sheet.title, tabs={tab: list(rows) for tab, rows in sheet.tabs.items()}
        )
        admin.put_sheet(
            campaign.metrics_spreadsheet_id,
            title=f"{campaign.name} (numbers)",
            tabs={"Notes": [["Your own notes are safe in this tab."]]},
        )


def _fill_mailboxes(
    admin: LocalGoogleAdmin, world: DemoWorld, progress: DemoProgress, settings: Settings
) -> tuple[DemoProgress, int]:
    """Some hundred messages at a time, each lot written down: an interrupted start goes on where it was."""
    messages = 0
    for account in world.accounts:
        admin.add_mailbox(account.address)
        mails = [item for item in world.history() if item.address == account.address]
        for start in range(progress.filled.get(account.alias, 0), len(mails), _LOT):
            lot = mails[start : start + _LOT]
            messages += admin.deliver_many(
                account.address, [Delivery(item.raw, item.label_ids, item.at) for item in lot]
            )
            filled = {**progress.filled, account.alias: start + len(lot)}
            progress = progress.model_copy(update={"filled": filled})
            save_progress(settings.home, progress)
    return progress, messages


def _register(admin: LocalGoogleAdmin, campaigns: CampaignStore, world: DemoWorld, key: str) -> None:
    """Last of all: a sensor that sees a campaign finds its sheet and its mail in place."""
    for client in world.clients:
        campaigns.add_client(slug=client.slug, name=client.name)
    for account in world.accounts:
        campaigns.add_account(
            client_slug=account.client_slug,
            alias=account.alias,
            address=account.address,
            credentials_json=admin.credentials_json(account.address),
            credentials_key=key,
        )
    for campaign in world.campaigns:
        campaigns.add_campaign(
            client_slug=campaign.client_slug,
            slug=campaign.slug,
            name=campaign.name,
            campaign_type=campaign.campaign_type,
            status=campaign.status,
            starts_at=campaign.starts_at,
            ends_at=campaign.ends_at,
            time_zone=campaign.time_zone,
            spreadsheet_id=campaign.spreadsheet_id,
            sheet_tab=campaign.sheet_tab,
            metrics_spreadsheet_id=campaign.metrics_spreadsheet_id,
            writes_problems_tab=campaign.status == "ACTIVE",
            sender_aliases=[sender.alias for sender in campaign.senders],
        )


def main() -> None:
    """Seed by the environment's settings; a line says what was done."""
    configure_logging()
    settings = load_settings()
    database = Database(settings.require_database_url())
    try:
        report = seed_demo(LocalGoogleAdmin(settings.local_google_url), CampaignStore(database), settings)
    finally:
        database.close()
    _log.info("demo_stands", **report.model_dump())


if __name__ == "__main__":
    main()
