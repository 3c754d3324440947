"""Who may call: refresh tokens, access tokens, and the name each speaks for. Kept in the state file."""

import secrets
import time

from cheerful_pipelines.local_google.state import State

SHEETS_SUBJECT = "sheets@local-google.example"
"""The identity for Sheets and Drive where no mailbox is meant."""
LIFETIME_SECONDS = 3599


class Tokens:
    """Issues and checks tokens."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._known: dict[str, tuple[str, float]] = {}
        self._scopes: dict[str, str] = {}

    def refresh_token_for(self, subject: str) -> str:
        """The subject's refresh token, made at the first call."""
        with self._state.transaction() as c:
            row = c.execute("select token from refresh_token where subject = ?", (subject,)).fetchone()
            if row:
                return str(row[0])
            token = f"1//local-{secrets.token_urlsafe(24)}"
            c.execute("insert into refresh_token values (?, ?, 0)", (token, subject))
        return token

    def subject_of_refresh_token(self, token: str) -> str | None:
        """Whom a refresh token speaks for; None where it is unknown or revoked."""
        row = self._state.reading.execute(
            "select subject from refresh_token where token = ? and revoked = 0", (token,)
        ).fetchone()
        return str(row[0]) if row else None

    def new_access_token(self, subject: str) -> str:
        """An access token that lasts an hour."""
        token = f"ya29.local-{secrets.token_urlsafe(32)}"
        now = time.time()
        with self._state.transaction() as c:
            c.execute("delete from access_token where expires_at < ?", (now,))
            c.execute("insert into access_token values (?, ?, ?)", (token, subject, now + LIFETIME_SECONDS))
        self._known[token] = (subject, now + LIFETIME_SECONDS)
        return token

    def subject_of(self, access_token: str) -> str | None:
        """Whom an access token speaks for; None where it is unknown or expired."""
        found = self._known.get(access_token)
        if found is None:
            row = self._state.reading.execute(
                "select subject, expires_at from access_token where token = ?", (access_token,)
            ).fetchone()
            if row is None:
                return None
            found = self._known[access_token] = (str(row[0]), float(row[1]))
        return found[0] if found[1] > time.time() else None

    def scopes_of(self, subject: str, asked: str) -> str:
        """What the subject grants: what is asked for, unless `grant_only` said otherwise."""
        return self._scopes.get(subject, asked)

    def grant_only(self, subject: str, scopes: str) -> None:
        """From now on the subject ticks only these boxes."""
        self._scopes[subject] = scopes

    def revoke(self, subject: str) -> None:
        """The subject's tokens stop working, as after a click on "remove access"."""
        self.refresh_token_for(subject)
        with self._state.transaction() as c:
            c.execute("update refresh_token set revoked = 1 where subject = ?", (subject,))
        self.expire_access(subject)

    def restore(self, subject: str) -> None:
        """The refresh token works again."""
        with self._state.transaction() as c:
            c.execute("update refresh_token set revoked = 0 where subject = ?", (subject,))

    def expire_access(self, subject: str) -> None:
        """Every access token of the subject is refused from now on; its refresh token still works."""
        with self._state.transaction() as c:
            c.execute("delete from access_token where subject = ?", (subject,))
        self._known.clear()

    def forget_all(self) -> None:
        """After a wipe."""
        self._known.clear()
        self._scopes.clear()
