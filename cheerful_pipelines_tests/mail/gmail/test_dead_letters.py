"""Dead letters are tried again per mailbox: one that cannot be asked, or has thousands, holds up no other's."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import AuthError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.dead_letter_store import DeadLetterStore
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sensors import dead_letters, drain_dead_letters_job
from cheerful_pipelines.orchestration import work_sensor as helper
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_message, an_account

ALIASES = ("ada", "mia", "zoe")


class Letters:
    """Three mailboxes with a message each that is a dead letter."""

    def __init__(self, google: LocalGoogleAdmin, settings: Settings, database: Database, blobs: BlobStore) -> None:
        self.database, self.instance = database, dg.DagsterInstance.ephemeral()
        self.store, self.campaigns = DeadLetterStore(database), CampaignStore(database)
        self.clients = GmailClients(settings, database)
        self.resources = {
            "settings": settings, "database": database, "blobs": blobs, "gmail_clients": self.clients,
        }  # fmt: skip
        for alias in ALIASES:
            address = f"{alias}@brand.example"
            google.add_mailbox(address)
            an_account(database, alias=alias, address=address, credentials_json=google.credentials_json(address))
            self.bury(alias, str(google.deliver(address, a_message().bytes(), internal_date=START)["id"]))

    def bury(self, alias: str, one: str) -> None:
        self.store.bury(self.campaigns.account(alias), one, stage="fetch", reason_code="transient", run_id="r")
        with self.database.transaction() as connection:
            connection.execute(sa.text("update dead_letter set next_try_at = now() - interval '1 hour'"))

    def tick(self) -> list[Any]:
        context = dg.build_sensor_context(instance=self.instance, resources={"database": self.database})
        found: Any = dead_letters(context)
        return found if isinstance(found, list) else []

    def run(self, tags: dict[str, str]) -> bool:
        job = dg.Definitions(jobs=[drain_dead_letters_job], resources=self.resources)
        result = job.resolve_job_def("drain_dead_letters_job").execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )
        return result.success

    def waiting(self) -> set[str]:
        names = {account.id: account.alias for account in self.campaigns.accounts()}
        return {names[found.gmail_account_id] for found in self.store.due(now=datetime.now(UTC) + timedelta(days=2))}


@pytest.fixture
def letters(google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore) -> Any:
    made = Letters(google, google_settings, database, blobs)
    yield made
    made.instance.dispose()


@pytest.mark.parametrize("alias", ["ada", "zoe"])
@pytest.mark.parametrize("error", [AuthError("revoked"), KeyError("a bug"), TransientError("reset")], ids=repr)
def test_letters_of_a_mailbox_that_cannot_be_asked_hold_up_no_others(
    letters: Letters, monkeypatch: pytest.MonkeyPatch, alias: str, error: Exception
) -> None:
    original, target = letters.clients.client, letters.campaigns.account(alias)

    def client(account: Any, **options: Any) -> Any:
        if account.id == target.id:
            raise error
        return original(account, **options)

    monkeypatch.setattr(letters.clients, "client", client)
    (request,) = letters.tick()
    assert not letters.run(request.tags)
    assert letters.waiting() == {alias}
    after = helper.now() + timedelta(seconds=40)  # what the run has done shows by then
    monkeypatch.setattr(helper, "now", lambda: after)
    others = [one for one in ALIASES if one != alias]
    letters.bury(others[0], "another")
    (again,) = letters.tick()

    assert list(json.loads(again.tags[helper.WORK_TAG])) == [f"dead_letters:{others[0]}"]
    assert again.run_key != request.run_key
    assert list(WorkFailureStore(letters.database).failures()) == [f"dead_letters:{alias}"]


def test_a_mailbox_with_very_many_letters_leaves_room_for_the_others(letters: Letters) -> None:
    account = letters.campaigns.account("ada")
    with letters.database.transaction() as connection:
        connection.execute(
            sa.text(
                "insert into dead_letter (user_id, gmail_account_id, gmail_message_id, stage, reason_code, reason, "
                "next_try_at) select :user, :account, 'old' || n, 'fetch', 'transient', '', "
                "now() - interval '1 day' from generate_series(1, 900) n"
            ),
            {"user": account.user_id, "account": account.id},
        )

    found = letters.store.due(now=datetime.now(UTC))

    assert len({letter.gmail_account_id for letter in found}) == 3


def test_a_mailbox_that_must_be_reconnected_is_not_asked_for_its_letters(letters: Letters) -> None:
    letters.campaigns.set_account_status(letters.campaigns.account("mia").id, status="needs_reauth", reason="revoked")

    (request,) = letters.tick()

    assert letters.run(request.tags)
    assert letters.waiting() == {"mia"}
    assert letters.tick() == []
