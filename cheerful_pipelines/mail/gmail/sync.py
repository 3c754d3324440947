"""The sync itself: what is asked of Gmail in which order, and when a mark may move. No dagster, no SQL.

A mark moves in the transaction that stores the last row that it stands for; whatever breaks before that is read again.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from cheerful_pipelines.campaigns.models import AccountMark, GmailAccount
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import (
    HistoryExpiredError,
    OutOfTimeError,
    PermanentError,
    PoisonError,
    ThrottledError,
)
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.stopping import is_stopping
from cheerful_pipelines.google.deadlines import CALL_SECONDS
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.gmail.gmail_client import (
    FetchFailure,
    GmailClient,
    HistoryPage,
    Profile,
)
from cheerful_pipelines.mail.gmail.history import fold_history, last_record_id, thread_ids
from cheerful_pipelines.mail.gmail.listing import LISTINGS_OF_A_CHANGING_MAILBOX, MailboxListing, WindowLabels, slices
from cheerful_pipelines.mail.gmail.sync_reports import ArchiveReport, GapCertificate, MonthEstimate, SyncReport, added
from cheerful_pipelines.mail.models import DeadLetter, LabelChange, ParsedMail, Poisoned
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.scope import relevance
from cheerful_pipelines.mail.scope.least_data import LeastData
from cheerful_pipelines.mail.scope.scope_store import ScopeStore
from cheerful_pipelines.mail.store import MailStore

logger = get_logger(__name__)

STORE_PAGE = 100  # messages a transaction: bounds memory, and what a crash has to fetch again
WITHOUT_CAMPAIGN = timedelta(days=30)
BEFORE_CAMPAIGN = timedelta(days=7)
DEATHS_UNTIL_SET_ASIDE = 3
LAST_CALLS_SECONDS = CALL_SECONDS
"""Before the end of a mailbox's time no page is begun: it would be cut off in the middle, and fetched again."""
FOR_EVER = datetime.max.replace(tzinfo=UTC)


class MailboxSync:
    """One mailbox, one run. Safe to repeat at any point, and beside another run over the same mailbox.

    `is_over` tells whether another run has ended: what a run that is over left in flight, it died of. `seconds` limits
    the wall-clock time of all of it. Towards its end no further page is begun, and the report is partial; a call that
    is still under way at the end is cut off and raises SlowCallError. What was stored until then stays.
    """

    def __init__(
        self,
        account: GmailAccount,
        client: GmailClient,
        store: MailStore,
        *,
        run_id: str,
        is_over: Callable[[str], bool] = lambda _run_id: True,
        seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._account, self._store = account, store
        self._client = client if seconds is None else client.ending_at(time.monotonic() + seconds)
        self._scope = ScopeStore(store.database)
        self._letters = DeadLetterStore(store.database)
        self._listing = MailboxListing(self._client)
        self._least = LeastData(account, store, self._scope)
        self._run_id = run_id
        self._clock = clock
        self._no_page_after = None if seconds is None else clock() + seconds - min(LAST_CALLS_SECONDS, seconds / 4)
        self._suspects = self._crash_suspects(is_over)
        self._units_before, self._waited_before = client.units_spent, client.waited_seconds

    # --- the three things that a run may want ---

    def live(self, *, mark: AccountMark, first_needed: datetime | None, now: datetime) -> SyncReport:
        """Store everything that happened since the live mark, then move the mark."""
        report = SyncReport()
        start = mark.stored_from or (first_needed - BEFORE_CAMPAIGN if first_needed else now - WITHOUT_CAMPAIGN)
        try:
            if mark.live_history_id is None:
                report = self._first_listing(mark, start=start)
            else:
                try:
                    report = self._follow_history(int(mark.live_history_id))
                except HistoryExpiredError:
                    report = self._repair_gap(start, lost=int(mark.live_history_id), now=now)
                except _MalformedHistory as found:
                    report = self._repair_gap(start, lost=int(mark.live_history_id), now=now, before=found.report)
            report = added(report, self._pull_in_new_recipients(_looked_at_from(mark, start)))
        except _Partial as partial:
            self._store.note_progress(self._account.id)
            report = added(report, partial.report).model_copy(update={"is_partial": True})
        except (ThrottledError, OutOfTimeError):
            if not self._is_almost_over():
                raise
            self._store.note_progress(self._account.id)
            report = report.model_copy(update={"is_partial": True})
        before = None if mark.live_history_id is None else int(mark.live_history_id)
        return self._told(report).model_copy(update={"mark_before": before})

    def month(self, month: date) -> ArchiveReport:
        """Make the stored mailbox month equal Gmail's: fetch what is missing, tombstone what vanished."""
        start, end = _month_window(month)
        listed: Mapping[str, str] = {}
        counts, is_complete = SyncReport(), True
        try:
            listed, counts = self._reconcile(start, end)
            self._store.complete_month(
                self._account.id,
                month,
                listed=len(listed),
                fetched=counts.inserted,
                vanished=counts.deleted,
                run_id=self._run_id,
            )
        except _Partial as partial:
            self._store.note_progress(self._account.id)
            counts, is_complete = partial.report, False
        except (ThrottledError, OutOfTimeError):
            if not self._is_almost_over():
                raise
            self._store.note_progress(self._account.id)
            is_complete = False
        return ArchiveReport(
            listed=len(listed),
            inserted=counts.inserted,
            vanished=counts.deleted,
            relabelled=counts.relabelled,
            passed_over=counts.passed_over,
            dead=counts.dead,
            is_complete=is_complete,
            units_spent=self._client.units_spent - self._units_before,
        )

    def estimate(self, month: date) -> MonthEstimate:
        """What `month` would take: everything is listed and sorted out as there, and nothing fetched or stored."""
        start, end = _month_window(month)
        stored = self._store.labels_between(self._account.id, start, end)
        listed, _ = self._listing.with_labels(after=start, before=end, of=stored.keys())
        unknown = self._unknown(listed, after=start, before=end)
        wanted = self._least.sort_out(unknown, self._listing, after=start, before=end).to_fetch
        listing = self._client.units_spent - self._units_before
        return MonthEstimate(
            listed=len(listed), to_fetch=len(wanted), units=listing + len(wanted) * self._client.price("messages.get")
        )

    def dead_letters(self, letters: Sequence[DeadLetter]) -> SyncReport:
        """Try these messages once more; what still fails waits longer, what is gone from Gmail is settled."""
        refs = {letter.gmail_message_id: "" for letter in letters}
        try:
            return self._told(self._fetch_all(refs, include_suspects=True))
        except _Partial as partial:
            return self._told(partial.report).model_copy(update={"is_partial": True})

    # --- ways to know what is there ---

    def _first_listing(self, mark: AccountMark, *, start: datetime) -> SyncReport:
        """List and fetch everything in scope since `start`, over as many runs as it takes.

        The history id is taken before the first page, and kept until the listing is through: what changes meanwhile
        is told by history then.
        """
        if mark.listing_history_id is None or mark.listing_from is None:
            profile = self._client.profile()
            require_same_mailbox(profile, alias=self._account.alias, identity_keys=self._account.identity_keys)
            history_id = profile.history_id
            self._store.begin_listing(self._account.id, history_id=history_id, start=start)
        else:
            history_id, start = int(mark.listing_history_id), mark.listing_from
        people = self._scope.new_recipients(self._account.id) if self._least.is_narrow else []
        report = self._take_all(after=start, resume_before=mark.listing_before)
        self._store.end_listing(self._account.id, history_id=history_id, start=start)
        self._scope.note_searched(self._account.id, [person.email_key for person in people])
        return report.model_copy(update={"mark_after": history_id})

    def _take_all(self, *, after: datetime, resume_before: datetime | None) -> SyncReport:
        """Fetch what is missing since `after`, part by part. Where time runs out, the next run begins below what is
        done, so that a large mailbox is not listed anew by each run; the last pass is over all of it, and quiet."""
        total = SyncReport()
        for _ in range(LISTINGS_OF_A_CHANGING_MAILBOX):
            newest = self._listing.newest_history_id()
            for listed in self._listing.ids_in_parts(after=after, before=resume_before):
                try:
                    total = added(total, self._fetch_missing(listed, after=after))
                except _Partial as partial:
                    raise _Partial(added(total, partial.report)) from None
                self._store.note_listed(self._account.id, list(listed))
            is_whole, resume_before = resume_before is None, None
            if is_whole and self._listing.newest_history_id() == newest:
                break
        return total

    def _fetch_missing(
        self, listed: Mapping[str, str], *, after: datetime, before: datetime | None = None
    ) -> SyncReport:
        found = self._least.sort_out(
            self._unknown(listed, after=after, before=before), self._listing, after=after, before=before
        )
        for refs in in_batches(found.passed_over, 5_000):
            self._store.apply(self._account, passed_over=refs, run_id=self._run_id)
        passed = SyncReport(passed_over=len(found.passed_over))
        try:
            return added(self._fetch_all(found.to_fetch, whole=found.whole_threads), passed)
        except _Partial as partial:
            raise _Partial(added(partial.report, passed)) from None

    def _follow_history(self, start: int) -> SyncReport:
        """Apply the pages as they come; each moves the mark to its last record.

        Raises _MalformedHistory after a page with a record that cannot be read: what can be read of it is applied, and
        the mark stays before it until the window was compared.
        """
        total, mark = SyncReport(), start
        for page in self._client.history(start):
            reached = max(mark, _reached(page, mark))
            try:
                total = added(total, self._apply_page(page, reached))
            except _Partial as partial:
                raise _Partial(added(total, partial.report)) from None
            if total.malformed:
                logger.warning("history_malformed", account=self._account.alias, count=total.malformed, after=mark)
                raise _MalformedHistory(total)
            mark = reached
        return total.model_copy(update={"mark_after": mark})

    def _apply_page(self, page: HistoryPage, reached: int) -> SyncReport:
        threads = thread_ids(page.records)
        named = sorted(threads)
        known = self._store.known_message_ids(self._account.id, named)
        passed = {ref.gmail_message_id for ref in self._scope.passed_over(self._account.id, ids=named)}
        changes = fold_history(page.records, known | passed)
        fetched = self._fetch_all({one: threads[one] for one in changes.to_fetch})
        stored = self._store.apply(
            self._account,
            label_changes=[change for change in changes.label_changes if change.gmail_message_id in known],
            deleted=changes.deleted,
            live_mark=None if changes.malformed else reached,
            run_id=self._run_id,
        )
        told = SyncReport(relabelled=stored.relabelled, deleted=stored.deleted, malformed=changes.malformed)
        return added(fetched, told)

    def _repair_gap(self, start: datetime, *, lost: int, now: datetime, before: SyncReport | None = None) -> SyncReport:
        """History is lost: compare the whole window that we answer for, and certify what was found.

        What was found is counted from the event log, so that a repair over several runs certifies all of it. `before`:
        what was applied of a history with malformed records, which is compared for their sake.
        """
        profile = self._client.profile()
        require_same_mailbox(profile, alias=self._account.alias, identity_keys=self._account.identity_keys)
        self._store.begin_gap(self._account.id)
        total, listed, window = before or SyncReport(), 0, WindowLabels(self._client, after=start)
        for since, until in slices(start, now):
            try:
                found, counts = self._reconcile(since, None if until == now else until, window=window)
            except _Partial as partial:
                raise _Partial(added(total, partial.report)) from None
            total, listed = added(total, counts), listed + len(found)
        repaired = self._store.end_gap(self._account.id, history_id=profile.history_id, start=start)
        certificate = GapCertificate(
            reread_from=start,
            reread_until=now,
            listed=listed,
            found_late=repaired["added"],
            vanished=repaired["deleted"],
            relabelled=repaired["labels"],
            history_id_lost=lost,
            history_id_taken=profile.history_id,
            malformed=total.malformed,
        )
        return total.model_copy(update={"mark_after": profile.history_id, "gap": certificate})

    def _reconcile(
        self, start: datetime, end: datetime | None, *, window: WindowLabels | None = None
    ) -> tuple[Mapping[str, str], SyncReport]:
        """Make the stored window equal Gmail's: missing ones fetched, vanished ones tombstoned, labels put right."""
        stored = self._store.labels_between(self._account.id, start, end or FOR_EVER)
        listed, labels = self._listing.with_labels(after=start, before=end, of=stored.keys(), window=window)
        counts = self._fetch_missing(listed, after=start, before=end)
        written = self._store.apply(
            self._account,
            label_changes=[
                LabelChange(gmail_message_id=one, label_ids=tuple(sorted(found)), if_seq=stored[one].ingest_seq)
                for one, found in labels.items()
                if one in listed and found != set(stored[one].label_ids)
            ],
            deleted=sorted(stored.keys() - listed.keys()),
            run_id=self._run_id,
        )
        return listed, added(counts, SyncReport(relabelled=written.relabelled, deleted=written.deleted))

    def _unknown(self, listed: Mapping[str, str], *, after: datetime, before: datetime | None = None) -> dict[str, str]:
        """What is neither stored nor passed over, nor a draft."""
        known: set[str] = set()
        for part in in_batches(listed, 5_000):
            known |= self._store.known_message_ids(self._account.id, part)
            known |= {ref.gmail_message_id for ref in self._scope.passed_over(self._account.id, ids=part)}
        unknown = {one: thread for one, thread in listed.items() if one not in known}
        if unknown:  # drafts are never stored, so they would be fetched again each time
            drafts = self._listing.drafts(after=after, before=before)
            unknown = {one: thread for one, thread in unknown.items() if one not in drafts}
        return unknown

    # --- recipients that come later ---

    def _pull_in_new_recipients(self, start: datetime) -> SyncReport:
        """Somebody came onto a list: what was passed over of them, and of their threads, is stored after all."""
        people = self._scope.new_recipients(self._account.id) if self._least.is_narrow else []
        total = SyncReport()
        for part in in_batches(people, relevance.PEOPLE_A_QUERY):
            others = self._least.not_ours(person.email for person in part)
            found = self._listing.ids(after=start, query=relevance.query_for(others)) if others else {}
            threads = sorted(set(found.values()))
            passed = self._scope.passed_over(self._account.id, threads=threads)
            wanted = self._unknown(found, after=start) | {ref.gmail_message_id: ref.gmail_thread_id for ref in passed}
            report = self._fetch_all(wanted, whole=set(threads))
            total = added(total, report, SyncReport(pulled_in=report.inserted))
            self._scope.note_searched(self._account.id, [person.email_key for person in part])
        return added(total, self._look_at_reports_again(start)) if people else total

    def _look_at_reports_again(self, start: datetime) -> SyncReport:
        """No search finds a delivery report by the recipient that it is about: those passed over are read once more."""
        reports = self._listing.ids(after=start, query=relevance.REPORTS_QUERY)
        passed = self._scope.passed_over(self._account.id, ids=list(reports))
        report = self._fetch_all({ref.gmail_message_id: ref.gmail_thread_id for ref in passed})
        return report.model_copy(update={"pulled_in": report.inserted, "passed_over": 0})

    # --- fetching and storing ---

    def _fetch_all(
        self, refs: Mapping[str, str], *, whole: Iterable[str] = (), include_suspects: bool = False
    ) -> SyncReport:
        """Fetch and store page by page. `refs`: id to thread id; `whole`: threads known to be in scope."""
        total, in_scope = SyncReport(), set(whole)
        for page in self._pages(refs, include_suspects=include_suspects):
            if is_stopping() or self._is_almost_over():
                raise _Partial(total)
            self._letters.enter_flight(self._account.id, page, run_id=self._run_id)
            try:
                kept, report, error = self._fetch_page(page, in_scope)
            except Exception:
                self._letters.land(self._account.id, run_id=self._run_id)  # an exception is not a crash
                raise
            self._letters.land(self._account.id, run_id=self._run_id)
            total = added(total, report)
            try:
                total = added(total, self._rest_of_threads(kept, in_scope))
            except _Partial as partial:
                raise _Partial(added(total, partial.report)) from None
            if isinstance(error, ThrottledError | OutOfTimeError) and self._is_almost_over():
                raise _Partial(total)  # the quota did not reach for all of it
            if error is not None:
                raise error
        return total

    def _is_almost_over(self) -> bool:
        return self._no_page_after is not None and self._clock() > self._no_page_after

    def _fetch_page(
        self, page: Sequence[str], in_scope: Iterable[str]
    ) -> tuple[list[ParsedMail], SyncReport, Exception | None]:
        """(mails that were stored, what was done, what ended it early). What has come is stored: it is paid for."""
        mails: list[ParsedMail] = []
        failed: list[FetchFailure] = []
        poisoned: list[Poisoned] = []
        error: Exception | None = None
        try:
            for found in self._client.fetch_raw(page):
                if isinstance(found, FetchFailure):
                    failed.append(found)
                    continue
                try:
                    with one_message("parse"):
                        mails.append(ParsedMail(found, parse_message(found.raw)))
                except PoisonError as bad:
                    poisoned.append(Poisoned(found.gmail_message_id, "parse", bad.reason_code))
        except Exception as raised:
            error = raised
        decided = self._least.in_scope(mails, in_scope)
        stored = self._store.apply(
            self._account, mails=decided.kept, passed_over=decided.passed_over, run_id=self._run_id
        )
        fetched = SyncReport(**stored.model_dump(), fetched=len(mails) + len(poisoned))
        report = added(fetched, self._settle(failed), self._bury([*poisoned, *decided.poisoned]))
        return decided.kept, report, error

    def _bury(self, poisoned: Sequence[Poisoned]) -> SyncReport:
        """Messages that could not be handled: dead letters, tried again later and with every new parser."""
        for one in poisoned:
            self._letters.bury(
                self._account, one.gmail_message_id, stage=one.stage, reason_code=one.reason_code, run_id=self._run_id
            )
        return SyncReport(dead=len(poisoned))

    def _rest_of_threads(self, kept: Sequence[ParsedMail], in_scope: set[str]) -> SyncReport:
        """A thread that came into scope through one mail brings in what was passed over of it."""
        new = {mail.fetched.gmail_thread_id for mail in kept} - in_scope
        in_scope |= new
        if not self._least.is_narrow or not new:
            return SyncReport()
        passed = self._scope.passed_over(self._account.id, threads=sorted(new))
        if not passed:
            return SyncReport()
        report = self._fetch_all({ref.gmail_message_id: ref.gmail_thread_id for ref in passed}, whole=new)
        return report.model_copy(update={"pulled_in": report.inserted})

    def _pages(self, refs: Mapping[str, str], *, include_suspects: bool) -> Iterable[list[str]]:
        """Pages to fetch; what was in flight when a worker died comes in halves, or, after another death, alone.

        Most deaths are accidents (a kill, a machine without memory): then two requests settle a page of suspects.
        What died too often is set aside. The most suspect come last: what they end has stored the rest by then.
        """
        suspects = {one: deaths for one, deaths in self._suspects.items() if one in refs}
        once = [one for one, deaths in suspects.items() if deaths == 1]
        yield from in_batches(once, max(1, min(STORE_PAGE, (len(once) + 1) // 2)))
        yield from in_batches((one for one in refs if one not in suspects), STORE_PAGE)
        for one, deaths in suspects.items():
            if deaths >= DEATHS_UNTIL_SET_ASIDE and not include_suspects:
                self._letters.bury(self._account, one, stage="fetch", reason_code="kills_worker", run_id=self._run_id)
            elif deaths > 1:
                yield [one]

    def _settle(self, failed: Sequence[FetchFailure]) -> SyncReport:
        """What does not come becomes a dead letter; what is gone is no error."""
        gone = [failure.gmail_message_id for failure in failed if failure.gone]
        if gone:
            self._letters.resolve(self._account.id, gone)
        for failure in failed:
            if not failure.gone:
                self._letters.bury(
                    self._account,
                    failure.gmail_message_id,
                    stage="fetch",
                    reason_code=failure.reason_code,
                    run_id=self._run_id,
                )
        return SyncReport(gone=len(gone), dead=len(failed) - len(gone))

    def _crash_suspects(self, is_over: Callable[[str], bool]) -> dict[str, int]:
        over = [run for run in self._letters.runs_in_flight(self._account.id) if run == self._run_id or is_over(run)]
        if over:
            self._letters.note_deaths(self._account.id, run_ids=over)
        return self._letters.suspects(self._account.id)

    def _told(self, report: SyncReport) -> SyncReport:
        return report.model_copy(
            update={
                "units_spent": self._client.units_spent - self._units_before,
                "waited_for_quota_seconds": round(self._client.waited_seconds - self._waited_before, 1),
            }
        )


class _Partial(Exception):
    """The run's time for this mailbox is over: what was done until then stays done."""

    def __init__(self, report: SyncReport) -> None:
        super().__init__("out of time")
        self.report = report


class _MalformedHistory(Exception):
    """Gmail's history holds records that cannot be read: what they said is found by comparing the window."""

    def __init__(self, report: SyncReport) -> None:
        super().__init__("malformed history")
        self.report = report


def require_same_mailbox(profile: Profile, *, alias: str, identity_keys: frozenset[str]) -> None:
    """Raise PermanentError where the credentials open another mailbox than the one named for them."""
    if address_key(profile.address) not in identity_keys:
        raise PermanentError(
            f"The credentials of account {alias!r} open another mailbox than the one named for it.",
            what_to_do="Connect the right mailbox: cheerful accounts add, with that mailbox's own credentials.",
        )


def _month_window(month: date) -> tuple[datetime, datetime]:
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    return start, (start + timedelta(days=32)).replace(day=1)


def _looked_at_from(mark: AccountMark, start: datetime) -> datetime:
    """How far back this mailbox was looked through: the archive may reach further than the live window."""
    oldest = mark.archive_complete_from
    return start if oldest is None else min(start, datetime(oldest.year, oldest.month, 1, tzinfo=UTC))


def _reached(page: HistoryPage, before: int) -> int:
    """How far history is known once this page is applied: at the end, the mailbox's own id; else the last record's."""
    if page.is_last:
        return page.history_id
    return last_record_id(page.records) or before
