"""What starts the Gmail assets: news in a mailbox, months that are not complete, dead letters that are due.

Each sensor reads, decides in a pure function (turns.py, orchestration/retries.py), and requests.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import dagster as dg

from cheerful_pipelines.campaigns.models import GmailAccount, missing_mark
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import SlowCallError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.gmail.assets import LISTING_SECONDS, outcomes
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.mailbox_failures import record_failure, settle_account
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.gmail.turns import Part, SyncKind, askable, reconnected, share_out, sync_kinds
from cheerful_pipelines.mail.models import DeadLetter, SyncTarget
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.orchestration.failures import API_RETRY, as_failure, failure_class_of, told
from cheerful_pipelines.orchestration.retries import DueWork, Work, WorkFailure, keys_hash, may_be_tried
from cheerful_pipelines.orchestration.side_by_side import SideBySide, whom_to_poll
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import Cursor, Tick, work_of, work_sensor
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)

SYNC_TAG = "cheerful/sync"
RETURNING_TAG = "cheerful/returning"
"""Of live runs over mailboxes that failed together: they share the places of live runs, which dagster.yaml limits."""
MAILBOXES_A_TICK = 120
"""Polling one costs 3 ms of CPU: 500 are polled within 25 s instead of every five."""
POLLS_AT_ONCE = 16
POLL_SECONDS_A_TICK = 8.0
"""Dagster ends a tick after 60 s, and looks every 5 s. One poll ends by itself after 5 s (gmail_client.py)."""
SILENT_POLLS = 3
"""A mailbox that did not answer so often in a row waits by the table; before that it is asked last in each tick."""
LASTING_SILENCE_AGAIN_AFTER = timedelta(minutes=10)
"""A setting (a key, the Gmail API) is corrected without a word to us: one call shows it."""
MONTHS_A_RUN = 12

_POLLS = SideBySide(at_once=POLLS_AT_ONCE, seconds=POLL_SECONDS_A_TICK)


class GmailCursor(Cursor):
    """Where the polls stopped."""

    minute: str = ""
    noted: int = 0
    """Mailboxes asked in this minute."""
    go_on_at: str = ""
    not_reached: tuple[str, ...] = ()
    silent: dict[str, int] = {}  # noqa: RUF012  # a field of a frozen model, which pydantic copies
    """Polls in a row that were not answered, by alias."""
    synced: dict[str, str] = {}  # noqa: RUF012
    """The last mailbox of each kind's last run."""


class Polled(NamedTuple):
    """What polls have told."""

    waiting: dict[str, str]
    """Mailboxes with news: alias to watermark."""
    in_step: list[str]
    silent: dict[str, BaseException]
    """Mailboxes that did not answer, and why."""
    not_reached: list[str]


@work_sensor(
    name="gmail_changes",
    kinds=["mailbox"],
    cursor=GmailCursor,
    target=dg.AssetSelection.assets("gmail_messages").without_checks(),  # the asset evaluates them itself
    minimum_interval_seconds=2,  # the daemon looks every 5 s; with 5 here, jitter would make that 10
    description="Asks mailboxes side by side for their newest history id (1 quota unit) and syncs those that moved.",
)
def gmail_changes(
    tick: Tick[GmailCursor],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> list[dg.RunRequest] | dg.SkipReason:
    """One sensor for all accounts: a tick costs more than asking a mailbox. No mailbox ever fails it."""
    database = database.for_every_client()
    partitions = tick.instance.get_dynamic_partitions("gmail_account")
    failures = tick.failures(database)  # before the accounts: a run writes the account's state first, then its failure
    targets = {target.alias: target for target in MailStore(database, blobs).sync_targets()}
    if repaired := reconnected(targets.values(), failures):
        tick.make_due(database, repaired)
    ready = askable(list(targets.values()), tick.failures(database), partitions=partitions, now=tick.now)
    if not ready:
        return dg.SkipReason("No Gmail account can be asked now: none is registered, active and due.")
    polled = _poll(tick, ready, database, gmail_clients)
    up_to_date = [f"mailbox:{alias}" for alias in polled.in_step]
    work = [Work(f"mailbox:{alias}", watermark) for alias, watermark in polled.waiting.items()]
    due = {one.name: one for one in tick.work(database, work, up_to_date=up_to_date)}
    parts = _parts(tick, {alias: targets[alias] for alias in due}, tick.failures(database))
    if parts:
        return [sync_request(part, due, partitions, tags=tick.tags) for part in parts]
    told = f" {len(polled.silent)} did not answer: {', '.join(sorted(polled.silent))}." if polled.silent else ""
    if polled.waiting:
        return dg.SkipReason(f"{len(polled.waiting)} mailboxes have news, which is being synced or waits.{told}")
    asked = len(polled.in_step)
    return dg.SkipReason(f"Nothing new in {asked}{f' of {len(ready)}' if asked < len(ready) else ''} mailboxes.{told}")


def _poll(tick: Tick[GmailCursor], ready: Sequence[SyncTarget], database: Database, clients: GmailClients) -> Polled:
    """Ask whose turn it is, write down what the answers say of each account, and remember where to go on."""
    campaigns, cursor = CampaignStore(database), tick.cursor
    accounts = {account.alias: account for account in campaigns.accounts()}
    by_alias = {target.alias: target for target in ready}
    turn = whom_to_poll(
        list(by_alias),
        go_on_at=cursor.go_on_at,
        not_reached=cursor.not_reached,
        slow=cursor.silent,
        most=MAILBOXES_A_TICK,
    )

    def newest(alias: str) -> int:
        if not by_alias[alias].has_mark:
            raise missing_mark()
        return clients.polling_client(accounts[alias]).profile().history_id

    answers = _POLLS.ask(turn.names, newest, slow=cursor.silent)
    polled = Polled({}, [], {}, answers.not_asked)
    for alias in (*answers.late, *answers.hanging):
        polled.silent[alias] = SlowCallError(f"The mailbox {alias} did not answer a poll in time.")
    for alias, answer in answers.answered.items():
        if isinstance(answer, BaseException):
            polled.silent[alias] = answer
            continue
        watermark = _news(by_alias[alias], answer)
        if watermark is None:
            polled.in_step.append(alias)
        else:
            polled.waiting[alias] = watermark
    _try_again(tick, [alias for alias in cursor.silent if alias in {*polled.waiting, *polled.in_step}], database)
    silent = {alias: cursor.silent.get(alias, 0) + 1 for alias in polled.silent}
    _note_silence(tick, polled.silent, silent, accounts, database)
    minute = f"{tick.now:%Y-%m-%dT%H:%M}"
    noted = cursor.noted if cursor.minute == minute else 0
    if noted < len(ready):  # each once a minute: that is enough for telling how far behind a mailbox is
        campaigns.note_in_step(polled.in_step)
    others = {alias: count for alias, count in cursor.silent.items() if alias not in turn.names and alias in by_alias}
    tick.keep(
        minute=minute, noted=noted + len(turn.names), go_on_at=turn.go_on_at,
        not_reached=tuple(answers.not_asked), silent={**others, **silent},
    )  # fmt: skip
    return polled


def _news(target: SyncTarget, newest: int) -> str | None:
    """The watermark of what is to be synced; None if nothing is.

    An account that must be reconnected is synced as soon as it answers: a poll needs less permission than a sync, so
    that only the latter proves that it works again.
    """
    if target.status == "needs_reauth":
        return f"{newest}:{target.progress}:reconnect"
    if target.live_history_id is not None and newest <= target.live_history_id and not target.has_new_recipients:
        return None
    return f"{newest}:{target.progress}{':recipients' if target.has_new_recipients else ''}"


def _try_again(tick: Tick[GmailCursor], aliases: Sequence[str], database: Database) -> None:
    """These could not even be polled, and answer now: what was wrong with our setup is repaired."""
    known = tick.failures(database)
    units = [f"mailbox:{alias}" for alias in aliases]
    tick.make_due(database, [unit for unit in units if unit in known and known[unit].failure_class == "permanent"])


def _note_silence(
    tick: Tick[GmailCursor], errors: Mapping[str, BaseException], times: Mapping[str, int],
    accounts: Mapping[str, GmailAccount], database: Database,
) -> None:  # fmt: skip
    """What each unanswered poll means for its mailbox. A passing one counts only after some in a row."""
    store, known = WorkFailureStore(database), tick.failures(database)
    for alias, error in errors.items():
        kind = failure_class_of(error)
        logger.warning("account_did_not_answer", account=alias, error=type(error).__name__)
        before = known.get(f"mailbox:{alias}")
        # A login that is refused and a time that Google names end the polling, whatever else the mailbox waits for.
        waits = before is not None and not may_be_tried(before, tick.now) and kind not in ("auth", "throttled")
        if waits or (kind == "transient" and times[alias] < SILENT_POLLS):
            continue
        try:
            settle_account(CampaignStore(database), accounts[alias], error, now=tick.now)
            known[f"mailbox:{alias}"] = record_failure(
                store, f"mailbox:{alias}", error, now=tick.now, run_id=None, watermark=None,
                lasting_again_after=LASTING_SILENCE_AGAIN_AFTER,
            )  # fmt: skip
        except Exception as second:  # the other mailboxes' news are asked for all the same
            logger.warning("failure_not_recorded", account=alias, error=type(second).__name__)


def _parts(tick: Tick[GmailCursor], due: Mapping[str, SyncTarget], failures: Mapping[str, WorkFailure]) -> list[Part]:
    """The runs to request, which the cursor remembers."""
    unfinished: dict[SyncKind, int] = {}
    for run in tick.unfinished:
        kind = _kind_of_run(run)
        unfinished[kind] = unfinished.get(kind, 0) + 1
    parts = share_out(
        sync_kinds(due, failures, tick.cursor.silent),
        progress={alias: target.progress for alias, target in due.items()},
        unfinished=unfinished,
        go_on_after=tick.cursor.synced,
    )
    tick.keep(synced={**tick.cursor.synced, **{part.kind: part.aliases[-1] for part in parts}})
    return parts


def _kind_of_run(run: dg.DagsterRun) -> SyncKind:
    if RETURNING_TAG in run.tags:
        return "returning"
    tag = run.tags.get(SYNC_TAG)
    return "listing" if tag == "listing" else "slow" if tag == "slow" else "live"


def sync_request(
    part: Part, due: Mapping[str, DueWork], partitions: Sequence[str], *, tags: Callable[..., dict[str, str]]
) -> dg.RunRequest:
    """One run over some mailboxes.

    A run's partitions are a range in the partitions' own order; the config names those of it that are meant.
    """
    ordered = [alias for alias in partitions if alias in part.aliases]
    work = [due[alias] for alias in ordered]
    return dg.RunRequest(
        run_key=f"sync:{part.kind}:{keys_hash(work)}",
        run_config={"ops": {"gmail_messages": {"config": {"accounts": ordered}}}},
        tags={
            "dagster/asset_partition_range_start": ordered[0],
            "dagster/asset_partition_range_end": ordered[-1],
            **({SYNC_TAG: "live", RETURNING_TAG: "true"} if part.kind == "returning" else {SYNC_TAG: part.kind}),
            "cheerful/trigger": "gmail_changes",
            **({"dagster/priority": "-1"} if part.kind in ("slow", "listing") else {}),
            **tags(*work),
        },
    )


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


@work_sensor(
    name="archive_months",
    kinds=["archive"],
    target=dg.AssetSelection.assets("gmail_archive").without_checks(),
    minimum_interval_seconds=30,
    description="Completes the mailbox months since each account's earliest campaign, newest first.",
)
def archive_months(
    tick: Tick[Cursor], database: dg.ResourceParam[Database], blobs: dg.ResourceParam[BlobStore]
) -> list[dg.RunRequest] | dg.SkipReason:
    """One run per account over a range of months."""
    database = database.for_every_client()
    store = MailStore(database, blobs)
    partitions = tick.instance.get_dynamic_partitions("gmail_account")
    complete, up_to_date = store.complete_months(), list[str]()
    missing: dict[str, list[date]] = {}
    work = []
    for target in askable(store.sync_targets(), {}, partitions=partitions, now=tick.now):
        months = missing_months(
            first_needed=target.first_needed, complete=complete.get(target.alias, set()), today=tick.now.date()
        )
        if not months:
            up_to_date.append(f"archive:{target.alias}")
        elif target.live_history_id is not None and target.status == "active":  # the live sync comes first
            missing[target.alias] = months
            work.append(Work(f"archive:{target.alias}", f"{months[-1]}:{months[0]}:{target.progress}"))
    due = tick.work(database, work, up_to_date=up_to_date)
    if not due:
        told = f"{len(work)} mailboxes have incomplete months, which are being read or wait." if work else ""
        return dg.SkipReason(told or "Every month since the earliest campaign of each account is complete.")
    return [
        archive_request(one, oldest=missing[one.name][-1], newest=missing[one.name][0], tags=tick.tags(one))
        for one in due
    ]


def archive_request(one: DueWork, *, oldest: date, newest: date, tags: Mapping[str, str]) -> dg.RunRequest:
    """One run over a range of months of one account."""
    return dg.RunRequest(
        run_key=one.key,
        tags={
            "dagster/asset_partition_range_start": f"{one.name}|{oldest}",
            "dagster/asset_partition_range_end": f"{one.name}|{newest}",
            "dagster/priority": "-1",  # behind the live sync
            "cheerful/account": one.name,
            "cheerful/trigger": "archive_months",
            **tags,
        },
    )


_KIND = "dead_letters"


@dg.op(retry_policy=API_RETRY, pool="gmail", description="Try messages once more that could not be taken before.")
def drain_due_dead_letters(
    context: dg.OpExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> None:
    """Mailboxes side by side; what fails again waits longer. One mailbox that fails holds up no other's letters."""
    asked = work_of(context.run)
    letters = _due_letters(database.for_every_client(), now=datetime.now(UTC))
    of_alias = {alias: found for alias, found in letters.items() if not asked or f"{_KIND}:{alias}" in asked}
    campaigns = CampaignStore(database)

    def drain(alias: str) -> dict[str, Any]:
        account = campaigns.account(alias)
        store = MailStore(database.for_client(account.user_id), blobs, hash_key=settings.optional_hash_key())
        client = gmail_clients.client(account)
        mailbox = MailboxSync(account, client, store, run_id=context.run_id, seconds=LISTING_SECONDS)
        return mailbox.dead_letters(of_alias[alias]).model_dump()

    errors: dict[str, BaseException] = {}
    for alias, _, outcome in outcomes({alias: (alias, drain) for alias in of_alias}):
        if isinstance(outcome, BaseException):
            errors[f"{_KIND}:{alias}"] = outcome
            context.log.warning(f"{alias}: {told(outcome)[0]}")
            continue
        context.log.info(f"{alias}: {outcome['inserted']} stored, {outcome['gone']} gone, {outcome['dead']} still dead")
    if errors:
        classes = {unit: failure_class_of(error) for unit, error in errors.items()}
        worst = next(iter(errors.values()))
        raise as_failure(worst, allow_retries=False, failed_units=classes) from worst


def _due_letters(database: Database, *, now: datetime) -> dict[str, list[DeadLetter]]:
    """By alias. A mailbox that must be reconnected, or was replaced, is not asked for them."""
    aliases = {
        account.id: account.alias
        for account in CampaignStore(database).accounts()
        if account.status == "active" and account.replaced_at is None
    }
    found: dict[str, list[DeadLetter]] = {}
    for letter in DeadLetterStore(database).due(now=now):
        if letter.gmail_account_id in aliases:
            found.setdefault(aliases[letter.gmail_account_id], []).append(letter)
    return found


@dg.job(description="Try messages once more that could not be fetched, parsed or stored.")
def drain_dead_letters_job() -> None:
    """One op: the letters are few."""
    drain_due_dead_letters()


@work_sensor(
    name="dead_letters",
    kinds=[_KIND],
    job=drain_dead_letters_job,
    minimum_interval_seconds=60,
    description="Starts another try for dead letters whose time has come.",
)
def dead_letters(tick: Tick[Cursor], database: dg.ResourceParam[Database]) -> list[dg.RunRequest] | dg.SkipReason:
    """One run for all mailboxes with letters that are due. The watermark names letters and attempts: the same try is
    never started twice."""
    database = database.for_every_client()
    letters = _due_letters(database, now=tick.now)
    work = [Work(f"{_KIND}:{alias}", _watermark(found)) for alias, found in sorted(letters.items())]
    units = {one.unit for one in work}
    due = tick.work(database, work, up_to_date=[unit for unit in tick.failures(database) if unit not in units])
    if not due:
        return dg.SkipReason("No dead letter is due, or they are being tried.")
    return [dg.RunRequest(run_key=f"{_KIND}:{keys_hash(due)}", tags=tick.tags(*due))]


def _watermark(letters: Sequence[DeadLetter]) -> str:
    named = ",".join(f"{letter.id}:{letter.attempts}" for letter in letters)
    return hashlib.sha256(named.encode()).hexdigest()[:24]


JOBS = [drain_dead_letters_job]
SENSORS = [gmail_changes, archive_months, dead_letters]
