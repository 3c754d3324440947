"""The tab "Cheerful problems" in the client's own spreadsheet: what the import could not take, and why.

Only where the campaign allows it. The tab is ours, the others are never touched; a line stays in its place until its
row is mended, so notes that somebody wrote beside it stay true. Two campaigns in one spreadsheet share the tab.
"""

import re
from collections.abc import Sequence
from urllib.parse import quote

from cheerful_pipelines.google.sheets.keyed_tab import KEY_HEADER, DesiredTab
from cheerful_pipelines.google.sheets.models import SheetWindow
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.google.sheets.write_tabs import WrittenTabs, refuse_source_tab, write_tabs
from cheerful_pipelines.recipients.import_report import PROBLEM_WORDS
from cheerful_pipelines.recipients.models import ProblemKind, RowProblem

TAB_TITLE = "Cheerful problems"
SHOWN: tuple[ProblemKind, ...] = ("rejected", "duplicate", "extra_address", "error_cell")
"""What somebody should mend. A row without an address yet is no mistake, nor is a person of two campaigns."""

MOST_LINES = 2_000


def write_problems_tab(
    sheets: SheetsClient, slug: str, window: SheetWindow, problems: Sequence[RowProblem]
) -> WrittenTabs:
    """Make the tab show these problems. Writes nothing where it does already, nor makes a tab to say nothing."""
    tabs = sheets.tabs(window.spreadsheet_id)
    desired = problems_tab(slug, window, problems)
    if not desired.rows and TAB_TITLE.casefold() not in {tab.title.casefold() for tab in tabs}:
        return WrittenTabs(cells_written=0, tabs=(), tabs_made=(), write_requests=0)
    refuse_source_tab(window, [desired])
    return write_tabs(sheets, window.spreadsheet_id, tabs, [desired])


def problems_tab(slug: str, window: SheetWindow, problems: Sequence[RowProblem]) -> DesiredTab:
    """The tab as it should be. Pure."""
    shown = sorted((item for item in problems if item.kind in SHOWN), key=lambda item: (item.sheet_row, item.kind))
    return DesiredTab(
        title=TAB_TITLE,
        headers=(KEY_HEADER, "Row", "Cell", "What", "Why", "Link"),
        rows=tuple(
            (
                f"{slug} {item.sheet_row} {item.kind}",
                item.sheet_row,
                item.cell or "",
                PROBLEM_WORDS[item.kind],
                item.reason,
                row_link(window, item.cell or f"A{item.sheet_row}"),
            )
            for item in shown[:MOST_LINES]
        ),
        key_pattern=re.escape(slug) + r" \d+ [a-z_]+",
        fills_gaps=True,
    )


def row_link(window: SheetWindow, cell: str) -> str:
    """The place in a browser."""
    return f"{tab_link(window)}&range={cell}"


def tab_link(window: SheetWindow) -> str:
    """The tab in a browser."""
    return f"https://docs.google.com/spreadsheets/d/{quote(window.spreadsheet_id)}/edit#gid={window.sheet_id}"
