"""What a client typed into the columns Override and Override reason of the Threads tab. Pure.

A label by its name or its title, in any case. An emptied cell takes back what the sheet had said, and only that: what
was said by command stands until the cell is changed.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.labels.table import LABELS, Label, written_labels
from cheerful_pipelines.classification.models import Override

OVERRIDE_HEADER = "Override"
REASON_HEADER = "Override reason"
AUTHOR = "client sheet"
_LONGEST_REASON = 500
_CLEARED = frozenset({"", "-", "none", "clear"})


class SheetWord(BaseModel):
    """One row of the tab with something in it. `label` is None where the cell is empty or not understood."""

    model_config = ConfigDict(frozen=True)
    row: int
    account: str
    gmail_thread_id: str
    label: Label | None
    reason: str


class SheetProblem(BaseModel):
    """A cell that is no label: by row, with what may stand there. Never the client's words."""

    model_config = ConfigDict(frozen=True)
    row: int
    words: str


class Wish(BaseModel):
    """An override to set, or (label None) to take back."""

    model_config = ConfigDict(frozen=True)
    account: str
    gmail_thread_id: str
    label: Label | None
    reason: str


def read_words(grid: Sequence[Sequence[object]], key_header: str) -> tuple[list[SheetWord], list[SheetProblem]]:
    """Rows of a Threads tab, empty cells included, and cells that cannot be understood; none without the columns."""
    header_row = next((n for n, row in enumerate(grid[:20]) if key_header in row and OVERRIDE_HEADER in row), None)
    if header_row is None:
        return [], []
    headers = list(grid[header_row])
    key_at, word_at = headers.index(key_header), headers.index(OVERRIDE_HEADER)
    reason_at = headers.index(REASON_HEADER) if REASON_HEADER in headers else None
    words, problems, seen = [], [], set()
    for number, row in enumerate(grid[header_row + 1 :], start=header_row + 2):
        account, slash, thread_id = _text(row, key_at).partition("/")
        if not slash or (account, thread_id) in seen:
            continue  # not ours, or a copy that the client made
        seen.add((account, thread_id))
        written = _text(row, word_at)
        label = label_of(written)
        if label is None and written.casefold() not in _CLEARED:
            problems.append(
                SheetProblem(row=number, words=f"Row {number}: not a label. Write one of: {', '.join(titles())}.")
            )
            continue
        reason = _text(row, reason_at)[:_LONGEST_REASON] if reason_at is not None else ""
        words.append(SheetWord(row=number, account=account, gmail_thread_id=thread_id, label=label, reason=reason))
    return words, problems


def wishes(words: Sequence[SheetWord], overrides: Sequence[Override]) -> list[Wish]:
    """What differs from what the sheet last said. `overrides`: all that were ever set, oldest first."""
    last_by_sheet: dict[tuple[str, str], Override] = {}
    standing: dict[tuple[str, str], Override] = {}
    for item in overrides:
        key = (item.account, item.gmail_thread_id)
        if item.source == "sheet":
            last_by_sheet[key] = item
        if item.revoked_at is None:
            standing[key] = item
    found = []
    for word in words:
        key = (word.account, word.gmail_thread_id)
        last, stands = last_by_sheet.get(key), standing.get(key)
        if word.label is None:
            if stands is not None and stands.source == "sheet":
                found.append(Wish(account=key[0], gmail_thread_id=key[1], label=None, reason=""))
            continue
        reason = word.reason or "Set in the client's sheet."
        is_news = last is None or (last.label, last.reason) != (word.label, reason) or _was_emptied_since(last, stands)
        if is_news:
            found.append(Wish(account=key[0], gmail_thread_id=key[1], label=word.label, reason=reason))
    return found


def _was_emptied_since(last: Override, stands: Override | None) -> bool:
    """The cell was emptied and filled again with the same word: nothing stands, and the last word was taken back."""
    return last.revoked_at is not None and stands is None


def label_of(written: str) -> Label | None:
    """A label by name or title, in any case; None for anything else.

    >>> label_of("Not interested"), label_of("opt_out"), label_of("maybe")
    ('not_interested', 'opt_out', None)
    """
    return written_labels().get(" ".join(written.casefold().replace("_", " ").split()))


def titles() -> list[str]:
    """What may be typed."""
    return [one.name.replace("_", " ") for one in LABELS]


def _text(row: Sequence[object], at: int) -> str:
    value = row[at] if at < len(row) else None
    return "" if value is None else str(value).strip()
