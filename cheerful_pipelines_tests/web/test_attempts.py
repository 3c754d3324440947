"""Failed sign-ins: a burst makes no more than the limit, in any number of processes, no stranger locks a user out."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.web.attempt_store import AttemptStore
from cheerful_pipelines.web.attempts import DEVICE_COOKIE, FAILURES, WINDOW, SignInLimits
from cheerful_pipelines_tests.web.installation import SESSION_KEY, Auth, Installation, installation

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)


@pytest.fixture
def limits(database: Database) -> SignInLimits:
    return SignInLimits(SESSION_KEY, AttemptStore(database))


def test_of_sixty_at_once_ten_reach_supabase_auth(web: Installation, auth: Auth, tmp_path: Path) -> None:
    """Wrong passwords for one address, sent at once to two web servers of one database."""
    auth.seconds_to_answer = 0.2
    asked = auth.asked
    url = web.settings.require_database_url()
    with installation(auth, tmp_path, url) as second, ThreadPoolExecutor(60) as pool:
        start = threading.Barrier(60)

        def guess(number: int) -> int:
            start.wait(30)
            return (web, second)[number % 2].sign_in("guessed", password=f"wrong {number}").status_code

        codes = sorted(pool.map(guess, range(60)))
    assert auth.asked - asked == FAILURES
    assert codes == [401] * FAILURES + [429] * (60 - FAILURES)


def test_forwarded_addresses_do_not_reset_the_count(web: Installation, auth: Auth) -> None:
    """Nor do other accounts: guessing at many is counted for the network."""
    asked = auth.asked
    for number in range(15):
        headers = {"Origin": web.url, "X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=192.0.2.{number}"}
        web.sign_in(f"user{number}", password="wrong", headers=headers)
    assert auth.asked - asked == FAILURES


def test_clients_of_one_proxy_are_counted_apart_by_the_header_it_writes(
    web: Installation, auth: Auth, tmp_path: Path
) -> None:
    """The proxy is 127.0.0.5; whoever comes past it may write the same header in vain."""
    url = web.settings.require_database_url()
    proxied = {"trusted_proxies": "127.0.0.5", "client_address_header": "Fly-Client-IP"}
    with installation(auth, tmp_path, url, **proxied) as behind:

        def guess(client: str, source: str) -> int:
            headers = {"Origin": behind.url, "Fly-Client-IP": client, "X-Forwarded-For": "192.0.2.250"}
            return behind.sign_in("guessed", "wrong", source=source, headers=headers).status_code

        codes = [guess("198.51.100.9", "127.0.0.5") for _ in range(FAILURES + 1)]
        assert codes == [401] * FAILURES + [429]
        assert guess("198.51.100.8", "127.0.0.5") == 401
        past = [guess(f"203.0.113.{number}", "127.0.0.6") for number in range(FAILURES + 1)]
        assert past == [401] * FAILURES + [429]


def test_a_stranger_elsewhere_does_not_lock_a_user_out(web: Installation, auth: Auth) -> None:
    asked = auth.asked
    with ThreadPoolExecutor(8) as pool:
        codes = list(
            pool.map(lambda n: web.sign_in("viewer", f"guess {n}", source="127.0.0.66").status_code, range(100))
        )
    assert codes.count(401) == auth.asked - asked == FAILURES
    assert web.sign_in("viewer").status_code == 303


def test_a_known_browser_is_not_locked_out_on_the_strangers_own_network(web: Installation) -> None:
    browser = web.sign_in("analyst", source="127.0.0.77").cookies[DEVICE_COOKIE]
    for number in range(FAILURES + 2):
        web.sign_in("analyst", f"guess {number}", source="127.0.0.77")
    assert web.sign_in("analyst", source="127.0.0.77").status_code == 429
    assert web.sign_in("analyst", source="127.0.0.77", browser=browser).status_code == 303
    assert web.sign_in("engineer", source="127.0.0.77", browser=browser).status_code == 303  # only that pair was full


def test_a_thousand_failures_from_elsewhere_leave_a_known_network_and_a_known_browser_alone(
    limits: SignInLimits,
) -> None:
    first = limits.reserve("mia@brand.example", "192.0.2.1", "", NOW)
    assert first is not None
    browser = limits.succeeded(first, "", NOW)
    made = [limits.reserve("mia@brand.example", f"198.51.100.{n % 200}", "", NOW) for n in range(1_000)]
    assert len([one for one in made if one]) == 300  # from everywhere, in an hour
    assert limits.reserve("mia@brand.example", "192.0.2.1", "", NOW) is not None
    assert limits.reserve("mia@brand.example", "203.0.113.9", browser, NOW) is not None
    assert limits.reserve("mia@brand.example", "203.0.113.9", "", NOW) is None
    assert limits.reserve("mia@brand.example", "203.0.113.9", "", NOW + timedelta(hours=1, seconds=1)) is not None
    assert limits.reserve("bo@brand.example", "203.0.113.9", "", NOW) is not None


def test_a_known_browser_has_its_own_limit_and_is_known_for_its_address_only(limits: SignInLimits) -> None:
    first = limits.reserve("mia@brand.example", "192.0.2.1", "", NOW)
    assert first is not None
    browser = limits.succeeded(first, "", NOW)
    made = [limits.reserve("mia@brand.example", f"192.0.2.{n}", browser, NOW) for n in range(FAILURES + 1)]
    assert [one is not None for one in made] == [True] * FAILURES + [False]
    made = [limits.reserve("bo@brand.example", "192.0.2.9", browser, NOW) for n in range(FAILURES + 1)]
    assert [one is not None for one in made] == [True] * FAILURES + [False]
    later = NOW + WINDOW + timedelta(seconds=1)
    assert limits.reserve("mia@brand.example", "192.0.2.1", browser, later) is not None


def test_what_succeeded_or_was_not_decided_does_not_count(limits: SignInLimits) -> None:
    for number in range(3 * FAILURES):
        attempt = limits.reserve("mia@brand.example", "192.0.2.1", "", NOW)
        assert attempt is not None
        if number % 2:
            limits.release(attempt)
        else:
            limits.succeeded(attempt, "", NOW)


def test_supabase_auth_being_away_locks_nobody_out(web: Installation, auth: Auth) -> None:
    auth.is_away = True
    assert {web.sign_in("viewer").status_code for _ in range(FAILURES + 5)} == {503}
    auth.is_away = False
    assert web.sign_in("viewer").status_code == 303


@settings(deadline=None)
@given(st.one_of(st.text(max_size=60), st.binary(max_size=60).map(lambda raw: raw.decode("latin-1"))))
def test_a_forged_browser_cookie_is_none(cookie: str) -> None:
    limits = SignInLimits(SESSION_KEY, store=None)  # type: ignore[arg-type]
    assert limits._devices(cookie) == {}


def test_no_address_and_no_network_is_stored(limits: SignInLimits, database: Database) -> None:
    import sqlalchemy as sa

    attempt = limits.reserve("mia@brand.example", "192.0.2.1", "", NOW)
    assert attempt is not None
    limits.succeeded(attempt, "", NOW)
    limits.reserve("mia@brand.example", "192.0.2.1", "", NOW)
    with database.transaction() as connection:
        rows = [
            str(connection.execute(sa.text(f"select * from {table}")).all())
            for table in ("sign_in_attempt", "sign_in_known")
        ]
    assert all(len(text) > 2 for text in rows)
    assert "brand" not in str(rows)
    assert "192.0.2.1" not in str(rows)
