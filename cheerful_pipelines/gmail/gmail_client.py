"""Gmail, read only: the five calls that the sync needs, over google-api-python-client. No database, no dagster.

The service is built once an account and thread from the discovery document inside the library, with its root replaced
where settings name another endpoint, so that batches go there too.
"""

import base64
import binascii
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import UUID

import tenacity
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import GmailAccount
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.errors import (
    AuthError,
    CheerfulError,
    HistoryExpiredError,
    NotFoundError,
    ThrottledError,
    TransientError,
)
from cheerful_pipelines.gmail.google_errors import error_from_answer, error_from_refresh
from cheerful_pipelines.gmail.models import FetchedMessage
from cheerful_pipelines.gmail.quota import PRICES_SINCE_MAY_2026, Operation
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.engine import transaction_is_open

SCOPES = ("https://www.googleapis.com/auth/gmail.readonly",)
TIMEOUT_SECONDS = 60
BATCH_SIZE = 20  # parts of a batch run at once on Gmail's side; from 50 on it answers 429 in some of them
PAGE_SIZE = 500
ATTEMPTS = 5
LONGEST_BACKOFF_SECONDS = 32.0
LONGEST_RETRY_AFTER_SECONDS = 60.0  # longer, and the run ends with the account's not_before stored

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


class FetchFailure(BaseModel):
    """One message that did not come. `gone`: Gmail no longer has it, which is no error."""

    model_config = ConfigDict(frozen=True)
    gmail_message_id: str
    reason_code: str
    gone: bool


class GmailClient:
    """One mailbox. Raises the errors of `errors.py`; waits and repeats what is worth repeating, never for ever."""

    def __init__(self, build_service: Callable[[], Any], *, batch_uri: str, prices: dict[Operation, int]) -> None:
        self._build_service = build_service
        self._batch_uri = batch_uri
        self._prices = prices
        self._local = threading.local()  # httplib2 is not thread-safe: one service a thread
        self.units_spent = 0

    def profile(self) -> Profile:
        """The mailbox's own address and newest history id: the real call that proves credentials."""
        answer = self._call("getProfile", lambda users: users.getProfile(userId="me"))
        return Profile(
            address=answer["emailAddress"],
            history_id=int(answer["historyId"]),
            messages_total=int(answer.get("messagesTotal", 0)),
        )

    def history(self, start_history_id: int, *, page_size: int = PAGE_SIZE) -> Iterator[HistoryPage]:
        """Pages of records after the id. Raises HistoryExpiredError (404, on any page). Empty pages may come."""
        token: str | None = None
        while True:
            try:
                answer = self._call("history.list", self._history_request(start_history_id, token, page_size))
            except NotFoundError:
                raise HistoryExpiredError(f"Gmail no longer knows history id {start_history_id}.") from None
            yield HistoryPage(records=tuple(answer.get("history", ())), history_id=int(answer["historyId"]))
            token = answer.get("nextPageToken")
            if not token:
                return

    def list_ids(self, *, after: datetime | None = None, before: datetime | None = None) -> Iterator[list[str]]:
        """Pages of message ids, newest first, spam and trash included. Epoch seconds: dates in q are Pacific time."""
        terms = [f"after:{int(after.timestamp())}"] if after else []
        terms += [f"before:{int(before.timestamp())}"] if before else []
        token: str | None = None
        while True:
            answer = self._call("messages.list", self._list_request(" ".join(terms), token))
            yield [item["id"] for item in answer.get("messages", ())]
            token = answer.get("nextPageToken")
            if not token:
                return

    def fetch_raw(self, gmail_message_ids: Sequence[str]) -> Iterator[FetchedMessage | FetchFailure]:
        """Each message once, in batches; a part that Gmail throttles is asked for again by itself."""
        for start in range(0, len(gmail_message_ids), BATCH_SIZE):
            yield from self._fetch_batch(gmail_message_ids[start : start + BATCH_SIZE])

    @staticmethod
    def _history_request(start: int, token: str | None, page_size: int) -> Callable[[Any], Any]:
        return lambda users: users.history().list(
            userId="me", startHistoryId=str(start), pageToken=token, maxResults=page_size
        )

    @staticmethod
    def _list_request(query: str, token: str | None) -> Callable[[Any], Any]:
        return lambda users: users.messages().list(
            userId="me", q=query or None, pageToken=token, maxResults=PAGE_SIZE, includeSpamTrash=True
        )

    def _fetch_batch(self, ids: Sequence[str]) -> list[FetchedMessage | FetchFailure]:
        taken: list[FetchedMessage | FetchFailure] = []
        waiting, errors = list(ids), dict[str, CheerfulError]()
        for attempt in _attempts():
            with attempt:
                fetched, errors = self._ask_batch(waiting)
                taken.extend(fetched)
                waiting = []
                for one, error in errors.items():
                    if isinstance(error, AuthError):
                        raise error
                    if isinstance(error, TransientError):
                        waiting.append(one)
                    else:
                        gone = isinstance(error, NotFoundError)
                        code = "gone" if gone else _code(error)
                        taken.append(FetchFailure(gmail_message_id=one, reason_code=code, gone=gone))
                if waiting and attempt.retry_state.attempt_number < ATTEMPTS:
                    raise errors[waiting[0]]
        for one in waiting:  # throttled as a whole: the run must stop; broken one by one: dead letters
            if isinstance(errors[one], ThrottledError):
                raise errors[one]
            taken.append(FetchFailure(gmail_message_id=one, reason_code=_code(errors[one]), gone=False))
        return taken

    def _ask_batch(self, ids: Sequence[str]) -> tuple[list[FetchedMessage], dict[str, CheerfulError]]:
        from googleapiclient.http import BatchHttpRequest

        fetched: list[FetchedMessage] = []
        errors: dict[str, CheerfulError] = {}

        def take(request_id: str, answer: Any, error: Exception | None) -> None:
            try:
                if error is not None:
                    raise _translated(error, "messages.get")
                fetched.append(_fetched(answer))
            except CheerfulError as ours:
                errors[request_id] = ours

        batch = BatchHttpRequest(callback=take, batch_uri=self._batch_uri)
        messages = self._users().messages()
        for one in ids:
            batch.add(messages.get(userId="me", id=one, format="raw"), request_id=one)
        self._spend("messages.get", len(ids))
        self._guarded("messages.get", batch.execute)
        return fetched, errors

    def _call(self, operation: Operation, request: Callable[[Any], Any]) -> dict[str, Any]:
        """One call with its retries. A 200 that is not a JSON object counts as a passing fault."""
        for attempt in _attempts():
            with attempt:
                self._spend(operation, 1)
                answer = self._guarded(operation, request(self._users()).execute)
                if not isinstance(answer, dict):
                    raise TransientError(f"Gmail answered {operation} with something that is not JSON.")
                return answer
        raise AssertionError("tenacity re-raises the last error")

    def _guarded(self, operation: str, call: Callable[[], Answer]) -> Answer:
        assert not transaction_is_open(), "a database transaction is open during a call to Gmail"
        try:
            return call()
        except CheerfulError:
            raise
        except Exception as error:
            raise _translated(error, operation) from error

    def _users(self) -> Any:
        if not hasattr(self._local, "users"):
            self._local.users = self._build_service().users()
        return self._local.users

    def _spend(self, operation: Operation, calls: int) -> None:
        self.units_spent += self._prices[operation] * calls


class GmailClients:
    """Clients by account, each kept: a token fetched once serves until it ends."""

    def __init__(self, settings: Settings, campaigns: CampaignStore) -> None:
        self._settings = settings
        self._campaigns = campaigns
        self._clients: dict[tuple[UUID, str], GmailClient] = {}

    def client(self, account: GmailAccount) -> GmailClient:
        """The account's client. Raises AuthError where it has no usable credentials."""
        credentials = self._campaigns.account_credentials(
            account.id, credentials_key=self._settings.require_credentials_key()
        )
        if credentials is None:
            raise AuthError(
                f"Account {account.alias!r} has no credentials.",
                what_to_do=f"Add them: cheerful accounts add {account.alias} ... --credentials-file FILE.",
            )
        key = (account.id, credentials)  # new credentials, new client: a reconnect takes effect at once
        if key not in self._clients:
            self._clients = {known: client for known, client in self._clients.items() if known[0] != account.id}
            self._clients[key] = self.client_for(credentials, address=account.address)
        return self._clients[key]

    def client_for(self, credentials_json: str, *, address: str) -> GmailClient:
        """A client that is not kept, for credentials that are not stored yet: they prove themselves first."""
        endpoint = self._settings.google_endpoint("gmail")
        return GmailClient(
            lambda: _build_service(credentials_json, address, endpoint),
            batch_uri=f"{endpoint or 'https://gmail.googleapis.com'}/batch/gmail/v1",
            prices=PRICES_SINCE_MAY_2026,
        )


def _build_service(credentials_json: str, address: str, endpoint: str | None) -> Any:
    """The Gmail v1 service from the packaged discovery document, calls and batches to `endpoint`."""
    import google_auth_httplib2
    import httplib2
    from googleapiclient.discovery import build_from_document
    from googleapiclient.discovery_cache import get_static_doc

    document = json.loads(get_static_doc("gmail", "v1"))
    if endpoint is not None:
        document["rootUrl"] = document["baseUrl"] = f"{endpoint}/"
    transport = google_auth_httplib2.AuthorizedHttp(
        _credentials(credentials_json, address), http=httplib2.Http(timeout=TIMEOUT_SECONDS)
    )
    return build_from_document(document, http=transport)


def _credentials(credentials_json: str, address: str) -> Any:
    info = json.loads(credentials_json)
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
        token_uri=info.get("token_uri", "https://oauth2.googleapis.com/token"),
        client_id=info["client_id"],
        client_secret=info["client_secret"],
    )


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
    from googleapiclient.errors import BatchError, HttpError

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
        BatchError,
        ValueError,
        KeyError,
    )
    if isinstance(error, passing):
        return TransientError(f"The connection to Gmail broke during {operation} ({type(error).__name__}).")
    raise error


def _code(error: CheerfulError) -> str:
    return type(error).__name__.removesuffix("Error").lower()


def _attempts() -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_worth_repeating),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=_wait,
        reraise=True,
    )


def _worth_repeating(error: BaseException) -> bool:
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds <= LONGEST_RETRY_AFTER_SECONDS
    return isinstance(error, TransientError)


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ThrottledError) and error.retry_after_seconds is not None:
        return error.retry_after_seconds + 0.1
    backoff = tenacity.wait_random_exponential(multiplier=1, max=LONGEST_BACKOFF_SECONDS)
    return float(backoff(state)) + (1.0 if isinstance(error, ThrottledError) else 0.1)
