"""Malformed requests over real HTTP and websockets: an answer of 4xx or a protocol error, never 500, nothing stored."""

import json
import socket
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import pytest
import requests
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from cheerful_pipelines.web.sessions import COOKIE
from cheerful_pipelines_tests.web.installation import Installation
from cheerful_pipelines_tests.web.launching import launch_params

BY_HTTP = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
LAUNCH = "mutation Go($p: ExecutionParams!) { launchRun(executionParams: $p) { __typename } }"
RUN = "query Run($id: ID!) { runOrError(runId: $id) { __typename } }"
LOGS = "subscription ($id: ID!) { pipelineRunLogs(runId: $id) { __typename } }"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WS = Subprotocol("graphql-ws")
LAUGHS = "a: &a [x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in pairwise("abcdefghijk")
)
"""A few hundred bytes of YAML that are 9 ** 10 values."""
QUERIES = st.sampled_from([LAUNCH, RUN, "{ version }", "{", "", "\0", "\ud800"])


def post(
    web: Installation, content: Any, *, role: str = "analyst", kind: str = "application/json"
) -> requests.Response:
    """POST /graphql."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    headers = {"Authorization": f"Bearer {web.auth.token(role)}", "Content-Type": kind}
    return requests.post(f"{web.url}/graphql", data=body, headers=headers, timeout=60)


def get(web: Installation, target: str, **more: Any) -> requests.Response:
    """GET by an engineer."""
    headers = {"Authorization": f"Bearer {web.auth.token('engineer')}"}
    return requests.get(web.url + target, headers=headers, timeout=60, allow_redirects=False, **more)


@BY_HTTP
@given(JSON | st.fixed_dictionaries({"query": QUERIES | JSON}, optional={"variables": JSON, "operationName": JSON}))
@example({"query": LAUNCH, "variables": [{"p": launch_params([])}]})
@example({"query": LAUNCH, "variables": json.dumps([{"p": launch_params([])}])})
@example({"query": LAUNCH, "variables": "1" * 5_000})
@example({"query": LAUNCH, "variables": "[" * 100_000})
@example({"query": LAUNCH, "variables": {"p": launch_params([])}, "operationName": 1})
@example({"query": LAUNCH, "variables": {"p": launch_params([])}, "operationName": ["Go"]})
@example([{"query": LAUNCH, "variables": {"p": launch_params([])}}])
@example({"query": "{ version }", "variables": []})
@example({"query": "{ version }", "variables": 0})
@example({"query": RUN, "variables": {"id": "\0"}})
@example({"query": RUN, "variables": {"id": "\ud800"}})
@example({"query": '{ runOrError(runId: "\\u0000") { __typename } }'})
@example({"query": "{ __schema { types " + "{ ofType " * 120 + "{ name " + "}" * 123})
@example({"query": "{ __schema { types " + "{ ofType " * 250 + "{ name " + "}" * 253})
@example({"query": "{ version }" + " a" * 20_000})
@example({"query": LAUNCH, "variables": {"p": json.loads("[" * 200 + "]" * 200)}})
def test_no_body_is_an_error_of_ours(web: Installation, content: Any) -> None:
    before = web.instance.get_runs_count()
    answer = post(web, content)
    query = content.get("query") if isinstance(content, dict) else None
    is_request = query in ("{ version }", RUN) or "__schema" in str(query)
    assert answer.status_code in ((200, 400) if is_request else (400,)), answer.text
    assert "Traceback" not in answer.text
    assert "errorInfo" not in answer.text
    assert web.instance.get_runs_count() == before


@BY_HTTP
@given(st.binary(max_size=60), st.sampled_from(["application/json", "application/graphql", "text/plain", "\xe9"]))
def test_no_bytes_are_an_error_of_ours(web: Installation, body: bytes, kind: str) -> None:
    assert post(web, body, kind=kind).status_code == 400


def test_a_body_without_end_is_refused(web: Installation) -> None:
    assert post(web, b" " * 5_000_001).status_code == 413


@pytest.mark.parametrize("role", ["analyst", "engineer"])
@pytest.mark.parametrize(
    "config",
    ["[1]", "3", '"x"', "null", '{"ops": 3}', "[[", '{"execution": [1]}', "{1: 2}", "&a [*a]", "ops: &a [*a]", LAUGHS],
)
def test_a_run_config_that_is_none_stores_nothing(web: Installation, role: str, config: str) -> None:
    before, backfills = web.instance.get_runs_count(), len(web.instance.get_backfills())
    answer = post(web, {"query": LAUNCH, "variables": {"p": launch_params([], config=config)}}, role=role)
    is_object = config in ("null", '{"ops": 3}', '{"execution": [1]}')  # the job's own schema decides
    assert answer.status_code == (200 if is_object else 400), answer.text
    assert is_object or web.instance.get_runs_count() == before
    assert len(web.instance.get_backfills()) == backfills


@BY_HTTP
@given(
    st.sampled_from(["/", "/runs/", "/logs/", "/download_debug/", "/notebook", "/graphql", "/sign-in", "/assets/"]),
    st.binary(max_size=40),
    st.binary(max_size=40),
)
@example("/logs/", b"", b"")
@example("/logs/", b"x", b"")
@example("/logs/", b"storage//", b"")
@example("/logs/", b"../../etc/passwd", b"")
@example("/logs/", b"a/../out", b"")
@example("/logs/", b"a/b\0/out", b"")
@example("/logs/", b"a" * 1_000 + b"/out", b"")
@example("/download_debug/", b"no-such-run", b"")
@example("/download_debug/", b"\0", b"")
@example("/notebook", b"", b"")
@example("/notebook", b"", b"path=x.ipynb")
@example("/runs/", b"\xff", b"")
@example("/runs/", b"a" * 5_000, b"")
@example("/runs", b"", b"a" * 40_000)
@example("/graphql", b"", b"query={version}&variables=[1]")
@example("/graphql", b"", b"query={version}&variables=" + b"1" * 5_000)
@example("/sign-in", b"", b"next=\xff\0")
def test_no_path_and_no_query_string_is_an_error_of_ours(
    web: Installation, path: str, rest: bytes, query: bytes
) -> None:
    answer = get(web, f"{path}{quote(rest, safe='')}?{quote(query, safe='=&{}[]')}")
    assert answer.status_code < 500, answer.text
    if b"\0" in rest + query or not _is_utf8(rest) or not _is_utf8(query):
        assert answer.status_code == 400, answer.text
    if len(rest) > 4_096 or len(query) > 32_768:
        assert answer.status_code == 414
    if path == "/logs/" and rest:
        assert answer.status_code in (400, 404)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("target", [b"/runs/\xff", b"/\x00", b"/a b", b"", b"*", b"http://[", b"/" + b"a" * 200_000])
def test_a_request_line_that_is_none_is_refused_and_the_server_goes_on(web: Installation, target: bytes) -> None:
    host, port = web.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line = raw.recv(4_096).split(b"\r\n")[0]
    assert line.startswith(b"HTTP/1.1 4"), line
    assert get(web, "/server_info").status_code == 200


@BY_HTTP
@given(
    st.sampled_from(["materialization", "check", "observation"]),
    JSON
    | st.fixed_dictionaries({}, optional={name: JSON for name in ("asset_key", "metadata", "partition", "passed")}),
    st.sampled_from(["/small", "/", "/no-such-asset"]),
)
@example("materialization", [], "/small")
@example("materialization", {"asset_key": 3}, "/")
@example("materialization", {"partition": "\0"}, "/small")
@example("check", {"passed": True, "check_name": 3, "metadata": []}, "/small")
def test_no_report_is_an_error_of_ours(web: Installation, kind: str, content: Any, asset: str) -> None:
    headers = {"Authorization": f"Bearer {web.auth.token('engineer')}", "Content-Type": "application/json"}
    answer = requests.post(
        f"{web.url}/report_asset_{kind}{asset}", data=json.dumps(content).encode(), headers=headers, timeout=60
    )
    assert answer.status_code < 500, answer.text
    if not isinstance(content, dict):
        assert answer.status_code == 400


@pytest.fixture(scope="module")
def channel(running: Installation) -> Iterator[ClientConnection]:
    """A websocket of an engineer that lives through everything below."""
    running.gate.forget_failures()
    headers = {"Cookie": f"{COOKIE}={running.cookie_of('engineer')[COOKIE]}"}
    where = running.url.replace("http", "ws") + "/graphql"
    with connect(where, subprotocols=[WS], additional_headers=headers, origin=Origin(running.url)) as found:
        yield found


def answers(channel: ClientConnection, *frames: str | bytes) -> list[dict[str, Any]]:
    """What comes back until the acknowledgement of a last, well-formed message: the channel goes on."""
    for frame in (*frames, json.dumps({"type": "connection_init"})):
        channel.send(frame)
    found: list[dict[str, Any]] = []
    while not found or found[-1]["type"] != "connection_ack":
        found.append(json.loads(channel.recv(timeout=60)))
    return found[:-1]


@BY_HTTP
@given(
    JSON.map(json.dumps)
    | st.text(st.characters(codec="utf-8"))
    | st.binary(max_size=30)
    | st.fixed_dictionaries(
        {"type": st.sampled_from(["start", "stop", "data", "", None, 3]) | JSON},
        optional={
            "id": st.none() | JSON,
            "payload": JSON
            | st.fixed_dictionaries(
                {"query": QUERIES | st.just(LOGS) | JSON}, optional={"variables": JSON, "operation_name": JSON}
            ),
        },
    ).map(json.dumps)
)
@example("{")
@example("[" * 100_000)
@example("1" * 5_000)
@example(b"\xff")
@example(json.dumps({"type": "start"}))
@example(json.dumps({"type": "start", "id": ["a"], "payload": {"query": "{ version }"}}))
@example(json.dumps({"type": "start", "id": "\ud800", "payload": {"query": "{ version }"}}))
@example(json.dumps({"type": "start", "id": "a", "payload": {"query": LOGS, "variables": [1]}}))
@example(json.dumps({"type": "start", "id": "a", "payload": {"query": LOGS, "variables": {"id": "\0"}}}))
@example(json.dumps({"type": "start", "id": "a", "payload": {"query": LAUNCH, "operation_name": 3}}))
@example(json.dumps({"type": "start", "id": "a", "payload": {}}))
@example(json.dumps({"type": "nonsense", "id": "a"}))
def test_no_message_ends_a_websocket(channel: ClientConnection, web: Installation, frame: str | bytes) -> None:
    before = web.instance.get_runs_count()
    said = answers(channel, frame)
    assert len(said) <= 1
    for one in said:
        assert one["type"] in ("error", "connection_error")
        assert one["payload"]["message"]
        assert "Traceback" not in str(one)
    message = _object(frame)
    if not isinstance(message, dict) or message.get("type") != "stop":
        assert said or (message or {}).get("type") == "connection_init", frame
    assert web.instance.get_runs_count() == before


def _object(frame: str | bytes) -> Any:
    try:
        return json.loads(frame)
    except (ValueError, RecursionError):
        return None


def test_a_run_that_is_none_is_an_answer_and_the_id_may_be_used_again(channel: ClientConnection) -> None:
    start = {"type": "start", "id": "gone", "payload": {"query": LOGS, "variables": {"id": "no-such-run"}}}
    channel.send(json.dumps(start))
    assert json.loads(channel.recv(timeout=60))["id"] == "gone"


def test_a_malformed_address_of_a_websocket_is_refused(web: Installation) -> None:
    headers = {"Cookie": f"{COOKIE}={web.cookie_of('viewer')[COOKIE]}"}
    for target in ("/graphql?x=%00", "/%ff"):
        with pytest.raises(InvalidStatus):
            connect(web.url.replace("http", "ws") + target, additional_headers=headers, origin=Origin(web.url)).close()
