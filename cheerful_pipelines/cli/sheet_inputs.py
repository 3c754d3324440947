"""A campaign's sheets and dates as people type them, proved before they are stored: the sheet is read once."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from cheerful_pipelines.campaigns.models import SOURCE_FIELDS, Campaign
from cheerful_pipelines.cli.connections import database
from cheerful_pipelines.core.errors import ConfigurationError, SheetContentError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.recipients.import_plan import read_sheet

_SHEET_URL = re.compile(r"https://docs\.google\.com/spreadsheets/(?:u/\d+/)?d/(?!e/)([A-Za-z0-9_-]+)")
"""Not /d/e/: the address of a sheet that is published to the web holds another id, which the API does not know."""
_SHEET_ID = re.compile(r"[A-Za-z0-9_-]+")
_NOBODY = UUID(int=0)
_FIRST_YEAR, _LAST_YEAR = 2004, 2100
"""Of a campaign's days. There was no Gmail before; and days are added to them, which does not work at the ends of the
calendar (0001, 9999)."""


def spreadsheet_id(text: str) -> str:
    """The id in a Sheets URL, or the text itself where it has an id's form. Raises ConfigurationError.

    >>> spreadsheet_id("https://docs.google.com/spreadsheets/d/abc/edit?gid=77#gid=77")
    'abc'
    """
    match = _SHEET_URL.match(text.strip())
    found = match.group(1) if match else text.strip()
    if _SHEET_ID.fullmatch(found) is None:
        raise ConfigurationError(
            f"{text!r} is not a Google Sheet.",
            what_to_do="Copy its address from the browser: https://docs.google.com/spreadsheets/d/...",
        )
    return found


def gid_in(text: str) -> int | None:
    """The tab that a Sheets URL points to.

    >>> gid_in("https://docs.google.com/spreadsheets/d/abc/edit?gid=77#gid=77")
    77
    """
    match = re.search(r"[#?&]gid=(\d+)", text)
    return int(match.group(1)) if match else None


def require_order(starts_at: datetime, ends_at: datetime | None) -> None:
    """Raise ConfigurationError for a last day before the first, and for days that no campaign has."""
    for option, day in (("--starts", starts_at), ("--ends", ends_at)):
        if day is not None and not _FIRST_YEAR <= day.year <= _LAST_YEAR:
            raise ConfigurationError(
                f"{option} names the year {day.year}; it must be between {_FIRST_YEAR} and {_LAST_YEAR}.",
                what_to_do='Leave --ends out for a campaign without a last day, or take it away: --ends "".',
            )
    if ends_at is not None and ends_at < starts_at:
        raise ConfigurationError(
            f"The campaign would end ({ends_at:%Y-%m-%d}) before it starts ({starts_at:%Y-%m-%d}).",
            what_to_do="Correct --starts or --ends.",
        )


def read_sheets(values: Mapping[str, Any], known: Campaign | None) -> list[str]:
    """Read what is new of a campaign's sheets with the real client; returns what an import would stop at, in words.

    Raises NotFoundError or AuthError for a spreadsheet, tab or range that is not there or not shared, and
    SheetContentError for a range outside the tab: those are mistyped. A list without its columns yet is a remark,
    since it may be filled later.
    """
    client = SheetsClient.from_settings(load_settings(), database())
    wanted = Campaign.model_validate({"id": _NOBODY, "user_id": _NOBODY, "slug": "new", "column_mapping": {}, **values})
    remarks = []
    if known is None or any(getattr(wanted, name) != getattr(known, name) for name in SOURCE_FIELDS):
        client.locate(wanted.sheet_source)
        try:
            read_sheet(client, wanted)
        except SheetContentError as error:
            remarks.append(f"the sheet cannot be imported yet. {error}")
    metrics = wanted.metrics_spreadsheet_id
    if metrics and (known is None or metrics != known.metrics_spreadsheet_id):
        client.tabs(metrics)
    return remarks
