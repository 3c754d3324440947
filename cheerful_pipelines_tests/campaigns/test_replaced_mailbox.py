"""Another mailbox takes an alias: explicit, from its beginning, and nothing of the old is taken for deleted."""

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.store import CampaignStore
from cheerful_pipelines.core.errors import ConfigurationError, NotFoundError, PermanentError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail.gmail.gmail_client import GmailClients
from cheerful_pipelines.mail.gmail.sync import MailboxSync
from cheerful_pipelines.mail.store import MailStore
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import gmail_account_identity
from cheerful_pipelines.storage.schema.mail import gmail_message
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch

NEW = "mia@newbrand.example"


def _replace(store: CampaignStore, credentials: str | None = None) -> None:
    store.add_account(
        client_slug="brand", alias="mia", address=NEW, replace_address=True, credentials_json=credentials,
        credentials_key="ab" * 32 if credentials else None,
    )  # fmt: skip


def test_another_address_for_a_known_alias_is_refused_unless_it_is_said(database: Database) -> None:
    before, store = an_account(database), CampaignStore(database)

    with pytest.raises(PermanentError, match="--replace-address"):
        store.add_account(client_slug="brand", alias="mia", address=NEW)
    assert store.account("mia") == before

    _replace(store)
    assert (store.account("mia").address, store.account("mia").identity_keys) == (NEW, {NEW})
    assert store.account("mia").scope == before.scope


def test_the_old_address_is_free_and_no_longer_ours(database: Database) -> None:
    an_account(database)
    a_campaign(database)
    store = CampaignStore(database)
    _replace(store)

    with database.transaction() as connection:
        keys = set(connection.execute(sa.select(gmail_account_identity.c.address_key)).scalars())
    assert keys == {NEW}
    old = next(one for one in store.accounts() if one.replaced_at)
    assert (old.status, old.identity_keys) == ("paused", frozenset())
    assert {one.alias for one in store.accounts(campaign_id=store.campaign("spring").id)} == {"mia", old.alias}
    store.add_account(client_slug="brand", alias="again", address="mia@brand.example")
    with pytest.raises(PermanentError, match="was replaced"):
        store.add_account(client_slug="brand", alias=old.alias, address="mia@brand.example")
    with pytest.raises(NotFoundError):
        a_campaign(database, slug="autumn", senders=(old.alias,))
    assert store.set_account_status(old.id, status="needs_reauth", reason="x") is False


def test_a_sync_and_a_reconcile_of_the_new_mailbox_delete_nothing_of_the_old(
    google: LocalGoogleAdmin, google_settings: Settings, database: Database, blobs: BlobStore
) -> None:
    for address in ("mia@brand.example", NEW):
        google.add_mailbox(address)
        for number in range(3):
            mail = a_message().to(address).subject(f"{address} {number}").message_id(f"<{number}@{address}>")
            google.deliver(address, mail.bytes(), internal_date=START)
    store = CampaignStore(database)
    an_account(database, credentials_json=google.credentials_json("mia@brand.example"))
    a_campaign(database)

    def sync() -> None:
        account = store.account("mia")
        mailbox = MailboxSync(
            account, GmailClients(google_settings, database).client(account), MailStore(database, blobs), run_id="run",
            seconds=60,
        )  # fmt: skip
        mailbox.live(mark=store.account_mark(account.id), first_needed=START, now=datetime.now(UTC))
        mailbox.month(START.date().replace(day=1))

    sync()
    marks = store.account_mark(store.account("mia").id)
    _replace(store, google.credentials_json(NEW))
    fresh = store.account_mark(store.account("mia").id)
    sync()

    assert marks.live_history_id is not None
    assert (fresh.live_history_id, fresh.stored_from, fresh.archive_complete_from) == (None, None, None)
    with database.transaction() as connection:
        rows = connection.execute(sa.select(gmail_message.c.subject, gmail_message.c.deleted_at)).all()
    assert len(rows) == 6
    assert all(row.deleted_at is None for row in rows)


def test_what_the_old_mailbox_heard_stays_in_the_numbers(database: Database, blobs: BlobStore) -> None:
    room, mia, spring = Mailroom(database, blobs), an_account(database), a_campaign(database)
    room.recipients(spring, "ana@creator.example")
    room.receive(mia, pitch(), thread="t1")
    room.receive(mia, answer().replying_to("<p1@brand.example>"), thread="t1")

    def replied() -> float | None:
        process_campaign(ThreadStore(database), blobs, "spring")
        count_campaign(database, "spring")
        rows = MetricStore(database).rows(slug="spring", grains=["campaign"])
        return next(row.value for row in rows if row.metric == "replied")

    before = replied()
    _replace(CampaignStore(database))

    assert (before, replied()) == (1, 1)


def test_mail_that_the_old_address_sent_to_another_mailbox_is_read_again_as_theirs(
    database: Database, blobs: BlobStore
) -> None:
    room, mia = Mailroom(database, blobs), an_account(database)
    theo = an_account(database, alias="theo", address="theo@brand.example")
    spring = a_campaign(database, senders=("mia", "theo"))
    room.recipients(spring, "ana@creator.example")
    room.receive(theo, pitch().sender("theo@brand.example"), thread="t1")
    copied = a_message().sender(mia.address).to("theo@brand.example").message_id("<c@brand.example>").days_later(1)
    room.receive(theo, copied.replying_to("<p1@brand.example>"), thread="t1", labels=("INBOX",))

    def directions() -> list[str]:
        process_campaign(ThreadStore(database), blobs, "spring")
        with database.transaction() as connection:
            return list(connection.execute(sa.text("select direction from message_reading order by 1")).scalars())

    before = directions()
    _replace(CampaignStore(database))

    assert (before, directions()) == (["ours", "ours"], ["ours", "theirs"])


@pytest.mark.parametrize(
    "name", ["Spring", "a b", "a@b", "a|b", "a/b", "-a", "a-", "a--b", "ä", "", "a" * 64, "a_b", "a\n"]
)
def test_names_have_one_form_for_clients_campaigns_and_accounts(database: Database, name: str) -> None:
    an_account(database)
    store = CampaignStore(database)
    attempts = (
        lambda: store.add_client(slug=name, name="x"),
        lambda: store.add_account(client_slug="brand", alias=name, address="x@brand.example"),
        lambda: a_campaign(database, slug=name),
    )

    for attempt in attempts:
        with pytest.raises(ConfigurationError, match="lower-case letters"):
            attempt()


def test_one_clients_store_cannot_register(database: Database) -> None:
    account = an_account(database)
    url = database.engine.url.render_as_string(hide_password=False)
    scoped = Database(url).for_client(account.user_id)

    with pytest.raises(ValueError, match="for_every_client"):
        CampaignStore(scoped).add_client(slug="x", name="x")
    scoped.close()
