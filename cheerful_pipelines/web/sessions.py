"""Who a browser's cookie stands for, as long as the session lasts.

The cookie carries a session's id and the user's name for their own screen, signed; what counts is the row in Postgres.
So a session ends for every web process at once, whoever kept a copy of the cookie:

    at sign-out
    after `hours`; without a refresh token from Supabase Auth when the access token expires
    when Supabase Auth, asked again every `check_seconds`, names another role or refuses the user
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from itsdangerous import BadData, URLSafeSerializer

from cheerful_pipelines.core.errors import AuthError, ConfigurationError, TransientError
from cheerful_pipelines.core.logs import get_logger
from cheerful_pipelines.storage.secrets import seal, unseal
from cheerful_pipelines.web.session_store import SessionStore, StoredSession
from cheerful_pipelines.web.sign_in import Issued
from cheerful_pipelines.web.tokens import Visitor

logger = get_logger(__name__)

COOKIE = "cheerful_session"
_PATIENCE = timedelta(seconds=15)
"""Until Supabase Auth is asked again if it did not answer."""


class Sessions:
    """Begins, finds and ends sessions; everything here may block.

    `refresh` exchanges a refresh token (sign_in.py), `read_token` reads the access token that comes back (tokens.py).
    """

    def __init__(
        self,
        key: str,
        *,
        store: SessionStore,
        hours: float,
        check_seconds: float,
        refresh: Callable[[str], Issued],
        read_token: Callable[[str], Visitor],
    ) -> None:
        self._serializer = URLSafeSerializer(key, salt="cheerful session")
        self._sealing_key = hmac.new(bytes.fromhex(key), b"cheerful refresh token", hashlib.sha256).hexdigest()
        self._store, self._refresh, self._read_token = store, refresh, read_token
        self._hours, self._check_every = timedelta(hours=hours), timedelta(seconds=check_seconds)

    def begin(self, visitor: Visitor, refresh_token: str | None = None, now: datetime | None = None) -> str:
        """The cookie's value of a new session. Raises TransientError if the database is away."""
        now = now or datetime.now(UTC)
        session_id = uuid4()
        until = now + self._hours
        self._store.begin(
            StoredSession(
                id=session_id, subject=visitor.user_id, role=visitor.role, refresh_token=self._sealed(refresh_token),
                expires_at=until if refresh_token else min(until, visitor.until), checked_at=now,
                trusted_until=visitor.until,
            ), now=now,
        )  # fmt: skip
        value: str = self._serializer.dumps([session_id.hex, visitor.name])
        return value

    def find(self, value: str, now: datetime | None = None) -> Visitor | None:
        """Who it is; None for a value that was tampered with, or whose session is over.

        Raises TransientError if the database is away, or if the role can no longer be relied on and Supabase Auth does
        not answer.
        """
        now = now or datetime.now(UTC)
        session_id, name = self._content(value)
        session = self._store.find(session_id, now=now) if session_id else None
        if session is not None and session.refresh_token is not None and now - session.checked_at >= self._check_every:
            session = self._checked(session, now)
        if session is None:
            return None
        return Visitor(user_id=session.subject, role=session.role, until=session.expires_at, name=name)

    def end(self, value: str, now: datetime | None = None) -> None:
        """End the session that the cookie stands for, if there is one."""
        session_id, _ = self._content(value)
        if session_id is not None:
            self._store.end(session_id, now=now or datetime.now(UTC))

    def _content(self, value: str) -> tuple[UUID | None, str]:
        try:
            session_id, name = self._serializer.loads(value)
            return UUID(hex=session_id), name if isinstance(name, str) else ""
        except (BadData, ValueError, TypeError, AttributeError, RecursionError):
            return None, ""

    def _checked(self, session: StoredSession, now: datetime) -> StoredSession | None:
        """The session, if Supabase Auth still gives this user this role. One request asks; the others go on."""
        if not self._store.claim_check(session.id, checked_before=now - self._check_every, now=now):
            return self._trusted(session, now)
        try:
            issued = self._refresh(unseal(session.refresh_token or "", keys=[self._sealing_key]))
            visitor = self._read_token(issued.access_token)
        except TransientError:
            self._store.try_again(session.id, at=now + _PATIENCE)
            return self._trusted(session, now)
        except (AuthError, ConfigurationError) as error:
            self._over(session, type(error).__name__, now)
            return None
        if (visitor.user_id, visitor.role) != (session.subject, session.role):
            self._over(session, "role changed", now)
            return None
        sealed = self._sealed(issued.refresh_token) or session.refresh_token
        self._store.confirm(session.id, refresh_token=sealed, trusted_until=visitor.until, now=now)
        return session

    def _trusted(self, session: StoredSession, now: datetime) -> StoredSession:
        """As it was, while the last access token would still be valid at Supabase itself."""
        if now > session.trusted_until:
            raise TransientError("Supabase Auth does not confirm this session.", what_to_do="Try again in a minute.")
        return session

    def _over(self, session: StoredSession, reason: str, now: datetime) -> None:
        logger.info("session_ended", user_id=session.subject, reason=reason)
        if reason == "role changed":
            self._store.end_all_of(session.subject, now=now)
        else:
            self._store.end(session.id, now=now)

    def _sealed(self, refresh_token: str | None) -> str | None:
        return None if refresh_token is None else seal(refresh_token, key_hex=self._sealing_key)
