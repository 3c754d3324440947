"""What an import would change, and the guard that stops one which would empty a campaign. Pure."""

from collections.abc import Iterable

from cheerful_pipelines.errors import SheetContentError
from cheerful_pipelines.recipients.models import ParsedRecipient, RecipientDiff, StoredRecipient

GUARD_FROM_ACTIVE = 10
"""Below this many active recipients a share says nothing: only a sheet that is suddenly empty stops."""


def compare(stored: Iterable[StoredRecipient], parsed: Iterable[ParsedRecipient]) -> RecipientDiff:
    """Stored against parsed, by address key. The order of either side does not matter."""
    known = {recipient.email_key: recipient for recipient in stored}
    added, changed, reactivated, moved = [], [], [], []
    seen: set[str] = set()
    unchanged = 0
    for recipient in parsed:
        seen.add(recipient.email_key)
        old = known.get(recipient.email_key)
        if old is None:
            added.append(recipient)
        elif not old.is_active:
            reactivated.append(recipient)
        elif old.content_hash != recipient.content_hash:
            changed.append(recipient)
        elif old.sheet_row != recipient.sheet_row:
            moved.append(recipient)
        else:
            unchanged += 1
    active = [recipient for recipient in known.values() if recipient.is_active]
    return RecipientDiff(
        added=tuple(added),
        changed=tuple(changed),
        reactivated=tuple(reactivated),
        moved=tuple(moved),
        removed=tuple(recipient for recipient in active if recipient.email_key not in seen),
        unchanged=unchanged,
        active_before=len(active),
    )


def guard_removals(diff: RecipientDiff, *, share: float, allow_removals: bool) -> None:
    """Raise SheetContentError, before any write, where too many active recipients would go at once."""
    going, active = len(diff.removed), diff.active_before
    if allow_removals or going == 0:
        return
    is_emptied = going == active and not diff.added and not diff.reactivated
    is_too_many = active >= GUARD_FROM_ACTIVE and going > share * active
    if not (is_emptied or is_too_many):
        return
    limit = (
        "a sheet that is suddenly empty never removes anyone by itself" if is_emptied else f"the limit is {share:.0%}"
    )
    raise SheetContentError(
        f"This import would remove {going} of {active} active recipients ({going / active:.0%}); {limit}. "
        "Nothing was changed.",
        what_to_do="If a filter or a paste went wrong, undo it in the sheet. If they shall really go, "
        "materialize this partition with the run config "
        "`ops: {sheet_recipients: {config: {allow_removals: true}}}`.",
    )
