"""Seconds from "ready" until each campaign's assets first stood, and the archive after them, without a click.

    ./infra/dev.sh start --fresh          # in another shell; wait for "ready", then about a minute
    eval "$(./infra/dev.sh env)" && .venv/bin/python benchmarks/first_fill.py

Reads the time of "ready" from the supervisor's record and the first materialization of every partition from
Dagster's event log, so it can be run at any time after the fill.
"""

import json
import os
from datetime import datetime
from pathlib import Path

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.storage.engine import Database

CAMPAIGN_ASSETS = ("sheet_recipients", "email_threads", "thread_classifications", "campaign_metrics", "metrics_sheet")
ACCOUNT_ASSETS = ("gmail_messages",)


def main() -> None:
    """Print the slowest partition of each asset; exit 1 where a partition of an active campaign is missing."""
    ready_at = datetime.fromisoformat(
        json.loads((Path(os.environ["CHEERFUL_HOME"]) / "supervisor.json").read_text())["ready_at"]
    ).timestamp()
    campaigns = CampaignStore(Database(load_settings().require_database_url()).for_every_client())
    slugs = [campaign.slug for campaign in campaigns.campaigns(statuses=("ACTIVE",))]
    aliases = [account.alias for account in campaigns.accounts()]
    missing: list[str] = []
    with dg.DagsterInstance.get() as instance:
        for asset, wanted in (
            *((asset, slugs) for asset in CAMPAIGN_ASSETS),
            *((asset, aliases) for asset in ACCOUNT_ASSETS),
            ("portfolio_metrics", [None]),
            ("gmail_archive", None),
        ):
            first = first_times(instance, asset)
            absent = [str(key) for key in wanted or () if key not in first]
            missing += [f"{asset} [{key}]" for key in absent]
            slowest = max((first[key] for key in (wanted or first) if key in first), default=None)
            after = "never" if slowest is None or absent else f"{slowest - ready_at:5.1f} s after ready"
            print(f"{asset:24s} {len(first):3d} partitions  {after}")
    if missing:
        raise SystemExit(f"missing: {', '.join(missing)}")


def first_times(instance: dg.DagsterInstance, asset: str) -> dict[str | None, float]:
    """Partition to the timestamp of its first materialization."""
    first: dict[str | None, float] = {}
    cursor: str | None = None
    while True:
        found = instance.fetch_materializations(dg.AssetKey(asset), limit=1000, cursor=cursor, ascending=True)
        for record in found.records:
            first.setdefault(record.partition_key, record.timestamp)
        if not found.has_more:
            return first
        cursor = found.cursor


if __name__ == "__main__":
    main()
