"""Sheets v4 on the wire: spreadsheets.get, create and batchUpdate, and the values calls.

Each handler reads its parameters, asks `sheet_values` or `sheet_requests`, and words the answer as Google does.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from cheerful_pipelines.local_google.calls import Answer, Call, GoogleError, Handler, Route
from cheerful_pipelines.local_google.sheet_grid_data import grid_data
from cheerful_pipelines.local_google.sheet_requests import apply_requests, tab_properties
from cheerful_pipelines.local_google.sheet_values import (
    Rendering,
    Values,
    Written,
    append_values,
    clear_values,
    read_values,
    write_values,
)
from cheerful_pipelines.local_google.spreadsheets import DEFAULT_COLUMNS, DEFAULT_ROWS, Book, Spreadsheets, Tab
from cheerful_pipelines.local_google.state import State

BOOK = "/v4/spreadsheets/{spreadsheetId}"
_EXTRAS = ("basicFilter", "protectedRanges", "merges", "conditionalFormats", "charts", "bandedRanges")


class SheetsApi:
    """The used part of Sheets."""

    def __init__(self, state: State, spreadsheets: Spreadsheets) -> None:
        self._state = state
        self._books = spreadsheets

    def routes(self) -> list[Route]:
        """Every route."""
        table: list[tuple[str, str, str, Handler]] = [
            ("POST", "/v4/spreadsheets", "create", self.create),
            ("POST", BOOK + ":batchUpdate", "batchUpdate", self.batch_update),
            ("GET", BOOK, "get", self.get),
            ("GET", BOOK + "/values:batchGet", "values.batchGet", self.batch_get),
            ("POST", BOOK + "/values:batchUpdate", "values.batchUpdate", self.batch_update_values),
            ("POST", BOOK + "/values:batchClear", "values.batchClear", self.batch_clear),
            ("POST", BOOK + "/values/{range}:append", "values.append", self.append),
            ("POST", BOOK + "/values/{range}:clear", "values.clear", self.clear),
            ("GET", BOOK + "/values/{range}", "values.get", self.get_values),
            ("PUT", BOOK + "/values/{range}", "values.update", self.update_values),
        ]
        return [
            Route("sheets", method, path, f"sheets.spreadsheets.{name}", handler)
            for method, path, name, handler in table
        ]

    # ---- spreadsheets

    def create(self, call: Call) -> Answer:
        body = call.json()
        id_ = uuid4().hex + uuid4().hex[:12]
        title = body.get("properties", {}).get("title") or "Untitled spreadsheet"
        with self._state.transaction():
            self._books.create(id_, title)
            for position, sheet in enumerate(body.get("sheets") or [{}]):
                properties = sheet.get("properties", {})
                grid = properties.get("gridProperties", {})
                tab = Tab(
                    properties.get("sheetId", 0 if position == 0 else self._books.new_sheet_id()),
                    properties.get("title", f"Sheet{position + 1}"),
                    grid.get("rowCount", DEFAULT_ROWS), grid.get("columnCount", DEFAULT_COLUMNS),
                )  # fmt: skip
                self._books.write_tab(id_, tab, position)
        return Answer(body=self._book_json(self._books.get(id_), []))

    def get(self, call: Call) -> Answer:
        book = self._books.get(call.params["spreadsheetId"])
        fields = call.first("fields")
        wants_data = call.flag("includeGridData") or "data" in fields
        only_rows = "rowMetadata" in fields and "rowData" not in fields
        return Answer(
            body=self._book_json(
                book, call.query.get("ranges", []), with_data=wants_data, with_cells=wants_data and not only_rows
            )
        )

    def batch_update(self, call: Call) -> Answer:
        """All requests or none."""
        id_, body = call.params["spreadsheetId"], call.json()
        requests = body.get("requests")
        if not isinstance(requests, list) or not requests:
            raise GoogleError(400, "Must specify at least one request.")
        with self._state.transaction():
            self._books.get(id_)
            replies = apply_requests(self._books, id_, requests)
            self._books.touch(id_)
        found: dict[str, Any] = {"spreadsheetId": id_, "replies": replies}
        if body.get("includeSpreadsheetInResponse"):
            found["updatedSpreadsheet"] = self._book_json(self._books.get(id_), [])
        return Answer(body=found)

    def _book_json(
        self, book: Book, ranges: list[str], *, with_data: bool = False, with_cells: bool = False
    ) -> dict[str, Any]:
        wanted = [self._books.locate(book, text) for text in ranges]
        sheets = []
        for position, tab in enumerate(book.tabs):
            boxes = [box for found, box in wanted if found.sheet_id == tab.sheet_id]
            if ranges and not boxes:
                continue
            sheet: dict[str, Any] = {"properties": tab_properties(tab, position)}
            sheet |= {name: tab.extras[name] for name in _EXTRAS if tab.extras.get(name)}
            if with_data:
                sheet["data"] = grid_data(self._books, book, tab, boxes, with_cells=with_cells)
            sheets.append(sheet)
        return ({"namedRanges": book.named_ranges} if book.named_ranges else {}) | {
            "spreadsheetId": book.id,
            "properties": {"title": book.title, "locale": "en_US", "timeZone": "Etc/GMT", "autoRecalc": "ON_CHANGE"},
            "sheets": sheets,
            "spreadsheetUrl": f"https://docs.google.com/spreadsheets/d/{book.id}/edit",
        }

    # ---- reading values

    def get_values(self, call: Call) -> Answer:
        book = self._books.get(call.params["spreadsheetId"])
        return Answer(body=self._value_range(book, call.params["range"], _rendering(call.first)))

    def batch_get(self, call: Call) -> Answer:
        book = self._books.get(call.params["spreadsheetId"])
        rendering = _rendering(call.first)
        ranges = [self._value_range(book, text, rendering) for text in call.query.get("ranges", [])]
        return Answer(body={"spreadsheetId": book.id, "valueRanges": ranges})

    def _value_range(self, book: Book, text: str, rendering: Rendering) -> dict[str, Any]:
        whole, values = read_values(self._books, book, text, rendering)
        found: dict[str, Any] = {"range": whole, "majorDimension": "COLUMNS" if rendering.by_columns else "ROWS"}
        return found | ({"values": values} if values else {})

    # ---- writing values

    def update_values(self, call: Call) -> Answer:
        id_, body = call.params["spreadsheetId"], call.json()
        with self._state.transaction():
            book = self._books.get(id_)
            found = self._write(book, call.params["range"], body, call.first("valueInputOption"))
            self._books.touch(id_)
        return Answer(body=self._update_json(book, found, call.flag("includeValuesInResponse"), call.first))

    def batch_update_values(self, call: Call) -> Answer:
        id_, body = call.params["spreadsheetId"], call.json()
        with self._state.transaction():
            book = self._books.get(id_)
            found = [
                self._write(book, item.get("range", ""), item, body.get("valueInputOption", ""))
                for item in body.get("data") or []
            ]
            self._books.touch(id_)
        include = bool(body.get("includeValuesInResponse"))
        answer = {
            "spreadsheetId": id_,
            "totalUpdatedRows": sum(item.rows for item in found),
            "totalUpdatedColumns": sum(item.columns for item in found),
            "totalUpdatedCells": sum(item.cells for item in found),
            "totalUpdatedSheets": len({item.text.rpartition("!")[0] for item in found}),
            "responses": [self._update_json(book, item, include, body.get) for item in found],
        }
        return Answer(body=answer)

    def append(self, call: Call) -> Answer:
        id_, body = call.params["spreadsheetId"], call.json()
        insert_rows = call.first("insertDataOption", "OVERWRITE") == "INSERT_ROWS"
        values = _values(body)
        with self._state.transaction():
            book = self._books.get(id_)
            table, found = append_values(
                self._books, book, call.params["range"], values,
                input_option=call.first("valueInputOption"), insert_rows=insert_rows,
            )  # fmt: skip
            self._books.touch(id_)
        updates = self._update_json(book, found, call.flag("includeValuesInResponse"), call.first)
        answer = {"spreadsheetId": id_, "updates": updates}
        return Answer(body=answer | ({"tableRange": table} if table else {}))

    def clear(self, call: Call) -> Answer:
        id_ = call.params["spreadsheetId"]
        with self._state.transaction():
            cleared = clear_values(self._books, self._books.get(id_), call.params["range"])
            self._books.touch(id_)
        return Answer(body={"spreadsheetId": id_, "clearedRange": cleared})

    def batch_clear(self, call: Call) -> Answer:
        id_, body = call.params["spreadsheetId"], call.json()
        with self._state.transaction():
            book = self._books.get(id_)
            cleared = [clear_values(self._books, book, text) for text in body.get("ranges") or []]
            self._books.touch(id_)
        return Answer(body={"spreadsheetId": id_, "clearedRanges": cleared})

    def _write(self, book: Book, text: str, body: dict[str, Any], input_option: str) -> Written:
        by_columns = body.get("majorDimension") == "COLUMNS"
        return write_values(self._books, book, text, _values(body), input_option=input_option, by_columns=by_columns)

    def _update_json(self, book: Book, found: Written, include: bool, option: Callable[..., Any]) -> dict[str, Any]:
        answer: dict[str, Any] = {
            "spreadsheetId": book.id, "updatedRange": found.text, "updatedRows": found.rows,
            "updatedColumns": found.columns, "updatedCells": found.cells,
        }  # fmt: skip
        if include:
            rendering = Rendering(option("responseValueRenderOption") or "FORMATTED_VALUE")
            answer["updatedData"] = self._value_range(self._books.get(book.id), found.text, rendering)
        return answer


def _rendering(option: Callable[..., str]) -> Rendering:
    dates = option("dateTimeRenderOption") or "SERIAL_NUMBER"
    if dates not in ("SERIAL_NUMBER", "FORMATTED_STRING"):
        raise GoogleError(400, f"Invalid value at 'date_time_render_option', \"{dates}\"")
    return Rendering(
        option("valueRenderOption") or "FORMATTED_VALUE", dates == "FORMATTED_STRING",
        option("majorDimension") == "COLUMNS",
    )  # fmt: skip


def _values(body: dict[str, Any]) -> Values:
    values = body.get("values") or []
    if not isinstance(values, list) or not all(isinstance(row, list) for row in values):
        raise GoogleError(400, "Invalid value at 'data.values': each row must be a list")
    return values
