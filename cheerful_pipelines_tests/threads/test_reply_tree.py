"""Who answers whom: the published cases, other programs' trees, and that no order of arrival matters."""

import json
import mailbox
import re
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.mail.parse_message import message_ids, parse_message
from cheerful_pipelines.threads.membership import LinkedMessage, conversations
from cheerful_pipelines.threads.reply_tree import TreeMessage, reply_tree
from cheerful_pipelines_tests.mail.reading.real_mail import thread_sets

START = datetime(2026, 10, 1, tzinfo=UTC)
IDS = ("a@x", "b@x", "c@x", "d@x", "e@x")


def _message(key: Any, message_id: str | None, references: tuple[str, ...] = (), number: int = 0) -> TreeMessage:
    return TreeMessage(key, message_id, (), references, START + timedelta(minutes=number))


def test_the_last_reference_that_is_there_is_the_parent() -> None:
    found = reply_tree(
        [_message(1, "a@x"), _message(2, "b@x", ("a@x",), 1), _message(3, "d@x", ("a@x", "b@x", "c@x"), 2)]
    )

    assert found == {1: None, 2: 1, 3: 2}


def test_what_is_absent_keeps_its_children_below_what_stood_above_it() -> None:
    """Nobody has c, but one mail says that c answered a."""
    found = reply_tree([_message(1, "a@x"), _message(2, "d@x", ("a@x", "c@x"), 1), _message(3, "e@x", ("c@x",), 2)])

    assert found == {1: None, 2: 1, 3: 1}


def test_a_message_that_answers_itself_begins() -> None:
    assert reply_tree([_message(1, "a@x", ("a@x",))]) == {1: None}


@given(
    st.lists(
        st.tuples(st.sampled_from((*IDS, None)), st.lists(st.sampled_from(IDS), max_size=4), st.integers(0, 3)),
        max_size=9,
    ),
    st.randoms(use_true_random=False),
)
def test_any_order_gives_one_tree_without_a_loop(
    mails: list[tuple[str | None, list[str], int]], chance: Random
) -> None:
    messages = [_message(key, one, tuple(refs), at) for key, (one, refs, at) in enumerate(mails)]
    shuffled = list(messages)
    chance.shuffle(shuffled)

    parents = reply_tree(messages)

    assert reply_tree(shuffled) == parents
    for key in parents:
        steps, above = 0, parents[key]
        while above is not None:
            steps, above = steps + 1, parents[above]
            assert steps <= len(messages)


@given(st.lists(st.tuples(st.sampled_from(IDS), st.lists(st.sampled_from(IDS), max_size=3)), min_size=1, max_size=9))
def test_an_answer_and_its_parent_are_in_one_conversation(mails: list[tuple[str, list[str]]]) -> None:
    tree = reply_tree([_message(key, one, tuple(refs), key) for key, (one, refs) in enumerate(mails)])
    named = conversations([LinkedMessage(key, one, (), tuple(refs)) for key, (one, refs) in enumerate(mails)])

    assert all(named[key] == named[parent] for key, parent in tree.items() if parent is not None)


@pytest.mark.real_mail
def test_the_published_cases(shared_data: Path) -> None:
    cases = json.loads((shared_data / "threads" / "cases.json").read_text())
    assert len(cases) == 10
    for case in cases:
        messages = [
            TreeMessage(
                item["id"],
                item["id"].strip("<>"),
                tuple(message_ids(item.get("in_reply_to", ""))),
                tuple(message_ids(item.get("references", ""))),
                START,
            )
            for item in case["messages"]
        ]
        parents = reply_tree(messages)
        for child, parent in case.get("parents", {}).items():
            assert parents[child] == parent, case["name"]
        links = [LinkedMessage(one.key, one.message_id, one.in_reply_to, one.reference_ids) for one in messages]
        assert _grouped(conversations(links)) >= {frozenset(thread) for thread in case.get("threads", [])}, case["name"]
        for one in messages:
            if "references" in case:  # their order is of no consequence to us: all of them are joined
                assert {*one.reference_ids, *one.in_reply_to} == {x.strip("<>") for x in case["references"][one.key]}


@pytest.mark.real_mail
def test_trees_of_imaptest(shared_data: Path) -> None:
    """Trees equal; what Dovecot shows apart may be one conversation with us: shared ids never part.

    Left out by rule: ORDEREDSUBJECT (a subject alone joins nothing), and thread2.mbox, whose two mails are one:
    the same Message-ID and the same content are two copies of a mail.
    """
    folder = shared_data / "threads" / "imaptest"
    checked = 0
    for name, expected in json.loads((folder / "expected.json").read_text()).items():
        if "orderedsubject" in name or name == "thread2.mbox":
            continue
        raws = [message.as_bytes() for message in mailbox.mbox(folder / name)]
        there: list[int] = []
        for step in expected["steps"]:
            there += step.get("append", [])
            for number in step.get("delete_sequence_numbers", []):
                there.pop(number - 1)
            if "expect" in step:
                messages = []
                for sequence, number in enumerate(there, start=1):
                    parsed = parse_message(raws[number - 1])
                    messages.append(
                        TreeMessage(
                            sequence, parsed.rfc822_message_id, parsed.in_reply_to, parsed.reference_ids,
                            START + timedelta(minutes=number),
                        )
                    )  # fmt: skip
                assert reply_tree(messages) == _tree_of(step["expect"]), (name, step)
                checked += 1
    assert checked == 5


def _tree_of(answer: str) -> dict[int, int | None]:
    """Parents from an RFC 5256 THREAD answer."""
    parents: dict[int, int | None] = {}
    stack: list[int | None] = []
    above: int | None = None
    for token in re.findall(r"[()]|\d+", answer):
        if token == "(":
            stack.append(above)
        elif token == ")":
            above = stack.pop()
        else:
            parents[int(token)], above = above, int(token)
    return parents


@pytest.mark.real_mail
def test_parents_on_real_lists_are_notmuchs_but_where_the_rules_differ(shared_data: Path) -> None:
    """notmuch believes a clean In-Reply-To before References; RFC 5256 and we believe References first."""
    same = different = 0
    for _, raws, expected in thread_sets(shared_data):
        parents_of = expected["notmuch"].get("parents") if isinstance(expected["notmuch"], dict) else None
        parents_of = parents_of or expected.get("parents")
        if not parents_of:
            continue
        messages, repeated = [], set()
        seen: dict[str, int] = {}
        for item, raw in zip(expected["messages"], raws, strict=True):
            parsed = parse_message(raw)
            messages.append(
                TreeMessage(
                    item["n"], parsed.rfc822_message_id, parsed.in_reply_to, parsed.reference_ids,
                    START + timedelta(minutes=item["n"]),
                )
            )  # fmt: skip
            if parsed.rfc822_message_id in seen:
                repeated |= {item["n"], seen[parsed.rfc822_message_id]}
            seen[parsed.rfc822_message_id or str(item["n"])] = item["n"]
        found = reply_tree(messages)
        for number, parent in parents_of.items():
            if int(number) in repeated or parent in repeated:
                continue
            if found[int(number)] == parent:
                same += 1
            else:
                different += 1
    assert same + different > 1_000
    assert same / (same + different) >= 0.98


def _grouped(named: dict[Any, str]) -> set[frozenset[Any]]:
    groups: dict[str, set[Any]] = defaultdict(set)
    for key, name in named.items():
        groups[name].add(key)
    return {frozenset(group) for group in groups.values()}
