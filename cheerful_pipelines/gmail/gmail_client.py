"""Gmail, read only: the five calls that the sync needs, over google-api-python-client. No database, no dagster.

The service is built once an account and thread from the discovery document inside the library, with its root replaced
where settings name another endpoint, so that batches go there too. Every call takes its quota units beforehand.
"""

import base64
import binascii
import http.client
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote
from uuid import UUID

import tenacity
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.batches import in_batches
from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.context_threads import ContextThreadPoolExecutor
from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    HistoryExpiredError,
    NotFoundError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.gmail.batch import BatchPart, decode_batch, encode_batch
from cheerful_pipelines.gmail.browser_login import SCOPES
from cheerful_pipelines.gmail.google_errors import error_from_answer, error_from_refresh
from cheerful_pipelines.gmail.models import FetchedMessage, MessageRef
from cheerful_pipelines.quota.allowance import LONGEST_SLEEP_SECONDS, Allowance, MemoryLedger
from cheerful_pipelines.quota.prices import Operation
from cheerful_pipelines.quota.store import QuotaStore
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.engine import Database, transaction_is_open

TIMEOUT_SECONDS = 60
PAGE_SIZE = 500
ATTEMPTS = 8
"""With the waits between them they last longer than a window of Gmail's quota, which is a minute."""
TOKEN_RENEWALS = 2
MESSAGES_A_GRANT = 100
LONGEST_BACKOFF_SECONDS = 32.0
_BATCH_PATH = "/batch/gmail/v1"

Answer = TypeVar("Answer")


class Profile(BaseModel):
    """users.getProfile."""

    model_config = ConfigDict(frozen=True)
    address: str
    history_id: int
    messages_total: int


class HistoryPage(BaseModel):
    """One page of users.history.list: raw records, and the mailbox's history id at that moment."""

    model_config = ConfigDict(frozen=True)
    records: tuple[dict[str, Any], ...]
    history_id: int
    is_last: bool = True


class FetchFailure(BaseModel):
    """One message that did not come. `gone`: Gmail no longer has it, which is no error."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    reason_code: str
    gone: bool


class Transport(NamedTuple):
    """One thread's way to Gmail: the users resource and its messages, and the signed-in HTTP connection below."""

    users: Any
    messages: Any
    http: Any


class GmailClient:
    """One mailbox. Raises the errors of `errors.py`; waits and repeats what is worth repeating, never for ever."""

    def __init__(
        self,
        connect: Callable[[], Transport],
        *,
        root: str,
        allowance: Allowance,
        prices: dict[Operation, int],
        batch_size: int,
        requests_at_once: int,
        tries: int = ATTEMPTS,
    ) -> None:
        self._connect = connect
        self._root = root
        self._allowance = allowance
        self._prices = prices
        self._batch_size = batch_size
        self._requests_at_once = requests_at_once
        self._tries = tries
        self._local: Any = threading.local()  # httplib2 is not thread-safe: one connection a thread
        self._lock = threading.Lock()
        self._pool: ContextThreadPoolExecutor | None = None

    def used_by_one_thread_at_a_time(self) -> "GmailClient":
        """One connection and one token, whichever thread calls: polls run in threads that last for one tick."""
        self._local = SimpleNamespace()
        return self

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
        return Profile(
            address=answer["emailAddress"],
            history_id=int(answer["historyId"]),
            messages_total=int(answer.get("messagesTotal", 0)),
        )

    def granted_scopes(self) -> list[str] | None:
        """What Google said at the last login that we may do; None where it said nothing."""
        granted = getattr(self._way().http.credentials, "granted_scopes", None)
        return list(granted) if granted else None

    def label_ids(self) -> list[str]:
        """Every label of the mailbox, Gmail's own and the user's."""
        answer = self._call("labels.list", lambda way: way.users.labels().list(userId="me"))
        return [label["id"] for label in answer.get("labels", ())]

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
                records=tuple(answer.get("history", ())), history_id=int(answer["historyId"]), is_last=not token
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
        terms = [query] if query else []
        terms += [f"after:{int(after.timestamp())}"] if after else []
        terms += [f"before:{int(before.timestamp())}"] if before else []
        token: str | None = None
        while True:
            answer = self._call("messages.list", self._list_request(" ".join(terms), label_id, token))
            yield [MessageRef(item["id"], item["threadId"]) for item in answer.get("messages", ())]
            token = answer.get("nextPageToken")
            if not token:
                return

    def fetch_raw(self, gmail_message_ids: Sequence[str]) -> Iterator[FetchedMessage | FetchFailure]:
        """Each message once, in batches, some at once; a part that Gmail throttles is asked for again by itself.

        What has come is given out before an error is raised: it need not be fetched again.
        """
        price, rest = self._prices["messages.get"], list(gmail_message_ids)
        while rest:
            # One entry in the ledger for several batches: it costs more than the batch's own work.
            taken = self._allowance.take(price * min(len(rest), MESSAGES_A_GRANT), at_least=price)
            now, rest = rest[: taken.units // price], rest[taken.units // price :]
            try:
                yield from self._fetch_granted(now)
            finally:
                self._allowance.over(taken)

    def _fetch_granted(self, ids: Sequence[str]) -> Iterator[FetchedMessage | FetchFailure]:
        with self._lock:
            if self._pool is None:  # kept: each new thread would sign in anew
                self._pool = ContextThreadPoolExecutor(self._requests_at_once, thread_name_prefix="gmail")
        under_way = [self._pool.submit(self._fetch_batch, batch) for batch in in_batches(ids, self._batch_size)]
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
    def _history_request(start: int, token: str | None) -> Callable[[Transport], Any]:
        return lambda way: way.users.history().list(
            userId="me", startHistoryId=str(start), pageToken=token, maxResults=PAGE_SIZE
        )

    @staticmethod
    def _list_request(query: str, label_id: str | None, token: str | None) -> Callable[[Transport], Any]:
        return lambda way: way.messages.list(
            userId="me",
            q=query or None,
            labelIds=label_id,
            pageToken=token,
            maxResults=PAGE_SIZE,
            includeSpamTrash=True,
        )

    def _fetch_batch(self, ids: Sequence[str]) -> "_Fetched":
        """Ask until every part has come, is gone, or has failed too often. Never raises for a part's own trouble."""
        taken: list[FetchedMessage | FetchFailure] = []
        waiting, errors = list(ids), dict[str, CheerfulError]()
        try:
            for attempt in _attempts(self._tries):
                with attempt:
                    fetched, errors = self._ask_batch(waiting, is_paid=attempt.retry_state.attempt_number == 1)
                    taken.extend(fetched)
                    waiting = []
                    for one, error in errors.items():
                        if isinstance(error, TransientError | AuthError):
                            waiting.append(one)
                        else:
                            gone = isinstance(error, NotFoundError)
                            code = "gone" if gone else _code(error)
                            taken.append(FetchFailure(gmail_message_id=one, reason_code=code, gone=gone))
                    if waiting and attempt.retry_state.attempt_number < self._tries:
                        worst = _worst(errors[one] for one in waiting)
                        if isinstance(worst, AuthError) and attempt.retry_state.attempt_number <= TOKEN_RENEWALS:
                            raise TransientError(str(worst))
                        raise worst
        except CheerfulError as error:
            return _Fetched(taken, error)
        for one in waiting:  # throttled as a whole: the run must stop; broken one by one: dead letters
            if isinstance(errors[one], ThrottledError | AuthError):
                return _Fetched(taken, errors[one])
            taken.append(FetchFailure(gmail_message_id=one, reason_code=_code(errors[one]), gone=False))
        return _Fetched(taken, None)

    def _ask_batch(self, ids: Sequence[str], *, is_paid: bool) -> tuple[list[FetchedMessage], dict[str, CheerfulError]]:
        """One request; a second try of the same messages takes its units anew (`is_paid` False)."""
        fetched: list[FetchedMessage] = []
        errors: dict[str, CheerfulError] = {}
        cost = self._prices["messages.get"] * len(ids)
        taken = None if is_paid else self._allowance.take(cost, at_least=cost)
        try:
            parts = self._guarded("messages.get", lambda: self._send_batch(ids))
        except ThrottledError as error:
            self._note_refusal(error)
            raise
        finally:
            if taken is not None:
                self._allowance.over(taken)
        for one in ids:
            try:
                fetched.append(_fetched(_part_json(parts.get(one))))
            except CheerfulError as error:
                errors[one] = error
        if any(isinstance(error, AuthError) for error in errors.values()):
            self._renew_token()
        self._note_refusal(_worst(errors.values()))
        return fetched, errors

    def _send_batch(self, ids: Sequence[str]) -> dict[str, BatchPart]:
        paths = {one: f"/gmail/v1/users/me/messages/{quote(one, safe='')}?format=raw&alt=json" for one in ids}
        content_type, body = encode_batch(paths)
        answer, content = self._way().http.request(
            f"{self._root}{_BATCH_PATH}", method="POST", body=body, headers={"content-type": content_type}
        )
        if int(answer.status) >= 300:
            headers = {str(name): str(value) for name, value in answer.items()}
            raise error_from_answer(int(answer.status), content, headers, call="messages.get")
        return decode_batch(answer.get("content-type", ""), content, ids)

    def _renew_token(self) -> None:
        """A part may be refused although the request was let in: the token died in between."""
        way = self._way()
        self._guarded("token", lambda: way.http.credentials.refresh(way.http._request))

    def _call(self, operation: Operation, request: Callable[[Transport], Any]) -> dict[str, Any]:
        """One call with its retries. A 200 that is not a JSON object counts as a passing fault."""
        for attempt in _attempts(self._tries):
            with attempt:
                price = self._prices[operation]
                taken = self._allowance.take(price, at_least=price)
                try:
                    answer = self._guarded(operation, request(self._way()).execute)
                except ThrottledError as error:
                    self._note_refusal(error)
                    raise
                finally:
                    self._allowance.over(taken)
                if not isinstance(answer, dict):
                    raise TransientError(f"Gmail answered {operation} with something that is not JSON.")
                return answer
        raise AssertionError("tenacity re-raises the last error")

    def _note_refusal(self, error: CheerfulError | None) -> None:
        """What Gmail refuses to one, it refuses to all who ask for this mailbox."""
        if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
            self._allowance.refused(error.retry_after_seconds)

    def _guarded(self, operation: str, call: Callable[[], Answer]) -> Answer:
        assert not transaction_is_open(), "a database transaction is open during a call to Gmail"
        try:
            return call()
        except CheerfulError:
            raise
        except Exception as error:
            raise _translated(error, operation) from error

    def _way(self) -> Transport:
        if not hasattr(self._local, "way"):
            self._local.way = self._connect()
        way: Transport = self._local.way
        return way


class _Fetched(NamedTuple):
    taken: list[FetchedMessage | FetchFailure]
    error: CheerfulError | None


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
        ledger = QuotaStore(
            self._database, account.id, project_units_a_minute=self._settings.gmail_project_units_a_minute
        )
        return self._kept(account, f"share {share}", lambda: self._allowance(ledger, share=share), tries=ATTEMPTS)

    def polling_client(self, account: GmailAccount) -> GmailClient:
        """For the sensor's one unit a tick, which POLLING_UNITS are left over for: no ledger entry, one try a call."""
        return self._kept(account, "polling", lambda: self._allowance(MemoryLedger(), share=1.0), tries=1)

    def client_for(self, credentials_json: str, *, address: str) -> GmailClient:
        """A client that is not kept, for credentials that are not stored yet: they prove themselves first."""
        return self._make(credentials_json, address, self._allowance(MemoryLedger(), share=1.0), tries=2)

    def _kept(self, account: GmailAccount, use: str, allowance: Callable[[], Allowance], *, tries: int) -> GmailClient:
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
                made = self._make(credentials, account.address, allowance(), tries=tries)
                made = made.used_by_one_thread_at_a_time() if use == "polling" else made
                self._clients = {**others, key: made}
            return self._clients[key]

    def _allowance(self, ledger: MemoryLedger | QuotaStore, *, share: float) -> Allowance:
        return Allowance(ledger, units_a_minute=self._settings.gmail_units_a_minute, share=share)

    def _make(self, credentials_json: str, address: str, allowance: Allowance, *, tries: int) -> GmailClient:
        endpoint, token_uri = self._settings.google_endpoint("gmail"), self._settings.google_endpoint("token")
        return GmailClient(
            lambda: _connect(credentials_json, address, endpoint, token_uri),
            root=endpoint or "https://gmail.googleapis.com",
            allowance=allowance,
            prices=self._settings.gmail_plan.prices,
            batch_size=self._settings.gmail_batch_size,
            requests_at_once=self._settings.gmail_requests_at_once,
            tries=tries,
        )


def _connect(credentials_json: str, address: str, endpoint: str | None, token_uri: str | None) -> Transport:
    """The Gmail v1 service from the packaged discovery document, calls and batches to `endpoint`."""
    import google_auth_httplib2
    import httplib2
    from googleapiclient.discovery import build_from_document
    from googleapiclient.discovery_cache import get_static_doc

    document = json.loads(get_static_doc("gmail", "v1"))
    if endpoint is not None:
        document["rootUrl"] = document["baseUrl"] = f"{endpoint}/"
    transport = google_auth_httplib2.AuthorizedHttp(
        _credentials(credentials_json, address, token_uri), http=httplib2.Http(timeout=TIMEOUT_SECONDS)
    )
    users = build_from_document(document, http=transport).users()
    # messages() builds a class anew at each call, which costs more than the call: it is kept.
    return Transport(users, users.messages(), transport)


def _credentials(credentials_json: str, address: str, token_uri: str | None) -> Any:
    """`token_uri`: where tokens are fetched, instead of the address that the credentials name."""
    info = json.loads(credentials_json)
    info["token_uri"] = token_uri or info.get("token_uri") or "https://oauth2.googleapis.com/token"
    if info.get("type") == "service_account":
        from google.oauth2 import service_account

        return service_account.Credentials.from_service_account_info(  # type: ignore[no-untyped-call]
            info, scopes=list(SCOPES), subject=address
        )  # fmt: skip
    from google.oauth2.credentials import Credentials

    # Named one by one: from_authorized_user_info ignores the file's own token_uri.
    return Credentials(  # type: ignore[no-untyped-call]
        token=None,
        refresh_token=info["refresh_token"],
        token_uri=info["token_uri"],
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )


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


def _worst(errors: Iterable[CheerfulError]) -> Any:
    """The one that decides how long all wait: the longest Retry-After, else a throttled one, else any. None: none."""
    ranked = sorted(
        errors,
        key=lambda error: (
            isinstance(error, ThrottledError),
            (error.retry_after_seconds or 0.0) if isinstance(error, ThrottledError) else 0.0,
        ),
    )
    return ranked[-1] if ranked else None


def _fetched(answer: Any) -> FetchedMessage:
    try:
        text = answer["raw"]
        return FetchedMessage(
            gmail_message_id=answer["id"],
            gmail_thread_id=answer["threadId"],
            label_ids=tuple(answer.get("labelIds", ())),
            history_id=int(answer["historyId"]),
            internal_date=datetime.fromtimestamp(int(answer["internalDate"]) / 1000, UTC),
            raw=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)),
        )
    except (KeyError, TypeError, ValueError, binascii.Error):
        raise TransientError("Gmail answered messages.get with something that is not a raw message.") from None


def _translated(error: Exception, operation: str) -> CheerfulError:
    """Our error for whatever the libraries raised."""
    import httplib2
    from google.auth.exceptions import RefreshError, TransportError
    from googleapiclient.errors import HttpError

    if isinstance(error, CheerfulError):
        return error
    if isinstance(error, HttpError):
        headers = {str(name): str(value) for name, value in error.resp.items()}
        return error_from_answer(int(error.resp.status), error.content, headers, call=operation)
    if isinstance(error, RefreshError):
        return error_from_refresh(bool(error.retryable), error.args)
    passing = (
        OSError,
        http.client.HTTPException,
        httplib2.HttpLib2Error,
        TransportError,
        ValueError,
        KeyError,
    )
    if isinstance(error, passing):
        return TransientError(f"The connection to Gmail broke during {operation} ({type(error).__name__}).")
    raise error


def _code(error: CheerfulError) -> str:
    return type(error).__name__.removesuffix("Error").lower()


def _attempts(tries: int) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_repeating),
        stop=tenacity.stop_after_attempt(tries),
        wait=_wait,
        reraise=True,
    )


def _worth_repeating(error: BaseException) -> bool:
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds <= LONGEST_SLEEP_SECONDS
    return isinstance(error, TransientError)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + 0.1
    backoff = tenacity.wait_random_exponential(multiplier=1, max=LONGEST_BACKOFF_SECONDS)
    return float(backoff(state)) + (1.0 if isinstance(error, ThrottledError) else 0.1)
