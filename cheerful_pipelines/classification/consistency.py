"""What every stored verdict must fulfil, as a pure function over stored rows."""

from collections.abc import Iterable

from cheerful_pipelines.classification.labels.table import LABEL
from cheerful_pipelines.classification.models import StoredVerdict


def problems(verdicts: Iterable[StoredVerdict]) -> list[str]:
    """One line for each verdict that cannot be right: state id and fault, never a word of the mail."""
    found = []
    for verdict in verdicts:
        if verdict.label not in LABEL:
            found.append(f"state {verdict.thread_state_id}: label {verdict.label!r} is not in the taxonomy")
        quote = verdict.evidence_quote
        if quote is not None and not any(quote in words for words in verdict.inbound_words):
            found.append(f"state {verdict.thread_state_id}: the quotation does not occur in the mail")
    return found
