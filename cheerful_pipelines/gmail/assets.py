"""`gmail_messages` and `gmail_archive`: one run may cover many mailboxes, and each tells its own story.

What is asked of Gmail stands in sync.py; this file decides whose turn it is and what one mailbox's trouble means.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
from pydantic import Field

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.errors import AuthError, CheerfulError, PermanentError, ThrottledError
from cheerful_pipelines.failures import API_RETRY, dagster_failures
from cheerful_pipelines.gmail.gmail_client import GmailClients
from cheerful_pipelines.gmail.store import MailStore
from cheerful_pipelines.gmail.sync import sync_live, sync_month
from cheerful_pipelines.logs import get_logger
from cheerful_pipelines.partitions import ACCOUNT_PARTITIONS, ARCHIVE_PARTITIONS
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

logger = get_logger(__name__)


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
    code_version="1",
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
    campaigns, store = CampaignStore(database), MailStore(database, blobs)
    needed = {target.alias: target.first_needed for target in store.sync_targets()}
    asked = [key for key in context.partition_keys if not config.accounts or key in config.accounts]

    def sync(alias: str) -> dict[str, Any]:
        account = campaigns.account(alias)
        report = sync_live(
            account,
            gmail_clients.client(account),
            store,
            mark=campaigns.account_mark(account.id),
            first_needed=needed.get(alias),
            now=datetime.now(UTC),
            run_id=context.run_id,
        )
        # Gmail's ids are unsigned 64-bit numbers: as text, since metadata holds signed ones.
        marks = {"mark_before": str(report.mark_before), "mark_after": str(report.mark_after)}
        reread = {"reread_from": str(report.reread_from)} if report.reread_from else {}
        return {**report.model_dump(exclude={"reread_from"}), **marks, **reread, "mode": settings.mode}

    yield from _each(context, campaigns, {key: (key, sync) for key in asked}, quiet=bool(config.accounts))


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
    code_version="1",
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
    campaigns, store = CampaignStore(database), MailStore(database, blobs)
    months: dict[str, tuple[str, date]] = {}
    for key in context.partition_keys:
        by_dimension = dg.MultiPartitionKey(_dimensions(key)).keys_by_dimension
        months[str(key)] = (by_dimension["gmail_account"], date.fromisoformat(by_dimension["month"]))

    def sync(key: str) -> dict[str, Any]:
        alias, month = months[key]
        account = campaigns.account(alias)
        report = sync_month(account, gmail_clients.client(account), store, month=month, run_id=context.run_id)
        return {**report.model_dump(), "month": month.isoformat(), "mode": settings.mode}

    newest_first = sorted(months, key=lambda key: (months[key][0], -months[key][1].toordinal()))
    yield from _each(context, campaigns, {key: (months[key][0], sync) for key in newest_first}, quiet=False)


def _dimensions(key: str) -> dict[str, str]:
    """Dagster joins dimensions with "|" in the order of their names: gmail_account, then month."""
    if isinstance(key, dg.MultiPartitionKey):
        return dict(key.keys_by_dimension)
    alias, _, month = key.rpartition("|")
    return {"gmail_account": alias, "month": month}


def _each(
    context: dg.AssetExecutionContext,
    campaigns: CampaignStore,
    work: Mapping[str, tuple[str, Callable[[str], dict[str, Any]]]],
    *,
    quiet: bool,
) -> Iterator[dg.MaterializeResult[Any]]:
    """Run the work of each partition and report it; raise at the end what deserves a red run.

    An account that must be reconnected is no red run when a sensor asked (`quiet`): it is marked, said once, skipped
    from then on. Asked for by a person, it fails in words.
    """
    errors: list[CheerfulError] = []
    refused: set[str] = set()
    for key, (alias, do) in work.items():
        if alias in refused:
            continue
        try:
            metadata = do(key)
        except CheerfulError as error:
            refused.add(alias)
            if not _settle(campaigns, campaigns.account(alias), error) or not quiet:
                errors.append(error)
            context.log.warning(f"{key}: {error}")
            continue
        if len(context.partition_keys) == 1:
            yield dg.MaterializeResult(metadata=metadata)
        else:
            context.log_event(dg.AssetMaterialization(context.asset_key, partition=key, metadata=metadata))
    if errors:
        # Something worth a retry goes first: the retry asks every account again.
        lasting = AuthError | PermanentError
        worst = next((found for found in errors if not isinstance(found, lasting)), errors[0])
        with dagster_failures():
            raise worst


def _settle(campaigns: CampaignStore, account: GmailAccount, error: CheerfulError) -> bool:
    """Write down what the error means for the account. True where the account's state now tells it all."""
    if isinstance(error, AuthError):
        if campaigns.set_account_status(account.id, status="needs_reauth", reason=str(error)):
            logger.warning("account_needs_reauth", account=account.alias)
        return True
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        until = datetime.now(UTC) + timedelta(seconds=error.retry_after_seconds)
        campaigns.set_account_not_before(account.id, not_before=until)
        return True
    return False


ASSETS = [gmail_messages, gmail_archive]
