"""Who answers whom within a conversation: the parent of each message. Pure; any order, one answer.

After the published JWZ algorithm and RFC 5256: the last reference that is there is the parent, In-Reply-To counts
where References name nobody, and an absent message keeps its children below what other mails say stood above it.
Unlike those two, which link in the order of arrival, a loop is cut by a rule that knows no order.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise


@dataclass(frozen=True)
class TreeMessage:
    """One message. `key` names it; `message_id` may be missing or shared with others."""

    key: Hashable
    message_id: str | None
    in_reply_to: tuple[str, ...]
    reference_ids: tuple[str, ...]
    at: datetime


def reply_tree(messages: Iterable[TreeMessage]) -> dict[Hashable, Hashable | None]:
    """Parent of each message by key; None for one that begins, or whose parents are not among them.

    Of several messages with one id the earliest is answered. In a loop the message with the shortest list of
    references gives way (the longer list knows more), among equals the earliest.
    """
    ordered = sorted(messages, key=lambda one: (one.at, str(one.key)))
    by_id: dict[str, TreeMessage] = {}
    for one in ordered:
        if one.message_id:
            by_id.setdefault(one.message_id, one)
    above = _said_above(ordered, by_id)
    parents = {one.key: _parent(one, by_id, above) for one in ordered}
    by_key = {one.key: one for one in ordered}
    for loop in _loops(parents):
        weakest = min((by_key[key] for key in loop), key=lambda one: (len(_claims(one)), one.at, str(one.key)))
        parents[weakest.key] = None
    return parents


def _claims(message: TreeMessage) -> tuple[str, ...]:
    """Ids above the message by its own word, the nearest last; References know more than In-Reply-To."""
    found = dict.fromkeys(one for one in message.reference_ids or message.in_reply_to if one != message.message_id)
    return tuple(found)


def _said_above(messages: Sequence[TreeMessage], by_id: Mapping[str, TreeMessage]) -> dict[str, str]:
    """Of ids that are not there: which id most mails name right above each; the smallest among equals."""
    votes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for message in messages:
        claims = _claims(message)
        for upper, lower in pairwise(claims):
            if lower not in by_id:
                votes[lower][upper] += 1
    return {ghost: min(found, key=lambda one: (-found[one], one)) for ghost, found in votes.items()}


def _parent(message: TreeMessage, by_id: Mapping[str, TreeMessage], above: Mapping[str, str]) -> Hashable | None:
    claims = _claims(message)
    for claim in reversed(claims):
        found = by_id.get(claim)
        if found is not None and found.key != message.key:
            return found.key
    seen: set[str] = set()
    ghost = claims[-1] if claims else None
    while ghost is not None and ghost not in seen:
        seen.add(ghost)
        found = by_id.get(ghost)
        if found is not None and found.key != message.key:
            return found.key
        ghost = above.get(ghost)
    return None


def _loops(parents: Mapping[Hashable, Hashable | None]) -> list[list[Hashable]]:
    """Every loop once: a message has one parent, so following them finds each in one pass."""
    state: dict[Hashable, int] = {}
    loops: list[list[Hashable]] = []
    for number, start in enumerate(parents, start=1):
        path: list[Hashable] = []
        key: Hashable | None = start
        while key is not None and key not in state:
            state[key] = number
            path.append(key)
            key = parents[key]
        if key is not None and state[key] == number:
            loops.append(path[path.index(key) :])
    return loops
