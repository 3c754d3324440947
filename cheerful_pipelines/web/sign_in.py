"""Address and password in, Supabase's tokens out. The password is kept nowhere."""

from typing import Any, NamedTuple

from cheerful_pipelines.core.errors import AuthError, ThrottledError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.provider import call


class Issued(NamedTuple):
    """What Supabase Auth hands out for a sign-in."""

    access_token: str
    refresh_token: str | None


def tokens_for(settings: Settings, address: str, password: str) -> Issued:
    """Sign in. Raises AuthError for a wrong password, TransientError if Supabase Auth does not answer."""
    return _ask(
        settings, "password", {"email": address, "password": password},
        refused=AuthError("Address or password are wrong.", what_to_do="Try again, or have the password reset."),
    )  # fmt: skip


def refreshed(settings: Settings, refresh_token: str) -> Issued:
    """New tokens with the user's claims of today. Raises AuthError if the user may not come back, TransientError."""
    return _ask(
        settings, "refresh_token", {"refresh_token": refresh_token},
        refused=AuthError("The sign-in was revoked.", what_to_do="Sign in again."),
    )  # fmt: skip


def _ask(settings: Settings, grant: str, body: dict[str, str], *, refused: AuthError) -> Issued:
    key = settings.auth_api_key.get_secret_value() if settings.auth_api_key else ""
    answer = call(
        "POST", f"{(settings.auth_url or '').rstrip('/')}/token", params={"grant_type": grant}, json=body,
        headers={"apikey": key},
    )  # fmt: skip
    if answer.status in (400, 401, 403, 422):
        raise refused
    if answer.status == 429:
        raise ThrottledError("Supabase Auth limits sign-ins at the moment.", what_to_do="Try again in a few minutes.")
    access, refresh = (_text(answer.content.get(name)) for name in ("access_token", "refresh_token"))
    if answer.status != 200 or access is None:
        raise TransientError(f"Supabase Auth answered {answer.status}.", what_to_do="Try again in a minute.")
    return Issued(access, refresh)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
