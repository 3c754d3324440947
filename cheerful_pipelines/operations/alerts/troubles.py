"""What of a health report is worth telling a person about. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from cheerful_pipelines.operations.models import FailedWork, HealthReport, Severity, Trouble
from cheerful_pipelines.orchestration.retries import MAILBOX_KINDS, FailureClass, WorkFailure

DEAD_LETTERS_WORTH_A_WORD = 5
NEWS_WAITS_AT_MOST_SECONDS = 1_800.0
BUDGET_SHARE_WORTH_A_WORD = 0.9
TICKS_WORTH_A_WORD = 3
TICKS_FAIL_AT_MOST = timedelta(minutes=10)
STATE_KINDS = (
    "failed_run", "failing_unit", "failing_ticks", "daemon", "lag", "reauthorisation", "budget", "dead_letters",
    "backlog",
)  # fmt: skip
"""Kinds that are told from the report as a whole: what is not in it is over."""


class AlertRule(NamedTuple):
    """When failures of one class are worth an alert: after so many attempts in a row, or after so long."""

    attempts: int
    after: timedelta
    severity: Severity


_AT_ONCE = timedelta(0)
ALERT_RULES: Mapping[FailureClass, AlertRule | None] = {
    "transient": AlertRule(5, timedelta(minutes=15), "warning"),
    "throttled": AlertRule(12, timedelta(hours=1), "warning"),
    "crashed": AlertRule(3, timedelta(minutes=15), "warning"),
    "unclear": AlertRule(5, timedelta(minutes=15), "error"),
    "auth": AlertRule(1, _AT_ONCE, "error"),
    "permanent": AlertRule(1, _AT_ONCE, "error"),
    "unknown": AlertRule(1, _AT_ONCE, "error"),
    "interrupted": None,
}
"""A blip that the next attempt repairs is no alert. An interrupted run (a stop, a deployment) never is: it is repeated.
"""


def troubles(report: HealthReport, *, lag_minutes: int) -> list[Trouble]:
    """One for each thing that is wrong, each with what to do."""
    units = list(_of_units(report))
    failing = {one.key.removeprefix("unit mailbox:") for one in units}
    return [
        *_of_automation(report),
        *_of_runs(report),
        *units,
        *(one for one in _of_accounts(report, lag_minutes) if one.kind != "lag" or one.key[4:] not in failing),
        *_of_campaigns(report),
        *_of_money(report),
    ]


def severity_of(
    failure_class: FailureClass, *, attempts: int | None, since: datetime, now: datetime
) -> Severity | None:
    """How bad a failure is; None while it is not worth an alert. `attempts` None: it is tried once only."""
    rule = ALERT_RULES[failure_class]
    if rule is None or not ((attempts or 0) >= rule.attempts or now - since >= rule.after):
        return None
    return rule.severity


def _of_automation(report: HealthReport) -> Iterator[Trouble]:
    for ticks in report.failing_ticks:
        lasts = report.at - ticks.since >= TICKS_FAIL_AT_MOST
        if ticks.kind == "schedule" or ticks.count >= TICKS_WORTH_A_WORD or lasts:
            yield Trouble(
                key=f"ticks {ticks.name}",
                kind="failing_ticks",
                words=f"The {ticks.kind} {ticks.name} fails at each tick, {ticks.count} so far: "
                f"{ticks.error}: {ticks.words}",
                what_to_do=f"What it starts is not started until then. Open Automation, {ticks.name}, in Dagster.",
                severity="critical",
                since=ticks.since,
            )
    for daemon in report.silent_daemons:
        if daemon.error is None:
            yield Trouble(
                key=f"daemon {daemon.name}",
                kind="daemon",
                words=f"The daemon {daemon.name} does not beat.",
                what_to_do="Restart the process `dagster-daemon`; its log says why it ended.",
                severity="critical",
                since=daemon.last_beat_at,
            )


def _of_runs(report: HealthReport) -> Iterator[Trouble]:
    for work in report.failed:
        severity = severity_of(work.failure_class, attempts=None, since=work.failed_at, now=report.at)
        if severity is not None:
            yield _of_run(work, severity)


def _of_run(work: FailedWork, severity: Severity) -> Trouble:
    where = f" of {work.partition}" if work.partition else ""
    told = f"{work.what_to_do} " if work.what_to_do and work.what_to_do not in work.words else ""
    return Trouble(
        key=f"run {work.what} {work.partition or ''}".strip(),
        kind="failed_run",
        words=f"{work.what}{where} failed: {work.words}",
        what_to_do=f"{told}Rematerialize the partition when its reason is gone.",
        severity=severity,
        since=work.failed_at,
        run_id=work.run_id,
    )


def _of_units(report: HealthReport) -> Iterator[Trouble]:
    """One per unit of work. That a login is refused, the alert of the account says for all units of the mailbox.

    A failure of class auth outlives the reconnecting until a run succeeds: it opens no alert of its own then.
    """
    for failure in report.failing_units:
        kind, _, name = failure.unit.partition(":")
        if kind in MAILBOX_KINDS and failure.failure_class == "auth":
            continue
        severity = severity_of(
            failure.failure_class, attempts=failure.attempts, since=failure.first_failed_at, now=report.at
        )
        if severity is not None:
            yield _of_unit(failure, f"{kind} {name}".strip(), severity)


def _of_unit(failure: WorkFailure, name: str, severity: Severity) -> Trouble:
    told = failure.what_to_do if failure.what_to_do not in failure.summary else ""
    return Trouble(
        key=f"unit {failure.unit}",
        kind="failing_unit",
        words=f"{name[:1].upper()}{name[1:]} fails ({failure.failure_class}, attempt {failure.attempts}): "
        f"{failure.summary}",
        what_to_do=f"{told} Next try {failure.next_try_at:%Y-%m-%d %H:%M} UTC.".strip(),
        severity=severity,
        since=failure.first_failed_at,
        run_id=failure.run_id,
    )


def _of_accounts(report: HealthReport, lag_minutes: int) -> Iterator[Trouble]:
    for account in report.accounts:
        if account.status == "needs_reauth":
            yield Trouble(
                key=f"reauth {account.alias}",
                kind="reauthorisation",
                words=f"The mailbox {account.alias} must be reconnected; its mail is not synced until then.",
                what_to_do=f"Run: cheerful accounts connect {account.alias}, or mend its service account.",
            )
        elif account.status == "active" and (account.lag_seconds or 0.0) > lag_minutes * 60:
            yield Trouble(
                key=f"lag {account.alias}",
                kind="lag",
                severity="warning",
                words=f"The mailbox {account.alias} was last in step with Gmail more than {lag_minutes} minutes ago.",
                what_to_do="See whether the daemon runs and what the sensor gmail_changes says.",
            )
        if account.dead_letters >= DEAD_LETTERS_WORTH_A_WORD:
            yield Trouble(
                key=f"dead letters {account.alias}",
                kind="dead_letters",
                severity="warning",
                words=f"{account.dead_letters} messages of {account.alias} could not be taken.",
                what_to_do="They are tried again by themselves; the check no_dead_letters names the reasons.",
            )


def _of_campaigns(report: HealthReport) -> Iterator[Trouble]:
    for campaign in report.campaigns:
        if (campaign.oldest_news_seconds or 0.0) > NEWS_WAITS_AT_MOST_SECONDS:
            yield Trouble(
                key=f"news {campaign.slug}",
                kind="backlog",
                severity="warning",
                words=f"Changes of {campaign.slug} have not been counted for more than half an hour.",
                what_to_do="See what the sensor campaign_fanout says, and the newest run of campaign_refresh.",
            )


def _of_money(report: HealthReport) -> Iterator[Trouble]:
    if report.spent_today_usd >= BUDGET_SHARE_WORTH_A_WORD * report.budget_day_usd:
        yield Trouble(
            key=f"budget {report.at:%Y-%m-%d}",
            kind="budget",
            severity="warning",
            words=f"Language models cost {report.spent_today_usd:.2f} of {report.budget_day_usd:.2f} dollars today; "
            "what is beyond stays pending until midnight UTC.",
            what_to_do="Raise CHEERFUL_LLM_BUDGET_DAY_USD if that is not enough.",
        )
