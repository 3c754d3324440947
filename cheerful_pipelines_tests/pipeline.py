"""The whole pipeline in one process: the real definitions on a fresh database, blob store and local Google.

`Pipeline.run(asset, partition)` materializes one partition as a run would; `metadata` reads what it said.
"""

from typing import Any

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.definitions import build_defs
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

CAMPAIGN_ASSETS = ("email_threads", "thread_classifications", "campaign_metrics", "metrics_sheet")


class Pipeline:
    """Real definitions, a real database, real HTTP to the local Google server; only the scheduler is absent."""

    def __init__(self, settings: Settings, database: Database, blobs: BlobStore) -> None:
        self.database = database.for_every_client()
        self.campaigns = CampaignStore(self.database)
        self.resources: dict[str, Any] = {
            "settings": settings,
            "database": database,  # as the pipeline has it: of which nobody said yet for whom
            "blobs": blobs,
            "campaigns": self.campaigns,
            "gmail_clients": GmailClients(settings, self.database),
            "sheets": SheetsClient.from_settings(settings),
            "classifier": LocalClassifier(),
        }
        self.defs = build_defs(**self.resources)
        self.instance = dg.DagsterInstance.ephemeral()

    def run(
        self, asset: str, partition: str | None = None, *, raise_on_error: bool = True, **op_config: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialize one asset (and run its checks)."""
        self.register_partitions()
        key = dg.AssetKey(asset)
        checks = [
            check
            for check in self.defs.asset_checks or []
            if any(spec.asset_key == key for spec in check.check_specs)  # type: ignore[union-attr]
        ]
        return dg.materialize(
            [self.defs.get_assets_def(key), *checks],  # type: ignore[list-item]
            partition_key=partition,
            instance=self.instance,
            resources=self.resources,
            run_config={"ops": {asset: {"config": op_config}}} if op_config else None,
            raise_on_error=raise_on_error,
        )

    def register_partitions(self) -> None:
        """What the registry sensor does."""
        self.instance.add_dynamic_partitions("campaign", [c.slug for c in self.campaigns.campaigns()])
        self.instance.add_dynamic_partitions("gmail_account", [a.alias for a in self.campaigns.accounts()])

    def sync_everything(self) -> None:
        """Every sheet, every account, then every campaign from its threads to its export."""
        for campaign in self.campaigns.campaigns():
            self.run("sheet_recipients", campaign.slug)
            self.run("sheet_overrides", campaign.slug)
        for account in self.campaigns.accounts():
            self.run("gmail_messages", account.alias)
        for campaign in self.campaigns.campaigns():
            for asset in CAMPAIGN_ASSETS:
                self.run(asset, campaign.slug)
        self.run("portfolio_metrics")

    def metadata(self, asset: str, partition: str) -> dict[str, Any]:
        """Plain values of the newest materialization's metadata."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
        ).records
        assert records, f"{asset}[{partition}] was never materialized"
        materialization = records[0].asset_materialization
        assert materialization is not None
        return {name: value.value for name, value in materialization.metadata.items()}

    def metrics(self, slug: str, grain: str = "campaign", grain_key: str = "") -> dict[str, float | None]:
        """Stored numbers of one campaign at one grain."""
        from sqlalchemy import text

        with self.database.transaction() as connection:
            rows = connection.execute(
                text(
                    "select metric, value from campaign_metric m join campaign c on c.id = m.campaign_id "
                    "where c.slug = :slug and grain = :grain and grain_key = :key"
                ),
                {"slug": slug, "grain": grain, "key": grain_key},
            )
            return {row.metric: row.value for row in rows}

    def count(self, table: str) -> int:
        """Rows in a table."""
        from sqlalchemy import text

        with self.database.transaction() as connection:
            return int(connection.execute(text(f"select count(*) from {table}")).scalar_one())
