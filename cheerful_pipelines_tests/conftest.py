"""Fixtures of the whole suite: a real Postgres a worker, a fresh migrated database a test, a clean environment."""

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import sqlalchemy as sa

for _name in [name for name in os.environ if name.startswith(("CHEERFUL_", "DAGSTER_"))]:
    del os.environ[_name]  # a developer's own settings must not decide a test

from cheerful_pipelines.classification.evaluation import run_evaluation as evaluation
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines_tests.classification.remembered_evaluation import remembering

if TYPE_CHECKING:
    from cheerful_pipelines_tests.pipeline import Pipeline

pytest_plugins = ["cheerful_pipelines_tests.local_google.fixtures"]

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On several workers whole systems go first, one after the other on the first worker: begun last, one ends alone.

    The others get the rest, and take over what the first has not come to.
    """
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("system") is None)


@pytest.fixture(autouse=True)
def _signal_handlers_are_restored() -> Iterator[None]:
    """Dagster gives SIGTERM the handler of SIGINT, which a shell may have set to be ignored: children inherit that."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def _the_embedded_classifier_is_evaluated_once() -> Iterator[None]:
    """Every fresh database asks for its evaluation: seconds of work that come out the same each time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "evaluate", remembering(evaluation.evaluate))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL server of this test process, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cheerful-pg-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder) / "pg")
        _without_waiting_for_the_disk(server)
        yield server
        server.stop()


def _without_waiting_for_the_disk(server: EmbeddedPostgres) -> None:
    """Nobody needs this server after a crash of the machine, and each dropped database forces a checkpoint."""
    admin = sa.create_engine(server.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sa.text(f"alter system set {name} = off"))
        connection.execute(sa.text("select pg_reload_conf()"))


@pytest.fixture(scope="session")
def migrated_template(postgres: EmbeddedPostgres) -> str:
    """Name of a migrated database that tests are cloned from."""
    database = Database(postgres.url("cheerful_template"))
    migrate(database)
    database.close()
    return "cheerful_template"


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated_template: str) -> Iterator[str]:
    """URL of a fresh, migrated database of this test's own, as the pipeline logs in."""
    name = f"cheerful_{uuid4().hex[:12]}_test"
    admin = sa.create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with admin.connect() as connection:
        connection.execute(sa.text(f'create database "{name}" template "{migrated_template}"'))
    yield postgres.url(name, as_pipeline=True)
    with admin.connect() as connection:
        connection.execute(sa.text(f'drop database "{name}" with (force)'))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh, migrated database, as the pipeline's own role; rows of every client."""
    found = Database(database_url)
    yield found.for_every_client()
    found.close()


@pytest.fixture
def owner(database: Database, postgres: EmbeddedPostgres) -> Iterator[Database]:
    """The same database as its owner, who alone may empty tables or change them."""
    found = Database(postgres.url(database.engine.url.database or ""))
    yield found
    found.close()


@pytest.fixture
def blobs() -> BlobStore:
    """A blob store in memory."""
    return BlobStore.from_url("memory:///")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of a local installation with valid keys."""
    return Settings(home=tmp_path, credentials_key="ab" * 32, address_hash_key="cd" * 16)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real mail, or a skip that says so."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real mail (../shared/data) is not here; this test needs it")
    return SHARED_DATA


@pytest.fixture
def pipeline(google_settings: Settings, database_url: str, blobs: BlobStore) -> Iterator["Pipeline"]:
    """The whole pipeline in this process, on this test's own database and local Google."""
    from cheerful_pipelines_tests.pipeline import Pipeline  # late: only these tests pay for all definitions

    database = Database(database_url)
    built = Pipeline(google_settings, database, blobs)
    yield built
    built.instance.dispose()
    database.close()
