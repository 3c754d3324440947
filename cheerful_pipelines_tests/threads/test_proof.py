"""The nightly proof as the schedule asks for it: a run of checks alone, one campaign each."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.definitions import build_defs
from cheerful_pipelines.schedules import nightly_proof
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    room, mia = Mailroom(database, blobs), an_account(database)
    room.recipients(a_campaign(database), "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer(), thread="t1")
    process_campaign(ThreadStore(database), blobs, "spring", run_id="run-1")
    return room


def test_every_night_a_run_says_of_each_campaign_what_it_proved(room: Mailroom, settings: Settings) -> None:
    a_campaign(room.database, slug="draft", status="DRAFT")
    night = datetime(2026, 11, 1, 3, 50, tzinfo=UTC)
    request: Any = nightly_proof(dg.build_schedule_context(scheduled_execution_time=night))
    definitions = build_defs(
        database=room.database, blobs=room.blobs, settings=settings, campaigns=CampaignStore(room.database)
    )
    with dg.instance_for_test() as instance:
        result = definitions.resolve_job_def("thread_proof").execute_in_process(instance=instance)
        (found,) = result.get_asset_check_evaluations()

    assert request.run_key == "proof:2026-11-01"
    assert (found.check_name, found.partition, found.passed) == ("replayed_sample_is_equal", "spring", True)
    assert str(found.metadata["proof"].value).startswith("1 threads with all their states")
