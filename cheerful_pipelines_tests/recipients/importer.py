"""One campaign `spring` with the sheet `creators`, imported as a run imports it; and imports without a sheet."""

from datetime import datetime
from typing import Any

import dagster as dg

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.recipients.assets import ASSETS
from cheerful_pipelines.recipients.checks import CHECKS
from cheerful_pipelines.recipients.models import (
    ImportCounts,
    ImportRecord,
    ParsedRecipient,
    ParsedSheet,
    RowProblem,
    SheetWatch,
    StoredRecipient,
)
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account


def a_record(parsed: ParsedSheet, *, version: str = "1") -> ImportRecord:
    """What the log of imports would keep, with counts that nobody reads."""
    return ImportRecord(
        run_id="run",
        spreadsheet_id="creators",
        sheet_gid=0,
        tab="Creators",
        drive_version=version,
        values_hash="",
        content_hash=parsed.content_hash,
        counts=ImportCounts.model_validate(dict.fromkeys(ImportCounts.model_fields, 0)),
        layout=parsed.columns.layout,
        drift=(),
    )


def a_stored(person: ParsedRecipient, *, removed_at: datetime | None = None) -> StoredRecipient:
    """The person as the database would give them back."""
    return StoredRecipient(
        id=1,
        email_key=person.email_key,
        content_hash=person.content_hash,
        custom_hash=person.custom_hash,
        sheet_row=person.sheet_row,
        removed_at=removed_at,
    )


class Importer:
    """A campaign, its sheet on the local Google server, and a Dagster instance."""

    def __init__(self, database: Database, google: LocalGoogleAdmin, settings: Settings, **sheet: Any) -> None:
        self.google = google
        self.database = database
        self.sheets = SheetsClient.from_settings(settings, first_wait_seconds=0.01)
        self.settings = settings
        self.instance = dg.DagsterInstance.ephemeral()
        self.instance.add_dynamic_partitions("campaign", ["spring"])
        self.store = RecipientStore(database)
        an_account(database)
        self.campaign = a_campaign(database, spreadsheet_id="creators", **sheet)

    def change(self, **sheet: Any) -> None:
        """Tell the campaign to read otherwise."""
        self.campaign = a_campaign(self.database, spreadsheet_id="creators", **sheet)

    def put(self, *rows: list[Any], header: tuple[str, ...] = ("Name", "Email")) -> None:
        """Replace the sheet."""
        self.google.put_sheet("creators", title="Creators", tabs={"Creators": [list(header), *rows]})

    @property
    def resources(self) -> dict[str, Any]:
        """As the definitions have them."""
        return {"database": self.database, "sheets": self.sheets, "settings": self.settings}

    def run(self, **config: Any) -> dg.ExecuteInProcessResult:
        """Import once, with the checks."""
        return dg.materialize(
            [*ASSETS, *CHECKS],
            partition_key="spring",
            instance=self.instance,
            raise_on_error=False,
            resources=self.resources,
            run_config={"ops": {"sheet_recipients": {"config": config}}},
        )

    def said(self, result: dg.ExecuteInProcessResult) -> dict[str, Any]:
        """The metadata of the one materialization."""
        (event,) = result.asset_materializations_for_node("sheet_recipients")
        return {name: value.value for name, value in event.metadata.items()}

    def checks(self, result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
        """By name."""
        return {check.check_name: check for check in result.get_asset_check_evaluations()}

    def active(self) -> int:
        """How many people are stored and not removed."""
        return sum(item.is_active for item in self.store.current(self.campaign.id).recipients)

    def problems(self) -> list[RowProblem]:
        """Of the last import."""
        return self.store.problems(self.campaign.id)

    def watched(self) -> SheetWatch:
        """What the sensor knows."""
        return self.store.sheets_to_watch()[0]
