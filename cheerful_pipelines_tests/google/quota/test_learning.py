"""Refusals teach every process, and what they taught is given back slowly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import ThrottledError
from cheerful_pipelines.google.quota.allowance import POLLING_UNITS, Allowance, Grant, MemoryLedger, Refusal
from cheerful_pipelines.google.quota.learning import LOWEST_SHARE, SMALLEST_BATCH, Learned, after_refusal, after_use
from cheerful_pipelines.google.quota.store import QuotaStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import an_account
from cheerful_pipelines_tests.google.quota.test_allowance import Clock

PRICE = 20


class Gmail:
    """A mailbox that takes so many units in any minute, and refuses the rest without a word about time."""

    def __init__(self, clock: Clock, limit: int) -> None:
        self.clock, self.limit = clock, limit
        self.taken: list[tuple[float, int]] = []
        self.refused: list[float] = []

    def ask(self, parts: int) -> int:
        """How many parts of a batch are refused."""
        now, refused = self.clock.now, 0
        for _ in range(parts):
            self.taken = [(at, units) for at, units in self.taken if at > now - 60]
            if sum(units for _, units in self.taken) + PRICE > self.limit:
                self.refused.append(now)
                refused += 1
            else:
                self.taken.append((now, PRICE))
        return refused


def work_for(minutes: float, gmail: Gmail, allowance: Allowance, clock: Clock) -> list[float]:
    """Fetch without a pause; the moment of each call that was made."""
    calls: list[float] = []
    while clock.now < 1000 + minutes * 60:
        taken = allowance.take(20 * PRICE, at_least=PRICE)
        parts = taken.units // PRICE
        while parts:
            size = min(parts, taken.batch_size or 20)
            parts -= size
            refused = gmail.ask(size)
            calls += [clock.now] * size
            clock.sleep(0.2)
            allowance.accepted(taken, (size - refused) * PRICE)
            if refused:
                units = refused * PRICE
                error = ThrottledError("refused")
                allowance.note_refusal(error, taken, units=units, asked=size * PRICE, batch_size=size)
        allowance.over(taken)
    return calls


@pytest.mark.parametrize("real", [1_500, 3_000, 4_500, 5_500])
def test_with_a_lower_limit_than_assumed_hardly_a_call_is_refused_after_the_first_minute(real: int) -> None:
    clock = Clock()
    gmail = Gmail(clock, real)
    allowance = Allowance(MemoryLedger(clock), units_a_minute=6_000, clock=clock, sleep=clock.sleep)

    calls = work_for(15, gmail, allowance, clock)

    later = [at for at in calls if at > 1060]
    refused = [at for at in gmail.refused if at > 1060]
    assert len(refused) < 0.03 * len(later)
    assert len(later) * PRICE > 0.8 * real * 14, "what Gmail gives is used"


def test_with_the_right_limit_nothing_is_lost() -> None:
    clock = Clock()
    gmail = Gmail(clock, 6_000)
    allowance = Allowance(MemoryLedger(clock), units_a_minute=6_000, clock=clock, sleep=clock.sleep)

    calls = work_for(10, gmail, allowance, clock)

    assert gmail.refused == []
    assert len(calls) * PRICE >= 0.95 * 10 * (6_000 - POLLING_UNITS)


@given(
    known=st.none()
    | st.builds(
        Learned,
        st.integers(1, 6_000),
        st.none() | st.integers(SMALLEST_BATCH, 50),
        st.integers(0, 3),
        st.booleans(),
        st.floats(0, 1e5),
    ),
    accepted=st.integers(0, 20_000),
    batch=st.none() | st.integers(SMALLEST_BATCH, 100),
)
def test_a_refusal_never_raises_a_limit_and_never_brings_it_to_a_halt(
    known: Learned | None, accepted: int, batch: int | None
) -> None:
    learned = after_refusal(known, assumed=6_000, accepted=accepted, batch_size=batch)

    if learned is not None:
        before = known.units_a_minute if known else 6_000
        assert learned.units_a_minute <= before
        assert learned.units_a_minute >= min(before, int(6_000 * LOWEST_SHARE))
        assert learned.batch_size is None or learned.batch_size >= SMALLEST_BATCH


def test_one_early_refusal_is_no_limit_but_shrinks_the_batch() -> None:
    learned = after_refusal(None, assumed=6_000, accepted=100, batch_size=20)

    assert learned == Learned(6_000, 10, 1)


def test_a_limit_grows_only_while_it_is_used_and_is_forgotten_in_the_end() -> None:
    known = Learned(3_000, 10, seconds=61)

    assert after_use(known, assumed=6_000, used=2_900, limit=3_000) == Learned(3_060, 11, is_growing=True)
    assert after_use(known, assumed=6_000, used=100, limit=3_000) is known
    assert after_use(known._replace(seconds=90_000), assumed=6_000, used=0, limit=3_000) is None


def test_what_one_process_learned_holds_for_the_others_and_not_for_other_mailboxes(database: Database) -> None:
    mia, bo = an_account(database), an_account(database, alias="bo", address="bo@brand.example")

    def ledger_of(account_id: object) -> QuotaStore:
        return QuotaStore(database, account_id, project_units_a_minute=100_000)  # type: ignore[arg-type]

    first = ledger_of(mia.id)
    taken = first.grant(4_000, at_least=20, limit=6_000, full=6_000)
    first.settle(taken.spend_id)
    first.learn(Refusal(taken.spend_id, units=1_000, accepted=0, batch_size=20), full=6_000)

    other, another = ledger_of(mia.id), ledger_of(bo.id)
    assert other.grant(20, at_least=20, limit=6_000, full=6_000).units == 0, "2,850 a minute are used up"
    granted: Grant = another.grant(20, at_least=20, limit=6_000, full=6_000)
    assert (granted.units, granted.batch_size) == (20, None)


def test_a_refusal_of_the_project_slows_every_mailbox(database: Database) -> None:
    mia, bo = an_account(database), an_account(database, alias="bo", address="bo@brand.example")
    first, other = (QuotaStore(database, account.id, project_units_a_minute=1_000) for account in (mia, bo))
    taken = first.grant(800, at_least=20, limit=6_000)
    first.settle(taken.spend_id)
    first.learn(Refusal(taken.spend_id, units=100, accepted=0, of_project=True), full=6_000)

    assert other.grant(200, at_least=20, limit=6_000).units == 0


def test_a_daily_limit_is_waited_for_and_teaches_nothing_about_the_minute() -> None:
    clock = Clock()
    ledger = MemoryLedger(clock)
    allowance = Allowance(ledger, units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    taken = allowance.take(20, at_least=20)
    daily = ThrottledError("daily", retry_after_seconds=7_200)
    allowance.note_refusal(daily, taken, units=20, asked=20)

    with pytest.raises(ThrottledError) as caught:
        allowance.take(20, at_least=20)

    assert caught.value.retry_after_seconds == 7_200
    other = Allowance(ledger, units_a_minute=6_000, clock=clock, sleep=clock.sleep)
    assert other.take(5_000, at_least=20).units == 5_000


def test_a_wait_for_quota_ends_with_the_mailboxes_time() -> None:
    clock = Clock()
    allowance = Allowance(MemoryLedger(clock), units_a_minute=1_000, clock=clock, sleep=clock.sleep)
    allowance.over(allowance.take(940, at_least=20))

    with pytest.raises(ThrottledError, match="time for this mailbox"):
        allowance.take(20, at_least=20, ends_at=clock.now + 12)
    assert clock.now <= 1012
