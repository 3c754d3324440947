"""Bring the client's sheet in step with the numbers, and refuse where it must not be touched.

What a tab says stands in `sheet_tabs.py`; how tabs are written, in `google/sheets/write_tabs.py`.
"""

import hashlib
from collections.abc import Sequence
from urllib.parse import urlparse

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.sheets.keyed_tab import DesiredTab, same, shown_rows
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.google.sheets.write_tabs import (
    WrittenTabs,
    by_their_titles,
    read_tabs,
    refuse_source_tab,
    write_tabs,
)

_GOOGLES_OWN = ("googleapis.com", "google.com")
_THIS_MACHINE = ("127.0.0.1", "localhost", "::1")


class ExportResult(WrittenTabs):
    """What an export did."""

    rows: int
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
    if spreadsheet_id == campaign.spreadsheet_id:
        refuse_source_tab(sheets.locate(campaign.sheet_source), desired)
    written = write_tabs(sheets, spreadsheet_id, tabs, desired)
    return ExportResult(
        **written.model_dump(),
        rows=sum(len(tab.rows) for tab in desired),
        content_hash=content_hash(desired),
    )


def read_back(
    sheets: SheetsClient, campaign: Campaign, desired: Sequence[DesiredTab], *, sample: int = 20
) -> list[str]:
    """`tab key` of rows that the sheet shows otherwise than they should be: of each tab the first and last
    `sample`.
    """
    wrong: list[str] = []
    desired = by_their_titles(desired, sheets.tabs(campaign.metrics_spreadsheet_id or ""))
    grids = read_tabs(sheets, campaign.metrics_spreadsheet_id or "", [tab.title for tab in desired])
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
