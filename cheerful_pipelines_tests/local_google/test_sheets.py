"""Sheets and Drive through gspread and Google's own client."""

import itertools

import gspread
import pytest
from googleapiclient.errors import HttpError

from cheerful_pipelines_tests.local_google.clients import gspread_client, service

ROWS = [["Name", "Email"], ["Ana", "ana@creator.example"], [], ["Bo", "", "late"]]


@pytest.fixture
def book(google):
    """A spreadsheet with two tabs, opened by gspread."""
    google.put_sheet("book", title="Book", tabs={"People": ROWS, "It's 1/2": [["x"]]})
    return gspread_client(google).open_by_key("book")


@pytest.fixture
def sheets(google, book):
    """Google's own Sheets client."""
    return service(google, "sheets.v4", google.sheets_credentials_json())


def test_rows_are_ragged_and_an_empty_row_inside_is_kept(sheets):
    answer = sheets.spreadsheets().values().get(spreadsheetId="book", range="People").execute()

    assert answer == {
        "range": "People!A1:Z1000", "majorDimension": "ROWS",
        "values": [["Name", "Email"], ["Ana", "ana@creator.example"], [], ["Bo", "", "late"]],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("People!A2:B2", [["Ana", "ana@creator.example"]]),
        ("People!B2:A1", [["Name", "Email"], ["Ana", "ana@creator.example"]]),
        ("People!B:C", [["Email"], ["ana@creator.example"], [], ["", "late"]]),
        ("People!2:2", [["Ana", "ana@creator.example"]]),
        ("People!A4:A", [["Bo"]]),
        ("A1", [["Name"]]),
        ("'It''s 1/2'!A1", [["x"]]),
        ("people", ROWS),
    ],
)
def test_a_range_is_read_in_all_its_spellings(sheets, text, values):
    answer = sheets.spreadsheets().values().get(spreadsheetId="book", range=text).execute()

    assert answer["values"] == values


@pytest.mark.parametrize("text", ["Absent", "Absent!A1", "People!", "People!A1:", "People!A0", "People!1", "!A1"])
def test_a_range_that_means_nothing_is_refused_in_googles_words(sheets, text):
    with pytest.raises(HttpError, match=f"Unable to parse range: {text}"):
        sheets.spreadsheets().values().get(spreadsheetId="book", range=text).execute()


def test_an_empty_range_has_no_values(sheets):
    answer = sheets.spreadsheets().values().get(spreadsheetId="book", range="People!H5:J9").execute()

    assert answer == {"range": "People!H5:J9", "majorDimension": "ROWS"}


def test_raw_stores_what_user_entered_would_parse(book):
    people = book.worksheet("People")
    typed = ["0012", "1,200", "5%", "TRUE", "2026-03-01", "=SUM(A1)", "'007", "plain", "+49 30"]

    people.update([typed], "A1", value_input_option="RAW")
    assert people.row_values(1) == typed

    people.update([typed], "A1", value_input_option="USER_ENTERED")
    shown = people.get("A1:I1")[0]
    plain = people.get("A1:I1", value_render_option="UNFORMATTED_VALUE")[0]
    formulas = people.get("A1:I1", value_render_option="FORMULA")[0]

    assert shown == ["12", "1,200", "5%", "TRUE", "2026-03-01", "#ERROR!", "007", "plain", "#ERROR!"]
    assert plain[:5] == [12, 1200, 0.05, True, 46082]
    assert formulas[5] == "=SUM(A1)"


def test_a_hyperlink_shows_its_text(book):
    people = book.worksheet("People")
    people.update([['=HYPERLINK("http://127.0.0.1/x","Open")']], "A1", value_input_option="USER_ENTERED")

    assert people.acell("A1").value == "Open"


def test_null_leaves_a_cell_and_an_empty_text_empties_it(google, book):
    book.worksheet("People").update([[None, ""]], "A2:B2")

    assert google.sheet_values("book", "People")[1] == ["Ana"]


def test_writing_past_the_range_or_the_grid_is_refused_and_nothing_is_written(google, sheets):
    values = sheets.spreadsheets().values()

    def write(text, rows):
        values.update(spreadsheetId="book", range=text, valueInputOption="RAW", body={"values": rows}).execute()

    with pytest.raises(HttpError, match=r"exceeds grid limits. Max rows: 1000, max columns: 26"):
        write("People!A1000", [["a"], ["b"]])
    with pytest.raises(HttpError, match="tried writing to row"):
        write("People!A1:B1", [["a"], ["b"]])
    with pytest.raises(HttpError, match="valueInputOption"):
        values.update(spreadsheetId="book", range="A1", body={"values": [["a"]]}).execute()
    assert google.sheet_values("book", "People") == ROWS


def test_a_batch_of_values_is_written_whole_or_not_at_all(google, sheets):
    data = [{"range": "People!A1", "values": [["changed"]]}, {"range": "Absent!A1", "values": [["x"]]}]

    with pytest.raises(HttpError, match="Unable to parse range: Absent!A1"):
        sheets.spreadsheets().values().batchUpdate(
            spreadsheetId="book", body={"valueInputOption": "RAW", "data": data}
        ).execute()

    assert google.sheet_values("book", "People") == ROWS


def test_append_writes_below_the_table_and_grows_the_grid(google, sheets):
    values = sheets.spreadsheets().values()
    google.put_sheet("book", title="Book", tabs={"T": [["a", "b"], ["c"], [], [], [], ["", "", "z"]]})

    def append(text):
        return values.append(
            spreadsheetId="book", range=text, valueInputOption="RAW", body={"values": [["new", "row"]]}
        ).execute()

    first, last = append("T!A1:B2"), append("T")

    assert (first["tableRange"], first["updates"]["updatedRange"]) == ("T!A1:B2", "T!A3:B3")
    assert (last["tableRange"], last["updates"]["updatedRange"]) == ("T!C6", "T!C7:D7")
    google.put_sheet("full", title="Full", tabs={"T": [["x"]] * 1000})
    values.append(spreadsheetId="full", range="T", valueInputOption="RAW", body={"values": [["y"]]}).execute()
    assert google.sheet_values("full", "T")[1000] == ["y"]


def test_clear_empties_a_range(google, book):
    book.worksheet("People").batch_clear(["A2:A", "B1"])

    assert google.sheet_values("book", "People") == [["Name"], ["", "ana@creator.example"], [], ["", "", "late"]]


def test_tabs_are_made_renamed_resized_moved_and_removed(google, book):
    made = book.add_worksheet("Numbers", rows=5, cols=4, index=0)
    made.update_title("Summary")
    made.resize(rows=3, cols=2)
    made.freeze(rows=1)

    assert google.tabs("book") == ["Summary", "People", "It's 1/2"]
    found = gspread_client(google).open_by_key("book").worksheet("Summary")
    assert (found.row_count, found.col_count, found.frozen_row_count) == (3, 2, 1)
    with pytest.raises(gspread.exceptions.APIError, match='A sheet with the name "People" already exists'):
        book.add_worksheet("People", rows=1, cols=1)
    book.del_worksheet(made)
    assert google.tabs("book") == ["People", "It's 1/2"]


def test_the_last_tab_stays(google):
    google.put_sheet("one", title="One", tabs={"Only": [["x"]]})
    one = gspread_client(google).open_by_key("one")

    with pytest.raises(gspread.exceptions.APIError, match="You can't remove all the sheets"):
        one.del_worksheet(one.sheet1)


def test_a_batch_update_is_done_whole_or_not_at_all(google, book):
    requests = [{"addSheet": {"properties": {"title": "New"}}}, {"deleteSheet": {"sheetId": 12345}}]

    with pytest.raises(
        gspread.exceptions.APIError, match=r"Invalid requests\[1\].deleteSheet: No sheet with id: 12345"
    ):
        book.batch_update({"requests": requests})

    assert google.tabs("book") == ["People", "It's 1/2"]


def test_shrinking_a_grid_loses_what_lay_outside(google, book):
    people = book.worksheet("People")
    people.resize(rows=2, cols=1)
    people.resize(rows=10, cols=5)

    assert google.sheet_values("book", "People") == [["Name"], ["Ana"]]


def test_rows_and_columns_are_inserted_and_deleted(google, book):
    people = book.worksheet("People")
    people.insert_row(["new"], 2)
    people.delete_rows(1)
    people.delete_columns(2)

    assert google.sheet_values("book", "People") == [["new"], ["Ana"], [], ["Bo", "late"]]


def test_a_number_format_decides_what_is_read(book):
    people = book.worksheet("People")
    people.update([[0.256, 1234.5]], "A1")
    people.format("A1", {"numberFormat": {"type": "PERCENT", "pattern": "0.0%"}})
    people.format("B1", {"numberFormat": {"type": "NUMBER", "pattern": "#,##0.00"}, "textFormat": {"bold": True}})

    assert people.get("A1:B1") == [["25.6%", "1,234.50"]]
    people.update([[0.5]], "A1")
    assert people.acell("A1").value == "50.0%"


def test_filters_and_protected_ranges_are_shown_again(google, book, sheets):
    people = book.worksheet("People")
    people.set_basic_filter("A1:B4")
    people.add_protected_range("A1:B1", description="header")
    people.columns_auto_resize(0, 2)

    sheet = sheets.spreadsheets().get(spreadsheetId="book").execute()["sheets"][0]

    assert sheet["basicFilter"]["range"]["endRowIndex"] == 4
    assert sheet["protectedRanges"][0]["description"] == "header"


def test_what_the_server_does_not_speak_is_refused_not_passed_over(book):
    with pytest.raises(gspread.exceptions.APIError, match="does not speak"):
        book.batch_update({"requests": [{"findReplace": {"find": "a", "replacement": "b", "allSheets": True}}]})


def test_drives_version_grows_with_each_change_and_only_then(google, book):
    drive = service(google, "drive.v3", google.sheets_credentials_json())

    def version():
        return int(drive.files().get(fileId="book", fields="version").execute()["version"])

    seen = [version(), version()]
    google.edit_cell("book", "People", "A1", "Who")
    seen.append(version())
    google.append_rows("book", "People", [["Cy"]])
    seen.append(version())
    book.add_worksheet("N", 1, 1)
    seen.append(version())
    google.put_sheet("book", title="Book", tabs={"People": ROWS})
    seen.append(version())
    book.worksheet("People").get_all_values()
    seen.append(version())

    assert [later - earlier for earlier, later in itertools.pairwise(seen)] == [0, 1, 1, 1, 1, 0]


def test_a_csv_file_becomes_a_sheet_of_text(google, tmp_path):
    path = tmp_path / "people.csv"
    path.write_text('Name,Email\n"Lima, Ana",ana@creator.example\n007,\n', encoding="utf-8")

    assert google.load_csv("csv", path, title="CSV") == 2
    assert google.sheet_values("csv", "Recipients") == [
        ["Name", "Email"],
        ["Lima, Ana", "ana@creator.example"],
        ["007"],
    ]


def test_a_tabs_id_outlives_its_content(google, book):
    before = {tab.title: tab.id for tab in book.worksheets()}
    google.put_sheet("book", title="Book", tabs={"New": [["x"]], "People": [["y"]]})
    after = {tab.title: tab.id for tab in gspread_client(google).open_by_key("book").worksheets()}

    assert after["People"] == before["People"]
    assert after["New"] not in before.values()
