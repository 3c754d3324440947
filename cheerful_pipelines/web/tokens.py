"""Whose token is it? Verifies the JSON web tokens of Supabase Auth, by shared secret or by its published keys."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cheerful_pipelines.core.errors import AuthError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.published_keys import FETCH_SECONDS, PublishedKeys
from cheerful_pipelines.web.roles import ROLES, Role

ALGORITHMS = ("ES256", "RS256")
"""Of published keys. The shared secret knows HS256 only: a public key must never be taken for a secret."""
LEEWAY_SECONDS = 10
_MAX_TOKEN_LENGTH = 16_384
_MALFORMED = (
    jwt.PyJWTError, ValidationError, ValueError, TypeError, KeyError, AttributeError, OverflowError, OSError,
    RecursionError,
)  # fmt: skip
"""What a token can raise whose content is not what it should be, here or in the libraries."""


class Visitor(BaseModel):
    """Who is signed in, by the id that Supabase Auth gave them. `name` is only for their own screen: never logged."""

    model_config = ConfigDict(frozen=True)
    user_id: str = Field(min_length=1, max_length=255)
    role: Role
    until: datetime
    name: str = Field(default="", repr=False)


class TokenReader:
    """Reads tokens of one Supabase project."""

    def __init__(self, settings: Settings) -> None:
        if settings.auth_url is None:
            raise AuthError(
                "CHEERFUL_AUTH_URL is not set.", what_to_do="Set it to https://PROJECT.supabase.co/auth/v1."
            )
        self._issuer = settings.auth_url.rstrip("/")
        self._secret = settings.auth_jwt_secret.get_secret_value() if settings.auth_jwt_secret else None
        self._keys = None if self._secret else PublishedKeys(f"{self._issuer}/.well-known/jwks.json")

    def read(self, token: str) -> Visitor:
        """The visitor; may wait for published keys, so not for the event loop.

        Raises AuthError for a token that is malformed, forged, expired, not for us, or without a role of ours;
        TransientError if the keys cannot be fetched.
        """
        if self._keys is not None and (key_id := _key_id(token)) and self._keys.known(key_id) is None:
            try:
                self._keys.refresh().result(timeout=FETCH_SECONDS * 2)
            except TimeoutError:
                raise _slow_keys() from None
        return self._read(token)

    async def read_soon(self, token: str) -> Visitor:
        """The same for the event loop: only a token whose key is not known waits, without a thread."""
        if self._keys is not None and (key_id := _key_id(token)) and self._keys.known(key_id) is None:
            try:
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(self._keys.refresh())), FETCH_SECONDS * 2)
            except TimeoutError:
                raise _slow_keys() from None
        return self._read(token)

    def _read(self, token: str) -> Visitor:
        try:
            return self._visitor(self._claims(token))
        except jwt.ExpiredSignatureError:
            raise AuthError("The sign-in has expired.", what_to_do="Sign in again.") from None
        except _MALFORMED as error:
            raise AuthError(f"The token is not valid ({type(error).__name__}).", what_to_do="Sign in again.") from None

    def _claims(self, token: str) -> dict[str, Any]:
        key: Any = self._secret
        if self._keys is not None:
            key_id = _key_id(token)
            key = self._keys.known(key_id) if key_id else None
            if key is None:
                raise jwt.InvalidKeyError("unknown key")
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=["HS256"] if self._secret else list(ALGORITHMS), audience="authenticated",
            issuer=self._issuer, leeway=LEEWAY_SECONDS, options={"require": ["exp", "sub", "iss", "aud"]},
        )  # fmt: skip
        return claims

    def _visitor(self, claims: dict[str, Any]) -> Visitor:
        metadata = claims.get("app_metadata")
        role = metadata.get("cheerful_role") if isinstance(metadata, dict) else None
        if role not in ROLES:
            raise AuthError(
                "This user has no role here.",
                what_to_do="Somebody with access to Supabase sets app_metadata.cheerful_role: "
                + ", ".join(ROLES)
                + ".",
            )
        until = datetime.fromtimestamp(claims["exp"], UTC)
        return Visitor(user_id=claims["sub"], role=role, until=until, name=_name(claims))


def _name(claims: dict[str, Any]) -> str:
    """How the user is called on their own screen; the address if there is no name."""
    metadata = claims.get("user_metadata")
    known = metadata if isinstance(metadata, dict) else {}
    candidates = (known.get("full_name"), known.get("name"), claims.get("email"))
    return next((one[:80] for one in candidates if isinstance(one, str) and one.strip()), "")


def _key_id(token: str) -> str | None:
    """The key id that a token names; None if it names none, or is no token at all."""
    if len(token) > _MAX_TOKEN_LENGTH:
        return None
    try:
        found = jwt.get_unverified_header(token).get("kid")
    except _MALFORMED:
        return None
    return found if isinstance(found, str) else None


def _slow_keys() -> TransientError:
    return TransientError("Supabase Auth does not publish its keys at the moment.", what_to_do="Try again in a minute.")
