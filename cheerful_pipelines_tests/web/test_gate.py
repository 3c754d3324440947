"""The gate in front of Dagster's web server, over real HTTP: nobody passes who is not signed in, no other site speaks
for a visitor, mutations come by POST, and each role does its own."""

import json
from typing import Any

import pytest
import requests
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from cheerful_pipelines.web.sessions import COOKIE
from cheerful_pipelines_tests.web.installation import Installation
from cheerful_pipelines_tests.web.launching import launch_params

LAUNCH = """
mutation Launch($executionParams: ExecutionParams!) {
  launchRun(executionParams: $executionParams) { __typename ... on LaunchRunSuccess { run { runId } } }
}
"""
PARAMS = {"executionParams": launch_params([])}
WIPE = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"


def test_without_signing_in_there_is_the_form_and_health_and_nothing_else(web: Installation) -> None:
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


def test_each_role_may_do_its_own_and_no_more(web: Installation) -> None:
    hidden = f"query Look {{ version }} mutation Look2 {{ ...all }} fragment all on Mutation {WIPE[9:]}"
    may = {"viewer": (403, 403), "analyst": (200, 403), "engineer": (200, 200)}
    for role, (launches, wipes) in may.items():
        cookies, headers = web.cookie_of(role), {"Origin": web.url}
        assert web.graphql("{ version }", cookies=cookies, headers=headers).status_code == 200
        launched = web.graphql(LAUNCH, PARAMS, cookies=cookies, headers=headers)
        assert launched.status_code == launches, (role, launched.text)
        if launches == 200:
            run = web.instance.get_run_by_id(launched.json()["data"]["launchRun"]["run"]["runId"])
            assert run is not None
            assert run.tags["cheerful/launched_by"] == f"user-{role}"
        else:
            assert f"The role {role} may not do this" in launched.json()["errors"][0]["message"]
        assert web.graphql(WIPE, cookies=cookies, headers=headers).status_code == wipes
        # As a document of several operations, and in a text body, too.
        several = requests.post(
            f"{web.url}/graphql", json={"query": hidden, "operationName": "Look2"}, cookies=cookies, headers=headers,
            timeout=30,
        )  # fmt: skip
        assert several.status_code == wipes
        plain = requests.post(
            f"{web.url}/graphql", data=WIPE, cookies=cookies, timeout=30,
            headers={**headers, "Content-Type": "application/graphql"},
        )  # fmt: skip
        assert plain.status_code == wipes
        report = requests.post(
            f"{web.url}/report_asset_materialization/small", cookies=cookies, headers=headers, timeout=30
        )
        assert (report.status_code == 403) is (role != "engineer")


@pytest.mark.parametrize("role", ["viewer", "analyst", "engineer"])
def test_mutations_come_by_post_only(role: str, web: Installation) -> None:
    """A link, an image or a prefetch sends GET with the cookie, and from anywhere."""
    cookies, before = web.cookie_of(role), web.instance.get_runs_count()
    variables = json.dumps(PARAMS)
    for query, more in ((WIPE, {}), (LAUNCH, {"variables": variables})):
        for method in ("GET", "HEAD"):
            answer = requests.request(
                method, f"{web.url}/graphql", params={"query": query, **more}, cookies=cookies, timeout=30
            )
            assert answer.status_code == 405
    assert requests.get(f"{web.url}/graphql?query={{version}}", cookies=cookies, timeout=30).status_code == 200
    assert web.instance.get_runs_count() == before


def test_another_site_cannot_speak_for_a_visitor(web: Installation) -> None:
    cookies = web.cookie_of("engineer")
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://["}):
        assert web.graphql(LAUNCH, PARAMS, cookies=cookies, headers=headers).status_code == 403
        assert web.sign_in("engineer", headers=headers).status_code == 403
    answer = web.sign_in("viewer", params={"next": "https://evil.example/"})
    assert answer.headers["Location"] == "/"
    said = answer.headers["Set-Cookie"]
    assert said.count("HttpOnly") == 2
    assert said.count("SameSite=lax") == 2


@pytest.mark.parametrize(
    "body",
    [b"[1]", b"null", b"{", b"\xff", b"[" * 20_000, b'{"query": 1}', b'{"query": "{version}", "variables": [1]}',
     b'{"query": "{version}", "operationName": 3}', b'{"query": "' + b"{a" * 5_000 + b'"}'],
)  # fmt: skip
def test_a_body_that_is_no_request_is_400(body: bytes, web: Installation) -> None:
    headers = {"Authorization": f"Bearer {web.auth.token('viewer')}", "Content-Type": "application/json"}
    assert requests.post(f"{web.url}/graphql", data=body, headers=headers, timeout=30).status_code == 400


def test_a_websocket_needs_a_session_and_carries_subscriptions_only(web: Installation) -> None:
    where = web.url.replace("http", "ws") + "/graphql"
    cookie = f"{COOKIE}={web.cookie_of('engineer')[COOKIE]}"
    for headers, origin in (({}, web.url), ({"Cookie": cookie}, "https://evil.example"), ({"Cookie": "x=y"}, web.url)):
        with pytest.raises(InvalidStatus):
            connect(where, subprotocols=["graphql-ws"], additional_headers=headers, origin=origin).close()  # type: ignore[list-item,arg-type]
    before = web.instance.get_runs_count()
    with connect(
        where, subprotocols=["graphql-ws"], additional_headers={"Cookie": cookie}, origin=web.url,  # type: ignore[list-item,arg-type]
    ) as socket:  # fmt: skip
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(timeout=20))["type"] == "connection_ack"
        two = f"subscription A {{ locationStateChangeEvents {{ event {{ message }} }} }} {LAUNCH}"
        for number, (query, name) in enumerate(((LAUNCH, None), ("{ version }", None), (two, "Launch"), (two, None))):
            payload = {"query": query, "variables": PARAMS, "operation_name": name}
            socket.send(json.dumps({"id": str(number), "type": "start", "payload": payload}))
            assert json.loads(socket.recv(timeout=20))["type"] == "error"
    assert web.instance.get_runs_count() == before


def test_logs_say_who_did_what_and_no_address(web: Installation) -> None:
    with capture_logs() as events:
        web.sign_in("nobody", password="wrong")
        cookies = web.cookie_of("viewer")
        requests.post(f"{web.url}/sign-out", cookies=cookies, headers={"Origin": web.url}, timeout=30)
        token = web.auth.token("engineer")
        web.graphql(LAUNCH, PARAMS, headers={"Authorization": f"Bearer {token}"})
    said = str(events)
    for name in ("mutation_sent", "user-engineer", "sign_in_failed", "signed_in", "signed_out"):
        assert name in said
    assert "brand.example" not in said
    assert token not in said


def test_a_database_that_is_away_is_503_and_says_so(web: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    from cheerful_pipelines.core.errors import TransientError

    cookies = web.cookie_of("viewer")

    def away(*_: Any, **__: Any) -> None:
        raise TransientError("The database cannot be reached.")

    monkeypatch.setattr(web.gate._sessions._store, "find", away)
    answer = web.graphql("{ version }", cookies=cookies, headers={"Origin": web.url})
    assert answer.status_code == 503
    assert "database" in answer.json()["errors"][0]["message"]
