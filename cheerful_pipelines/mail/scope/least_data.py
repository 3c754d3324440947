"""Which messages of a mailbox are in scope: decides for unknown ids before they are fetched, and for mails afterwards.

What makes a mail concern a campaign stands in relevance.py; what was passed over is kept in scope_store.py.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, Protocol

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.errors import PoisonError
from cheerful_pipelines.mail.models import MessageRef, ParsedMail, Poisoned
from cheerful_pipelines.mail.poison import one_message
from cheerful_pipelines.mail.scope import relevance
from cheerful_pipelines.mail.scope.scope_store import ScopeStore
from cheerful_pipelines.mail.store import MailStore


class Listing(Protocol):
    """What a mailbox tells of its mail without a fetch."""

    def ids(self, *, after: datetime, before: datetime | None = None, query: str = "") -> dict[str, str]:
        """Id to thread id of a window, of the mails that the query finds."""


class Sorted(NamedTuple):
    """Unknown ids, decided upon as far as that goes without fetching."""

    to_fetch: Mapping[str, str]
    """Id to thread id."""
    whole_threads: set[str]
    """Threads in scope as they are; of the others each mail decides."""
    passed_over: list[MessageRef]


class LeastData:
    """One account's scope, during one run."""

    def __init__(self, account: GmailAccount, store: MailStore, scope: ScopeStore) -> None:
        self._account, self._store, self._scope = account, store, scope
        self._recipients: frozenset[str] | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether anything is passed over at all."""
        return self._account.scope == "campaign"

    def not_ours(self, addresses: Iterable[str]) -> list[str]:
        """Without the account's own: ours in a sheet, put there to try things out, must not bring in everything."""
        return sorted(one for one in addresses if address_key(one) not in self._account.identity_keys)

    def sort_out(
        self, unknown: Mapping[str, str], listing: Listing, *, after: datetime, before: datetime | None = None
    ) -> Sorted:
        """Decide what of a listing is fetched.

        Where many are undecided, Gmail's search says whose they are: 5 units for some people instead of 20 for each
        mail. Reports are fetched all the same: their content decides. Few are fetched and looked at.
        """
        if not self.is_narrow or not unknown:
            return Sorted(unknown, set(unknown.values()), [])
        whole = self._store.stored_threads(self._account.id, set(unknown.values()))
        undecided = {one: thread for one, thread in unknown.items() if thread not in whole}
        people = self.not_ours(self._scope.recipients(self._account.id)) if undecided else []
        if not undecided or len(undecided) <= 2 + len(people) // relevance.PEOPLE_A_QUERY:
            return Sorted(unknown, whole, [])
        for part in in_batches(people, relevance.PEOPLE_A_QUERY):
            whole |= set(listing.ids(after=after, before=before, query=relevance.query_for(part)).values())
        reports = listing.ids(after=after, before=before, query=relevance.REPORTS_QUERY)
        passed = [
            MessageRef(one, thread) for one, thread in undecided.items() if thread not in whole and one not in reports
        ]
        skipped = {ref.gmail_message_id for ref in passed}
        return Sorted({one: thread for one, thread in unknown.items() if one not in skipped}, whole, passed)

    def in_scope(self, mails: Sequence[ParsedMail], whole: Iterable[str]) -> "Decided":
        """What of fetched mails is stored. `whole`: threads in scope beside those of which something is stored."""
        if not self.is_narrow:
            return Decided(list(mails), [], [])
        if self._recipients is None:
            self._recipients = self._scope.recipient_keys(self._account.id) - self._account.identity_keys
        threads = set(whole) | self._store.stored_threads(
            self._account.id, {mail.fetched.gmail_thread_id for mail in mails}
        )
        poisoned: dict[str, Poisoned] = {}
        named: dict[str, set[str]] = {}
        for mail in mails:
            with _contained(mail, poisoned):
                named[mail.fetched.gmail_message_id] = set(relevance.mails_named_in(mail))
        every_name = set[str]().union(*named.values())
        stored_ids = self._store.stored_rfc822_ids(self._account.user_id, every_name) if every_name else set()
        # Threads first: a mail may stand before the one that brings its thread into scope.
        for mail in mails:
            with _contained(mail, poisoned):
                if relevance.concerns(mail, recipients=self._recipients, stored_ids=stored_ids):
                    threads.add(mail.fetched.gmail_thread_id)
        mails = [mail for mail in mails if mail.fetched.gmail_message_id not in poisoned]
        kept = [mail for mail in mails if mail.fetched.gmail_thread_id in threads]
        passed = [
            MessageRef(mail.fetched.gmail_message_id, mail.fetched.gmail_thread_id)
            for mail in mails
            if mail.fetched.gmail_thread_id not in threads and "DRAFT" not in mail.fetched.label_ids
        ]
        return Decided(kept, passed, list(poisoned.values()))


class Decided(NamedTuple):
    """Fetched mails, decided upon."""

    kept: list[ParsedMail]
    passed_over: list[MessageRef]
    poisoned: list[Poisoned]
    """Those for which deciding failed."""


@contextmanager
def _contained(mail: ParsedMail, poisoned: dict[str, Poisoned]) -> Iterator[None]:
    one = mail.fetched.gmail_message_id
    try:
        with one_message("parse"):
            yield
    except PoisonError as error:
        poisoned[one] = Poisoned(one, "parse", error.reason_code)
