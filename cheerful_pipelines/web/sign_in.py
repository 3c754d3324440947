"""Address and password in, Supabase's token out. Nothing is kept of either."""

import requests

from cheerful_pipelines.errors import AuthError, TransientError
from cheerful_pipelines.settings import Settings


def token_for(settings: Settings, address: str, password: str) -> str:
    """Ask Supabase Auth. Raises AuthError for a wrong password, TransientError where it does not answer."""
    key = settings.auth_api_key.get_secret_value() if settings.auth_api_key else ""
    try:
        answer = requests.post(
            f"{(settings.auth_url or '').rstrip('/')}/token", params={"grant_type": "password"},
            json={"email": address, "password": password}, headers={"apikey": key}, timeout=10, allow_redirects=False,
        )  # fmt: skip
    except requests.RequestException as error:
        raise TransientError(
            f"Supabase Auth does not answer ({type(error).__name__}).", what_to_do="Try again in a minute."
        ) from None
    if answer.status_code in (400, 401, 403, 422):
        raise AuthError("Address or password are wrong.", what_to_do="Try again, or have the password reset.")
    if answer.status_code != 200:
        raise TransientError(f"Supabase Auth answered {answer.status_code}.", what_to_do="Try again in a minute.")
    token: str = answer.json()["access_token"]
    return token
