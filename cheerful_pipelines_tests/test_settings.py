"""Settings are read once, refuse what is wrong in words, and never show a secret."""

import pytest

from cheerful_pipelines.errors import ConfigurationError
from cheerful_pipelines.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _fresh_settings() -> None:
    load_settings.cache_clear()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("CHEERFUL_CREDENTIALS_KEY", "ab" * 31, "exactly 64 hexadecimal characters, this one has 62"),
        ("CHEERFUL_CREDENTIALS_KEY", "zz" * 32, "not hexadecimal"),
        ("CHEERFUL_ADDRESS_HASH_KEY", "ab" * 32, "exactly 32 hexadecimal characters, this one has 64"),
        ("CHEERFUL_MODE", "demo", "local"),
    ],
)
def test_a_wrong_value_is_refused_in_words_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=words) as caught:
        load_settings()

    assert len(value) < 8 or value not in str(caught.value)


def test_production_refuses_local_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEERFUL_ENVIRONMENT", "production")

    with pytest.raises(ConfigurationError, match="CHEERFUL_MODE=live"):
        load_settings()


def test_a_missing_database_url_says_how_to_get_one() -> None:
    with pytest.raises(ConfigurationError, match=r"dev\.sh"):
        Settings().require_database_url()


def test_secrets_are_masked_in_every_printed_form() -> None:
    settings = Settings(credentials_key="ab" * 32, database_url="postgresql://me:hunter2@db/x")  # type: ignore[arg-type]

    assert "abab" not in repr(settings) + str(settings.model_dump())
    assert "hunter2" not in repr(settings) + str(settings.model_dump())


def test_local_mode_points_every_google_service_to_this_machine_and_live_mode_none() -> None:
    services = ("gmail", "sheets", "drive", "token")

    local = [Settings().google_endpoint(service) for service in services]  # type: ignore[arg-type]
    live = [Settings(mode="live").google_endpoint(service) for service in services]  # type: ignore[arg-type]

    assert local == ["http://127.0.0.1:4510"] * 3 + ["http://127.0.0.1:4510/token"]
    assert live == [None] * 4


def test_an_endpoint_of_ones_own_wins_in_either_mode() -> None:
    assert Settings(mode="live", gmail_endpoint="http://proxy:1/").google_endpoint("gmail") == "http://proxy:1"
