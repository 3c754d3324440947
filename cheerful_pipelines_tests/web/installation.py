"""What the tests of the web server share: Supabase Auth as far as it is asked, and our web server on a port."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import requests
import uvicorn
from cryptography.hazmat.primitives.asymmetric import ec
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from requests.adapters import HTTPAdapter

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.__main__ import gated_app
from cheerful_pipelines.web.attempts import DEVICE_COOKIE
from cheerful_pipelines.web.gate import Gate
from cheerful_pipelines.web.sessions import COOKIE
from cheerful_pipelines_tests.test_system import free_port

SECRET = "a shared secret of the project, long enough for HS256"
PASSWORD = "correct horse battery staple"
SESSION_KEY = "ef" * 32
TINY = """
import dagster as dg

spring = dg.StaticPartitionsDefinition(["spring", "summer"])

@dg.asset
def small() -> None:
    pass

@dg.asset(partitions_def=spring)
def by_season() -> None:
    pass

@dg.op(config_schema={"fails": dg.Field(bool, default_value=False)})
def work(context) -> None:
    pass

@dg.job(tags={"dagster/priority": "3", "team": "data"}, executor_def=dg.in_process_executor)
def tagged():
    work()

@dg.job(partitions_def=spring, executor_def=dg.in_process_executor)
def seasonal():
    work()

defs = dg.Definitions(assets=[small, by_season], jobs=[tagged, seasonal], executor=dg.in_process_executor)
"""
INSTANCE = """
telemetry:
  enabled: false
nux:
  enabled: false
run_coordinator:
  module: dagster._core.run_coordinator.queued_run_coordinator
  class: QueuedRunCoordinator
"""


class Auth:
    """Supabase Auth: tokens for a password or a refresh token, and published keys. A user's role is their address'
    first part until `roles` says otherwise."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.asked = 0  # with a password
        self.refreshes = 0
        self.is_away = False
        self.issues_refresh_tokens = False
        self.seconds_to_answer = 0.0
        self.roles: dict[str, str | None] = {}
        auth = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if "refresh_token" in body:
                    auth.refreshes += 1
                else:
                    auth.asked += 1
                time.sleep(auth.seconds_to_answer)
                self._say(*auth.answer(body))

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

        class Server(ThreadingHTTPServer):
            request_queue_size = 128
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/auth/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, body: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Status and JSON of POST /token."""
        if self.is_away:
            return 503, {}
        user = body.get("refresh_token", "").removeprefix("refresh-") or body.get("email", "").partition("@")[0]
        role = self.roles.get(user, user)
        if role is None or body.get("password", PASSWORD) != PASSWORD:
            return 400, {"error": "invalid_grant"}
        token = self.token(user, app_metadata={"cheerful_role": role})
        refresh = {"refresh_token": f"refresh-{user}"} if self.issues_refresh_tokens else {}
        return 200, {"access_token": token, **refresh}

    def claims(self, role: str, **changed: Any) -> dict[str, Any]:
        """Of a user with this role."""
        now = datetime.now(UTC)
        return {
            "sub": f"user-{role}", "aud": "authenticated", "iss": self.url, "exp": now + timedelta(hours=1),
            "app_metadata": {"cheerful_role": role}, **changed,
        }  # fmt: skip

    def token(self, role: str, secret: str = SECRET, **changed: Any) -> str:
        """Signed with the shared secret."""
        return jwt.encode(self.claims(role, **changed), secret, algorithm="HS256")

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


class FromAddress(HTTPAdapter):
    """Requests that leave from another loopback address: another network."""

    def __init__(self, address: str) -> None:
        self._from = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """With the source address."""
        super().init_poolmanager(*args, source_address=(self._from, 0), **kwargs)


class Installation:
    """Dagster's web server behind the gate, on a port."""

    def __init__(self, url: str, auth: Auth, context: WorkspaceProcessContext, gate: Gate, settings: Settings) -> None:
        self.url, self.auth, self.context, self.gate, self.settings = url, auth, context, gate, settings
        self.instance = context.instance

    def graphql(self, query: str, variables: Any = None, **more: Any) -> requests.Response:
        """POST /graphql."""
        return requests.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60, **more)

    def as_role(self, role: str, query: str, variables: Any = None) -> requests.Response:
        """The same, as a program with this role's token."""
        return self.graphql(query, variables, headers={"Authorization": f"Bearer {self.auth.token(role)}"})

    def cookie_of(self, role: str) -> dict[str, str]:
        """Of a fresh sign-in."""
        answer = self.sign_in(role)
        assert answer.status_code == 303, answer.text
        return {COOKIE: answer.cookies[COOKIE]}

    def sign_in(
        self, role: str, password: str = PASSWORD, *, source: str = "127.0.0.1", browser: str = "", **more: Any
    ) -> requests.Response:
        """POST /sign-in from a loopback address, with the cookie of a known browser if one is given."""
        headers = more.pop("headers", {"Origin": self.url})
        with requests.Session() as session:
            session.mount("http://", FromAddress(source))
            return session.post(
                f"{self.url}/sign-in", data={"address": f"{role}@brand.example", "password": password},
                headers=headers, cookies={DEVICE_COOKIE: browser} if browser else {}, allow_redirects=False, timeout=30,
                **more,
            )  # fmt: skip


@contextmanager
def served(app: Any, port: int) -> Iterator[None]:
    """An ASGI application on a port of 127.0.0.1, as __main__ serves it."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", proxy_headers=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.05)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@contextmanager
def installation(auth: Auth, folder: Path, database_url: str, **changed: Any) -> Iterator[Installation]:
    """Dagster with four small jobs behind the gate."""
    (folder / "tiny.py").write_text(TINY)
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text(INSTANCE)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = Settings(
        auth_url=auth.url, auth_jwt_secret=SECRET, session_key=SESSION_KEY, web_url=url, database_url=database_url,
        **changed,
    )  # fmt: skip
    target = PythonFileTarget(
        python_file=str(folder / "tiny.py"), attribute=None, working_directory=str(folder), location_name="tiny.py"
    )
    with (
        DagsterInstance.from_config(str(folder / "home")) as instance,
        WorkspaceProcessContext(instance, target, version="1") as context,
    ):
        app = gated_app(settings, instance, context)
        with served(app, port):
            yield Installation(url, auth, context, app, settings)
