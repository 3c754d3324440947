"""The whole pipeline on the demo, against what really happened: sheets, mail, threads, verdicts, numbers."""

from datetime import timedelta
from threading import Event

import pytest
from sqlalchemy import text

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.demo.player import play
from cheerful_pipelines.demo.progress import load_progress
from cheerful_pipelines.demo.seed import seed_demo
from cheerful_pipelines.demo.truth import DemoTruth
from cheerful_pipelines.demo.world import generate_world
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.pipeline import Pipeline

EQUAL = (
    "recipients", "messages_sent", "contacted", "hard_bounced", "soft_bounced", "delivered", "replied", "auto_replied",
)  # fmt: skip
SLUGS = ("glow-serum", "ridge-runner", "lip-balm")
BY_MACHINE = frozenset({"bounce", "out_of_office", "auto_reply"})  # told by headers: reports and absences


@pytest.fixture
def truth(
    pipeline: Pipeline,
    google: LocalGoogleAdmin,
    database: Database,
    google_settings: Settings,
) -> DemoTruth:
    """The seeded demo, every asset materialized, and the truth as of the moment it was loaded up to."""
    seed_demo(google, CampaignStore(database), google_settings)
    pipeline.sync_everything()
    progress = load_progress(google_settings.home)
    assert progress is not None
    world = generate_world(progress.seed, progress.anchor)
    return DemoTruth(world, world.loaded_until)


def test_who_was_reached_and_who_answered_are_counted_as_it_really_happened(
    pipeline: Pipeline,
    truth: DemoTruth,
    database: Database,
):
    for slug in SLUGS:
        real, counted = truth.counts(slug), pipeline.metrics(slug)
        assert {key: counted[key] for key in EQUAL} == {key: real[key] for key in EQUAL}, slug
        assert _problems(database, slug) == {k: real[k] for k in ("rejected", "duplicate", "no_address")}, slug


def test_mail_that_was_synced_before_its_recipients_were_known_counts_all_the_same(
    pipeline: Pipeline, google: LocalGoogleAdmin, database: Database, google_settings: Settings
):
    """A new installation's sensors start both at once; what was passed over is pulled in."""
    seed_demo(google, CampaignStore(database), google_settings)
    for account in pipeline.campaigns.accounts():
        pipeline.run("gmail_messages", account.alias)
    pipeline.sync_everything()
    progress = load_progress(google_settings.home)
    assert progress is not None
    world = generate_world(progress.seed, progress.anchor)

    for slug in SLUGS:
        real, counted = DemoTruth(world, world.loaded_until).counts(slug), pipeline.metrics(slug)
        assert {key: counted[key] for key in EQUAL} == {key: real[key] for key in EQUAL}, slug


def test_what_they_meant_is_found_out(
    pipeline: Pipeline,
    truth: DemoTruth,
    database: Database,
):
    """Every opt-out; of the other classes 85 in a hundred."""
    labels = {key: label for key, label in truth.thread_labels().items() if label not in BY_MACHINE}
    verdicts = {key: label for key, label in _verdicts(database).items() if key in labels}
    wrong = sorted((labels[key], label) for key, label in verdicts.items() if labels[key] != label)

    assert set(verdicts) == set(labels)
    assert len(wrong) <= 0.15 * len(labels), wrong
    opted_out = {slug: (truth.counts(slug)["opted_out"], pipeline.metrics(slug)["opted_out"]) for slug in SLUGS}
    assert all(real == counted for real, counted in opted_out.values()), opted_out
    for slug in SLUGS:
        real, counted = truth.counts(slug), pipeline.metrics(slug)["positive"]
        assert counted is not None
        assert real["positive_now"] * 0.85 <= counted <= real["positive"] * 1.15, slug


def _problems(database: Database, slug: str) -> dict[str, int]:
    with database.transaction() as connection:
        rows = connection.execute(
            text(
                "select kind, count(*) from recipient_problem p join campaign c on c.id = p.campaign_id "
                "where slug = :slug group by kind"
            ),
            {"slug": slug},
        )
        return {row[0]: row[1] for row in rows}


def _verdicts(database: Database) -> dict[tuple[str, str], str]:
    """Newest label by (alias, Message-ID of the newest human message, else of the newest inbound one)."""
    with database.transaction() as connection:
        rows = connection.execute(
            text(
                "select distinct on (s.id) a.alias, m.rfc822_message_id, v.label from gmail_thread_state s "
                "join thread_verdict v on v.thread_state_id = s.id join gmail_account a on a.id = s.gmail_account_id "
                "join gmail_message m on m.gmail_account_id = s.gmail_account_id and m.gmail_message_id = "
                "coalesce(s.state->>'newest_human_id', s.state->>'newest_inbound_id') "
                "where s.is_latest order by s.id, v.id desc"
            )
        )
        return {(row[0], row[1]): row[2] for row in rows}


def test_after_everything_else_has_happened_it_is_counted_as_it_really_happened(
    pipeline: Pipeline, truth: DemoTruth, google: LocalGoogleAdmin, google_settings: Settings
):
    progress = load_progress(google_settings.home)
    assert progress is not None
    world = generate_world(progress.seed, progress.anchor)
    play(google, world, start_index=0, events_per_minute=1e9, stop=Event())
    pipeline.sync_everything()

    real_truth = DemoTruth(world, max(event.at for event in world.live()) + timedelta(seconds=1))
    for slug in SLUGS:
        real, counted = real_truth.counts(slug), pipeline.metrics(slug)
        assert {key: counted[key] for key in EQUAL} == {key: real[key] for key in EQUAL}, slug
        assert real["replied"] >= truth.counts(slug)["replied"]
