"""Damaged credentials concern one mailbox: it must be connected again, and the others go on."""

import json
from contextlib import suppress
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from cheerful_pipelines.core.errors import AuthError
from cheerful_pipelines.mail.gmail.connection import connect
from cheerful_pipelines.mail.gmail.credentials import credentials_info
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.storage import secrets
from cheerful_pipelines_tests.builders import CREDENTIALS_KEY, an_account
from cheerful_pipelines_tests.mail.gmail.test_gmail_assets import ALIASES, Installation

GOOD = {"type": "authorized_user", **dict.fromkeys(("refresh_token", "client_id", "client_secret"), "x")}
_LINE = "-----{} PRIVATE KEY-----"
PEM = "\n".join((_LINE.format("BEGIN"), "AAAA", _LINE.format("END")))
SERVICE = {
    "type": "service_account",
    **dict.fromkeys(("client_email", "private_key", "token_uri"), "https://x.example"),
}


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "[1]", '"text"', "{", '{"type": "authorized_user"}', "[" * 100_000,
        json.dumps({**GOOD, "refresh_token": None}), json.dumps({**GOOD, "client_id": 7}),
        json.dumps({**GOOD, "client_secret": "\ud800"}), json.dumps({**GOOD, "token_uri": "nowhere"}),
        json.dumps({**GOOD, "token_uri": "https://[x/"}), json.dumps(SERVICE),
        json.dumps({**SERVICE, "private_key": PEM}),
        json.dumps({**SERVICE, "client_email": ["x"]}),
    ],
)  # fmt: skip
def test_credentials_that_no_login_can_be_made_of_ask_for_a_new_connection(text: str) -> None:
    with pytest.raises(AuthError, match="Connect the account again"):
        connect(text, "mia@brand.example", endpoint=None, token_uri=None, idle_seconds=1.0)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.sampled_from([*GOOD, "x"]), inner)
    )
)
def test_any_json_is_taken_or_asks_for_a_new_connection(found: Any) -> None:
    with suppress(AuthError):
        assert isinstance(credentials_info(json.dumps(found)), dict)


def _store(installation: Installation, alias: str, sealed: str) -> None:
    with installation.database.transaction() as connection:
        connection.execute(
            sa.text("update gmail_account set sealed_credentials = :sealed where alias = :alias"),
            {"sealed": sealed, "alias": alias},
        )


@pytest.mark.parametrize(
    "sealed",
    [
        '{"refresh_token": "in plain sight"}', "v1:zzz", f"v1:{secrets.key_id(CREDENTIALS_KEY)}:a",
        secrets.seal("{}", key_hex="12" * 32), secrets.seal("not JSON", key_hex=CREDENTIALS_KEY),
        secrets.seal("[]", key_hex=CREDENTIALS_KEY),
    ],
    ids=["not sealed", "malformed", "not base64", "another key", "not JSON", "no object"],
)  # fmt: skip
def test_one_mailbox_with_a_damaged_row_must_be_connected_again_and_the_others_go_on(
    installation: Installation,
    sealed: str,
) -> None:
    _store(installation, "max", sealed)

    run = installation.sync(accounts=list(ALIASES), tags={"cheerful/sync": "live"})
    after_the_run = installation.campaigns.account("max")
    for alias in ALIASES:
        installation.deliver(alias, 7)
    (request,) = installation.tick()

    assert run.success
    assert sorted(installation.told(run)) == ["mia", "zoe"]
    assert after_the_run.status == "needs_reauth"
    assert "connect the account again: cheerful accounts add." in str(after_the_run.status_reason).lower()
    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia", "zoe"]


def test_a_mailbox_that_was_connected_again_is_synced_within_a_tick(installation: Installation) -> None:
    good = installation.google.credentials_json("max@brand.example")
    _store(installation, "max", "v1:zzz")
    installation.sync(accounts=list(ALIASES), tags={"cheerful/sync": "live"})
    before = installation.tick()
    an_account(installation.database, alias="max", address="max@brand.example", credentials_json=good)
    (request,) = installation.tick()

    assert isinstance(before[0], dg.SkipReason)
    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["max"]
    assert installation.sync(accounts=["max"]).success
    assert installation.failures == {}


def test_a_poll_finds_damaged_credentials_too(installation: Installation) -> None:
    installation.sync(accounts=list(ALIASES))
    _store(installation, "max", "v1:zzz")
    installation.clients = GmailClients(installation.settings, installation.database)
    installation.deliver("mia", 7)
    (request,) = installation.tick()

    assert request.run_config["ops"]["gmail_messages"]["config"]["accounts"] == ["mia"]
    assert installation.campaigns.account("max").status == "needs_reauth"
    assert {unit: one.failure_class for unit, one in installation.failures.items()} == {"mailbox:max": "auth"}


def test_a_key_is_rotated_around_credentials_that_cannot_be_opened(installation: Installation) -> None:
    _store(installation, "max", "v1:zzz")
    resealed = installation.campaigns.reseal_credentials(keys=["ef" * 32, CREDENTIALS_KEY])

    assert (resealed.opened, list(resealed.failed)) == (2, ["max"])
    for account in [installation.campaigns.account(alias) for alias in ("mia", "zoe")]:
        text = installation.campaigns.account_credentials(account.id, keys=["ef" * 32])
        assert credentials_info(str(text))["refresh_token"]
