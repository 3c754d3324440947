"""Whose token is it? Verifies the JSON web tokens of Supabase Auth, by shared secret or by its published keys."""

from datetime import UTC, datetime
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.errors import AuthError
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.web.roles import ROLES, Role

ALGORITHMS = ("ES256", "RS256")
"""Of published keys. The shared secret knows HS256 only: a public key must never be taken for a secret."""
LEEWAY_SECONDS = 10


class Visitor(BaseModel):
    """Who is signed in. No address, no name: the id tells Supabase's own pages who it is."""

    model_config = ConfigDict(frozen=True)
    user_id: str
    role: Role
    until: datetime


class TokenReader:
    """Reads tokens of one Supabase project."""

    def __init__(self, settings: Settings) -> None:
        if settings.auth_url is None:
            raise AuthError(
                "CHEERFUL_AUTH_URL is not set.", what_to_do="Set it to https://PROJECT.supabase.co/auth/v1."
            )
        self._issuer = settings.auth_url.rstrip("/")
        self._secret = settings.auth_jwt_secret.get_secret_value() if settings.auth_jwt_secret else None
        self._keys = None if self._secret else jwt.PyJWKClient(f"{self._issuer}/.well-known/jwks.json", timeout=10)

    def read(self, token: str) -> Visitor:
        """The visitor. Raises AuthError for a token that is forged, expired, not for us, or without a role of ours."""
        try:
            if self._secret is not None:
                claims = self._claims(token, self._secret, ("HS256",))
            else:
                assert self._keys is not None
                claims = self._claims(token, self._keys.get_signing_key_from_jwt(token).key, ALGORITHMS)
        except jwt.ExpiredSignatureError:
            raise AuthError("The login has expired.", what_to_do="Sign in again.") from None
        except jwt.PyJWTError as error:
            raise AuthError(f"The login is not valid ({type(error).__name__}).", what_to_do="Sign in again.") from None
        role = (claims.get("app_metadata") or {}).get("cheerful_role")
        if role not in ROLES:
            raise AuthError(
                "This login has no role here.",
                what_to_do="Somebody with access to Supabase sets app_metadata.cheerful_role: "
                + ", ".join(ROLES)
                + ".",
            )
        return Visitor(user_id=claims["sub"], role=role, until=datetime.fromtimestamp(claims["exp"], UTC))

    def _claims(self, token: str, key: Any, algorithms: tuple[str, ...]) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=list(algorithms), audience="authenticated", issuer=self._issuer,
            leeway=LEEWAY_SECONDS, options={"require": ["exp", "sub", "iss", "aud"]},
        )  # fmt: skip
        return claims
