"""What a run changed: old label to new label, told apart by whether new mail or another classifier did it. Pure."""

from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.classification.models import EffectiveLabel
from cheerful_pipelines.core import markdown
from cheerful_pipelines.core.markdown import Markdown

_SHOWN = 50


class LabelChange(BaseModel):
    """One thread whose effective label is not what it was."""

    model_config = ConfigDict(frozen=True)
    gmail_thread_id: str
    old: str | None
    new: str
    is_same_mail: bool
    """Nothing was written since: another prompt, model, taxonomy or a person said otherwise."""


def label_changes(before: Iterable[EffectiveLabel], after: Iterable[EffectiveLabel]) -> list[LabelChange]:
    """Threads in the order of `after`; first labels are no changes."""
    old = {(item.gmail_account_id, item.gmail_thread_id): item for item in before}
    changes = []
    for item in after:
        was = old.get((item.gmail_account_id, item.gmail_thread_id))
        if was is not None and was.label != item.label:
            changes.append(
                LabelChange(
                    gmail_thread_id=item.gmail_thread_id,
                    old=was.label,
                    new=item.label,
                    is_same_mail=was.thread_state_id == item.thread_state_id,
                )
            )
    return changes


def changes_as_markdown(changes: Iterable[LabelChange]) -> Markdown:
    """A table of counts, then the threads. Ids only."""
    found = list(changes)
    if not found:
        return Markdown("no label changed")
    counts = Counter((item.old, item.new, item.is_same_mail) for item in found)
    by_change = markdown.table(
        ("was", "is", "why", "threads"),
        [
            (old, new, "judged otherwise" if same else "new mail", count)
            for (old, new, same), count in sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
        ],
        right=(3,),
    )
    listed = ", ".join(f"{item.gmail_thread_id} ({item.old} → {item.new})" for item in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return markdown.paragraphs(by_change, f"Threads: {listed}{more}.")
