"""What must hold for a mailbox: no backlog of dead letters, a live mark that moves, stored mail that is sound.

Dagster skips the check steps of a run over several partitions, so the assets log these results themselves, for each
mailbox that they touched (`mailbox_evaluations`, `month_evaluation`); run by hand, the same checks stand here.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.listing import MailboxListing
from cheerful_pipelines.mail.integrity_store import IntegrityStore
from cheerful_pipelines.orchestration.partitions import ACCOUNT_PARTITIONS, ARCHIVE_PARTITIONS, account_and_month
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database

LONGEST_LAG = timedelta(hours=24)
SETTLED_AFTER = timedelta(hours=1)
"""Mail younger than this before the live mark may be on its way: whether it is missing is asked later."""
_MAX_NAMED = 50


@dg.asset_check(
    asset="gmail_messages",
    partitions_def=ACCOUNT_PARTITIONS,
    description="No message of this mailbox waits as a dead letter.",
)
def no_dead_letters(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """A warning: the rest of the mailbox is in step."""
    return _dead_letters(database, CampaignStore(database).account(context.partition_key))


@dg.asset_check(
    asset="gmail_messages",
    partitions_def=ACCOUNT_PARTITIONS,
    description="The live mark is set, and the account does not wait for a person to reconnect it.",
)
def live_mark_stands(
    context: dg.AssetCheckExecutionContext, database: dg.ResourceParam[Database]
) -> dg.AssetCheckResult:
    """Lag is judged by the mark's own time: a quiet mailbox moves it with every sync."""
    return _live_mark(database, CampaignStore(database).account(context.partition_key))


@dg.asset_check(
    asset="gmail_archive",
    partitions_def=ARCHIVE_PARTITIONS,
    description="A random sample of the month: raw bytes are there and have their hash, and reading them again gives "
    "the stored row. No message of the event log or of a thread's state has lost its row, and every message that "
    "Gmail lists for the month is stored, out of scope or a dead letter.",
)
def stored_mail_is_sound(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    blobs: dg.ResourceParam[BlobStore],
    gmail_clients: dg.ResourceParam[GmailClients],
) -> dg.AssetCheckResult:
    """Another sample each time; after each night's reconcile, and whenever a person asks."""
    alias, month = account_and_month(context.partition_key)
    return _sound(database, blobs, gmail_clients, CampaignStore(database).account(alias), month)


def mailbox_evaluations(database: Database, alias: str) -> Iterator[dg.AssetCheckEvaluation]:
    """Both checks of `gmail_messages` for one mailbox."""
    account = CampaignStore(database).account(alias)
    for name, result in (
        ("no_dead_letters", _dead_letters(database, account)),
        ("live_mark_stands", _live_mark(database, account)),
    ):
        yield _evaluation("gmail_messages", name, result, partition=alias)


def month_evaluation(
    database: Database, blobs: BlobStore, clients: GmailClients, partition: str
) -> dg.AssetCheckEvaluation:
    """The check of `gmail_archive` for one mailbox month."""
    alias, month = account_and_month(partition)
    result = _sound(database, blobs, clients, CampaignStore(database).account(alias), month)
    return _evaluation("gmail_archive", "stored_mail_is_sound", result, partition=partition)


def _evaluation(asset: str, name: str, result: dg.AssetCheckResult, *, partition: str) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(asset),
        check_name=name,
        passed=bool(result.passed),
        metadata=result.metadata,
        severity=result.severity,
        partition=partition,
    )


def _dead_letters(database: Database, account: GmailAccount) -> dg.AssetCheckResult:
    backlog = DeadLetterStore(database.for_client(account.user_id)).backlog(account.id)
    return dg.AssetCheckResult(
        passed=not backlog,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"waiting": sum(backlog.values()), "by_reason": dg.MetadataValue.json(backlog)},
    )


def _live_mark(database: Database, account: GmailAccount) -> dg.AssetCheckResult:
    mark = CampaignStore(database).account_mark(account.id)
    lag = None if mark.live_marked_at is None else datetime.now(UTC) - mark.live_marked_at
    return dg.AssetCheckResult(
        passed=mark.live_history_id is not None and account.status == "active" and (lag or timedelta()) < LONGEST_LAG,
        metadata={"status": account.status, "lag_minutes": -1.0 if lag is None else round(lag.total_seconds() / 60, 1)},
    )


def _sound(
    database: Database, blobs: BlobStore, clients: GmailClients, account: GmailAccount, month: date
) -> dg.AssetCheckResult:
    store = IntegrityStore(database.for_client(account.user_id), blobs)
    report, counts = store.sample_month(account.id, month), store.counts(account.id)
    try:
        in_gmail = clients.polling_client(account).profile().messages_total
        not_stored = _not_stored(database, store, clients, account, month)
    except CheerfulError:  # the sync shows and repairs it; the sample and the event log need no Gmail
        in_gmail, not_stored = None, ()
    too_many = in_gmail is not None and counts.stored + counts.passed_over > in_gmail
    names = ("missing", "damaged", "different", "unreadable", "lost")
    ids = {name: dg.MetadataValue.json(list(getattr(report, name)[:_MAX_NAMED])) for name in names}
    is_whole = report.is_sound and not not_stored
    return dg.AssetCheckResult(
        passed=is_whole and not too_many,
        # More here than there may pass: mail was deleted a moment ago. Damage does not.
        severity=dg.AssetCheckSeverity.WARN if is_whole else dg.AssetCheckSeverity.ERROR,
        metadata={
            "sampled": report.sampled,
            **ids,
            "lost_messages": len(report.lost),
            "not_stored": dg.MetadataValue.json(list(not_stored[:_MAX_NAMED])),
            "not_stored_messages": len(not_stored),
            "read_by_an_older_parser": report.older_parser,
            "stored": counts.stored,
            "passed_over": counts.passed_over,
            "in_gmail": "not known: Gmail did not answer" if in_gmail is None else in_gmail,
        },
    )


def _not_stored(
    database: Database, store: IntegrityStore, clients: GmailClients, account: GmailAccount, month: date
) -> tuple[str, ...]:
    """Ids that Gmail lists for the month and we do not have; none for a month that was never completed."""
    mark = CampaignStore(database).account_mark(account.id)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    if mark.live_marked_at is not None:
        end = min(end, mark.live_marked_at - SETTLED_AFTER)
    if end <= start or not store.is_complete(account.id, month):
        return ()
    listing = MailboxListing(clients.client(account, for_archive=True))
    found = store.not_stored(account.id, listing.ids(after=start, before=end))
    return tuple(sorted(set(found) - listing.drafts(after=start, before=end))) if found else ()


CHECKS = [no_dead_letters, live_mark_stands, stored_mail_is_sound]
