"""`gmail_messages` and `gmail_archive`: one run may cover many mailboxes, and each tells its own story.

What is asked of Gmail stands in sync.py; this file decides whose turn it is and what one mailbox's trouble means.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from queue import SimpleQueue
from typing import Any

import dagster as dg
from pydantic import Field

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core import markdown
from cheerful_pipelines.errors import AuthError, CheerfulError, PermanentError, ThrottledError
from cheerful_pipelines.failures import API_RETRY, dagster_failures
from cheerful_pipelines.gmail.checks import mailbox_evaluations, month_evaluation
from cheerful_pipelines.gmail.gmail_client import GmailClients
from cheerful_pipelines.gmail.store import MailStore
from cheerful_pipelines.gmail.sync import MailboxSync
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.partitions import ACCOUNT_PARTITIONS, ARCHIVE_PARTITIONS, account_and_month
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.table_metadata import markdown_metadata, table_metadata

logger = get_logger(__name__)


LIVE_SECONDS = 240.0
"""Of one mailbox in one run: a first listing of years must not hold up what is new in the other mailboxes."""
ARCHIVE_SECONDS = 900.0
MAILBOXES_AT_ONCE = 4


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

    def sync(alias: str) -> dict[str, Any]:
        account = campaigns.account(alias)
        mailbox = MailboxSync(
            account,
            gmail_clients.client(account),
            MailStore(database.for_client(account.user_id), blobs, hash_key=settings.optional_hash_key()),
            run_id=context.run_id,
            is_over=lambda run_id: _is_over(context.instance, run_id),
            seconds=LIVE_SECONDS,
        )
        report = mailbox.live(
            mark=campaigns.account_mark(account.id), first_needed=needed.get(alias), now=datetime.now(UTC)
        )
        # Gmail's ids are unsigned 64-bit numbers: as text, since metadata holds signed ones.
        marks = {"mark_before": str(report.mark_before), "mark_after": str(report.mark_after)}
        gap = {"gap_certificate": markdown_metadata(markdown.escaped(report.gap.statement))} if report.gap else {}
        return {**report.model_dump(exclude={"gap"}), **marks, **gap, "scope": account.scope, "mode": settings.mode}

    yield from _each(
        context,
        campaigns,
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
        campaigns,
        {key: (months[key][0], sync) for key in newest_first},
        evaluations=lambda key: [month_evaluation(database, blobs, gmail_clients, key)],
        quiet=False,
    )


class _NotDone(Exception):
    """A partition for which the time was not enough: no materialization, and nothing to repair."""


def _is_over(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _each(
    context: dg.AssetExecutionContext,
    campaigns: CampaignStore,
    work: Mapping[str, tuple[str, Callable[[str], dict[str, Any]]]],
    *,
    evaluations: Callable[[str], Iterable[dg.AssetCheckEvaluation]],
    quiet: bool,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Run the work of each partition, mailboxes side by side, and report it; raise at the end what deserves a red run.

    An account that must be reconnected is no red run when a sensor asked (`quiet`): it is marked, said once, skipped
    from then on. Asked for by a person, it fails in words. A partition's checks are evaluated either way.
    """
    errors: list[CheerfulError] = []
    for key, alias, outcome in _outcomes(work):
        if isinstance(outcome, CheerfulError):
            if not _settle(campaigns, campaigns.account(alias), outcome) or not quiet:
                errors.append(outcome)
            context.log.warning(f"{key}: {outcome}")
        elif isinstance(outcome, _NotDone):
            context.log.info(f"{key}: {outcome}")
            continue
        elif isinstance(outcome, BaseException):
            raise outcome
        for evaluation in evaluations(key):
            context.log_event(evaluation)
        if not isinstance(outcome, dict):
            continue
        if len(context.partition_keys) == 1:
            yield dg.MaterializeResult(metadata=outcome)
        else:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=outcome))
    if errors:
        # Something worth a retry goes first: the retry asks every account again.
        lasting = AuthError | PermanentError
        worst = next((found for found in errors if not isinstance(found, lasting)), errors[0])
        with dagster_failures():
            raise worst


def _outcomes(
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
                    done.put((key, alias, work[key][1](key)))
                except Exception as error:
                    done.put((key, alias, error))
                    return
        finally:
            done.put(None)

    with ThreadPoolExecutor(MAILBOXES_AT_ONCE, thread_name_prefix="mailbox") as pool:
        for alias in by_account:
            pool.submit(all_of, alias)
        waiting = len(by_account)
        while waiting:
            found = done.get()
            if found is None:
                waiting -= 1
            else:
                yield found


def _settle(campaigns: CampaignStore, account: GmailAccount, error: CheerfulError) -> bool:
    """Write down what the error means for the account. True where the account's state now tells it all."""
    if isinstance(error, AuthError):
        if campaigns.set_account_status(account.id, status="needs_reauth", reason=str(error)):
            logger.warning("account_needs_reauth", account=account.alias)
        return True
    if isinstance(error, PermanentError):  # another mailbox, a request of ours that is wrong: no retry mends it
        campaigns.set_account_status(account.id, status="needs_reauth", reason=str(error))
        return False
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        until = datetime.now(UTC) + timedelta(seconds=error.retry_after_seconds)
        campaigns.set_account_not_before(account.id, not_before=until)
        return True
    return False


ASSETS = [gmail_messages, gmail_archive]
