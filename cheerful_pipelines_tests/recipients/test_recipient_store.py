"""Imports in a real Postgres: all of it or nothing, twice equals once, nobody is deleted."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.google.sheets.models import Cell
from cheerful_pipelines.recipients.diff import compare
from cheerful_pipelines.recipients.parse_rows import parse_rows
from cheerful_pipelines.recipients.store import OWN_WRITE_LASTS_AT_MOST, RecipientStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.recipients.importer import a_record

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
    diff = compare(stored.recipients, parsed.recipients, store.suppressions(campaign.user_id))
    return store.apply(
        campaign, diff, parsed.problems, expected_revision=stored.revision, record=a_record(parsed, version=version)
    ).revision


def _listed(database: Database, campaign: Campaign, instant: datetime | None = None) -> dict[str, str | None]:
    found = RecipientStore(database).listed(campaign.id, instant=instant or datetime.now(UTC))
    return {item.email: item.name for item in found}


def _problems(database: Database, campaign: Campaign) -> list[tuple[int, str]]:
    return [(item.sheet_row, item.kind) for item in RecipientStore(database).problems(campaign.id)]


def test_an_import_stores_recipients_problems_and_how_far_the_sheet_was_read(
    database: Database, campaign: Campaign
) -> None:
    revision = _import(database, campaign, FIRST, version="7")

    mark = CampaignStore(database).campaign_mark(campaign.id)
    assert _listed(database, campaign) == {"ana@creator.example": "Ana", "bo@creator.example": "Bo"}
    assert _problems(database, campaign) == [(4, "duplicate"), (5, "rejected")]
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
        store.apply(campaign, stale, parsed.problems, expected_revision=0, record=a_record(parsed, version="9"))

    assert list(_listed(database, campaign)) == ["ana@creator.example"]
    assert CampaignStore(database).campaign_mark(campaign.id).sheet_drive_version == "1"


def test_a_write_that_breaks_midway_leaves_the_list_as_it_was(database: Database, campaign: Campaign) -> None:
    _import(database, campaign, FIRST)
    before = RecipientStore(database).current(campaign.id)
    parsed = parse_rows([FIRST[0], ["Di", "di@creator.example"], [None, "#N/A"]])
    wrong = [parsed.problems[0].model_copy(update={"kind": "nonsense"})]

    with pytest.raises(Exception, match="kind_known"):
        RecipientStore(database).apply(
            campaign,
            compare(before.recipients, parsed.recipients),
            wrong,
            expected_revision=before.revision,
            record=a_record(parsed, version="9"),
        )

    assert RecipientStore(database).current(campaign.id) == before
    assert _problems(database, campaign) == [(4, "duplicate"), (5, "rejected")]
    assert list(_listed(database, campaign)) == ["ana@creator.example", "bo@creator.example"]


def test_long_sheets_go_in_whole(database: Database, campaign: Campaign) -> None:
    rows: list[list[Cell]] = [["Email"], *[[f"p{number}@creator.example"] for number in range(12_000)]]

    _import(database, campaign, rows)

    assert len(_listed(database, campaign)) == 12_000


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


def test_last_weeks_list_can_be_asked_for(database: Database, campaign: Campaign) -> None:
    """Each import closes what it changes and opens what is true from then on."""
    moments = [datetime.now(UTC)]
    for rows in (FIRST, [FIRST[0], ["Anna", "ana@creator.example"]], FIRST):
        _import(database, campaign, rows)
        moments.append(datetime.now(UTC))

    assert [_listed(database, campaign, moment) for moment in moments] == [
        {},
        {"ana@creator.example": "Ana", "bo@creator.example": "Bo"},
        {"ana@creator.example": "Anna"},
        {"ana@creator.example": "Ana", "bo@creator.example": "Bo"},
    ]


PEOPLE = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["x", "y"]))


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(PEOPLE, max_size=5))
def test_the_list_of_any_moment_is_the_sheet_of_that_moment(
    database: Database, lists: list[dict[str, str]], campaign: Campaign
) -> None:
    campaign = a_campaign(database, slug=f"c{datetime.now(UTC).timestamp():.6f}".replace(".", "-"))
    then: list[tuple[datetime, dict[str, str]]] = []
    for people in lists:
        rows: list[list[Cell]] = [[name, f"{key}@creator.example"] for key, name in people.items()]
        _import(database, campaign, [["Name", "Email"], *rows])
        then.append((datetime.now(UTC), {f"{key}@creator.example": name for key, name in people.items()}))

    assert [_listed(database, campaign, moment) for moment, _ in then] == [people for _, people in then]


def test_a_campaign_told_to_read_another_sheet_is_read_again_although_the_file_did_not_change(
    database: Database, campaign: Campaign
) -> None:
    _import(database, campaign, FIRST, version="5")
    (before,) = RecipientStore(database).sheets_to_watch()
    a_campaign(database)
    (same,) = RecipientStore(database).sheets_to_watch()
    a_campaign(database, sheet_gid=7)
    (after,) = RecipientStore(database).sheets_to_watch()

    assert before == same
    assert (before.drive_version, after.drive_version) == ("5", None)
    assert after.source_revision == before.source_revision + 1


def test_an_import_of_a_sheet_that_the_campaign_no_longer_names_is_refused(
    database: Database, campaign: Campaign
) -> None:
    a_campaign(database, column_mapping={"email": ["Mail"]})

    with pytest.raises(TransientError, match="another sheet"):
        _import(database, campaign, FIRST)

    assert _listed(database, campaign) == {}


def test_a_sheet_that_we_write_into_waits_and_its_new_version_counts_as_imported(
    database: Database, campaign: Campaign
) -> None:
    store = RecipientStore(database)
    _import(database, campaign, FIRST, version="5")

    readers = store.announce_own_write(campaign.spreadsheet_id)
    (during,) = store.sheets_to_watch()
    store.confirm_own_write(campaign.spreadsheet_id, as_imported=[(campaign.id, "5", "6")])
    (after,) = store.sheets_to_watch()
    store.confirm_own_write(campaign.spreadsheet_id, as_imported=[(campaign.id, "5", "9")])
    (late,) = store.sheets_to_watch()

    assert readers == ["spring"]
    assert (during.is_being_written, during.drive_version) == (True, "5")
    assert (after.is_being_written, after.drive_version) == (False, "6")
    assert late.drive_version == "6", "an import came in between: its version stands"


def test_a_write_of_ours_that_died_is_forgotten_after_a_while(database: Database, campaign: Campaign) -> None:
    store = RecipientStore(database)
    store.announce_own_write(campaign.spreadsheet_id)
    assert timedelta(minutes=5) >= OWN_WRITE_LASTS_AT_MOST
    with database.transaction() as connection:
        connection.execute(sa.text("update campaign_mark set own_write_until = now() - interval '1 second'"))

    assert not store.sheets_to_watch()[0].is_being_written


def test_people_of_other_active_campaigns_of_the_same_client_are_known_and_of_no_other_client(
    database: Database, campaign: Campaign
) -> None:
    an_account(database, alias="zed", client="rival", address="zed@rival.example")
    _import(database, campaign, FIRST)
    _import(database, a_campaign(database, slug="done", status="COMPLETED"), FIRST)
    _import(database, a_campaign(database, slug="theirs", client="rival", senders=("zed",)), FIRST)
    autumn = a_campaign(database, slug="autumn")

    found = RecipientStore(database).elsewhere(autumn.id, autumn.user_id, ["ana@creator.example", "no@creator.example"])

    assert found == {"ana@creator.example": ("spring", 2)}
