"""Gmail, read only: the five calls that the sync needs, over google-api-python-client. No database, no dagster.

The service is built once an account and thread from the discovery document inside the library, with its root replaced
where settings name another endpoint, so that batches go there too. Every call takes its quota units beforehand.
"""

import base64
import binascii
import copy
import http.client
import json
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.batches import in_batches
from cheerful_pipelines.core.context_threads import ContextThreadPoolExecutor
from cheerful_pipelines.core.errors import (
    AuthError,
    CheerfulError,
    HistoryExpiredError,
    NotFoundError,
    PoisonError,
    SlowCallError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.deadlines import BATCH_BYTES_A_SECOND, CALL_SECONDS, POLL_SECONDS, Limit, finish_within
from cheerful_pipelines.google.gmail_errors import error_from_answer
from cheerful_pipelines.google.patience import Patience
from cheerful_pipelines.google.quota.allowance import Allowance, Grant, MemoryLedger
from cheerful_pipelines.google.quota.limits import project_units_a_minute, quota_plan, units_a_minute
from cheerful_pipelines.google.quota.prices import Operation
from cheerful_pipelines.google.quota.store import QuotaStore
from cheerful_pipelines.mail.gmail.batch import BatchPart, decode_batch, encode_batch
from cheerful_pipelines.mail.models import LARGEST_ID, FetchedMessage, MessageRef, is_id, is_label
from cheerful_pipelines.storage.engine import Database, transaction_is_open

if TYPE_CHECKING:
    from cheerful_pipelines.mail.gmail.connection import Transport

PAGE_SIZE = 500
ATTEMPTS = 8
"""With the waits between them they last longer than a window of Gmail's quota, which is a minute."""
TOKEN_RENEWALS = 5
"""A login that could be renewed proves that the account is in order: a 401 after it is asked again."""
MESSAGES_A_GRANT = 100
BATCH_LIMIT = Limit(CALL_SECONDS, BATCH_BYTES_A_SECOND)
"""Of one batch: large attachments over a slow line may take their time, a drip may not."""
_BATCH_PATH = "/batch/gmail/v1"

logger = get_logger(__name__)

Answer = TypeVar("Answer")


class Profile(BaseModel):
    """users.getProfile."""

    model_config = ConfigDict(frozen=True)
    address: str
    history_id: int
    messages_total: int


class HistoryPage(BaseModel):
    """One page of users.history.list: raw records, as they came, and the mailbox's history id at that moment."""

    model_config = ConfigDict(frozen=True)
    records: tuple[Any, ...]
    history_id: int
    is_last: bool = True


class FetchFailure(BaseModel):
    """One message that did not come. `gone`: Gmail no longer has it, which is no error."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    reason_code: str
    gone: bool


class GmailClient:
    """One mailbox. Raises the errors of `errors.py`; waits and repeats what is worth repeating, never for ever."""

    def __init__(
        self,
        connect: "Callable[[], Transport]",
        *,
        root: str,
        allowance: Allowance,
        prices: dict[Operation, int],
        batch_size: int,
        requests_at_once: int,
        tries: int = ATTEMPTS,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._connect = connect
        self._root = root
        self._allowance = allowance
        self._prices = prices
        self._batch_size = batch_size
        self._tries, self._limit = tries, Limit(call_seconds)
        self._local: Any = threading.local()  # httplib2 is not thread-safe: one connection a thread
        self._threads = _Threads(requests_at_once)
        self._ends_at: float | None = None

    def used_by_one_thread_at_a_time(self) -> "GmailClient":
        """One connection and one token, whichever thread calls: polls run in threads that last for one tick."""
        self._local = SimpleNamespace()
        return self

    def ending_at(self, moment: float) -> "GmailClient":
        """The same client, connections and quota, for work that must be over by `moment` (of time.monotonic()).

        At that moment calls under way raise SlowCallError, and waits for quota ThrottledError.
        """
        view = copy.copy(self)
        view._ends_at = moment
        return view

    def price(self, operation: Operation) -> int:
        """What one such call costs in quota units."""
        return self._prices[operation]

    @property
    def units_spent(self) -> int:
        """Quota units taken since this client was made."""
        return self._allowance.spent

    @property
    def waited_seconds(self) -> float:
        """Seconds spent waiting for quota since this client was made."""
        return self._allowance.waited_seconds

    def profile(self) -> Profile:
        """The mailbox's own address and newest history id: the real call that proves credentials."""
        answer = self._call("getProfile", lambda way: way.users.getProfile(userId="me"))
        address, total = answer.get("emailAddress"), answer.get("messagesTotal", 0)
        if not isinstance(address, str) or not isinstance(total, int):
            raise TransientError("Gmail answered getProfile with something that is not a profile.")
        return Profile(address=address, history_id=history_number(answer.get("historyId")), messages_total=total)

    def granted_scopes(self) -> list[str] | None:
        """What Google said at the last login that we may do; None where it said nothing."""
        granted = getattr(self._way().http.credentials, "granted_scopes", None)
        return list(granted) if granted else None

    def label_ids(self) -> list[str]:
        """Every label of the mailbox, Gmail's own and the user's."""
        answer = self._call("labels.list", lambda way: way.users.labels().list(userId="me"))
        found = [_named(label, "id") for label in _listed(answer, "labels")]
        return [label for label in found if is_label(label)]

    def history(self, start_history_id: int) -> Iterator[HistoryPage]:
        """Pages of records after the id. Raises HistoryExpiredError (404, on any page). Empty pages may come."""
        token: str | None = None
        while True:
            try:
                answer = self._call("history.list", self._history_request(start_history_id, token))
            except NotFoundError:
                raise HistoryExpiredError(f"Gmail no longer knows history id {start_history_id}.") from None
            token = answer.get("nextPageToken")
            yield HistoryPage(
                records=tuple(_listed(answer, "history")),
                history_id=history_number(answer.get("historyId")),
                is_last=not token,
            )
            if not token:
                return

    def list_messages(
        self,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        label_id: str | None = None,
        query: str = "",
    ) -> Iterator[list[MessageRef]]:
        """Pages of references, newest first, spam and trash included. Epoch seconds: dates in q are Pacific time."""
        token: str | None = None
        while True:
            refs, token = self.list_page(after=after, before=before, label_id=label_id, query=query, token=token)
            yield refs
            if not token:
                return

    def list_page(
        self,
        *,
        after: datetime | None = None,
        before: datetime | None = None,
        label_id: str | None = None,
        query: str = "",
        token: str | None = None,
    ) -> tuple[list[MessageRef], str | None]:
        """One page of `list_messages`, and the token of the next; None if it is the last."""
        terms = [query] if query else []
        terms += [f"after:{int(after.timestamp())}"] if after else []
        terms += [f"before:{int(before.timestamp())}"] if before else []
        answer = self._call("messages.list", self._list_request(" ".join(terms), label_id, token))
        refs = [MessageRef(_named(item, "id"), _named(item, "threadId")) for item in _listed(answer, "messages")]
        usable = [ref for ref in refs if is_id(ref.gmail_message_id) and is_id(ref.gmail_thread_id)]
        if len(usable) < len(refs):
            logger.warning("gmail_ids_unusable", count=len(refs) - len(usable))
        return usable, answer.get("nextPageToken")

    def fetch_raw(self, gmail_message_ids: Sequence[str]) -> Iterator[FetchedMessage | FetchFailure]:
        """Each message once, in batches, some at once; a part that Gmail throttles is asked for again by itself.

        What has come is given out before an error is raised: it need not be fetched again.
        """
        price, rest = self._prices["messages.get"], list(gmail_message_ids)
        while rest:
            # One entry in the ledger for several batches: it costs more than the batch's own work.
            taken = self._take(price * min(len(rest), MESSAGES_A_GRANT), at_least=price)
            now, rest = rest[: taken.units // price], rest[taken.units // price :]
            yield from self._fetch_granted(now, taken)

    def _take(self, wanted: int, *, at_least: int) -> Grant:
        return self._allowance.take(wanted, at_least=at_least, ends_at=self._ends_at)

    def _fetch_granted(self, ids: Sequence[str], taken: Grant) -> Iterator[FetchedMessage | FetchFailure]:
        size = min(self._batch_size, taken.batch_size or self._batch_size)
        batches = list(in_batches(ids, size))
        paid = _Paid(taken, len(batches), self._allowance.over)
        under_way: list[Future[_Fetched]] = [
            self._threads.pool().submit(self._fetch_batch, batch, paid) for batch in batches
        ]
        try:
            yield from self._come(under_way)
        finally:
            paid.over()

    @staticmethod
    def _come(under_way: Sequence["Future[_Fetched]"]) -> Iterator[FetchedMessage | FetchFailure]:
        """What the batches brought; then the first error, if one failed."""
        error: CheerfulError | None = None
        for future in under_way:
            if error is not None and future.cancel():
                continue
            fetched = future.result()
            yield from fetched.taken
            error = error or fetched.error
        if error is not None:
            raise error

    @staticmethod
    def _history_request(start: int, token: str | None) -> "Callable[[Transport], Any]":
        return lambda way: way.users.history().list(
            userId="me", startHistoryId=str(start), pageToken=token, maxResults=PAGE_SIZE
        )

    @staticmethod
    def _list_request(query: str, label_id: str | None, token: str | None) -> "Callable[[Transport], Any]":
        return lambda way: way.messages.list(
            userId="me",
            q=query or None,
            labelIds=label_id,
            pageToken=token,
            maxResults=PAGE_SIZE,
            includeSpamTrash=True,
        )

    def _fetch_batch(self, ids: Sequence[str], paid: "_Paid") -> "_Fetched":
        """Ask until every part has come, is gone, or has failed too often. Never raises for a part's own fault."""
        work = _BatchWork(ids)
        patience = Patience(self._tries, ends_at=self._ends_at)
        try:
            for attempt in patience.attempts():
                with attempt:
                    number = attempt.retry_state.attempt_number
                    try:
                        self._ask_waiting(work, patience, paid.grant if number == 1 else None)
                    finally:
                        paid.first_ask_is_over(number)
                    if work.waiting and number < self._tries:
                        worst = worst_of(work.errors[one] for one in work.waiting)
                        if isinstance(worst, AuthError) and number <= TOKEN_RENEWALS:
                            raise TransientError(str(worst))
                        raise worst
        except SlowCallError as error:
            return work.ended_slow(error)
        except CheerfulError as error:
            return _Fetched(work.taken, error)
        return work.ended()

    def _ask_waiting(self, work: "_BatchWork", patience: Patience, paid: Grant | None) -> None:
        """One round over what is still waiting; after a slow call in smaller requests. `paid`: units already taken."""
        for ids in in_batches(list(work.waiting), work.size):
            try:
                fetched, errors = self._ask_batch(ids, patience, paid)
            except SlowCallError as error:
                work.slow(ids, error)
                continue
            if fetched:
                patience.progress()
            work.note(ids, fetched, errors)

    def _ask_batch(
        self, ids: Sequence[str], patience: Patience, paid: Grant | None
    ) -> tuple[list[FetchedMessage], dict[str, CheerfulError]]:
        """One request; a second try of the same messages takes its units again (`paid` is None)."""
        price = self._prices["messages.get"]
        cost = price * len(ids)
        with patience.paused():
            taken = paid or self._take(cost, at_least=cost)
        try:
            parts = self._guarded("messages.get", lambda: self._send_batch(ids), patience.limit(BATCH_LIMIT))
        except ThrottledError as error:
            self._note_refusal(error, taken, units=cost, asked=cost, batch_size=len(ids))
            raise
        except TransientError as error:
            parts = _whole_parts(error, ids)
            if not parts:
                raise
        finally:
            if paid is None:
                self._allowance.over(taken)
        fetched, errors = _read_parts(ids, parts)
        if any(isinstance(error, AuthError) for error in errors.values()):
            self._renew_token(patience)
        refused = [error for error in errors.values() if isinstance(error, ThrottledError)]
        self._allowance.accepted(taken, price * (len(ids) - len(refused)))
        self._note_refusal(worst_of(refused), taken, units=price * len(refused), asked=cost, batch_size=len(ids))
        return fetched, errors

    def _send_batch(self, ids: Sequence[str]) -> Callable[[], dict[str, BatchPart]]:
        """The call to make in a thread of its own. A body that breaks off raises IncompleteRead."""
        paths = {one: f"/gmail/v1/users/me/messages/{quote(one, safe='')}?format=raw&alt=json" for one in ids}
        content_type, body = encode_batch(paths)
        way = self._way()

        def send() -> dict[str, BatchPart]:
            answer, content = way.http.request(
                f"{self._root}{_BATCH_PATH}", method="POST", body=body, headers={"content-type": content_type}
            )
            if int(answer.status) >= 300:
                headers = {str(name): str(value) for name, value in answer.items()}
                raise error_from_answer(int(answer.status), content, headers, call="messages.get")
            return decode_batch(answer.get("content-type", ""), content, ids)

        return send

    def _renew_token(self, patience: Patience) -> None:
        """A part may be refused although the request was let in: the token died in between."""
        way = self._way()
        self._guarded(
            "token", lambda: lambda: way.http.credentials.refresh(way.http._request), patience.limit(self._limit)
        )

    def _call(self, operation: Operation, request: "Callable[[Transport], Any]") -> dict[str, Any]:
        """One call with its retries. A 200 that is not a JSON object counts as a passing fault."""
        patience = Patience(self._tries, ends_at=self._end_of_call())
        price = self._prices[operation]
        for attempt in patience.attempts():
            with attempt:
                with patience.paused():
                    taken = self._allowance.take(price, at_least=price, ends_at=patience.ends_at)
                try:
                    answer = self._guarded(operation, lambda: request(self._way()).execute, patience.limit(self._limit))
                except ThrottledError as error:
                    self._note_refusal(error, taken, units=price, asked=price, batch_size=None)
                    raise
                finally:
                    self._allowance.over(taken)
                if not isinstance(answer, dict):
                    raise TransientError(f"Gmail answered {operation} with something that is not JSON.")
                return answer
        raise AssertionError("tenacity re-raises the last error")

    def _end_of_call(self) -> float | None:
        """When a call must be over with its waits for quota: a poll, which is tried once, ends with its own limit."""
        if self._tries > 1:
            return self._ends_at
        end = time.monotonic() + self._limit.seconds
        return end if self._ends_at is None else min(end, self._ends_at)

    def _note_refusal(
        self, error: ThrottledError | None, taken: Grant, *, units: int, asked: int, batch_size: int | None
    ) -> None:
        """What Gmail refuses to one, it refuses to all who ask for this mailbox: all of them slow down."""
        if error is not None:
            self._allowance.note_refusal(error, taken, units=units, asked=asked, batch_size=batch_size)

    def _guarded(self, operation: str, prepare: Callable[[], Callable[[], Answer]], limit: Limit) -> Answer:
        """Make the call that `prepare` returns, within its limit; whatever goes wrong leaves as an error of ours."""
        if transaction_is_open():
            raise RuntimeError("A transaction is open: Gmail may not be asked while the database waits.")
        from cheerful_pipelines.mail.gmail.connection import translated

        try:
            return finish_within(limit, prepare(), name=f"Gmail {operation}")
        except SlowCallError:
            self._local.__dict__.pop("way", None)  # the call that was cut off may still hold this connection
            raise
        except CheerfulError:
            raise
        except Exception as error:
            found = translated(error, operation)
            if isinstance(found, AuthError) or isinstance(error, OSError):
                self._local.__dict__.pop("way", None)  # the next call would only find the broken connection
            raise found from error

    def _way(self) -> "Transport":
        if not hasattr(self._local, "way"):
            self._local.way = self._connect()
        way: Transport = self._local.way
        return way


class _Threads:
    """The threads that fetch batches, made at the first fetch and kept: each new one would log in again."""

    def __init__(self, count: int) -> None:
        self._count, self._lock = count, threading.Lock()
        self._pool: ContextThreadPoolExecutor | None = None

    def pool(self) -> ContextThreadPoolExecutor:
        with self._lock:
            if self._pool is None:
                self._pool = ContextThreadPoolExecutor(self._count, thread_name_prefix="gmail")
            return self._pool


class _Paid:
    """A grant that several batches share: settled as soon as each was asked for once.

    Later tries take units of their own; while they wait for them, the first ones must not be held.
    """

    def __init__(self, grant: Grant, batches: int, settle: Callable[[Grant], None]) -> None:
        self.grant = grant
        self._left, self._settle = batches, settle
        self._lock = threading.Lock()

    def first_ask_is_over(self, attempt: int) -> None:
        """One batch was answered, or failed, at this attempt; only the first counts."""
        if attempt > 1:
            return
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            self._settle(self.grant)

    def over(self) -> None:
        """Nothing more will be asked: settle it, if that has not happened."""
        with self._lock:
            is_open, self._left = self._left > 0, 0
        if is_open:
            self._settle(self.grant)


class _Fetched(NamedTuple):
    taken: list[FetchedMessage | FetchFailure]
    error: CheerfulError | None


class _BatchWork:
    """The messages of one batch over all its tries: what came, what is settled, what still waits and why."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.waiting = dict.fromkeys(ids)
        self.size = len(self.waiting)
        self.taken: list[FetchedMessage | FetchFailure] = []
        self.errors: dict[str, CheerfulError] = {}

    def note(self, ids: Sequence[str], fetched: Sequence[FetchedMessage], errors: dict[str, CheerfulError]) -> None:
        """The answer to one request for `ids`."""
        self.taken.extend(fetched)
        for one in ids:
            error = errors.get(one)
            if isinstance(error, TransientError | AuthError):
                self.errors[one] = error
                continue
            del self.waiting[one]
            if error is not None:
                self.taken.append(_failure(one, error))

    def slow(self, ids: Sequence[str], error: SlowCallError) -> None:
        """These did not come in time: they are asked for in smaller requests."""
        self.errors |= dict.fromkeys(ids, error)
        self.size = max(1, min(self.size, len(ids)) // 2)

    def ended_slow(self, error: SlowCallError) -> _Fetched:
        """A message that is slow by itself is one message's fault; if nothing came at all, it is the mailbox's."""
        if self.size > 1 or not self.taken:
            return _Fetched(self.taken, error)
        return self.ended()

    def ended(self) -> _Fetched:
        """Throttled as a whole: the run must stop. Broken one by one: dead letters."""
        for one in self.waiting:
            if isinstance(self.errors[one], ThrottledError | AuthError):
                return _Fetched(self.taken, self.errors[one])
            self.taken.append(_failure(one, self.errors[one]))
        return _Fetched(self.taken, None)


class GmailClients:
    """Clients by account, each kept: a token fetched once serves until it ends."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._campaigns = CampaignStore(database)
        self._clients: dict[tuple[UUID, str, str], GmailClient] = {}
        self._lock = threading.Lock()

    def client(self, account: GmailAccount, *, for_archive: bool = False) -> GmailClient:
        """The account's client; an archive's leaves a share of the quota to the live sync.

        Raises AuthError where the account has no usable credentials.
        """
        share = self._settings.gmail_archive_share if for_archive else 1.0
        ledger = QuotaStore(self._database, account.id, project_units_a_minute=project_units_a_minute(self._settings))
        return self._kept(account, f"share {share}", lambda: self._allowance(ledger, share=share), tries=ATTEMPTS)

    def polling_client(self, account: GmailAccount) -> GmailClient:
        """For the sensor's one unit a tick, which POLLING_UNITS are left over for: no ledger entry, one try a call.

        Each call ends within POLL_SECONDS of wall-clock time, login included, or raises SlowCallError.
        """
        return self._kept(
            account, "polling", lambda: self._allowance(MemoryLedger(), share=1.0), tries=1, call_seconds=POLL_SECONDS
        )

    def client_for(self, credentials_json: str, *, address: str) -> GmailClient:
        """A client that is not kept, for credentials that are not stored yet: they prove themselves first."""
        return self._make(credentials_json, address, self._allowance(MemoryLedger(), share=1.0), tries=2)

    def _kept(
        self,
        account: GmailAccount,
        use: str,
        allowance: Callable[[], Allowance],
        *,
        tries: int,
        call_seconds: float = CALL_SECONDS,
    ) -> GmailClient:
        credentials = self._campaigns.account_credentials(account.id, keys=self._settings.credentials_keys())
        if credentials is None:
            raise AuthError(
                f"Account {account.alias!r} has no credentials.",
                what_to_do=f"Add them: cheerful accounts add {account.alias} ... --credentials-file FILE.",
            )
        key = (account.id, use, credentials)  # new credentials, new client: a reconnect takes effect at once
        with self._lock:
            if key not in self._clients:
                others = {known: made for known, made in self._clients.items() if known[:2] != key[:2]}
                made = self._make(credentials, account.address, allowance(), tries=tries, call_seconds=call_seconds)
                made = made.used_by_one_thread_at_a_time() if use == "polling" else made
                self._clients = {**others, key: made}
            return self._clients[key]

    def _allowance(self, ledger: MemoryLedger | QuotaStore, *, share: float) -> Allowance:
        return Allowance(ledger, units_a_minute=units_a_minute(self._settings), share=share)

    def _make(
        self,
        credentials_json: str,
        address: str,
        allowance: Allowance,
        *,
        tries: int,
        call_seconds: float = CALL_SECONDS,
    ) -> GmailClient:
        endpoint, token_uri = self._settings.google_endpoint("gmail"), self._settings.google_endpoint("token")

        def connect_now() -> "Transport":
            from cheerful_pipelines.mail.gmail.connection import connect

            return connect(credentials_json, address, endpoint=endpoint, token_uri=token_uri, idle_seconds=call_seconds)

        return GmailClient(
            connect_now,
            root=endpoint or "https://gmail.googleapis.com",
            allowance=allowance,
            prices=quota_plan(self._settings).prices,
            batch_size=self._settings.gmail_batch_size,
            requests_at_once=self._settings.gmail_requests_at_once,
            tries=tries,
            call_seconds=call_seconds,
        )


def _read_parts(
    ids: Sequence[str], parts: dict[str, BatchPart]
) -> tuple[list[FetchedMessage], dict[str, CheerfulError]]:
    """The messages that came, and the error of each that did not."""
    fetched: list[FetchedMessage] = []
    errors: dict[str, CheerfulError] = {}
    for one in ids:
        try:
            fetched.append(_fetched(_part_json(parts.get(one)), one))
        except CheerfulError as error:
            errors[one] = error
    return fetched, errors


def _whole_parts(error: TransientError, ids: Sequence[str]) -> dict[str, BatchPart]:
    """The parts of a batch that had come whole when its body broke off, by itself or at the limit of the call."""
    if not isinstance(error.__cause__, http.client.IncompleteRead):
        return {}
    return decode_batch("", _inflated(error.__cause__.partial), ids)


def _inflated(body: bytes) -> bytes:
    """The beginning of a body, decompressed as far as it came."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body)
    except zlib.error:
        return b""


def _listed(answer: dict[str, Any], name: str) -> list[Any]:
    """The items of a list in an answer; what stands there instead of a list counts as one item that is malformed."""
    found = answer.get(name)
    return found if isinstance(found, list) else [] if found is None else [found]


def _named(item: object, name: str) -> Any:
    return item.get(name) if isinstance(item, dict) else None


def history_number(value: Any) -> int:
    """A history id. Raises TransientError if it is not an unsigned 64-bit number: no mark may be set to it."""
    try:
        found = int(value)
    except (TypeError, ValueError):
        found = -1
    if not 0 <= found <= LARGEST_ID:
        raise TransientError("Gmail named a history id that is not an unsigned 64-bit number.")
    return found


def _part_json(part: BatchPart | None) -> Any:
    """The parsed body of a part; its error where it is one. A part that did not come whole is passing trouble."""
    if part is None:
        raise TransientError("A part of Gmail's answer was cut off.")
    if part.status >= 300:
        raise error_from_answer(part.status, part.body, part.headers, call="messages.get")
    try:
        return json.loads(part.body)
    except ValueError:
        raise TransientError("Gmail answered messages.get with something that is not JSON.") from None


def worst_of(errors: Iterable[CheerfulError]) -> Any:
    """The one that decides how long all wait: the longest Retry-After, else a throttled one, else any. None: none."""
    ranked = sorted(
        errors,
        key=lambda error: (
            isinstance(error, ThrottledError),
            (error.retry_after_seconds or 0.0) if isinstance(error, ThrottledError) else 0.0,
        ),
    )
    return ranked[-1] if ranked else None


def _fetched(answer: Any, asked: str) -> FetchedMessage:
    """The message of one part. TransientError if it is no raw message, PoisonError if its numbers make no sense."""
    try:
        text, moment, history_id = answer["raw"], int(answer["internalDate"]), int(answer["historyId"])
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        thread_id, labels = answer["threadId"], tuple(answer.get("labelIds", ()))
        is_the_one = answer["id"] == asked
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise TransientError("Gmail answered messages.get with something that is not a raw message.") from None
    if not is_the_one:
        raise TransientError("Gmail answered messages.get with another message.")
    try:
        if not 0 <= history_id <= LARGEST_ID or not is_id(thread_id) or not all(is_label(one) for one in labels):
            raise ValueError("an id is out of range")
        return FetchedMessage(
            gmail_message_id=asked,
            gmail_thread_id=thread_id,
            label_ids=labels,
            history_id=history_id,
            internal_date=datetime.fromtimestamp(moment / 1000, UTC),
            raw=raw,
        )
    except (ValueError, OverflowError, OSError):  # pydantic's ValidationError is a ValueError
        raise PoisonError("A message has ids or a date out of range.", reason_code="out_of_range") from None


def _failure(gmail_message_id: str, error: CheerfulError) -> FetchFailure:
    gone = isinstance(error, NotFoundError)
    return FetchFailure(gmail_message_id=gmail_message_id, reason_code="gone" if gone else _code(error), gone=gone)


def _code(error: CheerfulError) -> str:
    if isinstance(error, PoisonError):
        return error.reason_code
    return type(error).__name__.removesuffix("Error").lower()
