"""Google Sheets and Drive's file versions, for the import (reads) and the metrics export (writes).

The same gspread for live and local; only endpoint and credentials differ (sheets_session.py). A read that
failed raises: it never looks like an empty sheet. There is no append: a lost answer and a second try would
give the rows twice.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from tenacity import RetryCallState, Retrying, retry_if_exception
from tenacity.wait import wait_exponential_jitter

from cheerful_pipelines.core.errors import (
    AuthError,
    ConfigurationError,
    ThrottledError,
    TransientError,
    UnclearAnswerError,
)
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.deadlines import BATCH_BYTES_A_SECOND, POLL_SECONDS, Limit, finish_within
from cheerful_pipelines.google.patience import Patience
from cheerful_pipelines.google.quota.allowance import Allowance
from cheerful_pipelines.google.quota.sheets_store import CallKind, sheets_allowances
from cheerful_pipelines.google.sheets.a1 import cell_name, quote_tab
from cheerful_pipelines.google.sheets.models import Cell, SheetSource, SheetWindow, TabProperties
from cheerful_pipelines.google.sheets.sheets_errors import error_of_file
from cheerful_pipelines.google.sheets.windows import find_window
from cheerful_pipelines.storage.engine import Database, transaction_is_open

if TYPE_CHECKING:
    from cheerful_pipelines.google.sheets.sheets_session import SheetsSession

MAX_TRIES = 4
LONGEST_WAIT_SECONDS = 60.0
"""A longer Retry-After is not slept through here: the run ends and comes back."""

SHEET_LIMIT = Limit(60.0, BATCH_BYTES_A_SECOND)
"""One read or write: Google needs tens of seconds for a large sheet with formulas, and 50,000 rows over a slow line
need their time."""

TOTAL_SECONDS = 240.0
"""All tries of one call and the waits between them; waits for quota do not count."""

ROWS_A_READ = 12_500
CELLS_A_READ = 325_000
"""A read stays near the 2 MB that Google recommends, and 50,000 rows need five."""

_DRIVE_FILE = "https://www.googleapis.com/drive/v3/files/"


class SheetsClient:
    """Reads tabs and writes fixed ranges. Cheap to make: login and sockets come with the first call."""

    def __init__(
        self,
        settings: Settings,
        *,
        allowances: Mapping[CallKind, Allowance] | None = None,
        first_wait_seconds: float = 1.0,
    ) -> None:
        self._settings = settings
        self._allowances = allowances or {}
        self._first_wait_seconds = first_wait_seconds
        self._lock = threading.Lock()
        self._session: SheetsSession | None = None

    @classmethod
    def from_settings(
        cls, settings: Settings, database: Database | None = None, *, first_wait_seconds: float = 1.0
    ) -> "SheetsClient":
        """The client of this installation. Nothing is read or called yet.

        With a database, calls are paced together with those of every other process on it.
        """
        allowances = None
        if database is not None:
            allowances = sheets_allowances(database, calls_a_minute=settings.sheets_calls_per_minute)
        return cls(settings, allowances=allowances, first_wait_seconds=first_wait_seconds)

    # --- reading ---

    def drive_version(self, spreadsheet_id: str, *, tries: int = MAX_TRIES) -> str:
        """Drive's version of the file: another text after every change. One cheap call.

        Sensors try once: then it ends within POLL_SECONDS of wall-clock time, login included, or raises SlowCallError.
        Raises NotFoundError for a file in the trash, PermanentError for one that is not a Google Sheet, and
        UnclearAnswerError for an answer that makes no sense.
        """
        params = {"fields": "version,trashed,mimeType", "supportsAllDrives": "true"}
        url = _DRIVE_FILE + quote(spreadsheet_id, safe="")

        def once(session: "SheetsSession") -> dict[str, Any]:
            facts: dict[str, Any] = session.request("get", url, params=params).json()
            wrong = error_of_file(facts, spreadsheet_id=spreadsheet_id, reader=session.reader)
            if wrong is not None:
                raise wrong
            if not facts.get("version"):
                raise UnclearAnswerError(f"Drive named no version of the spreadsheet {spreadsheet_id}.")
            return facts

        return str(self._call(once, kind=None, tries=tries)["version"])

    def tabs(self, spreadsheet_id: str) -> list[TabProperties]:
        """The tabs of a spreadsheet, in its order."""
        params = {"fields": "sheets.properties(title,sheetId,gridProperties)", "includeGridData": "false"}
        answer = self._call(lambda session: session.spreadsheet(_in_url(spreadsheet_id), params))
        return _tabs_of(answer)

    def locate(self, source: SheetSource) -> SheetWindow:
        """The part of the sheet that a campaign means, with its present size. One call.

        Raises NotFoundError for a tab or named range that is not there, SheetContentError for an unreadable range.
        """
        params = {
            "fields": "sheets.properties(title,sheetId,gridProperties),namedRanges(name,range)",
            "includeGridData": "false",
        }
        answer = self._call(lambda session: session.spreadsheet(_in_url(source.spreadsheet_id), params))
        return find_window(source, _tabs_of(answer), answer.get("namedRanges", []))

    def rows(self, window: SheetWindow) -> Iterator[list[Cell]]:
        """Every row of a window from its first to its last filled one, ragged; a blank row inside is [].

        Read in chunks whose rows are fixed beforehand, so that a chunk that is asked for again after a 429 is the
        same chunk. After an empty chunk the next is longer: a long blank tail costs few calls.
        """
        columns = max(1, window.end_column - window.first_column)
        step = max(1, min(ROWS_A_READ, CELLS_A_READ // columns))
        start, waiting_blanks, span = window.first_row, 0, step
        while start <= window.last_row:
            end = min(start + span - 1, window.last_row)
            corners = f"{cell_name(window.first_column, start)}:{cell_name(window.end_column - 1, end)}"
            where = f"{quote_tab(window.tab)}!{corners}"
            values = self.read_ranges(window.spreadsheet_id, [where])[0]
            if len(values) > end - start + 1:
                raise TransientError(
                    f"Google gave more rows of spreadsheet {window.spreadsheet_id} than were asked for."
                )
            if values:
                yield from ([] for _ in range(waiting_blanks))
                yield from values
                waiting_blanks = end - start + 1 - len(values)
                span = step
            else:
                waiting_blanks += end - start + 1
                span *= 2
            start = end + 1

    def hidden_rows(self, window: SheetWindow) -> int:
        """How many rows of the window a person or a filter hides. One call."""
        where = f"{quote_tab(window.tab)}!{cell_name(0, window.first_row)}:{cell_name(0, window.last_row)}"
        params = {"ranges": where, "fields": "sheets.data.rowMetadata(hiddenByFilter,hiddenByUser)"}
        answer = self._call(lambda session: session.spreadsheet(_in_url(window.spreadsheet_id), params))
        return sum(
            bool(row.get("hiddenByFilter") or row.get("hiddenByUser"))
            for sheet in answer.get("sheets", [])
            for data in sheet.get("data", [])
            for row in data.get("rowMetadata", [])
        )

    def read_ranges(
        self, spreadsheet_id: str, ranges: Sequence[str], *, dates_as_numbers: bool = False
    ) -> list[list[list[Cell]]]:
        """Unformatted values of several A1 ranges in one call, in the order asked; an empty range is [].

        Cells with a date format come as the text that they show, or as days since 1899-12-30.
        """
        if not ranges:
            return []
        params = {
            "majorDimension": "ROWS",
            "valueRenderOption": "UNFORMATTED_VALUE",
            "dateTimeRenderOption": "SERIAL_NUMBER" if dates_as_numbers else "FORMATTED_STRING",
        }
        answer = self._call(
            lambda session: session.values_batch_get(_in_url(spreadsheet_id), list(ranges), dict(params))
        )
        found = answer.get("valueRanges", [])
        if len(found) != len(ranges):
            raise TransientError(f"Google left out ranges of spreadsheet {spreadsheet_id} it was asked for.")
        return [part.get("values", []) for part in found]

    # --- writing ---

    def update_values(self, spreadsheet_id: str, data: Sequence[tuple[str, Sequence[Sequence[Cell]]]]) -> None:
        """Write (A1 range, rows) pairs in one call, RAW: no text becomes a formula. Twice equals once.

        None leaves a cell as it is, "" empties it.
        """
        if not data:
            return
        self._refuse_local_numbers_in_a_live_sheet()
        body = {
            "valueInputOption": "RAW",
            "data": [
                {"range": where, "majorDimension": "ROWS", "values": [list(row) for row in rows]}
                for where, rows in data
            ],
        }
        self._call(lambda session: session.values_batch_update(_in_url(spreadsheet_id), body), kind="write")

    def batch_update(self, spreadsheet_id: str, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Apply requests (add a tab, grow a grid, ...) whole or not at all; returns Google's replies.

        Tried again only where Google surely did not apply it (throttled). After a lost answer it raises
        TransientError: the caller reads the tabs again and decides, since adding a tab twice is an error.
        """
        if not requests:
            return []
        self._refuse_local_numbers_in_a_live_sheet()
        body = {"requests": [dict(request) for request in requests]}
        answer = self._call(
            lambda session: session.batch_update(_in_url(spreadsheet_id), body), kind="write", is_repeatable=False
        )
        replies: list[dict[str, Any]] = answer.get("replies", [])
        return replies

    def _refuse_local_numbers_in_a_live_sheet(self) -> None:
        host = urlsplit(self._settings.google_endpoint("sheets") or "").hostname or ""
        if self._settings.mode == "local" and host.endswith("googleapis.com"):
            raise ConfigurationError(
                "Local mode never writes to a live sheet: its numbers come from invented mail.",
                what_to_do="Set CHEERFUL_MODE=live, or take CHEERFUL_SHEETS_ENDPOINT away.",
            )

    # --- one call, tried a few times ---

    def _call(
        self,
        once: Callable[["SheetsSession"], dict[str, Any]],
        *,
        kind: CallKind | None = "read",
        is_repeatable: bool = True,
        tries: int = MAX_TRIES,
    ) -> dict[str, Any]:
        if transaction_is_open():
            raise RuntimeError("A transaction is open: Google may not be asked while the database waits.")
        patience = Patience(tries, total_seconds=TOTAL_SECONDS)
        limit = Limit(POLL_SECONDS) if tries == 1 and kind is None else SHEET_LIMIT
        retrying = Retrying(
            stop=patience.stop,
            wait=self._wait,
            retry=retry_if_exception(lambda error: _is_worth_another_try(error, is_repeatable=is_repeatable)),
            reraise=True,
        )
        try:
            return retrying(lambda: self._paced(once, kind, patience, limit))
        except AuthError:
            self._session = None  # the next call reads the credentials anew: a mended login needs no restart
            raise

    def _paced(
        self,
        once: Callable[["SheetsSession"], dict[str, Any]],
        kind: CallKind | None,
        patience: Patience,
        limit: Limit,
    ) -> dict[str, Any]:
        """One request within the quota; a refusal holds everybody back who shares the login."""

        def request() -> dict[str, Any]:
            return finish_within(patience.limit(limit), lambda: once(self._signed_in()), name="Sheets call")

        allowance = self._allowances.get(kind) if kind is not None else None
        if allowance is None:
            return request()
        with patience.paused():
            taken = allowance.take(1, at_least=1)
        try:
            return request()
        except ThrottledError as error:
            allowance.refused(min(error.retry_after_seconds or self._first_wait_seconds, LONGEST_WAIT_SECONDS))
            raise
        finally:
            allowance.over(taken)

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        first = self._first_wait_seconds
        if isinstance(error, ThrottledError):
            if error.retry_after_seconds is not None:
                return error.retry_after_seconds
            first *= 4  # a quota window is a minute long
        return float(wait_exponential_jitter(initial=first, max=32, jitter=first)(state))

    def _signed_in(self) -> "SheetsSession":
        with self._lock:
            if self._session is None:
                from cheerful_pipelines.google.sheets.sheets_session import open_session

                self._session = open_session(self._settings)
            return self._session


def _tabs_of(answer: Mapping[str, Any]) -> list[TabProperties]:
    return [
        TabProperties(
            title=properties["title"],
            sheet_id=properties.get("sheetId", 0),  # 0 is left out by some servers, as protobuf does
            rows=properties.get("gridProperties", {}).get("rowCount", 0),
            columns=properties.get("gridProperties", {}).get("columnCount", 0),
        )
        for properties in (sheet["properties"] for sheet in answer.get("sheets", []))
    ]


def _is_worth_another_try(error: BaseException, *, is_repeatable: bool) -> bool:
    if isinstance(error, ThrottledError):
        return (error.retry_after_seconds or 0.0) <= LONGEST_WAIT_SECONDS
    return is_repeatable and isinstance(error, TransientError)


def _in_url(spreadsheet_id: str) -> str:
    """gspread puts ids into its URLs as they are; a slash in a mistyped one must not reach another path."""
    return quote(spreadsheet_id, safe="")
