"""Signed cookies: who signed in, as what, and until when. The token itself stays on the server's side of the login."""

from datetime import UTC, datetime, timedelta

from itsdangerous import BadSignature, URLSafeSerializer

from cheerful_pipelines.web.tokens import Visitor

COOKIE = "cheerful_session"


class Sessions:
    """Writes and reads the cookie's value."""

    def __init__(self, key: str, *, hours: float) -> None:
        self._serializer = URLSafeSerializer(key, salt="cheerful session")
        self._hours = hours

    def begin(self, visitor: Visitor, now: datetime | None = None) -> str:
        """A value that holds for some hours: roles that are taken away end with it."""
        until = (now or datetime.now(UTC)) + timedelta(hours=self._hours)
        value: str = self._serializer.dumps([visitor.user_id, visitor.role, int(until.timestamp())])
        return value

    def read(self, value: str, now: datetime | None = None) -> Visitor | None:
        """Who it is; None for a value that was tampered with, or is over."""
        try:
            user_id, role, until = self._serializer.loads(value)
            visitor = Visitor(user_id=user_id, role=role, until=datetime.fromtimestamp(until, UTC))
        except (BadSignature, ValueError, TypeError):
            return None
        return visitor if visitor.until > (now or datetime.now(UTC)) else None
