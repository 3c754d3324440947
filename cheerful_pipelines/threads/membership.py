"""Which messages are one conversation, by Message-ID, In-Reply-To and References. Pure; any order, one answer.

Membership only (steps 1 and 2 of the published JWZ algorithm, absent parents kept as ghosts): who replies to whom
inside a conversation stands in reply_tree.py. Cycles and self references do no harm: joining twice is joining once.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class LinkedMessage:
    """The ids of one message. `key` names the copy, `message_id` it and its copies in other mailboxes.

    `content` tells mails apart that carry one id: some programs give the same id to everything that they send.
    """

    key: Hashable
    message_id: str | None
    in_reply_to: tuple[str, ...]
    reference_ids: tuple[str, ...]
    content: Hashable = None


_Node = tuple[str, Hashable]


class _Forest:
    """Disjoint sets with path halving and union by size: near linear."""

    def __init__(self) -> None:
        self._parent: dict[_Node, _Node] = {}
        self._size: dict[_Node, int] = {}

    def nodes(self) -> list[_Node]:
        return list(self._parent)

    def root(self, item: _Node) -> _Node:
        parent = self._parent
        if item not in parent:
            parent[item], self._size[item] = item, 1
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: _Node, other: _Node) -> None:
        a, b = self.root(one), self.root(other)
        if a == b:
            return
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._parent[b] = a
        self._size[a] += self._size[b]


def conversations(
    messages: Iterable[LinkedMessage], same_thread: Iterable[tuple[Hashable, Hashable]] = ()
) -> dict[Hashable, str]:
    """Conversation of each message key. `same_thread` joins pairs of keys that are together for another reason.

    The name of a conversation is its smallest Message-ID, known or only referred to; where it has none, its
    smallest key. It depends on the set of messages alone, never on their order. An id that different mails carry
    joins those who refer to it, and none of those who carry it.
    """
    messages = list(messages)
    contents: dict[str, set[Hashable]] = defaultdict(set)
    for message in messages:
        if message.message_id:
            contents[message.message_id].add(message.content)
    forest = _Forest()
    keys: dict[Hashable, None] = {}
    for message in messages:
        node = ("key", message.key)
        keys[message.key] = None
        forest.root(node)
        own = message.message_id if message.message_id and len(contents[message.message_id]) == 1 else None
        ids = (own, *message.in_reply_to, *message.reference_ids)
        for message_id in ids:
            if message_id:
                forest.join(node, ("id", message_id))
    for one, other in same_thread:
        forest.join(("key", one), ("key", other))
    names = _names(forest, keys)
    return {key: names[forest.root(("key", key))] for key in keys}


def _names(forest: _Forest, keys: dict[Hashable, None]) -> dict[_Node, str]:
    ids: dict[_Node, list[str]] = defaultdict(list)
    bare: dict[_Node, list[str]] = defaultdict(list)
    for kind, value in forest.nodes():
        root = forest.root((kind, value))
        (ids if kind == "id" else bare)[root].append(str(value))
    return {root: min(ids[root]) if root in ids else min(bare[root]) for root in {*ids, *bare}}
