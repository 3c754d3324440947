"""What a worker does that is killed in the middle of an import; its own module, for `killable` imports it early."""

from collections.abc import Callable

import dagster as dg

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.recipients.assets import ASSETS
from cheerful_pipelines.storage.engine import Database


def import_the_sheet(ready: Callable[[], None], database_url: str, google_url: str) -> None:
    """The sheet of the campaign `spring`, as a run would; it may remove anybody."""
    settings = Settings(local_google_url=google_url)
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("campaign", ["spring"])
    database, sheets = Database(database_url), SheetsClient.from_settings(settings)
    ready()
    dg.materialize(
        ASSETS,
        partition_key="spring",
        instance=instance,
        resources={"database": database, "sheets": sheets, "settings": settings},
        run_config={"ops": {"sheet_recipients": {"config": {"allow_removals": True}}}},
    )
