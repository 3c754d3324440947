"""What an analyst reads of an import, as Markdown: row numbers, ids and reasons, never an address. Pure."""

from collections.abc import Iterator, Mapping, Sequence

from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown
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


def problems_as_markdown(problems: Sequence[RowProblem], *, most: int = MOST_LINES) -> Markdown:
    """A table in the sheet's order; after `most` lines it says how many more there are."""
    if not problems:
        return Markdown("Every row was taken.")
    ordered = sorted(problems, key=lambda problem: (problem.sheet_row, problem.kind))
    return markdown.table(
        ("row", "cell", "what", "why"),
        [(item.sheet_row, item.cell, PROBLEM_WORDS[item.kind], item.reason) for item in ordered],
        most=most,
    )


def diff_as_markdown(
    diff: RecipientDiff,
    problems: Sequence[RowProblem],
    new_ids: Mapping[str, int] | None = None,
    *,
    most: int = MOST_LINES,
) -> Markdown:
    """What an import changes: a line for each person that came, changed, returned, went or is suppressed, and each
    row that was not taken. `new_ids`: recipient ids by address key after the import; a preview knows none.
    """
    lines = list(_diff_lines(diff, problems, {**diff.known_ids, **(new_ids or {})}))
    if not lines:
        return Markdown("Nothing changed.")
    return markdown.table(("what", "row", "recipient", "why"), lines, most=most)


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
