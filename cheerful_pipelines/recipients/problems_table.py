"""What an analyst reads about rows that were not taken: row numbers and reasons, never an address. Pure."""

from collections.abc import Sequence

from cheerful_pipelines.recipients.models import RowProblem

MOST_LINES = 200
_WORDS = {
    "rejected": "rejected",
    "duplicate": "duplicate",
    "no_address": "no address yet",
    "extra_address": "taken, with a remark",
}


def problems_as_markdown(problems: Sequence[RowProblem], *, most: int = MOST_LINES) -> str:
    """A table in the sheet's order; after `most` lines it says how many more there are."""
    if not problems:
        return "Every row was taken."
    ordered = sorted(problems, key=lambda problem: (problem.sheet_row, problem.kind))
    lines = ["| row | cell | what | why |", "|---:|---|---|---|"]
    for problem in ordered[:most]:
        reason = problem.reason.replace("|", "\\|").replace("\n", " ")
        lines.append(f"| {problem.sheet_row} | {problem.cell or ''} | {_WORDS[problem.kind]} | {reason} |")
    if len(ordered) > most:
        lines.append(f"\nand {len(ordered) - most} more.")
    return "\n".join(lines)
