"""What passes by itself or by a repair is transient, wherever in a transaction it happens; a bug is not."""

import errno
from pathlib import Path

import obstore
import psycopg2
import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.errors import NotFoundError, TransientError
from cheerful_pipelines.orchestration.failures import failure_class_of
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database, transaction_is_open
from cheerful_pipelines.storage.passing_errors import as_passing_error


def test_a_connection_that_is_killed_in_mid_transaction_is_transient(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    admin = sa.create_engine(postgres.url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with pytest.raises(TransientError, match=r"The database failed"), database.transaction() as connection:  # noqa: PT012
        pid = connection.execute(sa.text("select pg_backend_pid()")).scalar_one()
        with admin.connect() as killer:
            killer.execute(sa.text("select pg_terminate_backend(:pid)"), {"pid": pid})
        connection.execute(sa.text("select 1"))

    assert not transaction_is_open()
    with database.transaction() as connection:
        assert connection.execute(sa.text("select 1")).scalar_one() == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("53100", "no disk space"), ("53300", "no connection left"), ("25006", "read-only"), ("57P01", "lost"),
        ("57014", "too long"), ("55P03", "lock"), ("40001", "two transactions"), ("40P01", "two transactions"),
        ("08006", "lost"),
    ],
)  # fmt: skip
def test_what_postgres_says_of_itself_in_mid_transaction_is_transient(
    database: Database, code: str, words: str
) -> None:
    raised = f"do $$ begin raise exception 'x' using errcode = '{code}'; end $$"

    with pytest.raises(TransientError, match=words), database.transaction() as connection:
        connection.execute(sa.text(raised))


def test_a_read_only_transaction_is_transient_and_a_wrong_statement_is_not(database: Database) -> None:
    with pytest.raises(TransientError, match="read-only"), database.transaction() as connection:  # noqa: PT012
        connection.execute(sa.text("set transaction read only"))
        connection.execute(sa.text("delete from work_failure"))
    for wrong in ("select nonsense", "insert into work_failure (unit) values ('x')", "select 1/0"):
        with pytest.raises(sa.exc.DBAPIError) as caught, database.transaction() as connection:
            connection.execute(sa.text(wrong))
        assert failure_class_of(caught.value) == "unknown", wrong


@pytest.mark.parametrize("code", ["ENOSPC", "EIO", "EDQUOT", "EROFS"])
def test_a_disk_that_is_full_or_broken_is_transient(code: str) -> None:
    assert failure_class_of(OSError(getattr(errno, code), "x")) == "transient"
    assert failure_class_of(FileNotFoundError(errno.ENOENT, "x")) == "unknown"


def test_raw_errors_have_their_class_too() -> None:
    lost = sa.exc.OperationalError("select", {}, psycopg2.OperationalError("server closed the connection"))
    closed = sa.exc.InterfaceError("select", {}, psycopg2.InterfaceError("connection already closed"))

    for error in (lost, closed, ConnectionResetError(), TimeoutError(), obstore.exceptions.GenericError("x")):
        assert failure_class_of(error) == "transient", error
    for interrupt in (KeyboardInterrupt(), SystemExit(143)):
        assert failure_class_of(interrupt) == "interrupted"
    assert as_passing_error(obstore.exceptions.NotFoundError("x")) is None
    assert failure_class_of(RecursionError()) == "unknown"


def test_a_bucket_that_is_away_is_transient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_ENDPOINT": "http://127.0.0.1:9",
        "AWS_ALLOW_HTTP": "true", "AWS_REGION": "x",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    from obstore.store import S3Store

    away = BlobStore(S3Store("bucket", retry_config={"max_retries": 0}))
    for call in (lambda: away.put(b"x"), lambda: away.get("ab" * 32), lambda: away.delete("ab" * 32)):
        with pytest.raises(TransientError, match="The blob store failed"):
            call()


def test_a_folder_of_mail_that_is_not_mounted_is_transient_and_one_missing_mail_is_not(tmp_path: Path) -> None:
    store = BlobStore.from_url((tmp_path / "mail").as_uri())
    key = store.put(b"one")
    with pytest.raises(NotFoundError):
        store.get("ab" * 32)
    (tmp_path / "mail").rename(tmp_path / "away")
    with pytest.raises(TransientError, match="not there"):
        store.get(key)
    with pytest.raises(TransientError, match="not there"):
        BlobStore.from_url((tmp_path / "mail").as_uri()).get(key)
    (tmp_path / "mail").rmdir()
    (tmp_path / "away").rename(tmp_path / "mail")

    assert store.get(key) == b"one"
