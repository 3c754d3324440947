"""Imports in a real Postgres: all of it or nothing, twice equals once, nobody is deleted."""

import pytest

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.errors import TransientError
from cheerful_pipelines.recipients.diff import compare
from cheerful_pipelines.recipients.models import Cell
from cheerful_pipelines.recipients.parse_rows import parse_rows
from cheerful_pipelines.recipients.store import RecipientStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account

FIRST: list[list[Cell]] = [
    ["Name", "Email", "City"],
    ["Ana", "ana@creator.example", "Porto"],
    ["Bo", "bo@creator.example"],
    ["Bo", "BO@creator.example"],
    ["Cy", "#N/A"],
]


@pytest.fixture
def campaign(database: Database) -> Campaign:
    an_account(database)
    return a_campaign(database)


def _import(database: Database, campaign: Campaign, rows: list[list[Cell]], version: str = "1") -> int:
    store = RecipientStore(database)
    parsed = parse_rows(rows)
    stored = store.current(campaign.id)
    return store.apply(
        campaign.id,
        compare(stored.recipients, parsed.recipients),
        parsed.problems,
        expected_revision=stored.revision,
        content_hash=parsed.content_hash,
        drive_version=version,
        run_id="run",
    )


def test_an_import_stores_recipients_problems_and_how_far_the_sheet_was_read(
    database: Database, campaign: Campaign
) -> None:
    revision = _import(database, campaign, FIRST, version="7")

    store, mark = RecipientStore(database), CampaignStore(database).campaign_mark(campaign.id)
    counts = store.counts(campaign.id)
    assert (counts.active, counts.duplicate, counts.rejected, counts.removed) == (2, 1, 1, 0)
    assert (revision, mark.recipients_revision, mark.sheet_drive_version) == (1, 1, "7")
    assert mark.sheet_content_hash == parse_rows(FIRST).content_hash
    assert mark.sheet_imported_at is not None


def test_a_second_import_of_the_same_sheet_is_no_news(database: Database, campaign: Campaign) -> None:
    _import(database, campaign, FIRST)
    before = RecipientStore(database).current(campaign.id)

    revision = _import(database, campaign, FIRST, version="2")

    assert revision == 1
    assert RecipientStore(database).current(campaign.id) == before
    assert CampaignStore(database).campaign_mark(campaign.id).sheet_drive_version == "2"


def test_rows_that_only_moved_keep_their_people_and_start_nothing(database: Database, campaign: Campaign) -> None:
    _import(database, campaign, FIRST)

    revision = _import(database, campaign, [FIRST[0], FIRST[2], FIRST[1]])

    assert revision == 1
    rows = {item.email_key: item.sheet_row for item in RecipientStore(database).current(campaign.id).recipients}
    assert rows == {"bo@creator.example": 2, "ana@creator.example": 3}


def test_a_removed_recipient_stays_stored_and_comes_back_as_the_same_one(
    database: Database, campaign: Campaign
) -> None:
    """Threads and numbers hang on the id."""
    _import(database, campaign, FIRST)
    first = {item.email_key: item.id for item in RecipientStore(database).current(campaign.id).recipients}
    _import(database, campaign, FIRST[:2])
    removed = {item.email_key: item.is_active for item in RecipientStore(database).current(campaign.id).recipients}

    revision = _import(database, campaign, FIRST)

    again = RecipientStore(database).current(campaign.id).recipients
    assert removed == {"ana@creator.example": True, "bo@creator.example": False}
    assert {item.email_key: item.id for item in again} == first
    assert all(item.is_active for item in again)
    assert revision == 3


def test_an_import_based_on_an_older_list_is_refused_and_writes_nothing(database: Database, campaign: Campaign) -> None:
    store, parsed = RecipientStore(database), parse_rows(FIRST)
    stale = compare((), parsed.recipients)
    _import(database, campaign, FIRST[:2])

    with pytest.raises(TransientError, match="finished meanwhile"):
        store.apply(
            campaign.id,
            stale,
            parsed.problems,
            expected_revision=0,
            content_hash="x",
            drive_version="9",
            run_id="r",
        )

    assert store.counts(campaign.id).active == 1
    assert CampaignStore(database).campaign_mark(campaign.id).sheet_drive_version == "1"


def test_a_write_that_breaks_midway_leaves_the_list_as_it_was(database: Database, campaign: Campaign) -> None:
    _import(database, campaign, FIRST)
    before = RecipientStore(database).current(campaign.id)
    parsed = parse_rows([FIRST[0], ["Di", "di@creator.example"], [None, "#N/A"]])
    wrong = [parsed.problems[0].model_copy(update={"kind": "nonsense"})]

    with pytest.raises(Exception, match="kind_known"):
        RecipientStore(database).apply(
            campaign.id,
            compare(before.recipients, parsed.recipients),
            wrong,
            expected_revision=before.revision,
            content_hash="x",
            drive_version="9",
            run_id="r",
        )

    assert RecipientStore(database).current(campaign.id) == before
    assert RecipientStore(database).counts(campaign.id).rejected == 1


def test_long_sheets_go_in_whole(database: Database, campaign: Campaign) -> None:
    rows: list[list[Cell]] = [["Email"], *[[f"p{number}@creator.example"] for number in range(2500)]]

    _import(database, campaign, rows)

    assert RecipientStore(database).counts(campaign.id).active == 2500


def test_sheets_to_watch_are_those_of_running_campaigns_and_of_old_ones_never_read(
    database: Database,
) -> None:
    an_account(database)
    a_campaign(database, slug="autumn", status="COMPLETED")
    spring = a_campaign(database, slug="spring")
    summer = a_campaign(database, slug="summer", status="COMPLETED")
    a_campaign(database, slug="winter", status="DRAFT")
    _import(database, spring, FIRST, version="5")
    _import(database, summer, FIRST)

    watched = RecipientStore(database).sheets_to_watch()

    assert [(sheet.slug, sheet.drive_version) for sheet in watched] == [("autumn", None), ("spring", "5")]
