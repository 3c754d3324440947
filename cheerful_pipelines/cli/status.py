"""`cheerful status`: how everything is, on one screen; the same as the asset `health_report`, now."""

import os
from collections.abc import Mapping
from pathlib import Path

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli.connections import database
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.cli.waiting import waiting_mailboxes
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.operations.alert_store import AlertStore
from cheerful_pipelines.operations.health import health_report
from cheerful_pipelines.operations.models import FailedWork, HealthReport
from cheerful_pipelines.settings import load_settings
from cheerful_pipelines.storage.engine import Database

HEADLINES = ("contacted", "delivered", "replied", "reply_rate", "positive", "opted_out")


def status() -> None:
    """Mailboxes with lag and dead letters; campaigns with headline numbers; what is wrong; money, quota, versions."""
    connected = database()
    report = health_report(load_settings(), connected, _failed_work())
    store = CampaignStore(connected)
    clients = store.client_slugs()
    whose = {one.alias: clients[one.user_id] for one in store.accounts()}
    print_table(
        ("account", "client", "status", "in step", "complete from", "dead letters"),
        [
            (
                f"{one.alias}, throttled" if one.is_throttled else one.alias, whose.get(one.alias), one.status,
                _ago(one.lag_seconds),
                one.complete_from, one.dead_letters,
            )
            for one in report.accounts
        ],
    )  # fmt: skip
    for sentence in waiting_mailboxes(store):
        print(sentence)
    print()
    _print_campaigns(report, connected, {one.slug: clients[one.user_id] for one in store.campaigns()})
    print()
    _print_wrong(report, connected)
    print()
    print_table(
        ("what", "now"),
        [
            ("language models today", f"{report.spent_today_usd:.2f} of {report.budget_day_usd:.2f} dollars"),
            ("Gmail units, last minute", report.gmail_units_last_minute),
            ("Sheets calls, last minute", report.sheets_calls_last_minute),
            ("open backfills, batches", f"{report.open_backfills}, {report.open_batches}"),
            ("database", f"{report.database_bytes / 1e6:.0f} MB, {report.connections} connections"),
            *report.versions.items(),
        ],
    )


def _failed_work() -> list[FailedWork]:
    """From Dagster's record, where this shell knows it."""
    if not (Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml").is_file():
        return []
    from cheerful_pipelines.operations.dagster_state import failed_work_here  # Dagster takes a second to import

    return failed_work_here()


def _print_campaigns(report: HealthReport, connected: Database, whose: Mapping[str, str]) -> None:
    numbers = MetricStore(connected)
    rows: list[tuple[object, ...]] = []
    for one in report.campaigns:
        headline = {row.metric: row.value for row in numbers.rows(slug=one.slug, grains=("campaign",))}
        moments = (one.imported_at, one.counted_at, one.exported_at)
        ages = [_ago(None if at is None else (report.at - at).total_seconds()) for at in moments]
        rows.append(
            (one.slug, whose.get(one.slug), one.status, *(_number(headline.get(name)) for name in HEADLINES), *ages)
        )
    print_table(("campaign", "client", "status", *HEADLINES, "imported", "counted", "exported"), rows)


def _print_wrong(report: HealthReport, connected: Database) -> None:
    standing = [alert for alert in AlertStore(connected).standing() if alert.kind != "failed_run"]
    rows = [(f"{alert.opened_at:%m-%d %H:%M}", alert.words, alert.what_to_do) for alert in standing]
    rows += [
        (f"{work.failed_at:%m-%d %H:%M}", f"{work.what} {work.partition or ''}: {work.words}", f"run {work.run_id}")
        for work in report.failed
    ]
    if rows:
        print_table(("since", "what is wrong", "what to do"), rows)
    else:
        print("nothing is known to be wrong")


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.0f}" if value == int(value) and value != 1.0 else f"{value:.3g}"


def _ago(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes = seconds / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
