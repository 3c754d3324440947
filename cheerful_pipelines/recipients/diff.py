"""What an import would change, and the guard that stops one which would empty a campaign. Pure."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.recipients.models import (
    ParsedRecipient,
    RecipientDiff,
    StoredRecipient,
    SuppressedRow,
    Suppression,
)

GUARD_FROM_ACTIVE = 10
"""Below this many active recipients a share says nothing: only a sheet that is suddenly empty stops."""


def compare(
    stored: Iterable[StoredRecipient],
    parsed: Iterable[ParsedRecipient],
    suppressions: Mapping[str, Suppression] | None = None,
) -> RecipientDiff:
    """Stored against parsed, by address key. The order of either side does not matter.

    `suppressions` holds everyone of the client's who must not be written to; those of this sheet are kept.
    """
    known = {recipient.email_key: recipient for recipient in stored}
    kinds: dict[str, list[ParsedRecipient]] = {
        kind: [] for kind in ("added", "changed", "reactivated", "refreshed", "flagged", "moved", "unchanged")
    }
    suppressed: dict[str, SuppressedRow] = {}
    seen: set[str] = set()
    for recipient in parsed:
        key = recipient.email_key
        seen.add(key)
        suppression = (suppressions or {}).get(key)
        if suppression is not None:
            suppressed[key] = SuppressedRow(sheet_row=recipient.sheet_row, suppression=suppression)
        kinds[_kind(known.get(key), recipient, suppression)].append(recipient)
    active = [recipient for recipient in known.values() if recipient.is_active]
    unchanged = len(kinds.pop("unchanged"))
    return RecipientDiff(
        **{kind: tuple(found) for kind, found in kinds.items()},
        removed=tuple(recipient for recipient in active if recipient.email_key not in seen),
        unchanged=unchanged,
        active_before=len(active),
        suppressed=suppressed,
        known_ids={key: known[key].id for key in seen & known.keys()},
    )


def _kind(old: StoredRecipient | None, new: ParsedRecipient, suppression: Suppression | None) -> str:
    if old is None:
        return "added"
    if not old.is_active:
        return "reactivated"
    if old.content_hash != new.content_hash:
        return "changed"
    if old.custom_hash != new.custom_hash:
        return "refreshed"
    if old.suppression != suppression:
        return "flagged"
    return "moved" if old.sheet_row != new.sheet_row else "unchanged"


class RemovalVerdict(BaseModel):
    """What the guard found. `words` tells the numbers; `passed` is False where the import must stop."""

    model_config = ConfigDict(frozen=True)
    passed: bool
    words: str
    removed: int
    active_before: int


WHAT_TO_DO = (
    "If a filter or a paste went wrong, undo it in the sheet. If they shall really go, materialize this partition "
    "with the run config `ops: {sheet_recipients: {config: {allow_removals: true}}}`."
)


def judge_removals(diff: RecipientDiff, *, share: float, allow_removals: bool) -> RemovalVerdict:
    """Whether so many active recipients may go at once."""
    going, active = len(diff.removed), diff.active_before
    is_emptied = going > 0 and going == active and not diff.added and not diff.reactivated
    is_too_many = active >= GUARD_FROM_ACTIVE and going > share * active
    part = f" ({going / active:.0%})" if active else ""
    if not (is_emptied or is_too_many):
        words = f"This import removes {going} of {active} active recipients{part}; up to {share:.0%} may go by itself."
    elif allow_removals:
        words = f"This import removes {going} of {active} active recipients{part}, and allow_removals said yes."
    else:
        limit = (
            "a sheet that is suddenly empty never removes anyone by itself"
            if is_emptied
            else f"the limit is {share:.0%}"
        )
        words = f"This import would remove {going} of {active} active recipients{part}; {limit}. Nothing was changed."
    passed = allow_removals or not (is_emptied or is_too_many)
    return RemovalVerdict(passed=passed, words=words, removed=going, active_before=active)
