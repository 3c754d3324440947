"""What Gmail says is in a mailbox: ids by window, search and label. Nothing is fetched or stored here."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import cached_property

from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.mail.gmail.gmail_client import GmailClient

LISTINGS_OF_A_CHANGING_MAILBOX = 3
IDS_AT_ONCE = 20_000  # some 6 MB of ids, 200 listing units, and more than an hour of fetching at today's prices
SLICE = timedelta(days=28)


class MailboxListing:
    """Listings of one mailbox: 5 units for 500 ids."""

    def __init__(self, client: GmailClient) -> None:
        self._client = client

    def ids(self, *, after: datetime, before: datetime | None = None, query: str = "") -> dict[str, str]:
        """Id to thread id of a window, all at once."""
        return {
            ref.gmail_message_id: ref.gmail_thread_id
            for page in self._client.list_messages(after=after, before=before, query=query)
            for ref in page
        }

    def ids_in_parts(self, *, after: datetime, before: datetime | None = None) -> Iterator[dict[str, str]]:
        """The same, newest first, some thousand at a time: a mailbox of any size fits."""
        pages = self._client.list_messages(after=after, before=before)
        for refs in in_batches((ref for page in pages for ref in page), IDS_AT_ONCE):
            yield {ref.gmail_message_id: ref.gmail_thread_id for ref in refs}

    def drafts(self, *, after: datetime, before: datetime | None = None) -> set[str]:
        """Ids of drafts."""
        pages = self._client.list_messages(after=after, before=before, label_id="DRAFT")
        return {ref.gmail_message_id for page in pages for ref in page}

    def newest_history_id(self) -> int:
        """Moves with everything that happens in the mailbox: equal before and after, nothing happened between."""
        return self._client.profile().history_id

    def with_labels(
        self,
        *,
        after: datetime,
        before: datetime | None = None,
        of: Iterable[str] = (),
        window: "WindowLabels | None" = None,
    ) -> tuple[dict[str, str], dict[str, set[str]]]:
        """(id to thread id, labels of the messages `of`) of a window in which nothing was overlooked.

        Pages are no snapshot: what goes while we page moves the rest up, and a message can slip through between two
        pages. So a mailbox that changed meanwhile is listed again, and everything counts that was seen once. What is
        seen and gone by then, history tells: its id was taken before.

        Labels are read by listing each label, 5 units for 500 messages, instead of 20 units for each message. `window`
        knows most of them already when this is one slice of a longer window.
        """
        listed: dict[str, str] = {}
        labels: dict[str, set[str]] = {one: set() for one in of}
        for _ in range(LISTINGS_OF_A_CHANGING_MAILBOX):
            newest = self.newest_history_id()
            listed |= self.ids(after=after, before=before)
            for label in self._labels_to_list(window) if labels else ():
                for page in self._client.list_messages(after=after, before=before, label_id=label):
                    for ref in page:
                        if ref.gmail_message_id in labels:
                            labels[ref.gmail_message_id].add(label)
            if self.newest_history_id() == newest:
                break
        if window is not None:
            for one in labels:
                labels[one] |= window.few.get(one, set())
        return listed, labels

    def _labels_to_list(self, window: "WindowLabels | None") -> list[str]:
        return self._client.label_ids() if window is None else window.many


class WindowLabels:
    """The labels of a long window that is compared slice by slice, read at the first use: one call for each label.

    A label with a page of messages or less in the whole window is known then; only the others (INBOX, SENT, UNREAD,
    ...) are listed in each slice. Two years are 26 slices, and people have hundreds of labels.
    What changes between this reading and a slice, history tells afterwards: its id was taken before.
    """

    def __init__(self, client: GmailClient, *, after: datetime, before: datetime | None = None) -> None:
        self._client, self._after, self._before = client, after, before

    @property
    def few(self) -> dict[str, set[str]]:
        """Message id to those of its labels that are known for the whole window."""
        return self._read[0]

    @property
    def many(self) -> list[str]:
        """Labels with more than a page of messages."""
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[dict[str, set[str]], list[str]]:
        few, many = dict[str, set[str]](), list[str]()
        for label in self._client.label_ids():
            refs, token = self._client.list_page(after=self._after, before=self._before, label_id=label)
            if token:
                many.append(label)
                continue
            for ref in refs:
                few.setdefault(ref.gmail_message_id, set()).add(label)
        return few, many


def slices(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Windows of at most four weeks that cover [start, end), newest first, on whole seconds: Gmail counts in those.

    >>> [f"{since:%d.%m.} - {until:%d.%m.}" for since, until in slices(datetime(2026, 1, 1), datetime(2026, 2, 5))]
    ['08.01. - 05.02.', '01.01. - 08.01.']
    """
    start = start.replace(microsecond=0)
    while end > start:
        since = max(start, end.replace(microsecond=0) - SLICE)
        yield since, end
        end = since
