"""Bearer tokens: forged, expired, foreign and malformed ones are 401, whatever is in them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import AuthError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.sessions import COOKIE
from cheerful_pipelines.web.tokens import TokenReader
from cheerful_pipelines_tests.web.installation import SECRET, Auth, Installation

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
CLAIMS = st.fixed_dictionaries(
    {},
    optional={
        "sub": JSON, "exp": JSON, "nbf": JSON, "iat": JSON, "aud": JSON, "iss": JSON, "email": JSON,
        "app_metadata": JSON | st.fixed_dictionaries({"cheerful_role": JSON}), "user_metadata": JSON,
    },
)  # fmt: skip
HEADER_TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=126) | st.characters(min_codepoint=160, max_codepoint=255)
)


def test_forged_expired_and_foreign_tokens_are_refused(web: Installation) -> None:
    auth, past = web.auth, datetime.now(UTC) - timedelta(minutes=5)
    stranger = ec.generate_private_key(ec.SECP256R1())
    unsigned = jwt.encode(auth.claims("engineer"), "", algorithm="none")
    tokens = {
        "forged": auth.token("engineer", secret="another secret of the same length, or thereabouts"),
        "expired": auth.token("engineer", exp=past),
        "of another project": auth.token("engineer", iss="https://other.supabase.co/auth/v1"),
        "for another audience": auth.token("engineer", aud="anon"),
        "without an end": jwt.encode(
            {k: v for k, v in auth.claims("engineer").items() if k != "exp"}, SECRET, algorithm="HS256"
        ),
        "unsigned": unsigned,
        "by a published kind of key": jwt.encode(auth.claims("engineer"), stranger, algorithm="ES256"),
        "without a role": auth.token("engineer", app_metadata={}),
        "with a role of its own making": auth.token(
            "engineer", app_metadata={}, user_metadata={"cheerful_role": "engineer"}
        ),
        "with an unknown role": auth.token("owner"),
        "with a list of roles": auth.token("engineer", app_metadata={"cheerful_role": ["engineer"]}),
        "with metadata that is a list": auth.token("engineer", app_metadata=["cheerful_role"]),
        "with an end beyond time": auth.token("engineer", exp=10**18),
        "without a user": auth.token("engineer", sub=""),
        "with a user too long to be one": auth.token("engineer", sub="u" * 300),
        "cut off": auth.token("engineer")[:-9],
        "nothing": "",
    }  # fmt: skip
    for what, token in tokens.items():
        answer = web.graphql("{ version }", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
        assert answer.json() == {"errors": [{"message": "Sign in first."}]}
    good = web.graphql("{ version }", headers={"Authorization": f"Bearer {auth.token('viewer')}"})
    assert "version" in good.json()["data"]


@settings(deadline=None)
@given(changed=CLAIMS, missing=st.sets(st.sampled_from(["sub", "exp", "aud", "iss", "app_metadata"]), max_size=2))
def test_whatever_a_signed_token_claims_it_is_read_or_refused(changed: dict[str, Any], missing: set[str]) -> None:
    """Signed with the right key: what is in it may still be anything."""
    url = "https://project.example/auth/v1"
    reader = TokenReader(Settings(auth_url=url, auth_jwt_secret=SECRET))  # type: ignore[arg-type]
    good = {
        "sub": "u", "aud": "authenticated", "iss": url, "exp": 4_000_000_000,
        "app_metadata": {"cheerful_role": "viewer"},
    }  # fmt: skip
    claims = {key: value for key, value in {**good, **changed}.items() if key not in missing}
    try:
        token = jwt.api_jws.encode(_json(claims), SECRET, algorithm="HS256")
        assert reader.read(token).role in ("viewer", "analyst", "engineer")
    except AuthError:
        pass


def _json(claims: dict[str, Any]) -> bytes:
    import json

    return json.dumps(claims).encode("utf-8", "surrogatepass")


@settings(deadline=None)
@given(
    header=st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jku"]), JSON, max_size=3),
    payload=JSON, tail=st.text(max_size=5),
)  # fmt: skip
def test_whatever_its_header_says_a_token_is_read_or_refused(header: Any, payload: Any, tail: str, auth: Auth) -> None:
    import base64

    parts = [base64.urlsafe_b64encode(_json(one)).decode().rstrip("=") for one in (header, payload)]
    for reader in (
        TokenReader(Settings(auth_url="https://p.example", auth_jwt_secret=SECRET)),  # type: ignore[arg-type]
        TokenReader(Settings(auth_url=auth.url)),
    ):
        for token in (".".join([*parts, tail]), ".".join(parts), tail, "[" * 5_000):
            with pytest.raises(AuthError):
                reader.read(token)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(authorization=HEADER_TEXT, cookie=HEADER_TEXT, host=HEADER_TEXT, origin=HEADER_TEXT)
def test_arbitrary_headers_are_401_over_http(
    authorization: str, cookie: str, host: str, origin: str, running: Installation
) -> None:
    """By a socket, so that no client of ours mends them."""
    del host  # some are refused by the server itself, below
    for prefix in ("", "Bearer ", "bearer  "):
        headers = {
            "Authorization": f"{prefix}{authorization}".strip().encode("latin-1"),
            "Cookie": f"{COOKIE}={cookie}".strip().encode("latin-1"), "Origin": origin.strip().encode("latin-1"),
        }  # fmt: skip
        answer = requests.post(f"{running.url}/graphql", json={}, headers=headers, timeout=30)
        assert answer.status_code == 401


@pytest.mark.parametrize("host", ["[", "a]b", "", "http://[::1", "x" * 3_000, "a b"])
def test_an_arbitrary_host_is_no_error_of_ours(host: str, web: Installation) -> None:
    for path in ("/", "/sign-in?next=//[", "/graphql?query={version}", "/runs?a=%ff%00"):
        for method in ("GET", "POST"):
            headers = {"Host": host, "Accept": "text/html", "Origin": "http://["}
            answer = requests.request(method, web.url + path, headers=headers, timeout=30, allow_redirects=False)
            assert answer.status_code < 500, (method, path)
