"""The sync itself: what is asked of Gmail in which order, and when a mark may move. No dagster, no SQL.

A mark moves after the last row that it stands for is committed; whatever breaks before that is read again.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.addresses import address_key
from cheerful_pipelines.campaigns.models import AccountMark, GmailAccount
from cheerful_pipelines.errors import HistoryExpiredError, PermanentError
from cheerful_pipelines.gmail.gmail_client import FetchFailure, GmailClient, Profile
from cheerful_pipelines.gmail.history import fold_history, message_ids
from cheerful_pipelines.gmail.models import DeadLetter, FetchedMessage, StoreReport
from cheerful_pipelines.gmail.store import MailStore

STORE_PAGE = 100  # messages a transaction: bounds memory, and what a crash has to fetch again
REREAD_MARGIN = timedelta(days=2)  # internal dates and Gmail's clock are not ours
WITHOUT_CAMPAIGN = timedelta(days=30)
BEFORE_CAMPAIGN = timedelta(days=7)


class SyncReport(BaseModel):
    """What one sync of one mailbox did: counts for the materialization's metadata."""

    model_config = ConfigDict(frozen=True)
    inserted: int = 0
    relabelled: int = 0
    unchanged: int = 0
    deleted: int = 0
    drafts: int = 0
    gone: int = 0  # deleted between listing and fetching
    dead: int = 0
    mark_before: int | None = None
    mark_after: int | None = None
    reread_from: datetime | None = None  # set when the history had expired
    found_late: int = 0
    units_spent: int = 0


class ArchiveReport(BaseModel):
    """What one mailbox month needed."""

    model_config = ConfigDict(frozen=True)
    listed: int
    inserted: int
    vanished: int
    dead: int
    units_spent: int


def sync_live(
    account: GmailAccount,
    client: GmailClient,
    store: MailStore,
    *,
    mark: AccountMark,
    first_needed: datetime | None,
    now: datetime,
    run_id: str,
) -> SyncReport:
    """Store everything that happened since the live mark, then move the mark. Safe to repeat at any point."""
    units_before = client.units_spent
    if mark.live_history_id is None:
        start = first_needed - BEFORE_CAMPAIGN if first_needed else now - WITHOUT_CAMPAIGN
        report = _read_window(account, client, store, start=start, run_id=run_id)
    else:
        try:
            report = _follow_history(account, client, store, start=int(mark.live_history_id), run_id=run_id)
        except HistoryExpiredError:
            start = (mark.live_marked_at or now) - REREAD_MARGIN
            report = _read_window(account, client, store, start=start, run_id=run_id)
            report = report.model_copy(update={"reread_from": start, "found_late": report.inserted})
    return report.model_copy(
        update={
            "mark_before": None if mark.live_history_id is None else int(mark.live_history_id),
            "units_spent": client.units_spent - units_before,
        }
    )


def sync_month(
    account: GmailAccount, client: GmailClient, store: MailStore, *, month: date, run_id: str
) -> ArchiveReport:
    """Make the stored mailbox month equal Gmail's: fetch what is missing, tombstone what vanished."""
    units_before = client.units_spent
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    end = (start + timedelta(days=32)).replace(day=1)
    listed = [one for page in client.list_ids(after=start, before=end) for one in page]
    counts = _fetch_missing(account, client, store, listed, run_id=run_id)
    vanished = store.alive_between(account.id, start, end) - set(listed)
    deleted = store.mark_deleted(account, sorted(vanished), run_id=run_id) if vanished else 0
    store.complete_month(
        account.id, month, listed=len(listed), fetched=counts.inserted, vanished=deleted, run_id=run_id
    )
    return ArchiveReport(
        listed=len(listed),
        inserted=counts.inserted,
        vanished=deleted,
        dead=counts.dead,
        units_spent=client.units_spent - units_before,
    )


def drain_dead_letters(
    account: GmailAccount, client: GmailClient, store: MailStore, letters: Sequence[DeadLetter], *, run_id: str
) -> SyncReport:
    """Try these messages once more; what still fails waits longer, what is gone from Gmail is settled."""
    return _fetch_all(account, client, store, [letter.gmail_message_id for letter in letters], run_id=run_id)


def _follow_history(
    account: GmailAccount, client: GmailClient, store: MailStore, *, start: int, run_id: str
) -> SyncReport:
    total, newest = SyncReport(), start
    for page in client.history(start):
        named = message_ids(page.records)
        changes = fold_history(page.records, store.known_message_ids(account.id, sorted(named)) if named else set())
        counts = _fetch_all(account, client, store, changes.to_fetch, run_id=run_id)
        relabelled = (
            store.apply_label_changes(account, changes.label_changes, run_id=run_id) if changes.label_changes else 0
        )
        deleted = store.mark_deleted(account, changes.deleted, run_id=run_id) if changes.deleted else 0
        total = _add(total, counts, SyncReport(relabelled=relabelled, deleted=deleted))
        newest = max(newest, page.history_id)
    store.advance_live_mark(account.id, newest)
    return total.model_copy(update={"mark_after": newest})


def _read_window(
    account: GmailAccount, client: GmailClient, store: MailStore, *, start: datetime, run_id: str
) -> SyncReport:
    """List and fetch everything since `start`. The history id is taken before the listing: no gap behind it."""
    profile = client.profile()
    require_same_mailbox(profile, alias=account.alias, identity_keys=account.identity_keys)
    listed = [one for page in client.list_ids(after=start) for one in page]
    # Known ones are fetched again too: without history, their labels may have changed unseen.
    counts = _fetch_all(account, client, store, listed, run_id=run_id)
    vanished = store.alive_between(account.id, start, datetime.max.replace(tzinfo=UTC)) - set(listed)
    deleted = store.mark_deleted(account, sorted(vanished), run_id=run_id) if vanished else 0
    store.advance_live_mark(account.id, profile.history_id)
    return counts.model_copy(update={"deleted": deleted, "mark_after": profile.history_id})


def require_same_mailbox(profile: Profile, *, alias: str, identity_keys: frozenset[str]) -> None:
    """Raise PermanentError where the credentials open another mailbox than the one named for them."""
    if address_key(profile.address) not in identity_keys:
        raise PermanentError(
            f"The credentials of account {alias!r} open another mailbox than the one named for it.",
            what_to_do="Connect the right mailbox: cheerful accounts add, with that mailbox's own credentials.",
        )


def _fetch_missing(
    account: GmailAccount, client: GmailClient, store: MailStore, listed: Sequence[str], *, run_id: str
) -> SyncReport:
    known = store.known_message_ids(account.id, listed) if listed else set()
    return _fetch_all(account, client, store, [one for one in listed if one not in known], run_id=run_id)


def _fetch_all(
    account: GmailAccount, client: GmailClient, store: MailStore, ids: Sequence[str], *, run_id: str
) -> SyncReport:
    """Fetch and store page by page; what does not come becomes a dead letter, what is gone is counted."""
    total = SyncReport()
    for page in _pages(ids, STORE_PAGE):
        fetched: list[FetchedMessage] = []
        failed: list[FetchFailure] = []
        for found in client.fetch_raw(page):
            (failed if isinstance(found, FetchFailure) else fetched).append(found)  # type: ignore[arg-type]
        stored = store.store_fetched(account, fetched, run_id=run_id) if fetched else StoreReport()
        gone = [failure.gmail_message_id for failure in failed if failure.gone]
        if gone:
            store.resolve(account.id, gone)
        for failure in failed:
            if not failure.gone:
                store.bury(
                    account, failure.gmail_message_id, stage="fetch", reason_code=failure.reason_code, run_id=run_id
                )
        total = _add(total, SyncReport(**stored.model_dump()), SyncReport(gone=len(gone), dead=len(failed) - len(gone)))
    return total


def _add(*reports: SyncReport) -> SyncReport:
    names = ("inserted", "relabelled", "unchanged", "deleted", "drafts", "gone", "dead")
    return SyncReport(**{name: sum(getattr(report, name) for report in reports) for name in names})


def _pages(ids: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(ids)
    while page := list(islice(iterator, size)):
        yield page
