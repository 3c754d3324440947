"""The login in front of Dagster's own web server, over real HTTP: forged, expired and foreign tokens, roles on every
mutation, other sites, too many failures, and a browser that signs in and is told what it may not do."""

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cheerful_pipelines.errors import AuthError
from cheerful_pipelines.settings import Settings
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines.web.__main__ import gated_app
from cheerful_pipelines.web.gate import Gate
from cheerful_pipelines.web.roles import ROLES, may_send, mutations_in, with_launcher
from cheerful_pipelines.web.sessions import COOKIE, Sessions
from cheerful_pipelines.web.tokens import TokenReader, Visitor
from cheerful_pipelines_tests import browser
from cheerful_pipelines_tests.test_system import free_port

SECRET = "a shared secret of the project, long enough for HS256"
PASSWORD = "correct horse battery staple"
TINY = """
import dagster as dg

@dg.asset
def small() -> None:
    pass

defs = dg.Definitions(assets=[small])
"""
LAUNCH = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
PARAMS = {
    "executionParams": {
        "selector": {
            "repositoryLocationName": "tiny.py", "repositoryName": "__repository__", "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": ["small"]}],
        },
        "runConfigData": "{}", "mode": "default",
    }
}  # fmt: skip


class Auth:
    """Supabase Auth as far as it is asked: tokens for a password, and published keys."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0
        auth = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                auth.asked += 1
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                role, _, _ = body["email"].partition("@")
                if body["password"] != PASSWORD:
                    self._say(400, {"error": "invalid_grant"})
                else:
                    self._say(200, {"access_token": auth.token(role)})

            def do_GET(self) -> None:
                public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(auth.key.public_key()))
                self._say(200, {"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]})

            def _say(self, status: int, answer: dict[str, Any]) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/auth/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def claims(self, role: str, **changed: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "sub": f"user-{role}", "aud": "authenticated", "iss": self.url, "exp": now + timedelta(hours=1),
            "app_metadata": {"cheerful_role": role}, **changed,
        }  # fmt: skip

    def token(self, role: str, secret: str = SECRET, **changed: Any) -> str:
        return jwt.encode(self.claims(role, **changed), secret, algorithm="HS256")


class Installation:
    """Dagster's web server behind the gate, on a port."""

    def __init__(self, url: str, auth: Auth, instance: DagsterInstance, gate: Gate) -> None:
        self.url, self.auth, self.instance, self.gate = url, auth, instance, gate

    def graphql(self, query: str, variables: Any = None, **more: Any) -> requests.Response:
        return requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60, **more
        )  # fmt: skip

    def cookie_of(self, role: str) -> dict[str, str]:
        answer = self.sign_in(role)
        assert answer.status_code == 303, answer.text
        return {COOKIE: answer.cookies[COOKIE]}

    def sign_in(self, role: str, password: str = PASSWORD, **more: Any) -> requests.Response:
        headers = more.pop("headers", {"Origin": self.url})
        return requests.post(
            f"{self.url}/sign-in", data={"address": f"{role}@brand.example", "password": password}, headers=headers,
            allow_redirects=False, timeout=30, **more,
        )  # fmt: skip


@pytest.fixture(scope="module")
def auth() -> Auth:
    return Auth()


@pytest.fixture(scope="module")
def running(auth: Auth, tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Installation]:
    migrate(Database(postgres.url("cheerful_web")))
    folder = tmp_path_factory.mktemp("web")
    (folder / "tiny.py").write_text(TINY)
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text("telemetry:\n  enabled: false\nnux:\n  enabled: false\n")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        auth_url=auth.url, auth_jwt_secret=SECRET, session_key="ef" * 32, web_url=url,  # type: ignore[arg-type]
        database_url=postgres.url("cheerful_web", as_pipeline=True),  # type: ignore[arg-type]
    )  # fmt: skip
    with DagsterInstance.from_config(str(folder / "home")) as instance:
        target = PythonFileTarget(
            python_file=str(folder / "tiny.py"), attribute=None, working_directory=str(folder), location_name="tiny.py"
        )
        with WorkspaceProcessContext(instance, target, version="1") as context:
            app = gated_app(settings, instance, context)
            server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()
            deadline = time.monotonic() + 30
            while not server.started and time.monotonic() < deadline:
                time.sleep(0.05)
            yield Installation(url, auth, instance, app)
            server.should_exit = True
            thread.join(timeout=20)


@pytest.fixture
def web(running: Installation) -> Installation:
    """The installation, no failed sign-in remembered."""
    running.gate.forget_failures()
    return running


def test_without_a_login_there_is_the_form_and_health_and_nothing_else(web: Installation) -> None:
    page = requests.get(f"{web.url}/runs?x=1", headers={"Accept": "text/html"}, timeout=30, allow_redirects=False)
    assert page.status_code == 303
    assert page.headers["Location"] == "/sign-in?next=/runs%3Fx%3D1"
    for method, path in (
        ("GET", "/server_info"), ("POST", "/graphql"), ("GET", "/graphql?query={version}"), ("GET", "/logs/x"),
        ("GET", "/download_debug/x"), ("POST", "/report_asset_materialization/small"), ("GET", "/notebook"),
        ("POST", "/sign-out"), ("GET", "/favicon.ico"), ("GET", "//graphql?query={version}"),
    ):  # fmt: skip
        answer = requests.request(method, web.url + path, timeout=30, allow_redirects=False)
        assert answer.status_code == 401, path
        assert answer.json() == {"errors": [{"message": "Sign in first."}]}

    told = requests.get(f"{web.url}/health", timeout=30)
    assert told.status_code == 503  # no daemon runs here
    assert set(told.json()) == {
        "environment", "version", "database", "oldest_lag_seconds", "daemon_heartbeat_seconds_ago"
    }  # fmt: skip
    assert told.json()["database"] == "ok"


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
        "cut off": auth.token("engineer")[:-9],
        "nothing": "",
    }  # fmt: skip
    for what, token in tokens.items():
        answer = web.graphql("{ version }", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, what
    good = web.graphql("{ version }", headers={"Authorization": f"Bearer {auth.token('viewer')}"})
    assert "version" in good.json()["data"]


def test_published_keys_work_and_a_secret_is_never_taken_for_one(auth: Auth) -> None:
    reader = TokenReader(Settings(auth_url=auth.url))
    signed = jwt.encode(auth.claims("analyst"), auth.key, algorithm="ES256", headers={"kid": "k1"})
    assert reader.read(signed).role == "analyst"
    stranger = jwt.encode(
        auth.claims("engineer"), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": "k1"}
    )
    confused = jwt.encode(auth.claims("engineer"), SECRET, algorithm="HS256", headers={"kid": "k1"})
    for token in (stranger, confused):
        with pytest.raises(AuthError, match="not valid"):
            reader.read(token)


def test_each_role_may_do_its_own_and_no_more(web: Installation) -> None:
    wipe = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
    hidden = "query Look { version } mutation Look2 { ...all } fragment all on Mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"  # noqa: E501
    may = {"viewer": (403, 403), "analyst": (200, 403), "engineer": (200, 200)}
    for role, (launches, wipes) in may.items():
        cookies, headers = web.cookie_of(role), {"Origin": web.url}
        assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 200
        launched = web.graphql(LAUNCH, PARAMS, cookies=cookies, headers=headers)
        assert launched.status_code == launches, (role, launched.text)
        if launches == 200:
            run_id = launched.json()["data"]["launchRun"]["run"]["runId"]
            run = web.instance.get_run_by_id(run_id)
            assert run is not None
            assert run.tags["cheerful/launched_by"] == f"user-{role}"
        else:
            assert f"The role {role} may not do this" in launched.json()["errors"][0]["message"]
        assert web.graphql(wipe, cookies=cookies, headers=headers).status_code == wipes
        # By GET, as a document of several operations, and in a text body, too.
        params = {"query": wipe}
        assert requests.get(f"{web.url}/graphql", params=params, cookies=cookies, timeout=30).status_code == wipes
        several = requests.post(
            f"{web.url}/graphql", json={"query": hidden, "operationName": "Look2"}, cookies=cookies, headers=headers,
            timeout=30,
        )  # fmt: skip
        assert several.status_code == wipes
        plain = requests.post(
            f"{web.url}/graphql", data=wipe, cookies=cookies, timeout=30,
            headers={**headers, "Content-Type": "application/graphql"},
        )  # fmt: skip
        assert plain.status_code == wipes
        report = requests.post(
            f"{web.url}/report_asset_materialization/small", cookies=cookies, headers=headers, timeout=30
        )
        assert (report.status_code == 403) is (role != "engineer")


def test_another_site_cannot_speak_for_a_visitor(web: Installation) -> None:
    cookies = web.cookie_of("engineer")
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert web.graphql(LAUNCH, PARAMS, cookies=cookies, headers=headers).status_code == 403
        assert web.sign_in("engineer", headers=headers).status_code == 403
    answer = web.sign_in("viewer", params={"next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
    said = answer.headers["Set-Cookie"]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said


def test_a_cookie_that_was_tampered_with_or_is_over_is_none() -> None:
    sessions, now = Sessions("ef" * 32, hours=1), datetime.now(UTC)
    viewer = Visitor(user_id="u", role="viewer", until=now)
    value = sessions.begin(viewer, now)
    found = sessions.read(value, now + timedelta(minutes=59))
    assert found is not None
    assert found.role == "viewer"
    assert sessions.read(value, now + timedelta(minutes=61)) is None
    assert Sessions("ab" * 32, hours=1).read(value) is None
    assert sessions.read(value[:-2] + "xx") is None
    assert sessions.read("") is None


def test_failed_sign_ins_are_counted(web: Installation, auth: Auth) -> None:
    """Of an account no more than ten in a quarter of an hour, also with the right password then."""
    asked = auth.asked
    codes = [web.sign_in("guessed", password=f"wrong {n}").status_code for n in range(12)]
    assert codes[:10] == [401] * 10
    assert codes[10:] == [429] * 2
    assert web.sign_in("guessed").status_code == 429
    assert auth.asked == asked + 10


def test_a_websocket_needs_a_session_and_changes_nothing(web: Installation) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    where = web.url.replace("http", "ws") + "/graphql"
    with pytest.raises(InvalidStatus):
        connect(where, subprotocols=["graphql-ws"]).close()  # type: ignore[list-item]
    cookie = "; ".join(f"{k}={v}" for k, v in _viewer_cookie(web).items())
    with pytest.raises(InvalidStatus):
        connect(
            where, subprotocols=["graphql-ws"], additional_headers={"Cookie": cookie}, origin="https://evil.example",  # type: ignore[list-item,arg-type]
        ).close()  # fmt: skip
    before = web.instance.get_runs_count()
    with connect(
        where, subprotocols=["graphql-ws"], additional_headers={"Cookie": cookie}, origin=web.url,  # type: ignore[list-item,arg-type]
    ) as socket:  # fmt: skip
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=20))["type"] == "connection_ack"
        launch = {"id": "1", "type": "start", "payload": {"query": LAUNCH, "variables": PARAMS}}
        socket.send(json.dumps(launch))
        answer = json.loads(socket.recv(timeout=20))
        assert answer["type"] == "error"
    assert web.instance.get_runs_count() == before


def _viewer_cookie(web: Installation) -> dict[str, str]:
    sessions = Sessions("ef" * 32, hours=1)
    return {COOKIE: sessions.begin(Visitor(user_id="user-viewer", role="viewer", until=datetime.now(UTC)))}


def test_logs_say_who_did_what_and_no_address(web: Installation) -> None:
    with capture_logs() as events:
        web.sign_in("nobody", password="wrong")
        token = web.auth.token("engineer")
        web.graphql(LAUNCH, PARAMS, headers={"Authorization": f"Bearer {token}"})
    said = str(events)
    assert "mutation_sent" in said
    assert "user-engineer" in said
    assert "sign_in_failed" in said
    assert "brand.example" not in said
    assert token not in said


NAMES = st.from_regex(r"[a-z][A-Za-z]{2,12}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(ROLES))
def test_whatever_is_not_listed_is_for_engineers(names: list[str], role: Any) -> None:
    query = "mutation { " + " ".join(f"a{n}: {name}(x: 1) {{ y }}" for n, name in enumerate(names)) + " }"
    found = mutations_in(query, None)
    assert found == tuple(names)
    assert may_send("engineer", found)
    assert not may_send("viewer", found)
    if "wipeAssets" in found or any(name not in mutations_of_analysts() for name in found):
        assert may_send(role, found) is (role == "engineer")


def mutations_of_analysts() -> frozenset[str]:
    from cheerful_pipelines.web.roles import MAY_SEND

    return MAY_SEND["analyst"]


def test_every_mutation_of_this_dagster_is_decided_on_purpose() -> None:
    """A name that is listed and no longer exists, or was never there, is a mistake."""
    from dagster_graphql.schema import create_schema

    there = set(create_schema().graphql_schema.mutation_type.fields)
    assert mutations_of_analysts() <= there


def test_a_document_with_several_operations_must_say_which() -> None:
    with pytest.raises(GraphQLError):
        mutations_in("query A { x } mutation B { y }", None)
    assert mutations_in("query A { x } mutation B { y }", "A") == ()
    assert mutations_in("query A { x } mutation B { y }", "B") == ("y",)
    assert mutations_in("subscription { x }", None) == ()
    loop = "mutation { ...a } fragment a on M { ...b } fragment b on M { ...a z }"
    assert mutations_in(loop, None) == ("z",)


@pytest.mark.parametrize("shape", ["executionParams", "list", "backfillParams", "reexecutionParams", "other"])
def test_who_launches_stands_in_the_tags_and_cannot_be_written_by_the_visitor(shape: str) -> None:
    false = [{"key": "cheerful/launched_by", "value": "somebody else"}, {"key": "kept", "value": "1"}]
    shapes: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "executionParams": (
            {"executionParams": {"executionMetadata": {"tags": false}}},
            lambda v: v["executionParams"]["executionMetadata"]["tags"],
        ),
        "list": (
            {"executionParams": [{"executionMetadata": {"tags": false}}]},
            lambda v: v["executionParams"][0]["executionMetadata"]["tags"],
        ),
        "backfillParams": ({"backfillParams": {"tags": false}}, lambda v: v["backfillParams"]["tags"]),
        "reexecutionParams": (
            {"reexecutionParams": {"extraTags": false}}, lambda v: v["reexecutionParams"]["extraTags"]
        ),
        "other": ({"x": 1}, lambda v: [{"key": "kept", "value": "1"}, {"key": "cheerful/launched_by", "value": "me"}]),
    }  # fmt: skip
    variables, tags = shapes[shape]
    assert tags(with_launcher(variables, "me")) == [
        {"key": "kept", "value": "1"}, {"key": "cheerful/launched_by", "value": "me"}
    ]  # fmt: skip


def test_a_person_signs_in_looks_is_told_what_they_may_not_do_and_signs_out(web: Installation, tmp_path: Path) -> None:
    executable = browser.browser()
    if executable is None:
        warnings.warn("no Chromium on the path: the login was not tried in a browser", stacklevel=1)
        return
    from playwright.sync_api import expect

    with browser.page_of(executable) as page:
        page.goto(f"{web.url}/assets/small")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
        page.get_by_label("Address").fill("viewer@brand.example")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("Address or password are wrong")
        page.screenshot(path=str(tmp_path / "sign-in.png"))
        page.get_by_label("Address").fill("viewer@brand.example")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/assets/small**")
        expect(page.get_by_role("button", name="Materialize").first).to_be_disabled()
        page.screenshot(path=str(tmp_path / "refused.png"))
        assert page.evaluate("document.cookie") == ""  # no script reads the session
        page.evaluate("fetch('/sign-out', {method: 'POST'})")
        page.goto(f"{web.url}/runs")
        expect(page.get_by_role("button", name="Sign in")).to_be_visible()
