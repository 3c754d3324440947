"""spreadsheets.batchUpdate: one function for each kind of request. All run in the caller's transaction.

What changes values, grids or tabs is done. What only changes looks (colours, fonts, borders, widths, data
validation) is checked for its tab and then let go: this server has no eyes. Number formats are kept, since
they decide what FORMATTED_VALUE reads. Filters, hidden rows, named and protected ranges, merges and charts are
kept and shown by spreadsheets.get. A kind that is none of these is refused with 400.
"""

from collections.abc import Callable
from typing import Any

from cheerful_pipelines.local_google.calls import GoogleError
from cheerful_pipelines.local_google.cells import Cell
from cheerful_pipelines.local_google.sheet_cell_requests import (
    append_cells,
    mask_of,
    repeat_cell,
    tab_of,
    update_cells,
)
from cheerful_pipelines.local_google.sheet_values import grown
from cheerful_pipelines.local_google.spreadsheets import DEFAULT_COLUMNS, DEFAULT_ROWS, Book, Spreadsheets, Tab

Body = dict[str, Any]
_ONLY_LOOKS = (
    "autoResizeDimensions", "updateBorders", "setDataValidation", "unmergeCells",
    "addDimensionGroup",
)  # fmt: skip
_GRID = {"frozenRowCount", "frozenColumnCount", "hideGridlines"}


def tab_properties(tab: Tab, position: int) -> Body:
    """The SheetProperties resource."""
    grid: Body = {"rowCount": tab.row_count, "columnCount": tab.column_count}
    grid |= {name: value for name, value in tab.properties.items() if name in _GRID}
    rest = {name: value for name, value in tab.properties.items() if name not in _GRID}
    return {
        "sheetId": tab.sheet_id, "title": tab.title, "index": position, "sheetType": "GRID", "gridProperties": grid,
    } | rest  # fmt: skip


def apply_requests(books: Spreadsheets, book_id: str, requests: list[Body]) -> list[Body]:
    """Run the requests in order; a reply each. An error names its request: `Invalid requests[2].addSheet: ...`."""
    replies = []
    for number, request in enumerate(requests):
        kinds = [kind for kind, body in request.items() if isinstance(body, dict)]
        if len(kinds) != 1:
            raise GoogleError(400, f"Invalid requests[{number}]: exactly one kind of request must be set")
        kind = kinds[0]
        try:
            replies.append(_apply(books, books.get(book_id), kind, request[kind]))
        except GoogleError as error:
            raise GoogleError(error.status, f"Invalid requests[{number}].{kind}: {error.message}") from None
    return replies


def _apply(books: Spreadsheets, book: Book, kind: str, body: Body) -> Body:
    if kind in _KINDS:
        return _KINDS[kind](books, book, body) or {}
    if kind in _KEPT:
        return _keep(books, book, kind, body)
    if kind in _ONLY_LOOKS:
        _looked_up(book, body)
        return {}
    raise GoogleError(400, "the local server does not speak this kind of request")


def _looked_up(book: Book, body: Body) -> Tab:
    """The tab a request names, wherever the request names it."""
    for holder in (body, *(value for value in body.values() if isinstance(value, dict))):
        if "sheetId" in holder:
            return tab_of(book, holder["sheetId"])
        for inner in holder.values():
            if isinstance(inner, dict) and "sheetId" in inner:
                return tab_of(book, inner["sheetId"])
            if isinstance(inner, list) and inner and isinstance(inner[0], dict) and "sheetId" in inner[0]:
                return tab_of(book, inner[0]["sheetId"])
    return tab_of(book, 0)


# ---- tabs


def _check_title(book: Book, title: str, *, but: int | None = None) -> None:
    if not title:
        raise GoogleError(400, "A sheet must have a title.")
    if any(tab.title.casefold() == title.casefold() and tab.sheet_id != but for tab in book.tabs):
        raise GoogleError(400, f'A sheet with the name "{title}" already exists. Please enter another name.')


def _free_title(book: Book) -> str:
    titles = {tab.title.casefold() for tab in book.tabs}
    return next(f"Sheet{n}" for n in range(1, len(titles) + 2) if f"sheet{n}" not in titles)


def _order(books: Spreadsheets, book: Book, sheet_id: int, index: int | None) -> None:
    ids = [tab.sheet_id for tab in book.tabs if tab.sheet_id != sheet_id]
    ids.insert(len(ids) if index is None else index, sheet_id)
    books.order_tabs(book.id, ids)


def _loose(properties: Body) -> Body:
    """What of SheetProperties has no column of its own."""
    grid = {name: value for name, value in properties.get("gridProperties", {}).items() if name in _GRID}
    return grid | {
        name: properties[name] for name in ("hidden", "tabColor", "tabColorStyle", "rightToLeft") if name in properties
    }


def _add_sheet(books: Spreadsheets, book: Book, body: Body) -> Body:
    properties = body.get("properties") or {}
    title = properties.get("title") or _free_title(book)
    _check_title(book, title)
    sheet_id = properties.get("sheetId")
    if sheet_id is None:
        sheet_id = books.new_sheet_id()
    elif book.tab_by_id(sheet_id):
        raise GoogleError(400, f"Sheet with id {sheet_id} already exists.")
    grid = properties.get("gridProperties") or {}
    tab = Tab(
        sheet_id, title, grid.get("rowCount") or DEFAULT_ROWS, grid.get("columnCount") or DEFAULT_COLUMNS,
        _loose(properties),
    )  # fmt: skip
    books.write_tab(book.id, tab, len(book.tabs))
    _order(books, book, sheet_id, properties.get("index"))
    position = [other.sheet_id for other in books.get(book.id).tabs].index(sheet_id)
    return {"addSheet": {"properties": tab_properties(tab, position)}}


def _delete_sheet(books: Spreadsheets, book: Book, body: Body) -> None:
    tab = book.tab_by_id(body.get("sheetId", 0))
    if tab is None:
        raise GoogleError(400, f"No sheet with id: {body.get('sheetId', 0)}")
    if len(book.tabs) == 1:
        raise GoogleError(400, "You can't remove all the sheets in a document.")
    books.delete_tab(book.id, tab.sheet_id)


def _duplicate_sheet(books: Spreadsheets, book: Book, body: Body) -> Body:
    source = tab_of(book, body.get("sourceSheetId"))
    title = body.get("newSheetName") or f"Copy of {source.title}"
    _check_title(book, title)
    sheet_id = body.get("newSheetId") or books.new_sheet_id()
    copy = Tab(sheet_id, title, source.row_count, source.column_count, source.properties, source.extras)
    books.write_tab(book.id, copy, len(book.tabs))
    books.write_rows(book.id, sheet_id, books.rows(book.id, source.sheet_id))
    _order(books, book, sheet_id, body.get("insertSheetIndex"))
    position = [other.sheet_id for other in books.get(book.id).tabs].index(sheet_id)
    return {"duplicateSheet": {"properties": tab_properties(copy, position)}}


def _update_sheet_properties(books: Spreadsheets, book: Book, body: Body) -> None:
    properties, mask = body.get("properties") or {}, mask_of(body)
    tab = tab_of(book, properties.get("sheetId"))
    grid = properties.get("gridProperties") or {}

    def named(path: str) -> bool:
        return any(path == name or path.startswith(f"{name}.") or name == "*" for name in mask)

    title = properties.get("title", tab.title) if named("title") else tab.title
    _check_title(book, title, but=tab.sheet_id)
    rows = grid.get("rowCount", tab.row_count) if named("gridProperties.rowCount") else tab.row_count
    columns = grid.get("columnCount", tab.column_count) if named("gridProperties.columnCount") else tab.column_count
    loose = dict(tab.properties)
    for name in ("hidden", "tabColor", "tabColorStyle", "rightToLeft"):
        if named(name):
            loose[name] = properties.get(name, False)
    for name in _GRID:
        if named(f"gridProperties.{name}"):
            loose[name] = grid.get(name, 0)
    changed = Tab(tab.sheet_id, title, max(1, rows), max(1, columns), {k: v for k, v in loose.items() if v}, tab.extras)
    position = book.tabs.index(tab)
    books.write_tab(book.id, changed, position)
    if changed.row_count < tab.row_count or changed.column_count < tab.column_count:
        books.cut_to_grid(book.id, changed)
    if named("index") and "index" in properties:
        _order(books, book, tab.sheet_id, properties["index"])


def _update_spreadsheet_properties(books: Spreadsheets, book: Book, body: Body) -> None:
    if {"title", "*"} & set(mask_of(body)) and body.get("properties", {}).get("title"):
        books.rename(book.id, body["properties"]["title"])


# ---- rows and columns


def _append_dimension(books: Spreadsheets, book: Book, body: Body) -> None:
    tab, length = tab_of(book, body.get("sheetId")), int(body.get("length", 0))
    is_rows = body.get("dimension") == "ROWS"
    grown(books, book, tab, tab.row_count + length * is_rows, tab.column_count + length * (not is_rows))


def _insert_dimension(books: Spreadsheets, book: Book, body: Body) -> None:
    _shift(books, book, body, insert=True)


def _delete_dimension(books: Spreadsheets, book: Book, body: Body) -> None:
    _shift(books, book, body, insert=False)


def _update_dimension_properties(books: Spreadsheets, book: Book, body: Body) -> None:
    """Hidden rows are kept; hidden columns, widths and heights are looks."""
    where, mask = body.get("range") or {}, mask_of(body)
    tab = tab_of(book, where.get("sheetId"))
    if where.get("dimension") != "ROWS" or not {"hiddenByUser", "*"} & set(mask):
        return
    rows = set(range(int(where.get("startIndex", 0)), int(where.get("endIndex", tab.row_count))))
    hidden = set(tab.extras.get("hiddenRows", []))
    hidden = hidden | rows if (body.get("properties") or {}).get("hiddenByUser") else hidden - rows
    _write_extras(books, book, tab, {**tab.extras, "hiddenRows": sorted(hidden)})


def _shift(books: Spreadsheets, book: Book, body: Body, *, insert: bool) -> None:
    where = body.get("range") or {}
    tab = tab_of(book, where.get("sheetId"))
    is_rows = where.get("dimension") == "ROWS"
    extent = tab.row_count if is_rows else tab.column_count
    start, end = int(where.get("startIndex", 0)), int(where.get("endIndex", extent))
    if end <= start or (not insert and end > extent) or (not insert and end - start >= extent):
        raise GoogleError(400, f"range [{start}, {end}) does not fit a grid of {extent}")
    by = end - start if insert else start - end
    if is_rows:
        if not insert:
            gone = books.rows(book.id, tab.sheet_id, start, end)
            books.write_rows(book.id, tab.sheet_id, {row: [] for row in gone})
        books.move_rows(book.id, tab.sheet_id, start=start if insert else end, by=by)
    else:
        rows = books.rows(book.id, tab.sheet_id)
        for row, cells in rows.items():
            blanks: list[Cell] = [None] * (by if insert and len(cells) > start else 0)
            rows[row] = cells[:start] + blanks + cells[start if insert else end :]
        books.write_rows(book.id, tab.sheet_id, rows)
    grown(books, book, tab, tab.row_count + by * is_rows, tab.column_count + by * (not is_rows))


# ---- kept and shown

_KEPT = {
    # kind: (where it is kept, the name of its body, the name of its id)
    "addNamedRange": ("namedRanges", "namedRange", "namedRangeId"),
    "addProtectedRange": ("protectedRanges", "protectedRange", "protectedRangeId"),
    "addChart": ("charts", "chart", "chartId"),
    "addBanding": ("bandedRanges", "bandedRange", "bandedRangeId"),
    "addConditionalFormatRule": ("conditionalFormats", "rule", ""),
    "mergeCells": ("merges", "range", ""),
}


def _keep(books: Spreadsheets, book: Book, kind: str, body: Body) -> Body:
    place, name, id_name = _KEPT[kind]
    tab, kept = _looked_up(book, body), dict(body.get(name) or {})
    if id_name:
        id_ = books.new_sheet_id()
        kept.setdefault(id_name, str(id_) if id_name == "namedRangeId" else id_)
    _write_extras(books, book, tab, {**tab.extras, place: [*tab.extras.get(place, []), kept]})
    return {kind: {name: kept}} if id_name else {}


def _write_extras(books: Spreadsheets, book: Book, tab: Tab, extras: Body) -> None:
    changed = Tab(tab.sheet_id, tab.title, tab.row_count, tab.column_count, tab.properties, extras)
    books.write_tab(book.id, changed, book.tabs.index(tab))


def _set_basic_filter(books: Spreadsheets, book: Book, body: Body) -> None:
    tab = _looked_up(book, body)
    _write_extras(books, book, tab, {**tab.extras, "basicFilter": body.get("filter") or {}})


def _clear_basic_filter(books: Spreadsheets, book: Book, body: Body) -> None:
    tab = tab_of(book, body.get("sheetId"))
    _write_extras(books, book, tab, {name: value for name, value in tab.extras.items() if name != "basicFilter"})


def _drop(place: str, id_name: str) -> Callable[[Spreadsheets, Book, Body], None]:
    def drop(books: Spreadsheets, book: Book, body: Body) -> None:
        wanted = body.get("objectId" if id_name == "chartId" else id_name)
        for tab in book.tabs:
            kept = tab.extras.get(place, [])
            if any(item.get(id_name) == wanted for item in kept):
                rest = [item for item in kept if item.get(id_name) != wanted]
                _write_extras(books, book, tab, {**tab.extras, place: rest})
                return
        raise GoogleError(400, f"No {id_name} with id: {wanted}")

    return drop


def _delete_conditional_format(books: Spreadsheets, book: Book, body: Body) -> None:
    tab, index = tab_of(book, body.get("sheetId")), int(body.get("index", 0))
    kept = list(tab.extras.get("conditionalFormats", []))
    if index >= len(kept):
        raise GoogleError(400, f"No conditional format on sheet: {tab.sheet_id} at index: {index}")
    del kept[index]
    _write_extras(books, book, tab, {**tab.extras, "conditionalFormats": kept})


_KINDS: dict[str, Callable[[Spreadsheets, Book, Body], Body | None]] = {
    "addSheet": _add_sheet,
    "deleteSheet": _delete_sheet,
    "duplicateSheet": _duplicate_sheet,
    "updateSheetProperties": _update_sheet_properties,
    "updateSpreadsheetProperties": _update_spreadsheet_properties,
    "appendDimension": _append_dimension,
    "insertDimension": _insert_dimension,
    "deleteDimension": _delete_dimension,
    "updateDimensionProperties": _update_dimension_properties,
    "repeatCell": repeat_cell,
    "updateCells": update_cells,
    "appendCells": append_cells,
    "setBasicFilter": _set_basic_filter,
    "clearBasicFilter": _clear_basic_filter,
    "deleteNamedRange": _drop("namedRanges", "namedRangeId"),
    "deleteProtectedRange": _drop("protectedRanges", "protectedRangeId"),
    "deleteEmbeddedObject": _drop("charts", "chartId"),
    "deleteBanding": _drop("bandedRanges", "bandedRangeId"),
    "deleteConditionalFormatRule": _delete_conditional_format,
}
