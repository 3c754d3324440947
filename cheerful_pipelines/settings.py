"""Every environment variable, typed, validated once, secrets masked. Nothing else reads os.environ."""

import re
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cheerful_pipelines.errors import ConfigurationError
from cheerful_pipelines.quota.prices import PLANS, QuotaPlan

LOCAL_GOOGLE_DEFAULT_URL = "http://127.0.0.1:4510"


def _hex_key(value: SecretStr | None, *, length: int, name: str) -> SecretStr | None:
    if value is None or value.get_secret_value() == "":
        return None
    text = value.get_secret_value()
    if re.fullmatch(r"[0-9a-fA-F]+", text) is None:
        raise ValueError(
            f"{name} holds characters that are not hexadecimal. Make one with: "
            f"python3 -c 'import secrets; print(secrets.token_hex({length // 2}))'"
        )
    if len(text) != length:
        raise ValueError(
            f"{name} must be exactly {length} hexadecimal characters, this one has {len(text)}. Make one with: "
            f"python3 -c 'import secrets; print(secrets.token_hex({length // 2}))'"
        )
    return value


class Settings(BaseSettings):
    """The environment, read once. Names in the environment carry the prefix CHEERFUL_."""

    model_config = SettingsConfigDict(env_prefix="CHEERFUL_", extra="ignore", frozen=True)

    home: Path = Path(".cheerful")
    """Where the embedded database, blobs, logs and the local Google server keep their files."""
    mode: Literal["local", "live"] = "local"
    """local: Google is the server on this machine. live: Google is Google."""
    environment: Literal["development", "staging", "production"] = "development"
    database_url: SecretStr | None = None
    """Our Postgres, as the login of the role cheerful_pipeline: neither owner nor superuser."""
    migration_database_url: SecretStr | None = None
    """The same database as its owner: only migrations use it. Default: database_url."""
    dagster_database_url: SecretStr | None = None
    blob_url: str | None = None
    """Raw mail: file:///folder, s3://bucket/prefix, memory:///. Default: the folder `blobs` in home."""
    local_google_url: str = LOCAL_GOOGLE_DEFAULT_URL
    gmail_endpoint: str | None = None
    sheets_endpoint: str | None = None
    drive_endpoint: str | None = None
    token_uri: str | None = None
    credentials_key: SecretStr | None = None
    """64 hexadecimal characters: seals OAuth tokens at rest (AES-256-GCM)."""
    credentials_key_previous: SecretStr | None = None
    """The key before, while `cheerful accounts rotate-key` has not replaced it everywhere."""
    address_hash_key: SecretStr | None = None
    """32 hexadecimal characters: keyed hash of addresses that must be forgotten but stay suppressed."""
    sheets_credentials_file: Path | None = None
    """Authorized-user or service-account JSON for Sheets and Drive (live mode)."""
    web_url: str = "http://127.0.0.1:3000"
    """Where people open Dagster's UI: links in metadata and in the client's sheet start with it."""
    alert_urls: SecretStr | None = None
    """Whom to tell what is wrong: addresses as apprise reads them (slack://, mailto://, json://…), with commas."""
    alert_lag_minutes: int = 60
    """A mailbox that was not in step for so long is worth an alert."""
    stop_file: Path | None = None
    """Made by the worker when it is told to stop; it sets this itself."""
    auth_url: str | None = None
    """Supabase Auth, which knows who may sign in to the web UI: https://PROJECT.supabase.co/auth/v1."""
    auth_api_key: SecretStr | None = None
    """The project's publishable (anon) key: Supabase wants it with every sign-in."""
    auth_jwt_secret: SecretStr | None = None
    """The project's shared secret, where it still signs with one; else its published keys are fetched."""
    session_key: SecretStr | None = None
    """64 hexadecimal characters: signs the web UI's cookies."""
    session_hours: float = Field(default=8.0, gt=0, le=168)
    """How long a sign-in holds at most."""
    session_check_seconds: float = Field(default=120.0, ge=0, le=3600)
    """How often Supabase Auth is asked whether a session's user still has their role; another role ends the session."""
    trusted_proxies: str = ""
    """Proxies whose last X-Forwarded-For entry is believed: networks, with commas (10.0.0.0/8,fd00::/8)."""
    keep_raw_mail_days: int | None = Field(default=None, ge=30)
    """How long raw mail is kept after it was read; None: for good. What it said stays in rows."""
    keep_rationales_days: int | None = Field(default=None, ge=1)
    """How long the words of a verdict (rationale, quotation) are kept; None: for good."""
    removal_guard_share: float = 0.2
    """An import that would remove a larger share of the active recipients than this stops."""

    sheets_calls_per_minute: int = 60
    """Reads a minute, and as many writes, that Google grants our login (Sheets API: per user and project)."""
    gmail_quota: Literal["since-2026-05", "before-2026-05"] = "since-2026-05"
    """Which of Google's two price tables the Cloud project has: by the day it was made (quota/prices.py)."""
    gmail_units_per_minute: int | None = None
    """Quota units a minute and mailbox, where the project's console shows another number than the table."""
    gmail_project_units_per_minute: int | None = None
    gmail_batch_size: int = Field(default=20, ge=1, le=50)
    """Messages asked for in one request; Gmail refuses parts of larger ones."""
    gmail_requests_at_once: int = Field(default=2, ge=1, le=10)
    """Requests under way at once for one mailbox."""
    gmail_archive_share: float = Field(default=0.8, gt=0, le=1)
    """Of a mailbox's quota: the archive leaves the rest to the live sync."""

    classifier: str = "local"
    """Who says what a reply means: local, anthropic:MODEL, openai:MODEL or openai-compatible:MODEL."""
    llm_api_key: SecretStr | None = None
    llm_base_url: str | None = None
    """Another endpoint than the provider's own: a proxy, or your vLLM or Ollama (http://host:8000/v1)."""
    llm_at_once: int = Field(default=16, ge=1, le=200)
    llm_timeout_seconds: float = Field(default=60.0, gt=0)
    llm_usd_per_million_tokens_in: float | None = Field(default=None, ge=0)
    """Prices that the shipped table does not know, or knows otherwise; 0 for a machine of your own."""
    llm_usd_per_million_tokens_out: float | None = Field(default=None, ge=0)
    llm_budget_run_usd: float = Field(default=5.0, ge=0)
    """Most that one run may spend; the rest stays pending, and the run says so."""
    llm_budget_day_usd: float = Field(default=25.0, ge=0)
    llm_budget_client_day_usd: float | None = Field(default=None, ge=0)
    llm_calls_per_day: int = Field(default=20_000, ge=0)
    """Holds where prices are not known."""

    @property
    def gmail_plan(self) -> QuotaPlan:
        """The price table."""
        return PLANS[self.gmail_quota]

    @property
    def gmail_units_a_minute(self) -> int:
        """Of one mailbox. The local server needs no patience; set CHEERFUL_GMAIL_UNITS_PER_MINUTE to feel Gmail's."""
        if self.gmail_units_per_minute is None and self.mode == "local":
            return self.gmail_project_units_a_minute
        return self.gmail_units_per_minute or self.gmail_plan.units_a_minute

    @property
    def gmail_project_units_a_minute(self) -> int:
        """Of all mailboxes together."""
        return self.gmail_project_units_per_minute or self.gmail_plan.project_units_a_minute

    @property
    def trusted_proxy_networks(self) -> tuple[str, ...]:
        """The entries of `trusted_proxies`."""
        return tuple(text.strip() for text in self.trusted_proxies.split(",") if text.strip())

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies_are_networks(cls, value: str) -> str:
        for text in filter(None, (part.strip() for part in value.split(","))):
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(f"CHEERFUL_TRUSTED_PROXIES: {error}. Write networks such as 10.0.0.0/8") from None
        return value

    @field_validator("classifier")
    @classmethod
    def _classifier_is_known(cls, value: str) -> str:
        if value != "local" and re.fullmatch(r"(anthropic|openai|openai-compatible):\S+", value) is None:
            raise ValueError(
                f"CHEERFUL_CLASSIFIER={value!r} is not known. Write local, anthropic:MODEL, openai:MODEL, or "
                "openai-compatible:MODEL with CHEERFUL_LLM_BASE_URL"
            )
        return value

    @model_validator(mode="after")
    def _classifier_is_complete(self) -> Self:
        if self.classifier.startswith("openai-compatible:") and not self.llm_base_url:
            raise ValueError(
                "CHEERFUL_CLASSIFIER=openai-compatible:... needs CHEERFUL_LLM_BASE_URL, such as http://host/v1"
            )
        if self.classifier.startswith(("anthropic:", "openai:")) and self.llm_api_key is None:
            raise ValueError(f"CHEERFUL_CLASSIFIER={self.classifier} needs CHEERFUL_LLM_API_KEY")
        return self

    @field_validator("credentials_key")
    @classmethod
    def _credentials_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        return _hex_key(value, length=64, name="CHEERFUL_CREDENTIALS_KEY")

    @field_validator("credentials_key_previous")
    @classmethod
    def _previous_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        return _hex_key(value, length=64, name="CHEERFUL_CREDENTIALS_KEY_PREVIOUS")

    @field_validator("session_key")
    @classmethod
    def _session_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        return _hex_key(value, length=64, name="CHEERFUL_SESSION_KEY")

    @field_validator("address_hash_key")
    @classmethod
    def _address_hash_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        return _hex_key(value, length=32, name="CHEERFUL_ADDRESS_HASH_KEY")

    @model_validator(mode="after")
    def _production_is_live(self) -> Self:
        if self.environment == "production" and self.mode == "local":
            raise ValueError(
                "CHEERFUL_ENVIRONMENT=production refuses CHEERFUL_MODE=local: it would show invented mail as "
                "real. Set CHEERFUL_MODE=live."
            )
        return self

    def google_endpoint(self, service: Literal["gmail", "sheets", "drive", "token"]) -> str | None:
        """Base URL for a Google service, or None for Google's own."""
        explicit = {
            "gmail": self.gmail_endpoint,
            "sheets": self.sheets_endpoint,
            "drive": self.drive_endpoint,
            "token": self.token_uri,
        }[service]
        if explicit:
            return explicit.rstrip("/")
        if self.mode == "live":
            return None
        base = self.local_google_url.rstrip("/")
        return f"{base}/token" if service == "token" else base

    def require_database_url(self) -> str:
        """The Postgres URL, or a ConfigurationError that says how to get one."""
        if self.database_url is None:
            raise ConfigurationError(
                "CHEERFUL_DATABASE_URL is not set.",
                what_to_do='Run ./infra/dev.sh start, or in a shell of your own: eval "$(./infra/dev.sh env)".',
            )
        return self.database_url.get_secret_value()

    def require_migration_database_url(self) -> str:
        """The owner's URL where one is named, else the pipeline's own. Raises ConfigurationError without either."""
        if self.migration_database_url is not None:
            return self.migration_database_url.get_secret_value()
        return self.require_database_url()

    def require_credentials_key(self) -> str:
        """The sealing key as 64 hexadecimal characters, or a ConfigurationError."""
        if self.credentials_key is None:
            raise ConfigurationError(
                "CHEERFUL_CREDENTIALS_KEY is not set.",
                what_to_do="Set it to 64 hexadecimal characters: "
                "python3 -c 'import secrets; print(secrets.token_hex(32))'",
            )
        return self.credentials_key.get_secret_value()

    def require_session_key(self) -> str:
        """What signs cookies, or a ConfigurationError."""
        if self.session_key is None:
            raise ConfigurationError(
                "CHEERFUL_SESSION_KEY is not set.",
                what_to_do="Set it to 64 hexadecimal characters: "
                "python3 -c 'import secrets; print(secrets.token_hex(32))'",
            )
        return self.session_key.get_secret_value()

    def optional_hash_key(self) -> str | None:
        """The key of hashed addresses where it is set; needed as soon as a person was erased."""
        return None if self.address_hash_key is None else self.address_hash_key.get_secret_value()

    def require_hash_key(self) -> str:
        """The same key, or a ConfigurationError."""
        if self.address_hash_key is None:
            raise ConfigurationError(
                "CHEERFUL_ADDRESS_HASH_KEY is not set.",
                what_to_do="Set it to 32 hexadecimal characters: "
                "python3 -c 'import secrets; print(secrets.token_hex(16))', and never change it again.",
            )
        return self.address_hash_key.get_secret_value()

    def credentials_keys(self) -> tuple[str, ...]:
        """The sealing key, and the one before where it is named."""
        previous = self.credentials_key_previous
        return (self.require_credentials_key(), *((previous.get_secret_value(),) if previous else ()))

    def effective_blob_url(self) -> str:
        """Where raw mail goes."""
        return self.blob_url or (self.home.absolute() / "blobs").as_uri()


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Read and validate the environment once. Raises ConfigurationError in words, without values."""
    try:
        return Settings()
    except ValidationError as error:
        words = "; ".join(str(item["msg"]).removeprefix("Value error, ") for item in error.errors())
        raise ConfigurationError(f"Settings are wrong: {words}") from None


def classifier_setting() -> str:
    """`CHEERFUL_CLASSIFIER` for the code version of assets; "local" where settings cannot be read (runs say why)."""
    try:
        return load_settings().classifier
    except ConfigurationError:
        return "local"
