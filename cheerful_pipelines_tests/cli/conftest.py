"""What the tests of the tool share: the environment that `dev.sh env` would export."""

from pathlib import Path

import pytest

from cheerful_pipelines.core.settings import load_settings


@pytest.fixture
def installation(google_url: str, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A local installation on this test's database and the session's local Google server."""
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path))
    monkeypatch.setenv("CHEERFUL_DATABASE_URL", database_url)
    monkeypatch.setenv("CHEERFUL_LOCAL_GOOGLE_URL", google_url)
    monkeypatch.setenv("CHEERFUL_CREDENTIALS_KEY", "ab" * 32)
    monkeypatch.setenv("CHEERFUL_ADDRESS_HASH_KEY", "cd" * 16)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    load_settings.cache_clear()
