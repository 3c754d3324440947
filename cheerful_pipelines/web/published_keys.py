"""The keys that Supabase Auth publishes (JWKS), fetched by one thread at a time and never by the event loop.

fresh       for KEEP_SECONDS after a fetch, keys are used without asking
stale       for another hour they are used while they are fetched again: a server that hangs delays nobody
unknown     a key id that is not there causes a fetch, but not more than one in RETRY_SECONDS, so that tokens with
            invented key ids cannot make us ask for each
"""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

import jwt

from cheerful_pipelines.core.context_threads import in_this_context
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.web.provider import Answer, call

KEEP_SECONDS = 600.0
STALE_SECONDS = 3_600.0
RETRY_SECONDS = 10.0
FETCH_SECONDS = 5.0


class _Fetched(NamedTuple):
    keys: Mapping[str, Any]
    at: float


class PublishedKeys:
    """Keys by their id. `fetch` and `clock` are for tests."""

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], Answer] = lambda url: call("GET", url, seconds=FETCH_SECONDS),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url, self._fetch, self._clock = url, fetch, clock
        self._lock = threading.Lock()
        self._fetched: _Fetched | None = None
        self._asked_at: float | None = None
        self._under_way: Future[None] | None = None

    def known(self, key_id: str) -> Any | None:
        """A key without waiting, or None. Old keys are fetched again behind it."""
        fetched = self._fetched
        if fetched is None or (age := self._clock() - fetched.at) > STALE_SECONDS:
            return None
        if age > KEEP_SECONDS:
            self.refresh()
        return fetched.keys.get(key_id)

    def refresh(self) -> "Future[None]":
        """The fetch that is under way, or a new one. Ends with TransientError if the server does not answer.

        Already done if the server was asked a moment ago.
        """
        with self._lock:
            if self._under_way is not None:
                return self._under_way
            if self._asked_at is not None and self._clock() - self._asked_at < RETRY_SECONDS:
                return self._of_a_moment_ago()
            self._asked_at, self._under_way = self._clock(), Future()
            run = in_this_context(self._run)
            threading.Thread(target=run, args=(self._under_way,), daemon=True, name="published-keys").start()
            return self._under_way

    def _of_a_moment_ago(self) -> "Future[None]":
        found: Future[None] = Future()
        if self._fetched is not None and self._asked_at is not None and self._fetched.at >= self._asked_at:
            found.set_result(None)
        else:
            found.set_exception(_no_answer())
        return found

    def _run(self, future: "Future[None]") -> None:
        keys: Mapping[str, Any] | None = None
        try:
            keys = _keys_in(self._fetch(self._url))
        except TransientError:
            keys = None
        finally:
            with self._lock:
                if keys is not None:
                    self._fetched = _Fetched(keys, self._clock())
                self._under_way = None
            if keys is None:
                future.set_exception(_no_answer())
            else:
                future.set_result(None)


def _keys_in(answer: Answer) -> Mapping[str, Any] | None:
    """Usable keys of a JSON web key set; None if the answer is none. Keys of unknown kinds are ignored."""
    listed = answer.content.get("keys")
    if answer.status != 200 or not isinstance(listed, list):
        return None
    found: dict[str, Any] = {}
    for one in listed:
        if isinstance(one, dict) and isinstance(one.get("kid"), str) and one.get("kty") in ("EC", "RSA"):
            try:
                found[one["kid"]] = jwt.PyJWK.from_dict(one).key
            except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                continue
    return found


def _no_answer() -> TransientError:
    return TransientError("Supabase Auth does not publish its keys at the moment.", what_to_do="Try again in a minute.")
