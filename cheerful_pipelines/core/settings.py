"""Every environment variable, typed, validated once, secrets masked. Nothing else reads os.environ."""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    Field,
    SecretStr,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, SettingsConfigDict

from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.production_rules import is_plain, is_this_machine, masked_url, same_keys, weak_key

LOCAL_GOOGLE_DEFAULT_URL = "http://127.0.0.1:4510"

_KEYS = ("credentials_key", "credentials_key_previous", "session_key", "address_hash_key")
_SENT_TO = ("auth_url", "gmail_endpoint", "sheets_endpoint", "drive_endpoint", "token_uri", "llm_base_url")
"""Settings that name where tokens, mail or sign-ins are sent."""
_PLAIN_SINKS = ("http", "json", "xml", "form")
"""What apprise sends without TLS."""
_MAKE_KEY = "python3 -c 'import secrets; print(secrets.token_hex(32))' (token_hex(16) for the address hash key)"


def _variable(field: str) -> str:
    return f"CHEERFUL_{field.upper()}"


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

    model_config = SettingsConfigDict(
        env_prefix="CHEERFUL_",
        env_ignore_empty=True,  # CHEERFUL_X= is how a platform passes on what is not set
        extra="ignore",
        allow_inf_nan=False,
        frozen=True,
        use_attribute_docstrings=True,  # docs/settings.md is made of them
        hide_input_in_errors=True,  # an error's words must not carry a key
    )

    home: Path = Path(".cheerful")
    """Where the embedded database, blobs, logs and the local Google server keep their files."""
    mode: Literal["local", "live"] = "local"
    """local: Google is the server on this machine. live: Google is Google."""
    environment: Literal["development", "staging", "production"] = "development"
    """development: keys are made and kept by `dev.sh start`. production: weak keys and plain URLs are refused."""
    database_url: SecretStr | None = None
    """Our Postgres, as the login of the role cheerful_pipeline: neither owner nor superuser."""
    migration_database_url: SecretStr | None = None
    """The same database as its owner: only migrations use it. Default: database_url."""
    dagster_database_url: SecretStr | None = None
    """Dagster's own Postgres (runs, events, schedules), as dagster.yaml reads it; `erase` looks through it."""
    blob_url: str | None = None
    """Raw mail: file:///folder, s3://bucket/prefix, memory:///. Default: the folder `blobs` in home."""
    local_google_url: str = LOCAL_GOOGLE_DEFAULT_URL
    """The local Google server of local mode: all four endpoints below, unless they are set."""
    gmail_endpoint: str | None = None
    """Base URL instead of https://gmail.googleapis.com (or the local server): a proxy or another emulator."""
    sheets_endpoint: str | None = None
    """Base URL instead of https://sheets.googleapis.com (or the local server)."""
    drive_endpoint: str | None = None
    """Base URL instead of https://www.googleapis.com (or the local server): file versions of sheets."""
    token_uri: str | None = None
    """Where OAuth tokens are fetched, for Gmail and Sheets, instead of the address that the credentials name."""
    credentials_key: SecretStr | None = None
    """64 hexadecimal characters: seals OAuth tokens at rest (AES-256-GCM)."""
    credentials_key_previous: SecretStr | None = None
    """The key before, while `cheerful accounts rotate-key` has not replaced it everywhere."""
    address_hash_key: SecretStr | None = None
    """32 hexadecimal characters: keyed hash of addresses that must be forgotten but stay suppressed."""
    sheets_credentials_file: Path | None = None
    """Authorized-user or service-account JSON for Sheets and Drive (live mode)."""
    web_url: str = "http://127.0.0.1:3000"
    """Where people open Dagster's UI: links in metadata and in the client's sheet start with it. Production: https."""
    alert_urls: SecretStr | None = None
    """Whom to tell what is wrong: addresses as apprise reads them (slack://, mailto://, json://…), with commas."""
    alert_lag_minutes: int = Field(default=60, ge=1, le=10_080)
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
    client_address_header: str | None = None
    """Header in which a trusted proxy names the client: Fly-Client-IP, X-Forwarded-For, ...; none: no proxy."""
    trusted_proxies: str = ""
    """Proxies whose client_address_header is believed: networks, with commas (10.0.0.0/8,fd00::/8)."""
    trusted_hops: int = Field(default=1, ge=1, le=10)
    """Proxies of yours in a row that append to X-Forwarded-For: the client is the entry so far from its end."""
    keep_raw_mail_days: int | None = Field(default=None, ge=30, le=36_500)
    """How long raw mail is kept after it was read; None: for good. What it said stays in rows."""
    keep_rationales_days: int | None = Field(default=None, ge=1, le=36_500)
    """How long the words of a verdict (rationale, quotation) are kept; None: for good."""
    removal_guard_share: float = Field(default=0.2, ge=0, le=1)
    """An import that would remove a larger share of the active recipients than this stops."""

    sheets_calls_per_minute: int = Field(default=60, ge=1, le=100_000)
    """Reads a minute, and as many writes, that Google grants our login (Sheets API: per user and project)."""
    gmail_quota: Literal["since-2026-05", "before-2026-05"] = "since-2026-05"
    """Which of Google's two price tables the Cloud project has: by the day it was made (google/quota/prices.py)."""
    gmail_units_per_minute: int | None = Field(default=None, ge=100, le=100_000_000)
    """Quota units a minute and mailbox, where the project's console shows another number than the table."""
    gmail_project_units_per_minute: int | None = Field(default=None, ge=100, le=100_000_000)
    """The same of all mailboxes together."""
    gmail_batch_size: int = Field(default=20, ge=1, le=50)
    """Messages asked for in one request; Gmail refuses parts of larger ones."""
    gmail_requests_at_once: int = Field(default=2, ge=1, le=10)
    """Requests under way at once for one mailbox."""
    gmail_archive_share: float = Field(default=0.8, gt=0, le=1)
    """Of a mailbox's quota: the archive leaves the rest to the live sync."""

    classifier: str = "local"
    """Who says what a reply means: local, anthropic:MODEL, openai:MODEL or openai-compatible:MODEL."""
    llm_api_key: SecretStr | None = None
    """Key of the model's provider; needed by anthropic:MODEL and openai:MODEL."""
    llm_base_url: str | None = None
    """Another endpoint than the provider's own: a proxy, or your vLLM or Ollama (http://host:8000/v1)."""
    llm_at_once: int = Field(default=16, ge=1, le=200)
    """Calls to the model under way at once."""
    llm_timeout_seconds: float = Field(default=60.0, ge=1, le=3_600)
    """Longest wait for one answer of the model."""
    llm_usd_per_million_tokens_in: float | None = Field(default=None, ge=0, le=100_000)
    """Prices that the shipped table does not know, or knows otherwise; 0 for a machine of your own."""
    llm_usd_per_million_tokens_out: float | None = Field(default=None, ge=0, le=100_000)
    """The same, of what the model writes."""
    llm_budget_run_usd: float = Field(default=5.0, ge=0, le=1_000_000)
    """Most that one run may spend; the rest stays pending, and the run says so."""
    llm_budget_day_usd: float = Field(default=25.0, ge=0, le=1_000_000)
    """Most that all runs of a day may spend."""
    llm_budget_client_day_usd: float | None = Field(default=None, ge=0, le=1_000_000)
    """Most that a day's runs may spend for one client; None: no limit of its own."""
    llm_calls_per_day: int = Field(default=20_000, ge=0, le=100_000_000)
    """Most calls to a paid model a day: the limit that also holds where prices are not known."""

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

    @property
    def names_client_addresses(self) -> bool:
        """Whether failed sign-ins are counted by client: a proxy names it, there is none, or nobody else comes."""
        return self.client_address_header is not None or is_this_machine(self.web_url)

    @field_validator("client_address_header")
    @classmethod
    def _header_is_a_name(cls, value: str | None) -> str | None:
        name = (value or "").strip()
        if name.lower() == "forwarded" or (name and re.fullmatch(r"[A-Za-z0-9-]+", name) is None):
            raise ValueError(
                f"CHEERFUL_CLIENT_ADDRESS_HEADER={name!r} is not a header that holds an address. Write Fly-Client-IP, "
                "X-Forwarded-For, another name, or none"
            )
        return "none" if name.lower() == "none" else name or None

    @model_validator(mode="after")
    def _header_has_a_writer(self) -> Self:
        header = self.client_address_header
        if header not in (None, "none") and not self.trusted_proxy_networks:
            raise ValueError(
                f"CHEERFUL_CLIENT_ADDRESS_HEADER={header} needs CHEERFUL_TRUSTED_PROXIES, the networks of the proxies "
                "that write it: otherwise everybody could write it"
            )
        if header in (None, "none") and self.trusted_proxy_networks:
            raise ValueError(
                "CHEERFUL_TRUSTED_PROXIES needs CHEERFUL_CLIENT_ADDRESS_HEADER, the header in which these proxies name "
                "the client: Fly-Client-IP, X-Forwarded-For, ..."
            )
        return self

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

    @model_validator(mode="after")
    def _production_is_safe(self) -> Self:
        if self.environment == "production":
            problems = [*self._weak_keys(), *self._plain_urls()]
            if problems:
                raise ValueError(f"CHEERFUL_ENVIRONMENT=production refuses these settings: {'; '.join(problems)}.")
        return self

    def _weak_keys(self) -> Iterator[str]:
        """A sentence for each key that was not drawn at random, or serves two purposes. Never shows one."""
        secrets = {name: getattr(self, name) for name in _KEYS}
        keys = {_variable(name): None if one is None else one.get_secret_value() for name, one in secrets.items()}
        for name, key in keys.items():
            reason = weak_key(key) if key else None
            if reason:
                yield f"{name} was not drawn at random ({reason}); make one with: {_MAKE_KEY}"
        for first, second in same_keys(keys):
            yield f"{first} and {second} are the same key, or one holds the other; each needs its own"
        if self.auth_jwt_secret is not None and len(self.auth_jwt_secret.get_secret_value()) < 32:
            yield "CHEERFUL_AUTH_JWT_SECRET is shorter than 32 characters"

    def _plain_urls(self) -> Iterator[str]:
        """A sentence for each URL that would carry secrets or people over the network unencrypted."""
        if "web_url" not in self.model_fields_set:
            yield "CHEERFUL_WEB_URL is not set: people and links need the address of the web UI (https://...)"
        elif urlsplit(self.web_url).scheme != "https" or is_plain(self.web_url):
            yield "CHEERFUL_WEB_URL must begin with https://"
        for name in _SENT_TO:
            url = getattr(self, name)
            if url and is_plain(url, private_is_fine=name == "llm_base_url"):
                yield f"{_variable(name)} must begin with https:// (http:// only on this machine)"
        sinks = self.alert_urls.get_secret_value().split(",") if self.alert_urls else []
        if any(urlsplit(one.strip()).scheme in _PLAIN_SINKS and is_plain(one, private_is_fine=True) for one in sinks):
            yield "CHEERFUL_ALERT_URLS must be sent encrypted (jsons:// instead of json://)"
        if urlsplit(self.effective_blob_url()).scheme in ("http", "memory"):
            yield "CHEERFUL_BLOB_URL must name a folder or a bucket (file://, s3://, https://)"

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """As pydantic's, with the secrets in URLs masked."""
        for name, value in super().__repr_args__():
            yield name, masked_url(value) if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _without_secrets_in_urls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = handler(self)
        return {name: masked_url(value) if isinstance(value, str) else value for name, value in dumped.items()}

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
    """Read and validate the environment once. Raises ConfigurationError, which names variables and no values."""
    try:
        return Settings()
    except ValidationError as error:
        told = "; ".join(_told(item) for item in error.errors(include_url=False, include_input=False))
        raise ConfigurationError(f"Settings are wrong: {told}") from None


def _told(error: ErrorDetails) -> str:
    """The variable and what it may be. What concerns several variables names them itself."""
    allowed = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    fields = [part for part in error["loc"] if part in Settings.model_fields]
    if not fields or _variable(str(fields[0])) in allowed:
        return allowed
    return f"{_variable(str(fields[0]))} must be {allowed}"


def classifier_setting() -> str:
    """`CHEERFUL_CLASSIFIER` for the code version of assets; "local" where settings cannot be read (runs say why)."""
    try:
        return load_settings().classifier
    except ConfigurationError:
        return "local"
