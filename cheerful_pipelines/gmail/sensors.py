"""What starts the Gmail assets: news in a mailbox, months that are not complete, dead letters that are due.

Each sensor reads, decides in a pure function, and requests.
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

import dagster as dg

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.errors import AuthError, CheerfulError, ThrottledError
from cheerful_pipelines.failures import API_RETRY, FailedRun, dagster_failures, newest_failure
from cheerful_pipelines.gmail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.gmail.gmail_client import GmailClients
from cheerful_pipelines.gmail.models import SyncTarget
from cheerful_pipelines.gmail.store import MailStore
from cheerful_pipelines.gmail.sync import MailboxSync
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]
TICK_BUDGET_SECONDS = 40.0  # Dagster ends a tick after 60
MONTHS_A_RUN = 12
MAILBOXES_A_TICK = 120
"""Asking one costs 3 ms of CPU: 500 are asked within 25 s instead of every five."""


def askable(targets: Sequence[SyncTarget], *, partitions: Sequence[str], now: datetime) -> list[SyncTarget]:
    """Accounts that may be asked now, in the order of their partitions."""
    by_alias = {target.alias: target for target in targets}
    return [
        target
        for alias in partitions
        if (target := by_alias.get(alias)) is not None
        and target.status == "active"
        and (target.not_before is None or target.not_before <= now)
    ]


def in_turn(ready: Sequence[SyncTarget], go_on_at: str, most: int = MAILBOXES_A_TICK) -> tuple[list[SyncTarget], str]:
    """(whom to ask in this tick, where the next one goes on): in a circle where there are more than a tick asks."""
    if len(ready) <= most:
        return list(ready), ""
    start = next((n for n, target in enumerate(ready) if go_on_at and target.alias >= go_on_at), 0)
    circle = [*ready[start:], *ready[:start]]
    return circle[:most], circle[most].alias


def _position(cursor: str | None, minute: str) -> tuple[int, str]:
    """(how many mailboxes were asked in this minute, where to go on); a damaged cursor begins anew."""
    words = (cursor or "").split(" ")
    if len(words) != 3 or not words[1].isdigit():
        return 0, ""
    return int(words[1]) if words[0] == minute else 0, words[2]


def sync_request(
    changed: Mapping[str, str], partitions: Sequence[str], *, now: datetime, failure: FailedRun | None = None
) -> dg.RunRequest:
    """One run over the changed accounts. `changed` maps alias to what is waiting: it is asked for once in ten minutes,
    so that a run that did not get through is followed by another; see failures.py where it failed.

    A run's partitions are a range in the partitions' own order; the config names those of it that have news.
    """
    ordered = [alias for alias in partitions if alias in changed]
    told = failure.key_suffix(now) if failure else f":{int(now.timestamp() // 600)}"
    watermark = ",".join(f"{alias}:{changed[alias]}" for alias in ordered) + told
    return dg.RunRequest(
        run_key=f"sync:{hashlib.sha256(watermark.encode()).hexdigest()[:24]}",
        run_config={"ops": {"gmail_messages": {"config": {"accounts": ordered}}}},
        tags={
            "dagster/asset_partition_range_start": ordered[0],
            "dagster/asset_partition_range_end": ordered[-1],
            "cheerful/sync": "live",
            "cheerful/trigger": "gmail_changes",
        },
    )


@dg.sensor(
    target=dg.AssetSelection.assets("gmail_messages").without_checks(),  # the asset evaluates them itself
    minimum_interval_seconds=2,  # the daemon looks every 5 s; with 5 here, jitter would make that 10
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks every mailbox for its newest history id (1 quota unit) and syncs those that moved, in one run.",
)
def gmail_changes(
    context: dg.SensorEvaluationContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One sensor for all accounts: a tick costs more than asking a mailbox."""
    partitions = context.instance.get_dynamic_partitions("gmail_account")
    targets = MailStore(database.for_every_client(), blobs).sync_targets()
    now = datetime.now(UTC)
    ready = askable(targets, partitions=partitions, now=now)
    if not ready:
        yield dg.SkipReason("No Gmail account can be asked now: none is registered, active and free of throttling.")
        return
    minute = f"{now:%Y-%m-%dT%H:%M}"
    noted, go_on_at = _position(context.cursor, minute)
    asked, go_on_at = in_turn(ready, go_on_at)
    changed, unanswered = _changed(asked, CampaignStore(database), gmail_clients)
    if noted < len(ready):  # each once a minute: that is enough for telling how far behind a mailbox is
        in_step = [target.alias for target in asked if target.alias not in {*changed, *unanswered}]
        CampaignStore(database).note_in_step(in_step)
    context.update_cursor(f"{minute} {noted + len(asked)} {go_on_at}")
    if not changed:
        told = f" {len(unanswered)} did not answer: {', '.join(unanswered)}." if unanswered else ""
        of_all = f" of {len(ready)}" if len(asked) < len(ready) else ""
        yield dg.SkipReason(f"Nothing new in {len(asked) - len(unanswered)}{of_all} mailboxes.{told}")
    elif context.instance.get_runs_count(dg.RunsFilter(tags={"cheerful/sync": "live"}, statuses=UNFINISHED)):
        yield dg.SkipReason(f"{len(changed)} mailboxes have news; a sync is under way and will be followed by another.")
    else:
        failure = newest_failure(context.instance, tags={"cheerful/sync": "live"})
        if failure is not None and failure.is_to_be_left_alone(now):
            yield dg.SkipReason(
                f"The last sync failed for a reason that lasts ({failure.kind}): see run {failure.run_id}."
            )
        else:
            yield sync_request(changed, partitions, now=now, failure=failure)


def _changed(
    ready: Sequence[SyncTarget], campaigns: CampaignStore, clients: GmailClients
) -> tuple[dict[str, str], list[str]]:
    """(alias to what is waiting, aliases that did not answer). One account's trouble stays its own."""
    changed: dict[str, str] = {}
    unanswered: list[str] = []
    accounts = {account.alias: account for account in campaigns.accounts()}
    deadline = time.monotonic() + TICK_BUDGET_SECONDS
    for target in ready:
        if time.monotonic() > deadline:
            unanswered.append(target.alias)
            continue
        account = accounts[target.alias]
        try:
            newest = clients.polling_client(account).profile().history_id
        except AuthError as error:
            if campaigns.set_account_status(account.id, status="needs_reauth", reason=str(error)):
                logger.warning("account_needs_reauth", account=target.alias)
            unanswered.append(target.alias)
        except ThrottledError as error:
            wait = timedelta(seconds=error.retry_after_seconds or 60)
            campaigns.set_account_not_before(account.id, not_before=datetime.now(UTC) + wait)
            unanswered.append(target.alias)
        except CheerfulError as error:
            logger.warning("account_did_not_answer", account=target.alias, error=type(error).__name__)
            unanswered.append(target.alias)
        else:
            is_behind = target.live_history_id is None or newest > target.live_history_id
            if is_behind or target.has_new_recipients:
                changed[target.alias] = f"{newest}:{target.progress}"
    return changed, unanswered


def missing_months(*, first_needed: datetime | None, complete: set[date], today: date) -> list[date]:
    """First days of months from the earliest campaign to now that are not complete, newest first, at most a year."""
    month = today.replace(day=1)
    oldest = (first_needed.date() if first_needed else today).replace(day=1)
    missing: list[date] = []
    while month >= oldest and len(missing) < MONTHS_A_RUN:
        if month not in complete:
            missing.append(month)
        month = (month - timedelta(days=1)).replace(day=1)
    return missing


@dg.sensor(
    target=dg.AssetSelection.assets("gmail_archive").without_checks(),
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Completes the mailbox months since each account's earliest campaign, newest first.",
)
def archive_months(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database], blobs: dg.ResourceParam[BlobStore]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """One run an account over a range of months; at most one try a day for the same range."""
    store = MailStore(database.for_every_client(), blobs)
    now = datetime.now(UTC)
    partitions = context.instance.get_dynamic_partitions("gmail_account")
    complete = store.complete_months()
    requested = False
    for target in askable(store.sync_targets(), partitions=partitions, now=now):
        missing = missing_months(
            first_needed=target.first_needed, complete=complete.get(target.alias, set()), today=now.date()
        )
        if not missing or target.live_history_id is None:  # the live sync comes first
            continue
        requested = True
        yield archive_request(
            target.alias, oldest=missing[-1], newest=missing[0], today=now.date(), progress=target.progress
        )
    if not requested:
        yield dg.SkipReason("Every month since the earliest campaign of each account is complete.")


def archive_request(alias: str, *, oldest: date, newest: date, today: date, progress: int = 0) -> dg.RunRequest:
    """One run over a range of months of one account."""
    return dg.RunRequest(
        run_key=f"archive:{alias}:{oldest}:{newest}:{today}:{progress}",
        tags={
            "dagster/asset_partition_range_start": f"{alias}|{oldest}",
            "dagster/asset_partition_range_end": f"{alias}|{newest}",
            "dagster/priority": "-1",  # behind the live sync
            "cheerful/account": alias,
            "cheerful/trigger": "archive_months",
        },
    )


@dg.op(retry_policy=API_RETRY, pool="gmail", description="Try messages once more that could not be taken before.")
def drain_due_dead_letters(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> None:
    """Account by account; what fails again waits longer."""
    accounts = {account.id: account for account in CampaignStore(database).accounts()}
    letters = sorted(
        DeadLetterStore(database.for_every_client()).due(now=datetime.now(UTC)),
        key=lambda letter: str(letter.gmail_account_id),
    )
    with dagster_failures():
        for account_id, group in groupby(letters, key=lambda letter: letter.gmail_account_id):
            account = accounts[account_id]
            store = MailStore(database.for_client(account.user_id), blobs, hash_key=settings.optional_hash_key())
            mailbox = MailboxSync(account, gmail_clients.client(account), store, run_id=context.run_id)
            report = mailbox.dead_letters(list(group))
            context.log.info(f"{account.alias}: {report.inserted} stored, {report.gone} gone, {report.dead} still dead")


@dg.job(description="Try messages once more that could not be fetched, parsed or stored.")
def drain_dead_letters_job() -> None:
    """One op: the letters are few."""
    drain_due_dead_letters()


@dg.sensor(
    job=drain_dead_letters_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts another try for dead letters whose time has come.",
)
def dead_letters(
    context: dg.SensorEvaluationContext, database: dg.ResourceParam[Database]
) -> dg.RunRequest | dg.SkipReason:
    """The run key names letters and attempts: the same try is never started twice."""
    due = DeadLetterStore(database.for_every_client()).due(now=datetime.now(UTC))
    if not due:
        return dg.SkipReason("No dead letter is due.")
    watermark = ",".join(f"{letter.id}:{letter.attempts}" for letter in due)
    return dg.RunRequest(run_key=f"dead:{hashlib.sha256(watermark.encode()).hexdigest()[:24]}")


JOBS = [drain_dead_letters_job]
SENSORS = [gmail_changes, archive_months, dead_letters]
