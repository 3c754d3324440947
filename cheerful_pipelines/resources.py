"""Every resource, under the key by which assets ask for it. Each gives a plain object; no rule belongs here.

    settings       Settings        the environment, validated
    database       Database        our Postgres, not yet scoped to a client (storage/engine.py)
    blobs          BlobStore       raw mail
    campaigns      CampaignStore   the registry of clients, campaigns and accounts
    gmail_clients  GmailClients    one read-only Gmail client an account
    sheets         SheetsClient    Google Sheets, and Drive's file versions
    classifier     Classifier      what a reply means; the embedded default unless settings say otherwise

The objects are kept for the life of the process: sensors tick every few seconds in the code server, and a new
connection pool and a new OAuth token at each tick would cost more than the tick's own work.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.row_security import row_security_problems

if TYPE_CHECKING:
    from cheerful_pipelines.classification.classify import Classifier
    from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
    from cheerful_pipelines.mail.gmail.gmail_client import GmailClients


@lru_cache(maxsize=1)
def _database() -> Database:
    database = Database(load_settings().require_database_url())
    if load_settings().environment == "production" and (found := row_security_problems(database)):
        raise ConfigurationError(
            f"CHEERFUL_ENVIRONMENT=production refuses this database: {'; '.join(found)}.",
            what_to_do="Log in as cheerful_pipeline (docs/production.md); only migrations run as the owner.",
        )
    return database


@lru_cache(maxsize=1)
def _blobs() -> BlobStore:
    return BlobStore.from_url(load_settings().effective_blob_url())


@lru_cache(maxsize=1)
def _gmail_clients() -> "GmailClients":
    from cheerful_pipelines.mail.gmail.gmail_client import GmailClients

    return GmailClients(load_settings(), _database().for_every_client())


@lru_cache(maxsize=1)
def _sheets() -> "SheetsClient":
    from cheerful_pipelines.google.sheets.sheets_client import SheetsClient

    return SheetsClient.from_settings(load_settings(), _database().for_every_client())


@lru_cache(maxsize=1)
def _classifier() -> "Classifier":
    from cheerful_pipelines.classification.choice import chosen_classifier

    return chosen_classifier(load_settings())


@dg.resource(description="The environment, validated once; secrets masked.")
def settings_resource(_context: dg.InitResourceContext) -> Settings:
    return load_settings()


@dg.resource(description="Our Postgres (CHEERFUL_DATABASE_URL).")
def database_resource(_context: dg.InitResourceContext) -> Database:
    return _database()


@dg.resource(description="Raw mail, content-addressed (CHEERFUL_BLOB_URL).")
def blobs_resource(_context: dg.InitResourceContext) -> BlobStore:
    return _blobs()


@dg.resource(description="The registry of clients, campaigns and sender accounts.")
def campaigns_resource(_context: dg.InitResourceContext) -> CampaignStore:
    return CampaignStore(_database())


@dg.resource(description="One read-only Gmail client an account.")
def gmail_clients_resource(_context: dg.InitResourceContext) -> "GmailClients":
    return _gmail_clients()


@dg.resource(description="Google Sheets and Drive's file versions.")
def sheets_resource(_context: dg.InitResourceContext) -> "SheetsClient":
    return _sheets()


@dg.resource(description="What a reply means: the classifier that CHEERFUL_CLASSIFIER names.")
def classifier_resource(_context: dg.InitResourceContext) -> "Classifier":
    return _classifier()


RESOURCES: dict[str, dg.ResourceDefinition] = {
    "settings": settings_resource,
    "database": database_resource,
    "blobs": blobs_resource,
    "campaigns": campaigns_resource,
    "gmail_clients": gmail_clients_resource,
    "sheets": sheets_resource,
    "classifier": classifier_resource,
}
