"""What may be known without a login: whether it works, and how far behind it is. No name, no number of any client."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from cheerful_pipelines import __version__
from cheerful_pipelines.core.errors import CheerfulError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.operations.health_store import HealthStore
from cheerful_pipelines.storage.engine import Database


def health(settings: Settings, instance: dg.DagsterInstance, database: Database) -> tuple[bool, dict[str, Any]]:
    """(whether all is well, what is said)."""
    told: dict[str, Any] = {"environment": settings.environment, "version": __version__}
    try:
        told |= {"database": "ok", "oldest_lag_seconds": HealthStore(database.for_every_client()).oldest_lag_seconds()}
    except CheerfulError:
        return False, {**told, "database": "does not answer"}
    beats = [found for found in instance.get_daemon_statuses().values() if found.required]
    heard = [found.last_heartbeat.timestamp for found in beats if found.last_heartbeat]
    told["daemon_heartbeat_seconds_ago"] = max(0, round(datetime.now(UTC).timestamp() - min(heard))) if heard else None
    return bool(beats) and all(found.healthy for found in beats), told
