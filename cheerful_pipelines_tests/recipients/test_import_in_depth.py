"""Imports as clients really keep their sheets: what the run says, whom it flags, what it writes back, what stops it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.recipients.assets import GUARD_NAME, JOBS
from cheerful_pipelines.recipients.import_plan import plan_import, read_sheet
from cheerful_pipelines.recipients.own_writes import own_write
from cheerful_pipelines.recipients.problems_sheet import TAB_TITLE
from cheerful_pipelines.recipients.sensors import sheet_changes
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.killable import started
from cheerful_pipelines_tests.recipients.importer import Importer
from cheerful_pipelines_tests.recipients.worker_to_kill import import_the_sheet

PEOPLE = [[f"P{number}", f"p{number}@creator.example"] for number in range(20)]


@pytest.fixture
def importer(database: Database, google: LocalGoogleAdmin, google_settings: Settings) -> Iterator[Importer]:
    made = Importer(database, google, google_settings)
    yield made
    google.clear_faults()
    made.instance.dispose()


def _edits(importer: Importer, *changes: tuple[str, list[list[Any]]]) -> None:
    importer.sheets.update_values("creators", list(changes))


# --- what the run says ---


def test_the_counts_add_up_and_the_changes_are_told_by_row_and_id(importer: Importer) -> None:
    importer.put(*PEOPLE, ["Twice", "p1@creator.example"], ["Bad", "#N/A"], ["None", ""])
    first = importer.said(importer.run())
    ids = {item.email_key: item.id for item in importer.store.current(importer.campaign.id).recipients}
    importer.put(*PEOPLE[:-1], ["New", "new@creator.example"])
    second = importer.said(importer.run())

    assert first["rows"] == 23
    for said in (first, second):
        buckets = ("active", "suppressed", "duplicate", "rejected", "no_address")
        assert said["rows"] == sum(said[name] for name in buckets)
    new_id = max(item.id for item in importer.store.current(importer.campaign.id).recipients)
    assert f"| removed | 21 | {ids['p19@creator.example']} |" in second["changes"]
    assert f"| added | 21 | {new_id} |" in second["changes"]
    assert "| duplicate | 22 |  | The same address stands in row 3" in first["changes"]
    assert "@" not in first["changes"] + second["changes"]


def test_a_preview_says_the_same_as_the_import_and_writes_nothing(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    importer.put(*PEOPLE[:5], ["New", "new@creator.example"])
    before = importer.store.current(importer.campaign.id)

    result = JOBS[0].execute_in_process(
        partition_key="spring", instance=importer.instance, resources=importer.resources
    )

    (event,) = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    observation = event.asset_observation_data.asset_observation
    said = {name: value.value for name, value in observation.metadata.items()}
    assert observation.partition == "spring"
    assert (said["added"], said["removed"], said["unchanged"]) == (1, 15, 5)
    assert said["would_stop"] is True
    assert "would remove 15 of 20" in said["removal_guard"]
    assert "| added | 7 | new |" in said["changes"]
    assert importer.store.current(importer.campaign.id) == before


def test_moved_renamed_missing_and_new_headers_are_told_once(importer: Importer) -> None:
    importer.put(["P", "p@creator.example", "Porto", "x"], header=("Name", "Email", "City", "Notes"))
    importer.run()
    importer.put(["p@creator.example", "P", "Porto", "y"], header=("Email", "Name", "Town", "Extra"))
    drifted, calm = importer.run(), importer.run()

    check = importer.checks(drifted)["headers_as_before"]
    assert not check.passed
    assert "'Email' moved from B to A" in str(check.description)
    assert "'City' (C) is now called 'Town'" in str(check.description)
    assert importer.checks(calm)["headers_as_before"].passed


def test_hidden_rows_are_imported_and_counted(importer: Importer) -> None:
    importer.put(*PEOPLE)
    where = {"sheetId": 0, "dimension": "ROWS", "startIndex": 3, "endIndex": 7}
    hide = {"range": where, "properties": {"hiddenByUser": True}, "fields": "hiddenByUser"}
    importer.sheets.batch_update("creators", [{"updateDimensionProperties": hide}])

    said = importer.said(importer.run())

    assert (said["active"], said["hidden"]) == (20, 4)


def test_error_cells_are_told_with_their_address_and_cost_only_their_value(importer: Importer) -> None:
    importer.put(["#REF!", "a@creator.example"], ["Bo", "#N/A"])

    said = importer.said(importer.run())

    assert (said["active"], said["rejected"], said["error_cell"]) == (1, 1, 1)
    assert "A2: #REF!" in said["problems"]
    assert "B3: #N/A" in said["problems"]


def test_values_stay_as_typed(importer: Importer) -> None:
    """Text that looks like a date or a number is the client's text; a real date reads as the sheet shows it."""
    rows = [["Ana", "ana@creator.example", "0012", "12/03/26", 12.5, 7.0]]
    importer.put(*rows, header=("Name", "Email", "Post code", "Date", "Rate", "Posts"))
    importer.run()

    (ana,) = importer.store.listed(importer.campaign.id, instant=datetime.now(UTC))
    assert ana.custom_fields == {"Post code": "0012", "Date": "12/03/26", "Rate": "12.5", "Posts": "7"}


def test_a_list_below_another_table_is_read_by_range_and_header_row(importer: Importer) -> None:
    rows: list[list[Any]] = [["Email"], ["office@agency.example"], [], ["", "Who", "Contact"]]
    rows += [["", "Ana", "ana@creator.example"], ["", "Bo", "nobody"]]
    importer.google.put_sheet("creators", title="Creators", tabs={"Budget": [["x"]], "People": rows})
    importer.change(
        sheet_gid=importer.sheets.tabs("creators")[1].sheet_id,
        sheet_range="B3:C",
        header_row=4,
        column_mapping={"email": ["Mail", "Contact"], "name": ["Who"]},
    )

    said = importer.said(importer.run())

    (ana,) = importer.store.listed(importer.campaign.id, instant=datetime.now(UTC))
    assert (ana.email, ana.name, ana.sheet_row) == ("ana@creator.example", "Ana", 5)
    assert "| 6 | C6 | rejected |" in said["problems"]
    assert (said["tab"], said["columns"]) == ("People", "email: C, name: B")


# --- who must not be written to ---


def _opted_out(database: Database, slug: str, key: str, *, account: str = "mia") -> None:
    """What threads and verdicts leave behind when this recipient of the campaign opts out."""
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                """
                with account as (select id from gmail_account where alias = :account),
                     person as (select r.id, r.campaign_id from campaign_recipient r
                                  join campaign c on c.id = r.campaign_id where c.slug = :slug and email_key = :key),
                     state as (insert into gmail_thread_state
                                 (gmail_account_id, gmail_thread_id, version, is_latest, state, state_hash, reason,
                                  cause_ingest_seq, cause_gmail_message_id, code_version)
                               select id, :thread, 1, true, '{}', 'h', 'message added', 1, 'm', '1' from account
                               returning id),
                     owner as (insert into thread_attribution
                                 (campaign_id, gmail_account_id, gmail_thread_id, recipient_id, rule, confidence,
                                  conversation_key)
                               select person.campaign_id, account.id, :thread, person.id, 'written_to', 1, 'k'
                                 from person, account)
                insert into thread_verdict
                    (thread_state_id, gmail_account_id, gmail_thread_id, classifier_version, cache_key, label,
                     confidence, confidence_source, rationale, flags, fields, needs_review, provider, model,
                     prompt_version, taxonomy_version)
                select state.id, account.id, :thread, '1', 'c', 'opt_out', 1, 'rules', 'r', '{}', '{}', false, 'p',
                       'm', '1', '1' from state, account
                """
            ),
            {"account": account, "slug": slug, "key": key, "thread": f"t-{slug}-{key[:3]}"},
        )


def test_whoever_opted_out_of_any_campaign_of_the_client_is_flagged_at_import(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    a_campaign(importer.database, slug="autumn")
    _opted_out(importer.database, "spring", "p7@creator.example")

    same = importer.run()
    said = importer.said(same)

    assert (said["active"], said["suppressed"], said["rows"]) == (19, 1, 20)
    assert "| suppressed | 9 |" in said["changes"]
    assert "opted out in campaign spring" in said["changes"]
    assert importer.active() == 20, "the row stays listed: numbers and threads hang on it"
    check = importer.checks(same)["nobody_suppressed_is_listed"]
    assert not check.passed
    assert "rows 9" in str(check.description)
    assert said["recipients_revision_before"] == said["recipients_revision_after"], "a flag computes nothing anew"


def test_an_opt_out_of_another_client_is_nobodys_business_here(importer: Importer, database: Database) -> None:
    importer.put(*PEOPLE)
    importer.run()
    an_account(database, alias="zed", client="rival", address="zed@rival.example")
    theirs = a_campaign(database, slug="theirs", client="rival", senders=("zed",))
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "insert into campaign_recipient (campaign_id, email_key, email, content_hash, sheet_row) "
                "values (:id, 'p7@creator.example', 'p7@creator.example', 'x', 2)"
            ),
            {"id": theirs.id},
        )
    _opted_out(database, "theirs", "p7@creator.example", account="zed")

    assert set(importer.store.suppressions(theirs.user_id)) == {"p7@creator.example"}
    assert importer.said(importer.run())["suppressed"] == 0


def test_a_person_who_corrected_the_verdict_is_believed(importer: Importer, database: Database) -> None:
    importer.put(*PEOPLE)
    importer.run()
    _opted_out(database, "spring", "p7@creator.example")
    with database.transaction() as connection:
        connection.execute(
            sa.text(
                "insert into thread_override (gmail_account_id, gmail_thread_id, label, author, reason) "
                "select gmail_account_id, gmail_thread_id, 'interested', 'pat', 'read it' from thread_verdict"
            )
        )

    assert importer.store.suppressions(importer.campaign.user_id) == {}


# --- what is written back ---


def _ticks(importer: Importer) -> int:
    """Runs that the sensor would start now."""
    context = dg.build_sensor_context(
        instance=importer.instance, resources={"database": importer.database, "sheets": importer.sheets}
    )
    found: Any = sheet_changes(context)
    return 0 if isinstance(found, dg.SkipReason) else len(found.run_requests or [])


def test_the_problems_tab_has_a_line_for_each_row_that_was_not_taken_and_starts_no_import(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    importer.put(*PEOPLE, ["Twice", "p1@creator.example"], ["Bad", "p9@"], ["None", ""])

    said = importer.said(importer.run())

    tab = importer.google.sheet_values("creators", TAB_TITLE)
    assert tab[0] == ["Key", "Row", "Cell", "What", "Why", "Link"]
    assert [row[1:4] for row in tab[1:]] == [[22, "B22", "duplicate"], [23, "B23", "rejected"]]
    assert tab[1][5] == "https://docs.google.com/spreadsheets/d/creators/edit#gid=0&range=B22"
    assert "p9@" not in str(tab)
    assert "p1@" not in str(tab)
    assert said["problems_tab"] == "18 cells written"
    assert importer.watched().drive_version == importer.sheets.drive_version("creators")
    assert _ticks(importer) == 0


def test_mended_rows_leave_the_tab_and_notes_beside_the_others_stay(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    importer.put(*PEOPLE, ["A", "a@"], ["B", "b@"], ["C", "c@"])
    importer.run()
    _edits(importer, (f"'{TAB_TITLE}'!G3", [["asked Bo"]]), ("'Creators'!B22", [["a@creator.example"]]))
    importer.run()
    _edits(importer, ("'Creators'!A25:B25", [["D", "d@"]]))
    importer.run()

    tab = importer.google.sheet_values("creators", TAB_TITLE)
    assert [(row[1], row[6:]) for row in tab[1:]] == [(25, []), (23, ["asked Bo"]), (24, [])]
    assert importer.google.sheet_values("creators", "Creators")[21] == ["A", "a@creator.example"]


def test_a_second_import_writes_nothing_back(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    importer.put(*PEOPLE, ["A", "a@"])
    importer.run()
    version = importer.sheets.drive_version("creators")

    assert importer.said(importer.run())["problems_tab"] == "0 cells written"
    assert importer.sheets.drive_version("creators") == version


def test_a_clean_sheet_gets_no_tab(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    importer.put(*PEOPLE)
    importer.run()

    assert [tab.title for tab in importer.sheets.tabs("creators")] == ["Creators"]


def test_numbers_written_into_the_recipients_spreadsheet_start_no_import(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    properties = {"title": "Summary", "gridProperties": {"rowCount": 9, "columnCount": 3}}

    with own_write(importer.database, importer.sheets, "creators"):
        importer.sheets.batch_update("creators", [{"addSheet": {"properties": properties}}])

    assert importer.watched().drive_version == importer.sheets.drive_version("creators")
    assert _ticks(importer) == 0


def test_an_edit_during_our_own_write_is_imported(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()

    with own_write(importer.database, importer.sheets, "creators"):
        _edits(importer, ("'Creators'!A2", [["Renamed"]]))
        assert _ticks(importer) == 0, "while we write, the version says nothing"

    assert _ticks(importer) == 1


def test_a_tab_that_cannot_be_written_is_told_and_the_import_stands(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    importer.google.put_sheet(
        "creators",
        title="Creators",
        tabs={"Creators": [["Name", "Email"], *PEOPLE, ["A", "a@"]], TAB_TITLE: [["our own notes"]]},
    )

    said = importer.said(importer.run())

    assert "Not written" in said["problems_tab"]
    assert importer.active() == 20
    assert importer.google.sheet_values("creators", TAB_TITLE) == [["our own notes"]]


def test_recipients_in_a_tab_of_that_name_are_never_overwritten(importer: Importer) -> None:
    importer.change(writes_problems_tab=True)
    rows = [["Name", "Email"], *PEOPLE, ["A", "a@"]]
    importer.google.put_sheet("creators", title="Creators", tabs={TAB_TITLE: rows})

    said = importer.said(importer.run())

    assert "Not written" in said["problems_tab"]
    assert importer.google.sheet_values("creators", TAB_TITLE)[0] == ["Name", "Email"]


# --- what happens while we read ---


def test_a_sheet_edited_between_two_reads_is_read_again_as_one_moment(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row put in above the second chunk would be read twice, or another one not at all."""
    monkeypatch.setattr("cheerful_pipelines.google.sheets.sheets_client.ROWS_A_READ", 8)
    importer.put(*PEOPLE)
    edited = []
    original = importer.sheets.read_ranges

    def read_and_edit(spreadsheet_id: str, ranges: list[str], **kwargs: Any) -> Any:
        found = original(spreadsheet_id, ranges, **kwargs)
        if not edited:
            edited.append(True)
            importer.put(["Top", "top@creator.example"], *PEOPLE)
        return found

    monkeypatch.setattr(importer.sheets, "read_ranges", read_and_edit)

    sheet = read_sheet(importer.sheets, importer.campaign)

    keys = [person.email_key for person in sheet.parsed.recipients]
    assert keys == ["top@creator.example", *(row[1] for row in PEOPLE)]
    assert sheet.parsed.problems == ()
    assert sheet.drive_version == importer.sheets.drive_version("creators")


def test_a_sheet_that_never_stands_still_is_passing_trouble(
    importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    importer.put(*PEOPLE)
    importer.run()
    numbers = iter(range(1000))
    original = importer.sheets.read_ranges

    def read_and_edit(spreadsheet_id: str, ranges: list[str], **kwargs: Any) -> Any:
        _edits(importer, ("'Creators'!A2", [[f"P{next(numbers)}"]]))
        return original(spreadsheet_id, ranges, **kwargs)

    monkeypatch.setattr(importer.sheets, "read_ranges", read_and_edit)

    with pytest.raises(Exception, match="was edited each of the 3 times"):
        plan_import(importer.sheets, importer.store, importer.campaign, share=0.2, hash_key=None)
    assert importer.active() == 20


@pytest.mark.parametrize(
    ("fault", "succeeds"),
    [
        ({"status": 429, "retry_after": "0", "times": 3}, True),
        ({"status": 502, "kind": "html", "times": 3}, True),
        ({"status": 200, "kind": "cut", "times": 3}, True),
        ({"status": 500, "kind": "reset", "times": 3}, True),
        ({"status": 403, "times": 200}, False),
        ({"status": 404, "times": 200}, False),
        ({"status": 403, "kind": "html", "times": 200}, False),
    ],
    ids=lambda value: str(value),
)
def test_answers_of_all_kinds_leave_the_list_as_before_or_as_after(
    importer: Importer, monkeypatch: pytest.MonkeyPatch, fault: dict[str, Any], succeeds: bool
) -> None:
    monkeypatch.setattr("cheerful_pipelines.google.sheets.sheets_client.ROWS_A_READ", 8)
    importer.put(*PEOPLE)
    importer.run()
    importer.put(*PEOPLE[:19], ["New", "new@creator.example"])
    importer.google.inject_fault(path_contains="/values", **fault)

    result = importer.run()

    keys = {item.email_key for item in importer.store.current(importer.campaign.id).recipients if item.is_active}
    assert result.success is succeeds
    assert ("new@creator.example" in keys) is succeeds
    assert ("p19@creator.example" in keys) is not succeeds
    assert len(keys) == 20


def test_a_worker_killed_at_any_moment_leaves_the_list_as_before_or_as_after(
    importer: Importer, database_url: str, google_settings: Settings
) -> None:
    """kill -9 while it reads, compares or writes; the next run finishes the work."""
    before = [[f"P{number}", f"old{number}@creator.example"] for number in range(3000)]
    after = [[f"P{number}", f"new{number}@creator.example"] for number in range(3000)]
    importer.put(*before)
    importer.run()
    importer.put(*after)
    for delay in (0.0, 0.2, 0.4, 0.6, 0.8, 1.2):
        worker = started(import_the_sheet, database_url, google_settings.local_google_url)
        worker.join(timeout=delay)
        worker.kill()
        worker.join()
        time.sleep(0.1)  # the server notices the dead connection and rolls back
        keys = {item.email_key for item in importer.store.current(importer.campaign.id).recipients if item.is_active}
        listed = importer.store.listed(importer.campaign.id, instant=datetime.now(UTC))
        assert keys in ({row[1] for row in before}, {row[1] for row in after})
        assert {item.email for item in listed} == keys

    assert importer.run(allow_removals=True).success
    assert importer.active() == 3000
    assert "new0@creator.example" in {
        item.email_key for item in importer.store.current(importer.campaign.id).recipients if item.is_active
    }


def test_the_guard_is_a_check_of_the_partition_that_the_ui_shows(importer: Importer) -> None:
    importer.put(*PEOPLE)
    importer.run()
    importer.put()

    importer.run()

    key = dg.AssetCheckKey(dg.AssetKey("sheet_recipients"), GUARD_NAME)
    (record,) = importer.instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    assert record.status.value == "FAILED"
    assert record.partition == "spring"
