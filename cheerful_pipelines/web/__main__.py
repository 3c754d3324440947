"""`python -m cheerful_pipelines.web -w workspace.yaml`: Dagster's UI with a login in front of it."""

import argparse
import sys

import uvicorn
from dagster import DagsterInstance
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

from cheerful_pipelines import __version__
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.logs import configure_logging, get_logger
from cheerful_pipelines.core.settings import Settings, load_settings
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.web.attempt_store import AttemptStore
from cheerful_pipelines.web.attempts import SignInLimits
from cheerful_pipelines.web.door import Door
from cheerful_pipelines.web.gate import Gate
from cheerful_pipelines.web.health import health
from cheerful_pipelines.web.origin import trusted_proxies
from cheerful_pipelines.web.session_store import SessionStore
from cheerful_pipelines.web.sessions import Sessions
from cheerful_pipelines.web.sign_in import refreshed, tokens_for
from cheerful_pipelines.web.tokens import TokenReader
from cheerful_pipelines.web.webserver import GatedWebserver

logger = get_logger(__name__)


def gated_app(settings: Settings, instance: DagsterInstance, context: WorkspaceProcessContext) -> Gate:
    """Dagster's application behind the gate."""
    # Two pools of at most 6 connections: a flood of sign-ins holds up nobody who is signed in.
    database, at_the_door = (Database(settings.require_database_url()) for _ in range(2))
    key, tokens = settings.require_session_key(), TokenReader(settings)
    is_secure = settings.web_url.startswith("https://")
    sessions = Sessions(
        key, store=SessionStore(database.for_every_client()), hours=settings.session_hours,
        check_seconds=settings.session_check_seconds, read_token=tokens.read,
        refresh=lambda refresh_token: refreshed(settings, refresh_token),
    )  # fmt: skip
    door = Door(
        limits=SignInLimits(key, AttemptStore(at_the_door.for_every_client())), tokens=tokens, sessions=sessions,
        ask_for_tokens=lambda address, password: tokens_for(settings, address, password),
        proxies=trusted_proxies(settings), is_secure=is_secure,
    )  # fmt: skip
    return Gate(
        GatedWebserver(context, "", None).create_asgi_app(),
        door=door,
        tokens=tokens,
        sessions=sessions,
        health=lambda: health(settings, instance, database),
        is_secure=is_secure,
    )


def main() -> None:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-w", "--workspace", default="workspace.yaml")
    parser.add_argument("--host", default="0.0.0.0")
    parser.add_argument("--port", type=int, default=3000)
    chosen = parser.parse_args()
    configure_logging()
    try:
        settings = load_settings()
        if not settings.names_client_addresses:
            logger.warning("client_address_header_not_set", effect="failed sign-ins count for all clients of a proxy")
        with (
            DagsterInstance.get() as instance,
            WorkspaceProcessContext(
                instance, WorkspaceFileTarget([chosen.workspace]), version=__version__, read_only=False
            ) as context,
        ):
            app = gated_app(settings, instance, context)
            # The gate itself reads what a trusted proxy says (origin.py); uvicorn would believe more.
            uvicorn.run(app, host=chosen.host, port=chosen.port, log_level="warning", proxy_headers=False)
    except CheerfulError as error:
        sys.exit(f"{error}")


if __name__ == "__main__":
    main()
