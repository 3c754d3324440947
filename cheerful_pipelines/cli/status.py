"""`cheerful status`: how everything is, on one screen; the same as the asset `health_report`, now."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.cli.connections import database
from cheerful_pipelines.cli.tables import print_table
from cheerful_pipelines.cli.waiting import waiting_mailboxes
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.operations.alerts.alert_store import Alert, AlertStore
from cheerful_pipelines.operations.alerts.notify import SEVERITIES
from cheerful_pipelines.operations.alerts.troubles import troubles
from cheerful_pipelines.operations.health import health_report, signs
from cheerful_pipelines.operations.models import FailedWork, FailingTicks, HealthReport, SilentDaemon, Trouble
from cheerful_pipelines.storage.engine import Database

HEADLINES = ("contacted", "delivered", "replied", "reply_rate", "positive", "opted_out")


def status() -> None:
    """Mailboxes with lag and dead letters; campaigns with headline numbers; what is wrong; money, quota, versions."""
    connected = database()
    failed, ticks, daemons = _from_dagster()
    report = health_report(load_settings(), connected, failed, failing_ticks=ticks, silent_daemons=daemons)
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


def _from_dagster() -> tuple[list[FailedWork], list[FailingTicks], list[SilentDaemon]]:
    """Failed work, failing sensors and silent daemons, where this shell knows Dagster's record."""
    if not (Path(os.environ.get("DAGSTER_HOME", "")) / "dagster.yaml").is_file():
        return [], [], []
    from cheerful_pipelines.operations.automation_state import automation_signs_here  # Dagster takes a second to import
    from cheerful_pipelines.operations.failed_work import failed_work_here

    return failed_work_here(), *automation_signs_here(datetime.now(UTC))


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
    """What is wrong now, as alerts would say it, and open alerts on failing checks; then what may pass by itself."""
    settings = load_settings()
    found: list[Trouble | Alert] = list(troubles(report, lag_minutes=settings.alert_lag_minutes))
    found += AlertStore(connected).standing(kind="failing_check")
    for one in sorted(found, key=lambda one: SEVERITIES.index(one.severity)):
        since = one.since or (one.opened_at if isinstance(one, Alert) else None)
        print(f"{one.severity}: {one.words}" + (f" (since {since:%Y-%m-%d %H:%M} UTC)" if since else ""))
        print(f"    {one.what_to_do}")
        if one.run_id is not None:
            print(f"    {settings.web_url.rstrip('/')}/runs/{one.run_id}")
    if not found:
        print("nothing is known to be wrong")
    for sentence in signs(report):
        print(f"now  {sentence}")


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.0f}" if value == int(value) and value != 1.0 else f"{value:.3g}"


def _ago(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    minutes = seconds / 60
    return f"{minutes:.0f} min ago" if minutes < 120 else f"{minutes / 60:.0f} h ago"
