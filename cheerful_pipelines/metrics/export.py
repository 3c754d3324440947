"""Bring the client's sheet in step with the numbers: make missing tabs, read, plan, write once.

What a tab says stands in `sheet_tabs.py`, which cells to write in `sheet.py`.
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlparse

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.errors import ConfigurationError, SheetContentError
from cheerful_pipelines.metrics.sheet import (
    Cell,
    CellWrite,
    DesiredTab,
    as_ranges,
    needed_size,
    plan_writes,
    quoted,
    same,
    shown_rows,
)
from cheerful_pipelines.recipients.models import TabProperties
from cheerful_pipelines.recipients.sheets_client import SheetsClient
from cheerful_pipelines.settings import Settings

_CELLS_A_REQUEST = 20_000  # well below the 2 MB that Google recommends
_SPARE_ROWS = 200
_GOOGLES_OWN = ("googleapis.com", "google.com")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ExportResult(BaseModel):
    """What an export did."""

    model_config = ConfigDict(frozen=True)
    cells_written: int
    rows: int
    tabs: tuple[str, ...]
    tabs_made: tuple[str, ...]
    write_requests: int
    content_hash: str


def export_tabs(
    sheets: SheetsClient, settings: Settings, campaign: Campaign, desired: Sequence[DesiredTab]
) -> ExportResult:
    """Make the campaign's metrics sheet show `desired`. Running it twice writes nothing the second time.

    Raises ConfigurationError where local numbers would reach a live sheet, SheetContentError where a tab of
    ours would fall on the recipients' tab or on something else of the client's, NotFoundError for an unknown
    sheet.
    """
    refuse_live_sheet_for_local_numbers(settings)
    spreadsheet_id = campaign.metrics_spreadsheet_id or ""
    tabs = sheets.tabs(spreadsheet_id)
    desired = _by_their_titles(desired, tabs)
    _refuse_recipients_tab(campaign, tabs, desired)
    present = {tab.title: tab for tab in tabs}
    missing = [tab for tab in desired if tab.title not in present]
    grids = _grids(sheets, spreadsheet_id, [tab.title for tab in desired if tab.title in present])
    plans = {tab.title: plan_writes(grids.get(tab.title, []), tab) for tab in desired}
    requests = 0
    if missing:
        made = sheets.batch_update(spreadsheet_id, _add_tabs(missing, plans))
        sheets.batch_update(spreadsheet_id, _format_tabs(missing, made))
        requests += 2
    grow = _grow_tabs(present, plans)
    if grow:
        sheets.batch_update(spreadsheet_id, grow)
        requests += 1
    ranges = [item for tab in desired for item in as_ranges(tab.title, plans[tab.title])]
    for part in _request_sized([(item.range, item.values) for item in ranges]):
        sheets.update_values(spreadsheet_id, part)
        requests += 1
    return ExportResult(
        cells_written=sum(len(writes) for writes in plans.values()),
        rows=sum(len(tab.rows) for tab in desired),
        tabs=tuple(tab.title for tab in desired),
        tabs_made=tuple(tab.title for tab in missing),
        write_requests=requests,
        content_hash=content_hash(desired),
    )


def read_back(
    sheets: SheetsClient, campaign: Campaign, desired: Sequence[DesiredTab], *, sample: int = 20
) -> list[str]:
    """`tab key` of rows that the sheet shows otherwise than they should be: of each tab the first and last
    `sample`.
    """
    wrong: list[str] = []
    desired = _by_their_titles(desired, sheets.tabs(campaign.metrics_spreadsheet_id or ""))
    grids = _grids(sheets, campaign.metrics_spreadsheet_id or "", [tab.title for tab in desired])
    for tab in desired:
        shown = shown_rows(grids[tab.title], tab)
        rows = tab.rows if len(tab.rows) <= 2 * sample else (*tab.rows[:sample], *tab.rows[-sample:])
        for row in rows:
            key = str(row[tab.key_position])
            found = shown.get(key)
            if found is None or not all(same(left, right) for left, right in zip(found, row, strict=True)):
                wrong.append(f"{tab.title} {key}")
    return wrong


def content_hash(desired: Sequence[DesiredTab]) -> str:
    """Hash of everything that the sheet should show."""
    digest = hashlib.sha256()
    for tab in desired:
        digest.update(tab.model_dump_json().encode())
    return digest.hexdigest()


def refuse_live_sheet_for_local_numbers(settings: Settings) -> None:
    """Numbers made from invented mail must never reach a sheet at Google."""
    if settings.mode == "live":
        return
    host = urlparse(settings.google_endpoint("sheets") or "https://sheets.googleapis.com").hostname or ""
    local_hosts = (*_THIS_MACHINE, urlparse(settings.local_google_url).hostname)
    is_googles = any(host == name or host.endswith("." + name) for name in _GOOGLES_OWN)
    if is_googles or host not in local_hosts:
        raise ConfigurationError(
            f"Local mode must not write to the live sheets at {host}.",
            what_to_do="Unset CHEERFUL_SHEETS_ENDPOINT, or set CHEERFUL_MODE=live.",
        )


def _by_their_titles(desired: Sequence[DesiredTab], tabs: Sequence[TabProperties]) -> list[DesiredTab]:
    """The tabs under the titles that they have: to Google, `summary` and `Summary` are one name."""
    titles = {tab.title.casefold(): tab.title for tab in tabs}
    return [tab.model_copy(update={"title": titles.get(tab.title.casefold(), tab.title)}) for tab in desired]


def _grids(sheets: SheetsClient, spreadsheet_id: str, titles: Sequence[str]) -> dict[str, list[list[Cell]]]:
    """All cells of the named tabs, in one call."""
    found = sheets.read_ranges(spreadsheet_id, [quoted(title) for title in titles], dates_as_numbers=True)
    return dict(zip(titles, found, strict=True))


def _refuse_recipients_tab(campaign: Campaign, tabs: Sequence[TabProperties], desired: Sequence[DesiredTab]) -> None:
    if campaign.metrics_spreadsheet_id != campaign.spreadsheet_id:
        return
    recipients_tab = campaign.sheet_tab or (tabs[0].title if tabs else None)
    if recipients_tab and recipients_tab.strip().casefold() in {tab.title.casefold() for tab in desired}:
        raise SheetContentError(
            f"The recipients of {campaign.slug!r} stand in {recipients_tab!r}, which the numbers need.",
            what_to_do="Rename the recipients' tab, or name another spreadsheet for the numbers.",
        )


def _add_tabs(missing: Sequence[DesiredTab], plans: dict[str, list[CellWrite]]) -> list[dict[str, Any]]:
    requests: list[dict[str, Any]] = []
    for tab in missing:
        rows, columns = needed_size(plans[tab.title])
        grid = {
            "rowCount": rows + _SPARE_ROWS,
            "columnCount": max(columns, len(tab.headers)),
            "frozenRowCount": 1,
        }
        requests.append({"addSheet": {"properties": {"title": tab.title, "gridProperties": grid}}})
    return requests


def _format_tabs(missing: Sequence[DesiredTab], made: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Dates and shares of tabs that were just made become readable. Later the formats are the client's."""
    requests: list[dict[str, Any]] = []
    for tab, reply in zip(missing, made, strict=True):
        sheet_id = reply["addSheet"]["properties"]["sheetId"]
        for header, pattern in tab.formats.items():
            column = tab.headers.index(header)
            place = {"startRowIndex": 1, "startColumnIndex": column, "endColumnIndex": column + 1}
            kind = "PERCENT" if "%" in pattern else "DATE_TIME" if "hh" in pattern else "DATE"
            cell = {"userEnteredFormat": {"numberFormat": {"type": kind, "pattern": pattern}}}
            fields = "userEnteredFormat.numberFormat"
            what = {"range": {"sheetId": sheet_id, **place}, "cell": cell, "fields": fields}
            requests.append({"repeatCell": what})
    return requests


def _grow_tabs(present: dict[str, TabProperties], plans: dict[str, list[CellWrite]]) -> list[dict[str, Any]]:
    """Absolute sizes, not additions: a lost answer and a second request do no harm."""
    requests: list[dict[str, Any]] = []
    for title, writes in plans.items():
        rows, columns = needed_size(writes)
        tab = present.get(title)
        if tab is None or (rows <= tab.rows and columns <= tab.columns):
            continue
        grid = {
            "rowCount": tab.rows if rows <= tab.rows else rows + _SPARE_ROWS,
            "columnCount": max(tab.columns, columns),
        }
        properties = {"sheetId": tab.sheet_id, "gridProperties": grid}
        fields = "gridProperties.rowCount,gridProperties.columnCount"
        requests.append({"updateSheetProperties": {"properties": properties, "fields": fields}})
    return requests


def _request_sized(data: list[tuple[str, list[list[Any]]]]) -> list[list[tuple[str, list[list[Any]]]]]:
    """Usually one request; more only where it would grow too large."""
    parts: list[list[tuple[str, list[list[Any]]]]] = []
    room = 0
    for item in data:
        cells = sum(len(row) for row in item[1])
        if not parts or cells > room:
            parts.append([])
            room = _CELLS_A_REQUEST
        parts[-1].append(item)
        room -= cells
    return parts
