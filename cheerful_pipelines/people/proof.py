"""The proof that a person is gone: every text in every table of both databases, every stored mail, every sheet of ours.

Tables are searched in search_store.py, whatever they are called.
"""

import re
from collections.abc import Iterable, Sequence

from cheerful_pipelines.campaigns.models import Campaign
from cheerful_pipelines.core.errors import NotFoundError, PermanentError, PoisonError
from cheerful_pipelines.google.sheets.sheets_client import SheetsClient
from cheerful_pipelines.mail.parse_message import parse_message
from cheerful_pipelines.metrics.export.sheet_tabs import TAB_TITLES
from cheerful_pipelines.operations.sweep import blobs_without_rows
from cheerful_pipelines.people.models import Person, Proof
from cheerful_pipelines.people.search_store import SearchedTables, stored_blobs
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database


def prove_erased(
    database: Database,
    blobs: BlobStore,
    person: Person,
    *,
    dagster_url: str | None,
    sheets: SheetsClient | None = None,
    campaigns: Sequence[Campaign] = (),
    every_client: Database | None = None,
) -> Proof:
    """Search for every spelling of the person's addresses.

    `database` as the person's client sees it. With `every_client`, stored mail that no row of any client names is
    searched, too: it would outlive every row. The client's own sheet of recipients is theirs to mend and not looked at;
    of a metrics sheet, our tabs are.
    """
    searched = SearchedTables(person.patterns)
    searched.search(database)
    if dagster_url is not None:
        searched.search_dagster(dagster_url)
    found = searched.found
    looked_at = _search_blobs(blobs, stored_blobs(database), person.patterns, found)
    if every_client is not None:
        nameless: list[str] = []
        looked_at += _search_blobs(blobs, blobs_without_rows(every_client, blobs), person.patterns, nameless)
        found += [f"{one} (no row names it)" for one in nameless]
    shown = _search_sheets(sheets, campaigns, person.patterns, found) if sheets is not None else 0
    return Proof(tables=searched.tables, columns=searched.columns, blobs=looked_at, sheets=shown, found=tuple(found))


def _search_blobs(blobs: BlobStore, hashes: Iterable[str], patterns: Sequence[str], found: list[str]) -> int:
    """Raw bytes as they stand, and what they say once decoded."""
    count = 0
    for key in hashes:
        try:
            raw = blobs.get(key)
        except NotFoundError:  # deleted by age
            continue
        except PermanentError:
            found.append(f"blob {key[:12]} is damaged: it could not be searched")
            continue
        count += 1
        texts = [raw.decode("latin-1")]
        try:
            parsed = parse_message(raw)
            texts += [parsed.subject, parsed.body_text, parsed.body_html or "", str(parsed.headers)]
        except PoisonError as error:  # what it says once decoded is not known, so nothing is proven
            found.append(f"blob {key[:12]} could not be decoded ({error.reason_code}): searched as bytes only")
        if any(re.search(one, text.lower()) for one in patterns for text in texts):
            found.append(f"blob {key[:12]}")
    return count


def _search_sheets(
    sheets: SheetsClient, campaigns: Sequence[Campaign], patterns: Sequence[str], found: list[str]
) -> int:
    """Our own tabs in the campaigns' metrics sheets."""
    wanted = [one.metrics_spreadsheet_id for one in campaigns if one.metrics_spreadsheet_id]
    for spreadsheet_id in wanted:
        tabs = [tab.title for tab in sheets.tabs(spreadsheet_id) if tab.title in TAB_TITLES]
        for title, rows in zip(tabs, sheets.read_ranges(spreadsheet_id, tabs, dates_as_numbers=True), strict=True):
            text = str(rows).lower()
            if any(re.search(one, text) for one in patterns):
                found.append(f"sheet {spreadsheet_id} {title}")
    return len(wanted)
