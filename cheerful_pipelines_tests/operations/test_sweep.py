"""Stored mail that no row names is deleted after a day; what has a row, or gets one meanwhile, never is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import NotFoundError, PermanentError
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.operations import sweep
from cheerful_pipelines.operations.retention_store import RetentionStore
from cheerful_pipelines.operations.sweep import KEPT_ASIDE, WAITS_FOR_ITS_ROW, Swept, blobs_without_rows, sweep_blobs
from cheerful_pipelines.storage.blobs import BlobStore, sha256_hex
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline


@pytest.fixture
def folder(tmp_path: Path) -> BlobStore:
    """A store whose blobs have times."""
    return BlobStore.from_url((tmp_path / "blobs").as_uri())


def _later(*waits: timedelta) -> datetime:
    return datetime.now(UTC) + sum(waits, timedelta(minutes=1))


def _has(blobs: BlobStore, content: bytes) -> bool:
    try:
        return blobs.get(sha256_hex(content)) == content
    except NotFoundError:
        return False


def test_a_blob_without_a_row_waits_then_is_set_aside_then_deleted(database: Database, folder: BlobStore) -> None:
    key = folder.put(b"left over")

    assert sweep_blobs(database, folder, datetime.now(UTC)) == Swept(1, 0, 0, 0)  # its row may be on the way
    assert blobs_without_rows(database, folder) == [key]
    assert sweep_blobs(database, folder, _later(WAITS_FOR_ITS_ROW)) == Swept(1, 1, 0, 0)
    assert sweep_blobs(database, folder, _later(WAITS_FOR_ITS_ROW)) == Swept(1, 0, 0, 0)
    assert _has(folder, b"left over")
    assert blobs_without_rows(database, folder) == [key]  # an erasure's proof still looks at it
    assert sweep_blobs(database, folder, _later(KEPT_ASIDE)) == Swept(1, 0, 0, 1)
    assert not _has(folder, b"left over")
    assert sweep_blobs(database, folder, _later(KEPT_ASIDE)) == Swept(0, 0, 0, 0)


def test_stored_mail_stays_and_is_found_again_when_its_row_comes_late(
    pipeline: Pipeline, google: LocalGoogleAdmin, folder: BlobStore
) -> None:
    """Its bytes were set aside, by mistake or because a row came just then: `get` sees them, and they come back."""
    pipeline.resources["blobs"] = folder
    google.add_mailbox("mia@brand.example")
    google.put_sheet("in", title="In", tabs={"People": [["Email"], ["ana@creator.example"]]})
    an_account(pipeline.database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(pipeline.database, spreadsheet_id="in")
    pitch = a_message().sender("mia@brand.example").to("ana@creator.example").message_id("<p@brand.example>")
    google.deliver("mia@brand.example", pitch.bytes(), label_ids=("SENT",), internal_date=START)
    pipeline.sync_everything()
    with pipeline.database.transaction() as connection:
        (key,) = connection.execute(sa.text("select raw_sha256 from gmail_message")).scalars()

    assert sweep_blobs(pipeline.database, folder, _later(KEPT_ASIDE)) == Swept(1, 0, 0, 0)
    folder.set_aside(key)
    assert folder.get(key)
    assert sweep_blobs(pipeline.database, folder, _later(KEPT_ASIDE)).taken_back == 1
    assert [one.is_set_aside for one in folder.stored()] == [False]

    with pipeline.database.transaction() as connection:  # deleted by age, with bytes that came back since
        connection.execute(sa.text("update gmail_message set raw_deleted_at = now()"))
    assert sweep_blobs(pipeline.database, folder, _later(WAITS_FOR_ITS_ROW)).set_aside == 1


STEPS = st.lists(st.sampled_from(["put", "row", "night", "day", "no row"]), max_size=12)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, between=st.integers(0, 6))
def test_in_any_order_a_named_mail_never_loses_its_bytes(
    steps: list[str], between: int, database: Database, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whenever a mail is stored again and its row comes, also between any two questions of the sweep."""
    blobs = BlobStore.from_url(tmp_path_factory.mktemp("blobs").as_uri())
    content, named, asked = b"one mail", set[str](), [0]
    key = blobs.put(content)

    def rows(_store: object, hashes: list[str]) -> set[str]:
        answer = named & set(hashes)
        asked[0] += 1
        if asked[0] == between:  # the sync's two steps, right after the sweep has asked
            blobs.put(content)
            named.add(key)
        return answer

    monkeypatch.setattr(RetentionStore, "named", rows)
    for step in steps:
        if step == "put":
            blobs.put(content)
        elif step == "row":
            blobs.put(content)
            named.add(key)
        elif step == "no row":
            named.discard(key)
        else:
            sweep.sweep_blobs(database, blobs, _later(KEPT_ASIDE if step == "day" else WAITS_FOR_ITS_ROW))
        assert key not in named or _has(blobs, content)


def test_another_installations_folder_is_not_emptied(
    database: Database, folder: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MAX_WITHOUT_ROWS", 3)
    for number in range(4):
        folder.put(f"theirs {number}".encode())

    with pytest.raises(PermanentError, match="4 of 4 stored mails"):
        sweep_blobs(database, folder, _later(WAITS_FOR_ITS_ROW))
    assert not any(one.is_set_aside for one in folder.stored())


def test_the_job_runs_it_every_night(pipeline: Pipeline, blobs: BlobStore) -> None:
    job = pipeline.defs.get_job_def("blob_sweep")
    assert job.execute_in_process(resources=pipeline.resources).success
