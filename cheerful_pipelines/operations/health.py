"""The health report put together, and as a page of Markdown."""

import importlib.metadata
from collections.abc import Sequence

from cheerful_pipelines import __version__
from cheerful_pipelines.classification.choice import chosen_classifier
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.parse_message import PARSER_VERSION
from cheerful_pipelines.mail.reading.read_message import READER_VERSION
from cheerful_pipelines.metrics.counting.count_campaign import definitions_in_force
from cheerful_pipelines.operations.alerts.alert_store import AlertStore
from cheerful_pipelines.operations.health_store import HealthStore
from cheerful_pipelines.operations.models import (
    AccountHealth,
    CampaignHealth,
    FailedWork,
    FailingTicks,
    HealthReport,
    SilentDaemon,
)
from cheerful_pipelines.orchestration.retries import MAILBOX_KINDS, WorkFailure
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.engine import Database


def health_report(
    settings: Settings,
    database: Database,
    failed: Sequence[FailedWork],
    *,
    failing_ticks: Sequence[FailingTicks] = (),
    silent_daemons: Sequence[SilentDaemon] = (),
) -> HealthReport:
    """Everything that is known now; what failed, whose ticks fail and who is silent come from Dagster's record."""
    at, accounts, campaigns, numbers = HealthStore(database).read()
    completed = {campaign.slug for campaign in campaigns if campaign.status == "COMPLETED"}
    units = WorkFailureStore(database).failures().values()
    identity = chosen_classifier(settings).identity()
    return HealthReport(
        at=at,
        environment=settings.environment,
        mode=settings.mode,
        accounts=accounts,
        campaigns=campaigns,
        failed=tuple(one for one in failed if one.partition not in completed),
        failing_units=tuple(one for one in units if _is_still_wanted(one, accounts, campaigns)),
        failing_ticks=tuple(failing_ticks),
        silent_daemons=tuple(silent_daemons),
        failing_checks=tuple(one.key for one in AlertStore(database).standing(kind="failing_check")),
        spent_today_usd=numbers["spent_today"],
        budget_day_usd=settings.llm_budget_day_usd,
        gmail_units_last_minute=numbers["gmail_units"],
        sheets_calls_last_minute=numbers["sheets_calls"],
        open_batches=numbers["batches"],
        open_backfills=numbers["backfills"],
        database_bytes=numbers["bytes"],
        connections=numbers["connections"],
        versions={
            "cheerful_pipelines": __version__,
            "dagster": importlib.metadata.version("dagster"),
            "migration": numbers["migration"],
            "parser": PARSER_VERSION,
            "reader": READER_VERSION,
            "classifier": f"{identity.provider}:{identity.model} {identity.version}",
            "definitions": definitions_in_force(),
        },
    )


def _is_still_wanted(
    failure: WorkFailure, accounts: Sequence[AccountHealth], campaigns: Sequence[CampaignHealth]
) -> bool:
    """Not of a paused or removed mailbox, nor of a campaign that is completed, a draft or gone. A first import of a
    completed campaign is still to be done."""
    kind, _, rest = failure.unit.partition(":")
    name = rest.partition(":")[0]  # a batch's unit names its campaign and its number
    if not name:
        return True
    if kind in MAILBOX_KINDS:
        return any(account.alias == name and account.status != "paused" for account in accounts)
    mine = next((campaign for campaign in campaigns if campaign.slug == name), None)
    return mine is not None and (mine.status == "ACTIVE" or (kind == "sheet" and mine.imported_at is None))


def signs(report: HealthReport) -> list[str]:
    """Sentences on failing sensors, schedules, daemons and units of work, alerts or not; ids only."""
    found = [
        f"{one.kind} {one.name}: {one.count} ticks failed since {one.since:%Y-%m-%d %H:%M} UTC: {one.error}: "
        f"{one.words}"
        for one in report.failing_ticks
    ]
    found += [
        f"daemon {one.name}: last beat {one.last_beat_at:%Y-%m-%d %H:%M} UTC" + (f": {one.error}" if one.error else "")
        for one in report.silent_daemons
    ]
    found += [
        f"{one.unit}: {one.failure_class}, attempt {one.attempts} since {one.first_failed_at:%Y-%m-%d %H:%M} UTC, "
        f"next try {one.next_try_at:%H:%M}: {one.summary}"
        for one in report.failing_units
    ]
    return found


def headline(report: HealthReport) -> dict[str, float | int]:
    """What Dagster plots over time: at most twenty numbers."""
    lags = [account.lag_seconds for account in report.accounts if account.lag_seconds is not None]
    return {
        "accounts": len(report.accounts),
        "accounts_to_reconnect": sum(account.status == "needs_reauth" for account in report.accounts),
        "longest_lag_minutes": round(max(lags, default=0.0) / 60, 1),
        "dead_letters": sum(account.dead_letters for account in report.accounts),
        "campaigns": len(report.campaigns),
        "news_not_counted": sum(campaign.news for campaign in report.campaigns),
        "failed_work": len(report.failed),
        "failing_units": len(report.failing_units),
        "failing_sensors": len(report.failing_ticks),
        "failing_checks": len(report.failing_checks),
        "spent_today_usd": round(report.spent_today_usd, 4),
        "gmail_units_last_minute": report.gmail_units_last_minute,
        "sheets_calls_last_minute": report.sheets_calls_last_minute,
        "open_batches": report.open_batches,
        "open_backfills": report.open_backfills,
        "database_megabytes": round(report.database_bytes / 1e6, 1),
        "database_connections": report.connections,
    }


def accounts_as_markdown(report: HealthReport) -> Markdown:
    """A line a mailbox."""
    return markdown.table(
        ("mailbox", "status", "lag, minutes", "complete from", "dead letters"),
        [
            (
                one.alias,
                f"{one.status}, throttled" if one.is_throttled else one.status,
                "never synced" if one.lag_seconds is None else f"{one.lag_seconds / 60:.0f}",
                one.complete_from,
                one.dead_letters,
            )
            for one in report.accounts
        ],
        right=(2, 4),
    )


def campaigns_as_markdown(report: HealthReport) -> Markdown:
    """A line a campaign."""
    return markdown.table(
        ("campaign", "status", "imported", "counted", "exported", "news", "rows with problems"),
        [
            (
                one.slug,
                one.status,
                *(f"{at:%m-%d %H:%M}" if at else "" for at in (one.imported_at, one.counted_at, one.exported_at)),
                one.news,
                one.row_problems,
            )
            for one in report.campaigns
        ],
        right=(5, 6),
    )


def failed_as_markdown(report: HealthReport) -> Markdown:
    """Work whose newest run failed."""
    if not report.failed:
        return Markdown("nothing")
    return markdown.table(
        ("what", "partition", "since", "why"),
        [(one.what, one.partition, f"{one.failed_at:%m-%d %H:%M}", one.words) for one in report.failed],
    )
