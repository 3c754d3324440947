"""What of a health report is worth telling a person about. Pure."""

from collections.abc import Iterator

from cheerful_pipelines.operations.models import HealthReport, Trouble

DEAD_LETTERS_WORTH_A_WORD = 5
NEWS_WAITS_AT_MOST_SECONDS = 1_800.0
BUDGET_SHARE_WORTH_A_WORD = 0.9
STATE_KINDS = ("failed_run", "lag", "reauthorisation", "budget", "dead_letters", "backlog")
"""Kinds that are told from the report as a whole: what is not in it is over."""


def troubles(report: HealthReport, *, lag_minutes: int) -> list[Trouble]:
    """One for each thing that is wrong, each with what to do."""
    return [*_of_runs(report), *_of_accounts(report, lag_minutes), *_of_campaigns(report), *_of_money(report)]


def _of_runs(report: HealthReport) -> Iterator[Trouble]:
    for work in report.failed:
        where = f" of {work.partition}" if work.partition else ""
        yield Trouble(
            key=f"run {work.what} {work.partition or ''}".strip(),
            kind="failed_run",
            words=f"{work.what}{where} failed: {work.words}",
            what_to_do=f"Look at run {work.run_id}; rematerialize the partition when its reason is gone.",
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
                words=f"The mailbox {account.alias} was last in step with Gmail more than {lag_minutes} minutes ago.",
                what_to_do="See whether the daemon runs and what the sensor gmail_changes says.",
            )
        if account.dead_letters >= DEAD_LETTERS_WORTH_A_WORD:
            yield Trouble(
                key=f"dead letters {account.alias}",
                kind="dead_letters",
                words=f"{account.dead_letters} messages of {account.alias} could not be taken.",
                what_to_do="They are tried again by themselves; the check no_dead_letters names the reasons.",
            )


def _of_campaigns(report: HealthReport) -> Iterator[Trouble]:
    for campaign in report.campaigns:
        if (campaign.oldest_news_seconds or 0.0) > NEWS_WAITS_AT_MOST_SECONDS:
            yield Trouble(
                key=f"news {campaign.slug}",
                kind="backlog",
                words=f"Changes of {campaign.slug} have not been counted for more than half an hour.",
                what_to_do="See what the sensor campaign_fanout says, and the newest run of campaign_refresh.",
            )


def _of_money(report: HealthReport) -> Iterator[Trouble]:
    if report.spent_today_usd >= BUDGET_SHARE_WORTH_A_WORD * report.budget_day_usd:
        yield Trouble(
            key=f"budget {report.at:%Y-%m-%d}",
            kind="budget",
            words=f"Language models cost {report.spent_today_usd:.2f} of {report.budget_day_usd:.2f} dollars today; "
            "what is beyond stays pending until midnight UTC.",
            what_to_do="Raise CHEERFUL_LLM_BUDGET_DAY_USD if that is not enough.",
        )
