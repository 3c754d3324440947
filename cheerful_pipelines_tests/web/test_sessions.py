"""Sessions end for every copy of a cookie at once: at sign-out, when the role changes, when their time is over."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from cheerful_pipelines.core.errors import AuthError, TransientError
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.web.session_store import SessionStore
from cheerful_pipelines.web.sessions import COOKIE, Sessions
from cheerful_pipelines.web.sign_in import Issued
from cheerful_pipelines.web.tokens import Visitor
from cheerful_pipelines_tests.web.installation import SESSION_KEY, Installation

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Provider:
    """Supabase Auth by hand: what a refresh brings."""

    def __init__(self) -> None:
        self.asked = 0
        self.role: str | None = "analyst"
        self.is_away = False

    def refresh(self, _token: str) -> Issued:
        self.asked += 1
        if self.is_away:
            raise TransientError("away")
        if self.role is None:
            raise AuthError("revoked")
        return Issued("access", "next")

    def read(self, _token: str) -> Visitor:
        return Visitor(user_id="u", role=self.role, until=NOW + timedelta(hours=9))  # type: ignore[arg-type]


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def sessions(database: Database, provider: Provider) -> Sessions:
    return Sessions(
        SESSION_KEY, store=SessionStore(database), hours=8, check_seconds=120, refresh=provider.refresh,
        read_token=provider.read,
    )  # fmt: skip


def analyst(minutes: int = 60, user_id: str = "u") -> Visitor:
    return Visitor(user_id=user_id, role="analyst", until=NOW + timedelta(minutes=minutes), name="Mia")


def role_in(visitor: Visitor | None) -> str | None:
    return visitor.role if visitor else None


def test_a_session_lasts_for_its_hours_and_knows_the_name(sessions: Sessions) -> None:
    value = sessions.begin(analyst(), "token", NOW)
    found = sessions.find(value, NOW + timedelta(seconds=100))
    assert found is not None
    assert (found.user_id, found.role, found.name) == ("u", "analyst", "Mia")
    assert role_in(sessions.find(value, NOW + timedelta(hours=7, minutes=59))) == "analyst"
    assert sessions.find(value, NOW + timedelta(hours=8, seconds=1)) is None


def test_without_a_refresh_token_it_ends_with_the_access_token(sessions: Sessions, provider: Provider) -> None:
    value = sessions.begin(analyst(minutes=60), None, NOW)
    assert role_in(sessions.find(value, NOW + timedelta(minutes=59))) == "analyst"
    assert sessions.find(value, NOW + timedelta(minutes=61)) is None
    assert provider.asked == 0


def test_a_copy_of_the_cookie_ends_with_the_session(sessions: Sessions) -> None:
    value, other = sessions.begin(analyst(), "token", NOW), sessions.begin(analyst(), "token", NOW)
    sessions.end(value, NOW)
    assert sessions.find(value, NOW) is None
    assert sessions.find(other, NOW) is not None


@pytest.mark.parametrize("role", ["viewer", "engineer", None])
def test_another_role_or_none_ends_the_session_within_the_interval(
    role: str | None, sessions: Sessions, provider: Provider
) -> None:
    value = sessions.begin(analyst(), "token", NOW)
    provider.role = role
    assert role_in(sessions.find(value, NOW + timedelta(seconds=119))) == "analyst"
    assert sessions.find(value, NOW + timedelta(seconds=121)) is None
    provider.role = "analyst"
    assert sessions.find(value, NOW + timedelta(seconds=122)) is None


def test_a_sign_in_with_another_role_ends_the_users_other_sessions(sessions: Sessions) -> None:
    old, strangers = sessions.begin(analyst(), "token", NOW), sessions.begin(analyst(user_id="v"), "token", NOW)
    same = sessions.begin(analyst(), "token", NOW)
    assert sessions.find(old, NOW) is not None
    new = sessions.begin(analyst().model_copy(update={"role": "viewer"}), "token", NOW)
    assert [role_in(sessions.find(one, NOW)) for one in (old, same, new, strangers)] == [
        None, None, "viewer", "analyst",
    ]  # fmt: skip


def test_supabase_auth_is_asked_once_an_interval_and_may_be_away_for_a_while(
    sessions: Sessions, provider: Provider
) -> None:
    value = sessions.begin(analyst(minutes=60), "token", NOW)
    for seconds in (121, 122, 123, 240, 242):
        assert role_in(sessions.find(value, NOW + timedelta(seconds=seconds))) == "analyst"
    assert provider.asked == 2
    provider.is_away = True
    other = sessions.begin(analyst(minutes=60), "token", NOW)
    for minute in range(3, 60):
        assert role_in(sessions.find(other, NOW + timedelta(minutes=minute))) == "analyst"
    with pytest.raises(TransientError):
        sessions.find(other, NOW + timedelta(minutes=61))
    provider.is_away = False
    assert role_in(sessions.find(other, NOW + timedelta(minutes=62))) == "analyst"


@settings(deadline=None)
@given(st.one_of(st.text(max_size=80), st.binary(max_size=80).map(lambda raw: raw.decode("latin-1"))))
def test_an_arbitrary_cookie_is_nobodys(value: str) -> None:
    unused: Callable[..., None] = lambda *_: None  # noqa: E731
    sessions = Sessions(SESSION_KEY, store=None, hours=1, check_seconds=1, refresh=unused, read_token=unused)  # type: ignore[arg-type]
    assert sessions.find(value) is None
    for content in ([], {}, None, 1, ["x", "y"], [1, 2], ["a" * 32], {"a": 1, "b": 2}, [["a"], "b"]):
        assert sessions.find(sessions._serializer.dumps(content)) is None


def test_a_cookie_of_another_key_or_cut_off_is_nobodys(sessions: Sessions, database: Database) -> None:
    value = sessions.begin(analyst(), "token", NOW)
    other = Sessions(
        "ab" * 32,
        store=SessionStore(database),
        hours=8,
        check_seconds=120,
        refresh=None,
        read_token=None,  # type: ignore[arg-type]
    )
    assert other.find(value, NOW) is None
    assert sessions.find(value[:-2] + "xx", NOW) is None
    assert sessions.find("", NOW) is None


def test_refresh_tokens_are_sealed(sessions: Sessions, database: Database) -> None:
    import sqlalchemy as sa

    sessions.begin(analyst(), "the refresh token", NOW)
    with database.transaction() as connection:
        text = str(connection.execute(sa.text("select * from web_session")).all())
    assert "v1:" in text
    assert "the refresh token" not in text
    assert "Mia" not in text


def test_a_copied_cookie_is_refused_after_sign_out(web: Installation) -> None:
    """Over real HTTP."""
    cookies = web.cookie_of("engineer")
    headers = {"Origin": web.url}
    assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 200
    gone = requests.post(f"{web.url}/sign-out", cookies=cookies, headers=headers, allow_redirects=False, timeout=30)
    assert (gone.status_code, gone.headers["Location"]) == (303, "/sign-in")
    assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 401
    assert requests.get(f"{web.url}/sign-out", cookies=web.cookie_of("viewer"), timeout=30).status_code == 405


def test_a_role_that_is_taken_away_ends_the_session(web: Installation) -> None:
    """Over real HTTP; this installation asks at every request."""
    web.auth.issues_refresh_tokens = True
    cookies, headers = web.cookie_of("engineer"), {"Origin": web.url}
    assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 200
    assert web.auth.refreshes > 0
    web.auth.roles = {"engineer": "viewer"}
    assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 401
    web.auth.roles = {"engineer": "engineer"}
    assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 401


def test_a_websocket_is_closed_when_its_session_ends(web: Installation) -> None:
    web.gate._watch_seconds = 0.2
    value = web.cookie_of("viewer")[COOKIE]
    where = web.url.replace("http", "ws") + "/graphql"
    with connect(
        where, subprotocols=["graphql-ws"], additional_headers={"Cookie": f"{COOKIE}={value}"}, origin=web.url,  # type: ignore[list-item,arg-type]
    ) as socket:  # fmt: skip
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=20))["type"] == "connection_ack"
        requests.post(
            f"{web.url}/sign-out", cookies={COOKIE: value}, headers={"Origin": web.url}, allow_redirects=False,
            timeout=30,
        )  # fmt: skip
        with pytest.raises(ConnectionClosed):
            _ = [socket.recv(timeout=20) for _ in range(1_000)]  # keep-alives until it is closed
