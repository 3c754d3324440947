"""The page docs/settings.md, made of settings.py: `python -m cheerful_pipelines.core.settings_page` writes it.

A test compares the page with what this makes, so that a new setting without its line fails.
"""

from pathlib import Path
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from cheerful_pipelines.core.markdown import code, escaped, table
from cheerful_pipelines.core.settings import Settings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"

_INTRODUCTION = """# Settings

Every setting is an environment variable, read once at the start and refused in words where it is wrong;
`cheerful doctor` checks them. A variable that is empty (`CHEERFUL_X=`) counts as one that is not set. This page is made
of `cheerful_pipelines/core/settings.py`; after a change there run `python -m cheerful_pipelines.core.settings_page`.

Secrets are masked wherever settings are printed, and so are passwords within URLs. Keys are made once and kept:
`cheerful keys` makes them in `CHEERFUL_HOME/keys.env` and prints them at every later call.

With `CHEERFUL_ENVIRONMENT=production` a start is refused for

- keys that were not drawn at random (all zeros, a repeated text, counting up), and for one key in two settings;
- `http://` URLs of the web UI, sign-in, Google, tokens and models. This machine may be reached by http, and a model
  of your own also in a private network;
- a missing `CHEERFUL_WEB_URL`, `CHEERFUL_MODE=local`, and raw mail that is kept in memory only."""

_ENDPOINTS = (
    ("Gmail API", "CHEERFUL_GMAIL_ENDPOINT", "https://gmail.googleapis.com"),
    ("Sheets API", "CHEERFUL_SHEETS_ENDPOINT", "https://sheets.googleapis.com"),
    ("Drive API (file versions)", "CHEERFUL_DRIVE_ENDPOINT", "https://www.googleapis.com"),
    ("OAuth tokens, of Gmail and Sheets", "CHEERFUL_TOKEN_URI", "the credentials' own, or https://oauth2.googleapis.com/token"),
    ("Language model", "CHEERFUL_LLM_BASE_URL", "the provider's own"),
    ("Supabase Auth", "CHEERFUL_AUTH_URL", "none: needed for the login of the web UI"),
    ("Raw mail", "CHEERFUL_BLOB_URL", "the folder blobs in CHEERFUL_HOME"),
)  # fmt: skip

_OTHERS = (
    ("DAGSTER_HOME", "Dagster's folder, with dagster.yaml; `dev.sh env` exports it."),
    ("CHEERFUL_CELERY_BROKER", "Redis or another broker of the warm workers (infra/celery/dagster.yaml)."),
    ("CHEERFUL_COMPUTE_LOGS", "Folder of the output of runs (dagster.yaml); `dev.sh start` sets it."),
    ("AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY", "Credentials of a bucket in CHEERFUL_BLOB_URL."),
    ("AWS_REGION, AWS_ENDPOINT", "Its place: Supabase Storage, MinIO and others name an endpoint."),
    ("WORKER_HOST", "Host of the worker's code server, as web and daemon reach it (infra/run.sh)."),
    ("CHEERFUL_SHEETS_CREDENTIALS", "The service account's JSON, or that in base64; infra/run.sh makes a file of it."),
    ("CHEERFUL_VERSION", "Tag of the image that docker-compose starts (infra/docker-compose.yaml)."),
)  # fmt: skip


def page() -> str:
    """The whole page as Markdown."""
    rows = [
        (code(f"CHEERFUL_{name.upper()}"), _values(field), _default(field), _sentence(field))
        for name, field in Settings.model_fields.items()
    ]
    endpoints = [(escaped(what), code(variable), escaped(default)) for what, variable, default in _ENDPOINTS]
    others = [(code(name), escaped(meaning)) for name, meaning in _OTHERS]
    return "\n\n".join(
        (
            _INTRODUCTION,
            "## All settings",
            table(("variable", "values", "default", "meaning"), rows),
            "## Endpoints",
            "Each can be another address: a proxy, or an emulator. In local mode the first four are the local Google "
            "server (`CHEERFUL_LOCAL_GOOGLE_URL`), unless they are set.",
            table(("what", "variable", "default in live mode"), endpoints),
            "## Variables of others",
            "Dagster, the deployment and the libraries read these themselves.",
            table(("variable", "meaning"), others),
        )
    ) + "\n"  # fmt: skip


def _values(field: FieldInfo) -> str:
    kinds = [one for one in (get_args(field.annotation) or (field.annotation,)) if one is not type(None)]
    if get_origin(field.annotation) is Literal:
        return " or ".join(str(one) for one in get_args(field.annotation))
    names = {SecretStr: "secret", Path: "path", str: "text", int: "whole number", float: "number", bool: "yes or no"}
    limits = ", ".join(repr(one).partition("(")[2].rstrip(")") for one in field.metadata)
    kind = " or ".join(names.get(one, str(one)) for one in kinds)
    return f"{kind} ({limits})" if limits else kind


def _default(field: FieldInfo) -> object:
    return "" if field.default is None else code(field.default)


def _sentence(field: FieldInfo) -> str:
    return " ".join((field.description or "").replace("`", "'").split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
