"""How many failed sign-ins are enough, and of whom: guessing is slow, and no stranger locks a user out.

An attempt is counted before Supabase Auth is asked and released if it succeeds, so that a burst of any size makes no
more than the limit. What it is counted for depends on what the browser can show:

    known browser    it signed in to this address before and carries a signed cookie that says so: counted by itself
    known network    this address signed in from this network before: counted for the pair of both
    stranger         counted for the pair, for the network (guessing at many addresses), and for the address (guessing
                     from many networks; a larger number)

A stranger fills only buckets of strangers, and the pair of their own network. So they cannot lock out a user who comes
from another network, nor one with a known browser. Only a user with a new browser on a new network waits, for at most
an hour, while at least 30 networks guess at their address.

Networks are one IPv4 address or one IPv6 /64 (origin.py). Addresses and networks are stored as keyed hashes.
"""

import hashlib
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from itsdangerous import BadData, URLSafeSerializer

from cheerful_pipelines.web.attempt_store import AttemptStore, Bucket

DEVICE_COOKIE = "cheerful_browser"
DEVICE_DAYS = 180
FAILURES = 10
WINDOW = timedelta(minutes=15)
FAILURES_FROM_EVERYWHERE = 300
WINDOW_FROM_EVERYWHERE = timedelta(hours=1)
_MAX_ADDRESSES_PER_BROWSER = 5


class Attempt(NamedTuple):
    """An attempt that may be made. `device` is the browser's id where it is known."""

    id: UUID
    address: str
    pair: str


class SignInLimits:
    """Decides whether an attempt may be made. Everything here may block."""

    def __init__(self, key: str, store: AttemptStore) -> None:
        self._key, self._store = bytes.fromhex(key), store
        self._serializer = URLSafeSerializer(key, salt="cheerful browser")

    def reserve(self, address: str, network: str, device_cookie: str, now: datetime | None = None) -> Attempt | None:
        """The attempt, or None if there were too many. Raises TransientError if the database is away."""
        now = now or datetime.now(UTC)
        hashed, pair = self._hash("address", address), self._hash("pair", address, network)
        device = self._devices(device_cookie).get(hashed)
        if device is not None:
            buckets = [Bucket(self._hash("browser", hashed, device), FAILURES, WINDOW)]
        elif self._store.is_known(pair, since=now - timedelta(days=DEVICE_DAYS)):
            buckets = [Bucket(pair, FAILURES, WINDOW)]
        else:
            buckets = [
                Bucket(pair, FAILURES, WINDOW),
                Bucket(self._hash("network", network), FAILURES, WINDOW),
                Bucket(hashed, FAILURES_FROM_EVERYWHERE, WINDOW_FROM_EVERYWHERE),
            ]
        attempt = self._store.reserve(buckets, now=now)
        return None if attempt is None else Attempt(attempt, hashed, pair)

    def release(self, attempt: Attempt) -> None:
        """Supabase Auth did not decide: it does not count."""
        self._store.release(attempt.id)

    def succeeded(self, attempt: Attempt, device_cookie: str, now: datetime | None = None) -> str:
        """It does not count, network and browser are known from now on. The browser's new cookie."""
        self._store.release(attempt.id)
        self._store.remember(attempt.pair, now=now or datetime.now(UTC))
        devices = self._devices(device_cookie)
        device = devices.pop(attempt.address, None) or secrets.token_hex(8)
        kept = [*devices.items()][-(_MAX_ADDRESSES_PER_BROWSER - 1) :]
        value: str = self._serializer.dumps([*kept, (attempt.address, device)])
        return value

    def forget_failures(self) -> None:
        """Count from zero, for everybody."""
        self._store.forget_all()

    def _devices(self, cookie: str) -> dict[str, str]:
        """Ids of this browser by the hash of the address that it is known for; empty for a forged cookie."""
        try:
            found = self._serializer.loads(cookie)
            return {
                address: device for address, device in found if isinstance(address, str) and isinstance(device, str)
            }
        except (BadData, ValueError, TypeError, RecursionError):
            return {}

    def _hash(self, kind: str, *parts: str) -> str:
        text = "\0".join(("cheerful sign-in", kind, *parts))
        return hmac.new(self._key, text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:40]
