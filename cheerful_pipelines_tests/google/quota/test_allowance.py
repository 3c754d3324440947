"""Never more units in any minute than Gmail gives, and hardly fewer while work waits."""

import random
import threading
import time
from collections.abc import Callable
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.google.quota.allowance import (
    POLLING_UNITS,
    WINDOW_SECONDS,
    Allowance,
    Ledger,
    MemoryLedger,
    Refusal,
    room,
)
from cheerful_pipelines.google.quota.sheets_store import SheetsCallStore, sheets_allowances
from cheerful_pipelines.google.quota.store import QuotaStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import an_account


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def _busiest_minute(calls: list[tuple[float, int]]) -> int:
    return max(sum(units for at, units in calls if start <= at < start + 60) for start, _ in calls)


@given(
    seconds=st.lists(st.floats(0.01, 3.0), min_size=40, max_size=120),
    wanted=st.lists(st.integers(1, 25), min_size=1, max_size=5),
)
def test_no_minute_ever_sees_more_than_the_limit_wherever_in_a_call_gmail_counts(
    seconds: list[float], wanted: list[int]
) -> None:
    clock, where = Clock(), random.Random(1)
    allowance = Allowance(MemoryLedger(clock), units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    calls: list[tuple[float, int]] = []
    for number, duration in enumerate(seconds):
        taken = allowance.take(20 * wanted[number % len(wanted)], at_least=20)
        calls.append((clock.now + where.uniform(0, duration), taken.units))
        clock.sleep(duration)
        allowance.over(taken)

    assert _busiest_minute(calls) <= 6_000 - POLLING_UNITS
    assert all(units >= 20 for _, units in calls)


def test_the_allowance_is_used_while_work_waits() -> None:
    clock = Clock()
    allowance = Allowance(MemoryLedger(clock), units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    started = clock.now
    while clock.now < started + 600:
        taken = allowance.take(400, at_least=20)
        clock.sleep(0.1)
        allowance.over(taken)

    assert allowance.spent / (clock.now - started) * 60 >= 0.95 * 6_000


def test_four_hundred_messages_take_hardly_more_than_the_one_minute_that_they_must() -> None:
    clock = Clock()
    allowance = Allowance(MemoryLedger(clock), units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    started, left = clock.now, 400 * 20
    while left:
        taken = allowance.take(min(400, left), at_least=20)
        left -= taken.units
        clock.sleep(0.1)
        allowance.over(taken)

    assert clock.now - started <= 66


def test_a_share_leaves_the_rest_to_others() -> None:
    clock = Clock()
    ledger = MemoryLedger(clock)
    archive = Allowance(ledger, units_a_minute=6_000, share=0.5, clock=clock, sleep=clock.sleep)
    live = Allowance(ledger, units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    taken = archive.take(100_000, at_least=20)

    assert taken.units == (6_000 - POLLING_UNITS) // 2
    assert live.take(2_000, at_least=20).units == 2_000
    assert clock.now == 1000.0, "the live sync did not wait"


def test_after_a_refusal_nobody_asks_until_then() -> None:
    clock = Clock()
    ledger = MemoryLedger(clock)
    one = Allowance(ledger, units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    other = Allowance(ledger, units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    one.refused(30)

    other.take(20, at_least=20)

    assert clock.now >= 1030


def test_a_call_dearer_than_the_limit_does_not_wait_for_ever() -> None:
    clock = Clock()
    allowance = Allowance(MemoryLedger(clock), units_a_minute=POLLING_UNITS + 5, clock=clock, sleep=clock.sleep)

    assert allowance.take(20, at_least=20).units == 20


@given(
    st.lists(st.tuples(st.integers(1, 50), st.floats(0, 60)), max_size=20), st.integers(1, 100), st.integers(50, 500)
)
def test_room_is_never_more_than_the_limit_leaves(spends: list[tuple[int, float]], wanted: int, limit: int) -> None:
    units, wait = room(spends, wanted, at_least=1, limit=limit, now=0.0)

    assert units + sum(spent for spent, _ in spends) <= limit or units == 0
    assert (units == 0) == (wait > 0 or sum(spent for spent, _ in spends) >= limit)


def _ledgers(database: Database) -> dict[str, Callable[[UUID], Ledger]]:
    kept = MemoryLedger()
    return {
        "memory": lambda _account: kept,
        "postgres": lambda account: QuotaStore(database, account, project_units_a_minute=10_000),
    }


@pytest.mark.parametrize("kind", ["memory", "postgres"])
def test_many_at_once_take_no_more_than_there_is(kind: str, database: Database) -> None:
    account = an_account(database)
    make = _ledgers(database)[kind]
    taken: list[int] = []

    def work() -> None:
        ledger = make(account.id)
        for _ in range(10):
            taken.append(ledger.grant(100, at_least=20, limit=1_000).units)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(taken) == 1_000


def test_the_ledger_counts_each_mailbox_and_the_project(database: Database) -> None:
    mia, max_ = an_account(database), an_account(database, alias="max", address="max@brand.example")
    one, other = (QuotaStore(database, account.id, project_units_a_minute=150) for account in (mia, max_))

    assert one.grant(100, at_least=20, limit=100).units == 100
    assert one.grant(20, at_least=20, limit=100).units == 0
    answer = other.grant(100, at_least=20, limit=100)
    assert answer.units == 50, "the project has no more"
    assert other.grant(20, at_least=20, limit=100).units == 0


def test_a_call_counts_for_a_minute_after_it_ended_and_a_lost_one_not_for_ever(database: Database) -> None:
    ledger = QuotaStore(database, an_account(database).id, project_units_a_minute=10_000)
    answer = ledger.grant(100, at_least=100, limit=100)
    lost = ledger.grant(100, at_least=100, limit=100)
    ledger.settle(answer.spend_id)
    settled = ledger.grant(100, at_least=100, limit=100)

    assert lost.wait_seconds > WINDOW_SECONDS
    assert WINDOW_SECONDS - 5 < settled.wait_seconds <= WINDOW_SECONDS
    ledger.block(0.05, limit=100)
    time.sleep(0.1)
    assert ledger.grant(100, at_least=100, limit=200).units == 100


def test_sheets_calls_of_every_process_share_one_login(database: Database) -> None:
    """Two clients, as two workers have them: what one took the other waits for; reads and writes are apart."""
    first, second = (sheets_allowances(database, calls_a_minute=5) for _ in range(2))
    taken = [first["read"].take(1, at_least=1) for _ in range(3)] + [second["read"].take(1, at_least=1) for _ in "ab"]

    refused = SheetsCallStore(database, "read").grant(1, at_least=1, limit=5)

    assert all(answer.units == 1 for answer in taken)
    assert refused.units == 0
    assert refused.wait_seconds > 50
    assert second["write"].take(1, at_least=1).units == 1


def test_a_refusal_of_sheets_holds_everybody_back(database: Database) -> None:
    first, second = (sheets_allowances(database, calls_a_minute=5) for _ in range(2))
    first["write"].refused(0.4)
    began = time.monotonic()

    second["write"].take(1, at_least=1)

    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize("step", ["3 hours", "400 days"])
def test_spends_from_before_a_clock_was_set_back_count_for_a_window_and_no_longer(
    database: Database, step: str
) -> None:
    account = an_account(database)
    ledger = QuotaStore(database, account.id, project_units_a_minute=100)
    sheets = SheetsCallStore(database, "read")
    ledger.grant(100, at_least=100, limit=100)
    sheets.grant(5, at_least=5, limit=5)
    with database.transaction() as connection:
        for table, column in (("quota_spend", "expires_at"), ("sheets_call", "expires_at")):
            connection.execute(
                sa.text(f"update {table} set {column} = {column} + cast(:step as interval)"), {"step": step}
            )
    waits = [ledger.grant(20, at_least=20, limit=100), sheets.grant(1, at_least=1, limit=5)]
    again = [ledger.grant(20, at_least=20, limit=100), sheets.grant(1, at_least=1, limit=5)]

    for answer in (*waits, *again):
        assert answer.units == 0, "the call may have ended a moment ago"
        assert WINDOW_SECONDS - 5 < answer.wait_seconds <= WINDOW_SECONDS


def test_what_was_learned_before_a_clock_was_set_back_can_be_learned_anew(database: Database) -> None:
    account = an_account(database)
    ledger = QuotaStore(database, account.id, project_units_a_minute=10_000)
    ledger.learn(Refusal(0, 20, accepted=500), full=1_000)
    with database.transaction() as connection:
        connection.execute(sa.text("update quota_learned set changed_at = changed_at + interval '400 days'"))
    ledger.learn(Refusal(0, 20, accepted=300), full=1_000)

    with database.transaction() as connection:
        learned = connection.execute(sa.text("select units_a_minute, changed_at <= now() from quota_learned")).all()
    assert learned == [(285, True)]
