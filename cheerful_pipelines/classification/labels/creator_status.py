"""From labels to the status a creator might be moved to: a suggestion, never an act. Pure.

A suggestion never moves a status backwards and never out of OPTED_OUT. ORDERED is the order system's alone;
READY_TO_SHIP and later are never left by a label: a person is asked instead.
"""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from cheerful_pipelines.classification.labels.table import LABEL, CreatorStatus

_RANK: dict[str, int] = {
    "CONTACTED": 0, "UNRESPONSIVE": 0, "PENDING_DETAILS": 1, "DECLINED": 1, "SKIPPED": 1,
    "READY_TO_SHIP": 2, "ORDERED": 3, "OPTED_OUT": 4,
}  # fmt: skip


def suggested_status(current: CreatorStatus, label: str, flags: Mapping[str, Any]) -> CreatorStatus:
    """The status after one more label; the current one where the label moves nothing."""
    wanted = _wanted(label, flags)
    if wanted is None or current == "OPTED_OUT" or _RANK[wanted] < _RANK[current]:
        return current
    if wanted != "OPTED_OUT" and _RANK[current] >= _RANK["READY_TO_SHIP"]:
        return current
    return wanted


def status_after(
    labels: Iterable[tuple[str, Mapping[str, Any]]], *, begins: CreatorStatus = "CONTACTED"
) -> CreatorStatus:
    """Every label of a creator in order of time, folded."""
    status = begins
    for label, flags in labels:
        status = suggested_status(status, label, flags)
    return status


def _wanted(label: str, flags: Mapping[str, Any]) -> CreatorStatus | None:
    definition = LABEL.get(label)
    if definition is None:
        return None
    flagged = [status for flag, status in definition.status_if.items() if flags.get(flag)]
    return flagged[0] if flagged else definition.creator_status


def all_statuses() -> tuple[CreatorStatus, ...]:
    """Every status there is."""
    return get_args(CreatorStatus)
