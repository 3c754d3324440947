"""A sheet of 50,000 rows, imported four times: seconds, peak memory of the run's process, calls to Google.

.venv/bin/python benchmarks/import_sheet.py            # needs nothing running
.venv/bin/python benchmarks/import_sheet.py --rows 5000

Each import is a process of its own that does what a run does: the real asset and its checks, a real Postgres, real
HTTP to a local Google server in a third process. The time includes Python's and Dagster's start.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from servers import servers

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate

HEADER = ["Name", "Email", "Instagram", "City", "Followers", "Category", "Notes", "Seen on"]


def main() -> None:
    """Prepare, import, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--worker", nargs=2, metavar=("DATABASE", "GOOGLE"))
    options = parser.parse_args()
    if options.worker:
        work(*options.worker)
        return
    with servers() as (postgres, url, _folder):
        compare(options.rows, postgres.url("cheerful"), url)


def compare(rows: int, database_url: str, google_url: str) -> None:
    """First import, the same again, one that changes, moves and adds, and one with a problems tab."""
    database, google = Database(database_url).for_every_client(), LocalGoogleAdmin(google_url)
    migrate(database)
    campaigns = CampaignStore(database)
    campaigns.add_client(slug="brand", name="Brand")
    campaign: dict[str, Any] = {
        "client_slug": "brand",
        "slug": "big",
        "name": "Big",
        "campaign_type": "GIFTING",
        "status": "ACTIVE",
        "starts_at": datetime(2026, 10, 1, tzinfo=UTC),
        "spreadsheet_id": "big",
    }
    campaigns.add_campaign(**campaign)
    people = [person(number) for number in range(rows)]
    changed = [[*row[:3], "Lisbon", *row[4:]] if n % 10 == 0 else row for n, row in enumerate(people)]
    broken = [[row[0], "no address", *row[2:]] if n % 100 == 0 else row for n, row in enumerate(changed)]
    sheets = SheetsClient(Settings(local_google_url=google_url))
    for name, table, options in (
        ("first import", people, {}),
        ("the same sheet again", None, {}),
        ("a tenth changed, a row put in on top", [person(rows), *changed], {"column_mapping": {"city": ["City"]}}),
        ("a hundredth broken, problems tab asked for", [person(rows), *broken], {"writes_problems_tab": True}),
    ):
        if table is not None:
            google.put_sheet("big", title="Big", tabs={"People": [HEADER, *table]})
        campaigns.add_campaign(**campaign | options)
        google.reset_counters()
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, __file__, "--worker", database_url, google_url],
            check=True, capture_output=True, text=True, env={**os.environ},
        )  # fmt: skip
        said = json.loads(done.stdout.splitlines()[-1])
        calls = google.counters()["calls"]
        reads = sum(count for call, count in calls.items() if call.startswith("sheets.") and "pdate" not in call)
        print(
            f"{name:45s} {time.monotonic() - started:5.1f} s  peak {said['peak_mb']:4.0f} MB  Sheets reads {reads:2d}  "
            f"all calls {sum(calls.values()):2d}  {said['words']}",
            flush=True,
        )
        with database.transaction() as connection:
            listed = connection.execute(
                sa.text("select count(*) from campaign_recipient where removed_at is null")
            ).scalar_one()
        assert listed == said["listed"], (listed, said)
    sheets.drive_version("big")  # signs in
    google.reset_counters()
    sheets.drive_version("big")
    print(f"a tick over the unchanged sheet: {sum(google.counters()['calls'].values())} call")


def person(number: int) -> list[Any]:
    """A row as clients keep it."""
    return [
        f"Creator {number}", f"creator.{number}@studio{number % 997}.example", f"@creator{number}",
        ("Porto", "Berlin", "Lyon")[number % 3], 1000 + number % 90_000, "beauty", "met at the fair in spring", 46296.5,
    ]  # fmt: skip


def work(database_url: str, google_url: str) -> None:
    """What one run does; prints its peak memory as the kernel saw it."""
    import dagster as dg

    from cheerful_pipelines.recipients.assets import ASSETS
    from cheerful_pipelines.recipients.checks import CHECKS

    settings = Settings(local_google_url=google_url)
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("campaign", ["big"])
        result = dg.materialize(
            [*ASSETS, *CHECKS],
            partition_key="big",
            instance=instance,
            resources={
                "database": Database(database_url),
                "sheets": SheetsClient.from_settings(settings),
                "settings": settings,
            },
        )
        (event,) = result.asset_materializations_for_node("sheet_recipients")
    said = {name: value.value for name, value in event.metadata.items()}
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    words = ", ".join(f"{said[name]} {name}" for name in ("rows", "added", "changed", "moved", "unchanged", "rejected"))
    print(
        json.dumps(
            {
                "peak_mb": int(peak.split()[1]) / 1024,
                "words": words,
                "listed": said["active"] + said["suppressed"],
            }
        )
    )


if __name__ == "__main__":
    main()
