"""Subjects: what remains without "Re:" and its cousins, and which thread one without headers seems to answer. Pure.

A subject alone proves nothing, so what is found here is a guess and marked as one: it groups conversations, and no
mail comes to a campaign by it.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

WINDOW = timedelta(days=60)
"""An answer to something older is taken for a new matter."""

_REPLY = "re|ref|aw|antw|antwort|sv|vs|rv|res|rif|ynt|odp|atb|vá|vast|απ|回复|回覆|答复|返信|ответ|отв"
_FORWARD = "fwd?|wg|tr|rv|enc|doorst|vl|vb|pd|ilt|i|továbbítás|πρθ|转发|轉寄|転送|пересл"
_REPLY_PREFIX = re.compile(rf"^\s*(?:{_REPLY})(?:\s?[\[(]?\d{{1,3}}[\])]?)?\s?[:：]\s*", re.I)
_OTHER_PREFIX = re.compile(rf"^\s*(?:(?:{_FORWARD})\s?[:：]|\[[^\[\]]{{1,40}}\])\s*", re.I)
_MOST_PREFIXES = 20


def base_subject(subject: str) -> tuple[str, bool]:
    """(the subject without prefixes and list names, whether a prefix says that it is an answer).

    >>> base_subject("AW: Re[2]: [list] A gift  for you")
    ('a gift for you', True)
    >>> base_subject("Fwd: A gift for you")
    ('a gift for you', False)
    """
    rest, is_answer = subject[:1_000], False
    for _ in range(_MOST_PREFIXES):
        reply = _REPLY_PREFIX.match(rest)
        found = reply or _OTHER_PREFIX.match(rest)
        if found is None:
            break
        is_answer = is_answer or reply is not None
        rest = rest[found.end() :]
    return " ".join(rest.split()).casefold(), is_answer


@dataclass(frozen=True)
class SubjectThread:
    """What of a thread counts here: its first mail's subject and headers, and everybody in it but us."""

    key: Hashable
    subject: str
    names_another_mail: bool
    people: frozenset[str]
    begins_at: datetime


def seeming_answers(threads: Iterable[SubjectThread]) -> dict[Hashable, Hashable]:
    """Thread to the thread that it seems to answer: same base subject, somebody in both, begun at most WINDOW before.

    Only of threads whose first mail calls itself an answer and whose headers name no mail. The newest that fits is
    taken; the order in which threads are given does not matter.
    """
    by_subject: dict[str, list[SubjectThread]] = defaultdict(list)
    answers: list[tuple[str, SubjectThread]] = []
    for thread in threads:
        base, is_answer = base_subject(thread.subject)
        if base:
            by_subject[base].append(thread)
            if is_answer and not thread.names_another_mail:
                answers.append((base, thread))
    found: dict[Hashable, Hashable] = {}
    for base, thread in answers:
        earlier = [
            other
            for other in by_subject[base]
            if thread.begins_at - WINDOW <= other.begins_at < thread.begins_at and other.people & thread.people
        ]
        if earlier:
            found[thread.key] = max(earlier, key=lambda one: (one.begins_at, str(one.key))).key
    return found
