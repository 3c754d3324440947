"""A call that hangs delays nothing but itself, and nobody is ever left out."""

import threading
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.core.batches import in_circle
from cheerful_pipelines.orchestration.side_by_side import SideBySide, whom_to_poll


def test_a_call_that_hangs_is_late_and_is_not_asked_again_until_it_has_ended() -> None:
    polls, gate, asked = SideBySide(at_once=2, seconds=2.0), threading.Event(), list[str]()

    def call(name: str) -> str:
        asked.append(name)
        if name == "hangs":
            gate.wait(30)
        return name.upper()

    began = time.monotonic()
    first = polls.ask(["hangs", "a", "b", "c"], call)
    took = time.monotonic() - began
    second = polls.ask(["hangs", "a"], call)
    gate.set()
    for _ in range(100):
        time.sleep(0.02)
        third = polls.ask(["hangs"], call)
        if third.answered:
            break

    assert took < 20, "it did not wait for the one that hangs"
    assert first.answered == {"a": "A", "b": "B", "c": "C"}
    assert (first.late, second.hanging) == (["hangs"], ["hangs"])
    assert second.answered == {"a": "A"}
    assert third.answered == {"hangs": "HANGS"}
    assert asked.count("hangs") == 1, "its late answer counts"


def test_a_late_answer_is_given_the_next_time_and_a_slow_name_is_hardly_awaited() -> None:
    polls, gate, asked = SideBySide(at_once=2, seconds=60), threading.Event(), list[str]()

    def call(name: str) -> str:
        asked.append(name)
        if name == "slow":
            gate.wait(30)
        return name.upper()

    began = time.monotonic()
    first = polls.ask(["slow", "a"], call, slow={"slow"})
    took = time.monotonic() - began
    gate.set()
    answers = [polls.ask(["slow"], call, slow={"slow"})]
    while not answers[-1].answered:
        time.sleep(0.02)
        answers.append(polls.ask(["slow"], call, slow={"slow"}))

    assert took < 20, "not the whole minute"
    assert (first.answered, first.late) == ({"a": "A"}, ["slow"])
    assert answers[-1].answered == {"slow": "SLOW"}
    assert asked.count("slow") == 1


def test_what_a_call_raises_is_its_own_answer() -> None:
    class Panic(BaseException):
        """As a library in Rust raises it."""

    def call(name: str) -> int:
        if name == "panics":
            raise Panic
        if name == "fails":
            raise ValueError
        return 1

    found = SideBySide(at_once=3, seconds=10).ask(["panics", "fails", "works"], call).answered

    assert {name: type(answer).__name__ for name, answer in found.items()} == {
        "panics": "Panic", "fails": "ValueError", "works": "int"
    }  # fmt: skip


def test_who_was_not_reached_is_told_apart_from_who_is_late() -> None:
    gate = threading.Event()
    found = SideBySide(at_once=1, seconds=0.2).ask(["hangs", "waits"], lambda _name: gate.wait(30))
    gate.set()

    assert (found.late, found.not_asked, found.answered) == (["hangs"], ["waits"], {})


@given(
    st.integers(1, 60), st.integers(1, 30), st.integers(1, 40), st.sets(st.integers(0, 59), max_size=20),
)  # fmt: skip
@settings(deadline=None)
def test_nobody_is_starved_whoever_is_slow_and_however_few_are_reached(
    count: int, most: int, reached: int, slow: set[int]
) -> None:
    """`reached`: how many of a tick's turn are asked at all before the deadline."""
    names = [f"m{number:02d}" for number in range(count)]
    slow_names = {name for number, name in enumerate(names) if number in slow}
    asked, go_on_at, not_reached = dict.fromkeys(names, 0), "", list[str]()
    ticks = 3 * (-(-count // min(most, reached)) + 1)
    for _ in range(ticks):
        turn = whom_to_poll(names, go_on_at=go_on_at, not_reached=not_reached, slow=slow_names, most=most)
        assert len(turn.names) <= most
        assert len(set(turn.names)) == len(turn.names)
        for name in turn.names[:reached]:
            asked[name] += 1
        go_on_at, not_reached = turn.go_on_at, turn.names[reached:]

    assert min(asked.values()) >= 1


def test_a_circle_goes_on_behind_its_start_and_comes_round() -> None:
    assert in_circle(["c", "a", "b"], "b") == ["b", "c", "a"]
    assert in_circle(["c", "a", "b"], "") == ["a", "b", "c"]
    assert in_circle(["c", "a", "b"], "x") == ["a", "b", "c"]
