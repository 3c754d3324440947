"""What the commands talk to, made when a command needs it. Nothing else in cli opens a connection."""

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore, database_of_campaign
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database


def database() -> Database:
    """Our Postgres, every client. Raises ConfigurationError where CHEERFUL_DATABASE_URL is not set."""
    return Database(load_settings().require_database_url()).for_every_client()


def database_of(slug: str) -> Database:
    """Our Postgres as the campaign's client may see it. Raises NotFoundError for an unknown campaign."""
    return database_of_campaign(database(), slug)


def campaign_store() -> CampaignStore:
    """The registry."""
    return CampaignStore(database())


def shown_campaign(slug: str) -> Campaign:
    """The campaign, after a line that says whose it is. Raises NotFoundError."""
    store = campaign_store()
    campaign = store.campaign(slug)
    print(f"campaign {slug} of client {store.client_slugs()[campaign.user_id]}")
    return campaign


def local_google() -> LocalGoogleAdmin:
    """The local Google server's admin surface. Raises ConfigurationError in live mode."""
    settings = load_settings()
    if settings.mode != "local":
        raise ConfigurationError(
            "`cheerful local` speaks to the local Google server, and CHEERFUL_MODE is live.",
            what_to_do="Use a shell of a local installation.",
        )
    return LocalGoogleAdmin(settings.local_google_url)
