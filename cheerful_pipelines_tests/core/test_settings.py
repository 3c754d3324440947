"""Settings are read once, refuse what is wrong in words, and never show a secret."""

import random
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cheerful_pipelines.core import settings_page
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.kept_keys import kept_keys
from cheerful_pipelines.core.production_rules import weak_key
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.storage.engine import Database


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


NUMBERS = {
    name: field
    for name, field in Settings.model_fields.items()
    if {int, float} & {field.annotation, *get_args(field.annotation)}
}


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_number_has_bounds_and_its_refusal_names_the_variable_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    limits = {type(one).__name__.lower(): one for one in NUMBERS[name].metadata}
    assert limits.keys() & {"ge", "gt"}, "no lower bound"
    assert "le" in limits
    default = NUMBERS[name].default
    assert default is None or Settings(**{name: default})
    for value in ("-1", "1e30", str(10**30), "nan", "inf", "many", "1,5", "0x10"):
        monkeypatch.setenv(f"CHEERFUL_{name.upper()}", value)
        load_settings.cache_clear()
        with pytest.raises(ConfigurationError, match=f"CHEERFUL_{name.upper()} must be (a|greater|less)") as caught:
            load_settings()
        assert len(value) < 6 or value not in str(caught.value)


@pytest.mark.parametrize("name", sorted(NUMBERS.keys() - {
    "session_check_seconds", "removal_guard_share", "llm_usd_per_million_tokens_in", "llm_usd_per_million_tokens_out",
    "llm_budget_run_usd", "llm_budget_day_usd", "llm_budget_client_day_usd", "llm_calls_per_day",
}))  # fmt: skip
def test_nothing_is_zero_that_cannot_work_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"CHEERFUL_{name.upper()}", "0")

    with pytest.raises(ConfigurationError, match=f"CHEERFUL_{name.upper()} must be greater than"):
        load_settings()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_an_empty_variable_counts_as_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv(f"CHEERFUL_{name.upper()}", raising=False)
    unset = Settings()
    monkeypatch.setenv(f"CHEERFUL_{name.upper()}", "")

    assert load_settings() == unset
    assert name not in load_settings().model_fields_set


def test_each_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("MODE", "demo"), ("GMAIL_BATCH_SIZE", "0"), ("TRUSTED_PROXIES", "x"), ("LLM_AT_ONCE", "no")):
        monkeypatch.setenv(f"CHEERFUL_{name}", value)

    with pytest.raises(ConfigurationError) as caught:
        load_settings()

    for told in (
        "CHEERFUL_MODE must be 'local' or 'live'", "CHEERFUL_GMAIL_BATCH_SIZE must be greater than or equal to 1",
        "CHEERFUL_TRUSTED_PROXIES: ", "CHEERFUL_LLM_AT_ONCE must be a valid integer",
    ):  # fmt: skip
        assert told in str(caught.value)


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


GOOD = "3f9a1c0be47d5286a1e0947bc3d85f620b7e41d29c8f3a65de10b2c74f6987a1"
OTHER = "c81e52a7f03b9d46e7a215b8c0d93f64a5be178203fdc9641b7e80a2d5f3946c"


def production(**given: Any) -> Settings:
    """Production with everything that it asks for, but for what is given."""
    return Settings(**{"environment": "production", "mode": "live", "web_url": "https://cheerful.example", **given})


def test_production_takes_random_keys_and_encrypted_addresses() -> None:
    found = production(
        credentials_key=GOOD, session_key=OTHER, address_hash_key="9e04b7d1a35c82f6e17b0d94c2a8536f",
        auth_url="https://x.supabase.co/auth/v1", llm_base_url="http://vllm:8000/v1", gmail_endpoint="http://127.0.0.1:9",
        blob_url="s3://bucket/mail", alert_urls="jsons://alerts.example,slack://a/b/c",
    )  # fmt: skip

    assert found.environment == "production"


@pytest.mark.parametrize("name", ["credentials_key", "credentials_key_previous", "session_key", "address_hash_key"])
@pytest.mark.parametrize(
    "text", ["0" * 64, "f" * 64, "ab" * 32, "0123456789abcdef" * 4, bytes(range(32)).hex(),
             bytes(range(32, 0, -1)).hex(), "A1B2C3" * 10 + "A1B2", ("0123456789abcdef" + "fedcba9876543210") * 2],
)  # fmt: skip
def test_production_refuses_a_key_that_was_not_drawn(name: str, text: str) -> None:
    text = text[:32] if name == "address_hash_key" else text

    with pytest.raises(ValidationError, match="was not drawn at random") as caught:
        production(**{name: text})

    assert text not in str(caught.value)


@hypothesis_settings(deadline=None)
@given(st.randoms(use_true_random=True))
def test_a_drawn_key_is_never_called_weak(draw: random.Random) -> None:
    assert weak_key(draw.randbytes(32).hex()) is None
    assert weak_key(draw.randbytes(16).hex()) is None


@pytest.mark.parametrize(
    "keys",
    [
        {"credentials_key": GOOD, "session_key": GOOD},
        {"credentials_key": GOOD, "session_key": GOOD.upper()},
        {"credentials_key": GOOD, "credentials_key_previous": GOOD},
        {"credentials_key": GOOD, "address_hash_key": GOOD[:32]},
        {"session_key": GOOD, "address_hash_key": GOOD[32:]},
    ],
)
def test_production_refuses_one_key_for_two_purposes(keys: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="same key"):
        production(**keys)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"web_url": "http://cheerful.example"}, "CHEERFUL_WEB_URL must begin with https"),
        ({"web_url": "http://127.0.0.1:3000"}, "CHEERFUL_WEB_URL must begin with https"),
        ({"web_url": "https://"}, "CHEERFUL_WEB_URL must begin with https"),
        ({"auth_url": "http://x.supabase.co/auth/v1"}, "CHEERFUL_AUTH_URL"),
        ({"auth_url": "HTTP://x.supabase.co/auth/v1"}, "CHEERFUL_AUTH_URL"),
        ({"gmail_endpoint": "http://proxy.example"}, "CHEERFUL_GMAIL_ENDPOINT"),
        ({"sheets_endpoint": "http://10.0.0.7:8080"}, "CHEERFUL_SHEETS_ENDPOINT"),
        ({"drive_endpoint": "http://localhost.evil.example"}, "CHEERFUL_DRIVE_ENDPOINT"),
        ({"token_uri": "http://proxy.example/token"}, "CHEERFUL_TOKEN_URI"),
        ({"llm_base_url": "http://llm.example/v1"}, "CHEERFUL_LLM_BASE_URL"),
        ({"llm_base_url": "http://8.8.8.8/v1"}, "CHEERFUL_LLM_BASE_URL"),
        ({"blob_url": "memory:///"}, "CHEERFUL_BLOB_URL"),
        ({"blob_url": "http://minio.example/x"}, "CHEERFUL_BLOB_URL"),
        ({"alert_urls": "slack://a/b/c, json://alerts.example"}, "CHEERFUL_ALERT_URLS"),
        ({"auth_jwt_secret": "short"}, "CHEERFUL_AUTH_JWT_SECRET"),
    ],
)  # fmt: skip
def test_production_refuses_addresses_that_carry_secrets_in_plain(given: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        production(**given)
    assert Settings(mode="live", **given)  # type: ignore[arg-type]


def test_production_refuses_a_missing_web_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHEERFUL_ENVIRONMENT", "production")
    monkeypatch.setenv("CHEERFUL_MODE", "live")

    with pytest.raises(ConfigurationError, match="CHEERFUL_WEB_URL is not set"):
        load_settings()


URLS = [name for name, field in Settings.model_fields.items() if name.endswith(("_url", "_urls", "_uri", "_endpoint"))]


@pytest.mark.parametrize("name", URLS)
def test_a_password_in_any_url_is_never_printed(name: str) -> None:
    found = Settings(**{name: "https://key:hunter2@host.example/x?token=hunter2#hunter2"})  # type: ignore[arg-type]

    printed = f"{found!r} {found!s} {found.model_dump()} {found.model_dump_json()} {found.model_copy()!r}"
    assert "hunter2" not in printed
    assert len(URLS) >= 12


def test_an_error_of_settings_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(credentials_key="hunter2hunter2", llm_at_once="hunter2")  # type: ignore[arg-type]

    assert "hunter2" not in str(caught.value)


def test_every_setting_is_on_the_page_with_its_meaning_and_the_page_is_up_to_date() -> None:
    page = settings_page.PAGE.read_text()

    assert page == settings_page.page(), "run: python -m cheerful_pipelines.core.settings_page"
    for name, field in Settings.model_fields.items():
        assert field.description, f"{name} has no docstring"
        assert f"| `CHEERFUL_{name.upper()}` |" in page


def test_every_variable_that_the_repository_names_is_on_the_page() -> None:
    repository = Path(settings_page.PAGE).parents[1]
    files = [
        path
        for folder in ("cheerful_pipelines", "infra", "docs", "benchmarks")
        for path in (repository / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".yaml", ".yml", ".toml", ".md", ".txt")
    ]
    text = " ".join(path.read_text(errors="ignore") for path in [*files, repository / "dagster.yaml"])
    named = set(re.findall(r"\bCHEERFUL_[A-Z_]*[A-Z]\b", text)) - {"CHEERFUL_DATABASE", "CHEERFUL_X"}

    missing = named - set(re.findall(r"\bCHEERFUL_[A-Z_]*[A-Z]\b", settings_page.PAGE.read_text()))
    assert missing == set()


def test_a_token_address_of_ones_own_wins_for_gmail(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database
) -> None:
    """The credentials name an address where nobody answers; the setting names the one that does."""
    google.add_mailbox("mia@brand.example")
    credentials = google.credentials_json("mia@brand.example").replace(
        f"{google.url}/token", "http://127.0.0.1:1/token"
    )
    named = google_settings.model_copy(update={"token_uri": f"{google.url}/token"})

    profile = GmailClients(named, database).client_for(credentials, address="mia@brand.example").profile()

    assert profile.address == "mia@brand.example"


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    first, second = kept_keys(tmp_path / "home"), kept_keys(tmp_path / "home")
    file = tmp_path / "home" / "keys.env"

    assert first == second
    assert file.stat().st_mode & 0o077 == 0
    production(**{name.removeprefix("CHEERFUL_").lower(): key for name, key in first.items()})


def test_a_key_that_is_there_is_never_changed(tmp_path: Path) -> None:
    (tmp_path / "keys.env").write_text(f"CHEERFUL_CREDENTIALS_KEY={GOOD}\n")

    found = kept_keys(tmp_path)

    assert found["CHEERFUL_CREDENTIALS_KEY"] == GOOD
    assert set(found) == {"CHEERFUL_CREDENTIALS_KEY", "CHEERFUL_ADDRESS_HASH_KEY"}
    assert kept_keys(tmp_path) == found
