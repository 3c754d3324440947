"""Tables, migrations, blobs and sealed credentials on a real Postgres."""

import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from cheerful_pipelines.core.errors import AuthError, ConfigurationError, NotFoundError, PermanentError, TransientError
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage import secrets
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database, transaction_is_open
from cheerful_pipelines.storage.insert_rows import insert_rows
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines.storage.schema import metadata


def test_migrations_and_table_metadata_agree(database: Database) -> None:
    """A column added to the schema without a migration fails here, and the other way round."""
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _p: kind != "schema" or name in (None, "public", "auth"),
                "include_object": lambda _o, name, kind, _r, _c: not (kind == "table" and name == "alembic_version"),
            },
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_twice_changes_nothing(database: Database) -> None:
    migrate(database)
    with database.transaction() as connection:
        assert connection.execute(sa.text("select count(*) from alembic_version")).scalar_one() == 1


def test_an_older_database_keeps_its_recipients_and_knows_when_they_were_listed(postgres: EmbeddedPostgres) -> None:
    """The migration that brought versions of recipients, on a database that has people in it."""
    database = Database(postgres.url(f"older_{uuid4().hex[:8]}"))
    migrate(database, to="0001")
    with database.login_transaction() as connection:
        connection.execute(
            sa.text(
                """
                with person as (insert into auth.users (id) values (gen_random_uuid()) returning id),
                     brand as (insert into client (user_id, slug, name) select id, 'b', 'B' from person),
                     spring as (insert into campaign (id, user_id, slug, name, campaign_type, status, starts_at,
                                                      spreadsheet_id)
                                select gen_random_uuid(), id, 'spring', 'Spring', 'GIFTING', 'ACTIVE', now(), 's'
                                  from person returning id)
                insert into campaign_recipient
                    (campaign_id, email_key, email, content_hash, sheet_row, created_at, removed_at)
                select spring.id, key, key, 'h', 2, '2026-10-01', gone::timestamptz
                  from spring, (values ('ana@creator.example', null), ('bo@creator.example', '2026-10-05'))
                    as people (key, gone)
                """
            )
        )

    migrate(database)

    database = database.for_every_client()
    with database.transaction() as connection:
        campaign_id = connection.execute(sa.text("select id from campaign")).scalar_one()
    store, moment = RecipientStore(database), datetime(2026, 10, 3, tzinfo=UTC)
    assert [r.email for r in store.listed(campaign_id, instant=moment)] == ["ana@creator.example", "bo@creator.example"]
    assert [r.email for r in store.listed(campaign_id, instant=datetime.now(UTC))] == ["ana@creator.example"]
    database.close()


def test_every_table_reaches_a_client() -> None:
    """user_id directly, or over foreign keys: what row-level security will be keyed to."""
    reaching = {table.fullname for table in metadata.tables.values() if "user_id" in table.c or table.name == "users"}
    for _ in metadata.tables:
        reaching |= {
            table.fullname
            for table in metadata.tables.values()
            if any(key.column.table.fullname in reaching for key in table.foreign_keys)
        }
    nobodys = {
        "classifier_evaluation",
        "sheet_lease",
        "sheets_call",
        "alert",
        "alert_notified",
        "web_session",
        "sign_in_attempt",
        "sign_in_known",
    }  # invented conversations, ids and counts only
    assert {table.fullname for table in metadata.tables.values()} - reaching == nobodys


def test_a_failing_transaction_leaves_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.transaction() as connection:
            connection.execute(sa.text("insert into auth.users (id) values (gen_random_uuid())"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert not transaction_is_open()
    with database.transaction() as connection:
        assert transaction_is_open()
        assert connection.execute(sa.text("select count(*) from auth.users")).scalar_one() == 0


def test_a_database_that_is_down_is_transient_and_says_what_to_do() -> None:
    down = Database("postgresql+psycopg2://nobody@127.0.0.1:1/none")

    with pytest.raises(TransientError, match="CHEERFUL_DATABASE_URL"), down.for_every_client().transaction():
        pass


@given(st.binary(max_size=2000))
def test_a_blob_comes_back_byte_for_byte_and_twice_is_once(content: bytes) -> None:
    store = BlobStore.from_url("memory:///")
    key = store.put(content)
    assert store.put(content) == key
    assert store.get(key) == content


def test_many_threads_put_at_once_and_every_blob_comes_back() -> None:
    """Mailboxes of one run are synced side by side; a shared compressor mixed up their bytes."""
    store = BlobStore.from_url("memory:///")
    contents = [os.urandom(200) * (50 + number % 300) for number in range(400)]

    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(store.put, contents))

    assert [store.get(key) for key in keys] == contents


def test_a_damaged_blob_is_never_given_out(tmp_path: Path) -> None:
    store = BlobStore.from_url(tmp_path.as_uri())
    one, other = store.put(b"one mail"), store.put(b"another mail")
    files = {path.stem: path for path in tmp_path.rglob("*.zst")}
    files[one].write_bytes(files[other].read_bytes())
    files[other].write_bytes(b"no zstd")

    for key in (one, other):
        with pytest.raises(PermanentError, match="damaged"):
            store.get(key)


def test_a_damaged_blob_that_claims_to_be_huge_is_damaged(tmp_path: Path) -> None:
    store = BlobStore.from_url(tmp_path.as_uri())
    key = store.put(b"one mail" * 50)
    (path,) = tmp_path.rglob("*.zst")
    content = path.read_bytes()
    eight_bytes_of_size = bytes([content[4] | 0xC0]) + (2**62).to_bytes(8, "little")
    path.write_bytes(content[:4] + eight_bytes_of_size + content[7:])

    with pytest.raises(PermanentError, match="damaged"):
        store.get(key)


def test_a_missing_blob_says_what_to_do() -> None:
    with pytest.raises(NotFoundError, match="CHEERFUL_BLOB_URL"):
        BlobStore.from_url("memory:///").get("0" * 64)


@given(st.text(max_size=200))
def test_credentials_are_sealed_and_come_back(text: str) -> None:
    sealed = secrets.seal(text, key_hex="ab" * 32)
    assert secrets.unseal(sealed, keys=["cd" * 32, "ab" * 32]) == text
    assert len(text) < 4 or text not in sealed


def test_another_key_damage_and_plaintext_are_refused() -> None:
    sealed = secrets.seal("token", key_hex="ab" * 32)
    with pytest.raises(ConfigurationError, match="sealed with key"):
        secrets.unseal(sealed, keys=["cd" * 32])
    for plain in ('{"refresh_token": "x"}', '{"type":"authorized_user","refresh_token":"x"}', "v1:nobody:abc", ""):
        with pytest.raises(AuthError, match="not sealed"):
            secrets.unseal(plain, keys=["ab" * 32])
    for damaged in (sealed[:-6] + "AAAAA=", sealed[:-3], sealed[:16], f"{sealed[:12]}\x00é", f"{sealed[:12]}a"):
        with pytest.raises(AuthError, match="damaged"):
            secrets.unseal(damaged, keys=["ab" * 32])


TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(TEXTS | st.integers(-(2**31), 2**31) | st.booleans() | st.none(), st.lists, max_leaves=5)


@given(st.lists(st.tuples(TEXTS, st.none() | TEXTS, st.lists(TEXTS, max_size=3), JSON), min_size=1, max_size=5))
@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_inserted_rows_come_back_as_they_went_in(
    database: Database, rows: list[tuple[str, str | None, list[str], object]]
) -> None:
    table = sa.Table(
        "given", sa.MetaData(), sa.Column("a", sa.Text), sa.Column("b", sa.Text), sa.Column("c", ARRAY(sa.Text)),
        sa.Column("d", JSONB), prefixes=["temporary"],
    )  # fmt: skip
    with database.transaction() as connection:
        table.create(connection)
        insert_rows(connection, table, [dict(zip("abcd", row, strict=True)) for row in rows])
        found = connection.execute(sa.select(table)).all()
        table.drop(connection)

    assert [tuple(row) for row in found] == [tuple(row) for row in rows]


def test_a_row_that_postgres_refuses_is_refused_as_any_insert_would_be(database: Database) -> None:
    table = sa.Table("given", sa.MetaData(), sa.Column("a", sa.Text, primary_key=True), prefixes=["temporary"])
    with database.transaction() as connection:
        table.create(connection)
        insert_rows(connection, table, [])
        with pytest.raises(sa.exc.IntegrityError), connection.begin_nested():
            insert_rows(connection, table, [{"a": "x"}, {"a": "x"}])
        with pytest.raises(sa.exc.DataError), connection.begin_nested():
            insert_rows(connection, table, [{"a": "nul \x00"}])
        assert connection.execute(sa.select(table)).all() == []
