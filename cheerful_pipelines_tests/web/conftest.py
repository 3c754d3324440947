"""One web server for all tests of this folder; each starts without failed sign-ins and with Supabase Auth as usual."""

from collections.abc import Iterator

import pytest

from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines_tests.web.installation import Auth, Installation, installation


@pytest.fixture(scope="session")
def auth() -> Iterator[Auth]:
    found = Auth()
    yield found
    found.close()


@pytest.fixture(scope="session")
def running(auth: Auth, tmp_path_factory: pytest.TempPathFactory, postgres: EmbeddedPostgres) -> Iterator[Installation]:
    owner = Database(postgres.url("cheerful_web"))
    migrate(owner)
    owner.close()
    url = postgres.url("cheerful_web", as_pipeline=True)
    with installation(auth, tmp_path_factory.mktemp("web"), url, session_check_seconds=0) as found:
        yield found


@pytest.fixture
def web(running: Installation) -> Installation:
    """The installation, no failed sign-in remembered."""
    running.gate.forget_failures()
    auth = running.auth
    auth.is_away, auth.issues_refresh_tokens, auth.seconds_to_answer, auth.roles = False, False, 0.0, {}
    return running
