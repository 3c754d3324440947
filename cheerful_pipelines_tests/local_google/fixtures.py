"""Pytest fixtures for the local Google server: one server a session, emptied before each test that asks for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin


@pytest.fixture(scope="session")
def google_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the session's server."""
    from cheerful_pipelines.local_google.server import ServerThread  # not for sessions that need no Google

    with ServerThread(tmp_path_factory.mktemp("google") / "google.sqlite") as server:
        yield server.url


@pytest.fixture
def google(google_url: str) -> LocalGoogleAdmin:
    """The server, emptied: no mailbox, no sheet, no fault, counts at nought. `.url` is its address."""
    found = LocalGoogleAdmin(google_url)
    found.wipe()
    return found


@pytest.fixture
def google_settings(google: LocalGoogleAdmin, tmp_path: Path) -> Settings:
    """Settings of a local installation that talks to this test's server."""
    return Settings(
        home=tmp_path,
        local_google_url=google.url,
        gmail_units_per_minute=100_000_000,
        gmail_project_units_per_minute=100_000_000,
        credentials_key="ab" * 32,  # type: ignore[arg-type]
        address_hash_key="cd" * 16,  # type: ignore[arg-type]
    )
