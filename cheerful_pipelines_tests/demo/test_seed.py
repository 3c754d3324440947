"""Seeding on the real local server and a real database: twice is once, interrupted is continued, never a day late."""

import time
from datetime import timedelta

import pytest

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.demo.progress import DemoProgress, load_progress, save_progress
from cheerful_pipelines.demo.seed import SEED, seed_demo
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.demo.worlds import TODAY


def test_seeding_fills_registry_sheets_and_mailboxes_within_eight_seconds(
    google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    campaigns = CampaignStore(database)
    began = time.perf_counter()

    report = seed_demo(google, campaigns, google_settings)

    assert time.perf_counter() - began < 8
    assert not report.was_seeded
    assert report.messages >= 900
    assert [(c.slug, c.status) for c in campaigns.campaigns()] == [
        ("glow-serum", "ACTIVE"), ("lip-balm", "COMPLETED"), ("ridge-runner", "ACTIVE"),
    ]  # fmt: skip
    assert len(campaigns.accounts()) == 4
    assert all(len(campaigns.accounts(campaign_id=c.id)) == 2 for c in campaigns.campaigns())
    assert all(c.metrics_spreadsheet_id for c in campaigns.campaigns())


def test_seeding_twice_is_seeding_once(google: LocalGoogleAdmin, database: Database, google_settings: Settings):
    campaigns = CampaignStore(database)
    first = seed_demo(google, campaigns, google_settings)

    second = seed_demo(google, campaigns, google_settings)

    assert second.was_seeded
    assert second.messages == 0
    assert google.health()["messages"] == first.messages
    assert len(campaigns.campaigns()) == 3


def test_a_lost_progress_file_does_not_seed_again(
    google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    campaigns = CampaignStore(database)
    seed_demo(google, campaigns, google_settings)
    known = load_progress(google_settings.home)
    (google_settings.home / "demo.json").unlink()

    assert seed_demo(google, campaigns, google_settings).was_seeded
    found = load_progress(google_settings.home)
    assert known is not None
    assert found is not None
    assert found.anchor == known.anchor


def test_a_wiped_server_is_filled_again_with_the_same_world(
    google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    campaigns = CampaignStore(database)
    first = seed_demo(google, campaigns, google_settings)
    known = load_progress(google_settings.home)
    google.wipe()

    again = seed_demo(google, campaigns, google_settings)

    assert again.messages == first.messages == google.health()["messages"]
    assert load_progress(google_settings.home) == known


def test_an_interrupted_seeding_goes_on_with_the_same_world_on_another_day(
    google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    anchor = TODAY - timedelta(days=3)
    world = generate_world(SEED, anchor)
    mia = world.accounts[0]
    held = sum(item.address == mia.address for item in world.history())
    filled = {mia.alias: held - 10}
    save_progress(google_settings.home, DemoProgress(seed=SEED, anchor=anchor, filled=filled))
    campaigns = CampaignStore(database)

    report = seed_demo(google, campaigns, google_settings)

    assert report.messages == len(world.history()) - held + 10
    assert campaigns.campaign("glow-serum").starts_at == world.campaigns[0].starts_at


def test_without_a_credentials_key_it_says_what_to_set(
    google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    without = google_settings.model_copy(update={"credentials_key": None})

    with pytest.raises(ConfigurationError, match="CHEERFUL_CREDENTIALS_KEY"):
        seed_demo(google, CampaignStore(database), without)
    assert load_progress(google_settings.home) is None
