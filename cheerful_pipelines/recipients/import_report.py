"""What an analyst reads of an import, as Markdown: row numbers, ids and reasons, never an address. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from cheerful_pipelines.recipients.models import ProblemKind, RecipientDiff, RowProblem

MOST_LINES = 200
PROBLEM_WORDS: Mapping[ProblemKind, str] = {
    "rejected": "rejected",
    "duplicate": "duplicate",
    "no_address": "no address yet",
    "extra_address": "taken, with a remark",
    "error_cell": "taken without a value",
    "other_campaign": "taken, also elsewhere",
    "erased": "not taken: asked to be forgotten",
}


def problems_as_markdown(problems: Sequence[RowProblem], *, most: int = MOST_LINES) -> str:
    """A table in the sheet's order; after `most` lines it says how many more there are."""
    if not problems:
        return "Every row was taken."
    ordered = sorted(problems, key=lambda problem: (problem.sheet_row, problem.kind))
    return _table(
        ("row", "cell", "what", "why"),
        ((item.sheet_row, item.cell or "", PROBLEM_WORDS[item.kind], item.reason) for item in ordered),
        len(ordered),
        most,
    )


def diff_as_markdown(
    diff: RecipientDiff,
    problems: Sequence[RowProblem],
    new_ids: Mapping[str, int] | None = None,
    *,
    most: int = MOST_LINES,
) -> str:
    """What an import changes: a line for each person that came, changed, returned, went or is suppressed, and each
    row that was not taken. `new_ids`: recipient ids by address key after the import; a preview knows none.
    """
    lines = list(_diff_lines(diff, problems, {**diff.known_ids, **(new_ids or {})}))
    if not lines:
        return "Nothing changed."
    return _table(("what", "row", "recipient", "why"), lines, len(lines), most)


def _diff_lines(
    diff: RecipientDiff, problems: Sequence[RowProblem], ids: Mapping[str, int]
) -> Iterator[tuple[object, ...]]:
    for gone in diff.removed:
        yield "removed", gone.sheet_row, gone.id, "no longer in the sheet; the row is where it stood"
    for kind in ("added", "changed", "reactivated"):
        for person in getattr(diff, kind):
            yield kind, person.sheet_row, ids.get(person.email_key, "new"), ""
    for key, row in sorted(diff.suppressed.items(), key=lambda item: item[1].sheet_row):
        where = f" in campaign {row.suppression.campaign}" if row.suppression.campaign else ""
        words = "opted out" if row.suppression.reason == "opted_out" else "hard-bounced"
        yield "suppressed", row.sheet_row, ids.get(key, "new"), words + where
    for problem in sorted(problems, key=lambda item: item.sheet_row):
        if problem.kind in ("rejected", "duplicate"):
            yield PROBLEM_WORDS[problem.kind], problem.sheet_row, "", problem.reason


def _table(headers: Sequence[str], rows: Iterable[Sequence[object]], count: int, most: int) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + "---|" * len(headers)]
    for row in islice(rows, most):
        lines.append("| " + " | ".join(_cell(value) for value in row) + " |")
    if count > most:
        lines.append(f"\nand {count - most} more.")
    return "\n".join(lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
