"""`gmail_messages` and `gmail_archive`: one run may cover many mailboxes, and each tells its own story.

What is asked of Gmail stands in sync.py; this file decides whose turn it is and what one mailbox's trouble means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from queue import SimpleQueue
from typing import Any

import dagster as dg
from pydantic import Field

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.context_threads import ContextThreadPoolExecutor
from cheerful_pipelines.core.errors import AuthError, PermanentError, SlowCallError
from cheerful_pipelines.core.logs import get_logger, log_fields
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.mail.gmail.checks import mailbox_evaluations, month_evaluation
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.mailbox_failures import account_works, prove_reading, record_failure, settle_account
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.orchestration.failures import API_RETRY, as_failure, dagster_failures, failure_class_of, told
from cheerful_pipelines.orchestration.partitions import ACCOUNT_PARTITIONS, ARCHIVE_PARTITIONS, account_and_month
from cheerful_pipelines.orchestration.table_metadata import markdown_metadata, table_metadata
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import unit_of, work_of
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


LIVE_SECONDS = 60.0
"""Wall clock of one mailbox in one run that a sensor asked for: what is not done by then goes on in the next run."""
LISTING_SECONDS = 240.0
"""Of a first listing, which has runs of its own, and of a run that a person asked for."""
ARCHIVE_SECONDS = 900.0
MAILBOXES_AT_ONCE = 5
"""They wait for the network, and each holds a connection to Postgres at times, of which a process has six."""


class SyncConfig(dg.Config):
    """Which mailboxes of the requested range have news. Empty: all of it."""

    accounts: list[str] = Field(default_factory=list)


@dg.asset(
    group_name="gmail",
    kinds={"gmail", "postgres"},
    owners=["team:cheerful-data"],
    description="Every message of a sender mailbox that Gmail's history reports since the live mark: stored byte for "
    "byte with labels and deletions; then the mark moves. The first run lists the mailbox since its earliest campaign. "
    "Running it again changes nothing.",
    partitions_def=ACCOUNT_PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=API_RETRY,
    pool="gmail",
    metadata=table_metadata("gmail_message"),
    code_version="2",
    output_required=False,
)
def gmail_messages(
    context: dg.AssetExecutionContext,
    config: SyncConfig,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> Iterator[dg.MaterializeResult[Any]]:
    """Sync each mailbox of the run; one that fails does not stop the others."""
    campaigns = CampaignStore(database)
    targets = MailStore(database.for_every_client(), blobs).sync_targets()
    needed = {target.alias: target.first_needed for target in targets}
    asked = [key for key in context.partition_keys if not config.accounts or key in config.accounts]
    is_short = context.run.tags.get("cheerful/sync") in ("live", "slow")

    def sync(alias: str) -> dict[str, Any]:
        account = campaigns.account(alias)
        client = gmail_clients.client(account)
        if account.status == "needs_reauth":
            prove_reading(client, seconds=LIVE_SECONDS)
        mailbox = MailboxSync(
            account,
            client,
            MailStore(database.for_client(account.user_id), blobs, hash_key=settings.optional_hash_key()),
            run_id=context.run_id,
            is_over=lambda run_id: _is_over(context.instance, run_id),
            seconds=LIVE_SECONDS if is_short else LISTING_SECONDS,
        )
        report = mailbox.live(
            mark=campaigns.account_mark(account.id), first_needed=needed.get(alias), now=datetime.now(UTC)
        )
        if report.is_partial and not report.inserted and is_short:
            raise SlowCallError(f"The mailbox {alias} gave nothing within {LIVE_SECONDS:.0f} seconds.")
        if account.status == "needs_reauth":
            account_works(campaigns, account)
            WorkFailureStore(database.for_every_client()).make_mailbox_due(alias, at=datetime.now(UTC))
        # Gmail's ids are unsigned 64-bit numbers: as text, since metadata holds signed ones.
        marks = {"mark_before": str(report.mark_before), "mark_after": str(report.mark_after)}
        gap = {"gap_certificate": markdown_metadata(markdown.escaped(report.gap.statement))} if report.gap else {}
        return {**report.model_dump(exclude={"gap"}), **marks, **gap, "scope": account.scope, "mode": settings.mode}

    yield from _each(
        context,
        database,
        "mailbox",
        {key: (key, sync) for key in asked},
        evaluations=lambda alias: mailbox_evaluations(database, alias),
        quiet=bool(config.accounts),
    )


@dg.asset(
    group_name="gmail",
    kinds={"gmail", "postgres"},
    owners=["team:cheerful-data"],
    description="One month of one sender mailbox, equal to Gmail's: missing messages fetched, vanished ones marked as "
    "deleted. For history from before the live sync, and every night as a reconcile. Safe beside the live sync.",
    partitions_def=ARCHIVE_PARTITIONS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    retry_policy=API_RETRY,
    pool="gmail",
    metadata=table_metadata("gmail_message"),
    code_version="2",
    output_required=False,
)
def gmail_archive(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> Iterator[dg.MaterializeResult[Any]]:
    """Newest month first: what people ask about is recent."""
    campaigns = CampaignStore(database)
    months: dict[str, tuple[str, date]] = {}
    for key in context.partition_keys:
        months[str(key)] = account_and_month(key)

    def sync(key: str) -> dict[str, Any]:
        alias, month = months[key]
        account = campaigns.account(alias)
        campaigns.account_mark(account.id)  # raises without a mark, before the month is read in vain
        mailbox = MailboxSync(
            account,
            gmail_clients.client(account, for_archive=True),
            MailStore(database.for_client(account.user_id), blobs, hash_key=settings.optional_hash_key()),
            run_id=context.run_id,
            is_over=lambda run_id: _is_over(context.instance, run_id),
            seconds=ARCHIVE_SECONDS,
        )
        report = mailbox.month(month)
        if not report.is_complete:
            raise _NotDone(f"{report.inserted} messages stored; the next run goes on")
        return {**report.model_dump(), "month": month.isoformat(), "mode": settings.mode}

    newest_first = sorted(months, key=lambda key: (months[key][0], -months[key][1].toordinal()))
    yield from _each(
        context,
        database,
        "archive",
        {key: (months[key][0], sync) for key in newest_first},
        evaluations=lambda key: [month_evaluation(database, blobs, gmail_clients, key)],
        quiet=bool(work_of(context.run)),
    )


class _NotDone(Exception):
    """A partition for which the time was not enough: no materialization, and nothing to repair."""


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _each(
    context: dg.AssetExecutionContext,
    database: Database,
    kind: str,
    work: Mapping[str, tuple[str, Callable[[str], dict[str, Any]]]],
    *,
    evaluations: Callable[[str], Iterable[dg.AssetCheckEvaluation]],
    quiet: bool,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Run the work of each partition, mailboxes side by side, and report it; raise at the end what deserves a red run.

    Whatever one mailbox raises is its own: it is written down in `work_failure`, and the others are reported. An
    account that must be reconnected or waits for its quota is no red run when a sensor asked (`quiet`), and nothing is
    repeated within the run: sensors ask again for the failed mailboxes only. A partition's checks are evaluated
    either way.
    """
    ledger = _Ledger(context, database, kind)
    for key, alias, outcome in outcomes(work):
        if isinstance(outcome, _NotDone):
            context.log.info(f"{key}: {outcome}")
            continue
        if isinstance(outcome, BaseException):
            context.log.warning(f"{key}: {ledger.fails(alias, outcome)}")
        try:
            for evaluation in evaluations(key):
                context.log_event(evaluation)
        except Exception as error:
            context.log.warning(f"{key}: checks: {ledger.fails(alias, error)}")
        if not isinstance(outcome, dict):
            continue
        ledger.succeeds(alias)
        logger.info("mailbox_done", account=alias, partition=str(key))
        if len(context.partition_keys) == 1:
            yield dg.MaterializeResult(metadata=outcome)
        else:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=outcome))
    ledger.raise_at_the_end(quiet=quiet)


class _Ledger:
    """How each mailbox of a run came out: its row in `work_failure`, its state, and whether the run ends red."""

    def __init__(self, context: dg.AssetExecutionContext, database: Database, kind: str) -> None:
        self._run, self._kind, self._database = context.run, kind, database.for_every_client()
        self._campaigns, self._failures = CampaignStore(database), WorkFailureStore(self._database)
        self._errors: dict[str, BaseException] = {}
        self._settled: set[str] = set()

    def fails(self, alias: str, error: BaseException) -> str:
        """Write it down, and return it in words. Where even that fails, the run itself tells of it."""
        unit, watermark = unit_of(self._run, self._kind, alias)
        self._errors[unit] = error
        kind = failure_class_of(error)
        logger.warning("mailbox_failed", account=alias, failure_class=kind, error=type(error).__name__)
        now = datetime.now(UTC)
        try:
            if settle_account(self._campaigns, self._campaigns.account(alias), error, now=now):
                self._settled.add(unit)
            record_failure(self._failures, unit, error, now=now, run_id=self._run.run_id, watermark=watermark)
        except Exception as second:  # whatever it is, the others of the run are reported all the same
            logger.warning("failure_not_recorded", unit=unit, error=type(second).__name__)
        return told(error)[0]

    def succeeds(self, alias: str) -> None:
        """Nothing of this mailbox fails."""
        unit, _ = unit_of(self._run, self._kind, alias)
        if unit not in self._errors:
            self._failures.clear([unit])

    def raise_at_the_end(self, *, quiet: bool) -> None:
        """The worst error, for Dagster: something worth a retry goes before what lasts."""
        found = {unit: error for unit, error in self._errors.items() if not (quiet and unit in self._settled)}
        if not found:
            return
        lasting = AuthError | PermanentError
        worst = next((error for error in found.values() if not isinstance(error, lasting)), next(iter(found.values())))
        if quiet:
            classes = {unit: failure_class_of(error) for unit, error in found.items()}
            raise as_failure(worst, allow_retries=False, failed_units=classes) from worst
        with dagster_failures():
            raise worst


def outcomes(
    work: Mapping[str, tuple[str, Callable[[str], dict[str, Any]]]],
) -> Iterator[tuple[str, str, dict[str, Any] | BaseException]]:
    """(partition, account, metadata or what went wrong), as they are done: partitions of one account in their order,
    accounts side by side. After an account's first trouble the rest of its partitions are left alone."""
    by_account: dict[str, list[str]] = {}
    for key, (alias, _) in work.items():
        by_account.setdefault(alias, []).append(key)
    done: SimpleQueue[tuple[str, str, dict[str, Any] | BaseException] | None] = SimpleQueue()

    def all_of(alias: str) -> None:
        try:
            for key in by_account[alias]:
                try:
                    with log_fields(account=alias, partition=key):
                        done.put((key, alias, work[key][1](key)))
                except BaseException as error:  # a panic of a library in Rust, too: it is this mailbox's alone
                    done.put((key, alias, error))
                    return
        finally:
            done.put(None)

    with ContextThreadPoolExecutor(MAILBOXES_AT_ONCE, thread_name_prefix="mailbox") as pool:
        for alias in by_account:
            pool.submit(all_of, alias)
        waiting = len(by_account)
        while waiting:
            found = done.get()
            if found is None:
                waiting -= 1
            else:
                yield found


ASSETS = [gmail_messages, gmail_archive]
