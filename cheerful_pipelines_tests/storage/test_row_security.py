"""Two clients with the same creators, thread ids and message ids: neither sees, changes or counts a row of the other.

Aurora and Borealis write the same mails to the same people from mailboxes in which Gmail gave the same ids. Whatever is
Borealis' own carries its name, so that a leak shows wherever it comes out.
"""

import inspect
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from cheerful_pipelines import resources
from cheerful_pipelines.campaigns.store import CampaignStore, database_of_account, database_of_campaign
from cheerful_pipelines.classification import store as verdict_stores
from cheerful_pipelines.classification.llm import llm_store as llm_stores
from cheerful_pipelines.core.errors import ConfigurationError
from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.mail import dead_letter_store, integrity_store
from cheerful_pipelines.mail import store as mail_stores
from cheerful_pipelines.mail.scope import scope_store
from cheerful_pipelines.metrics import store as metric_stores
from cheerful_pipelines.metrics.counting import fact_store, outcome_store
from cheerful_pipelines.operations import health_store
from cheerful_pipelines.operations.backfills import backfill_store
from cheerful_pipelines.recipients import store as recipient_stores
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.row_security import row_security_problems
from cheerful_pipelines.storage.schema import metadata
from cheerful_pipelines.threads import history_store
from cheerful_pipelines.threads import store as thread_stores
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.pipeline import Pipeline

NOBODYS = {"sheet_lease", "sheets_call", "alert", "alert_notified", "web_session", "sign_in_attempt", "sign_in_known"}
EVERYBODYS = {"classifier_evaluation"}
TABLES = sorted(table.name for table in metadata.tables.values() if table.schema is None)
STORES: tuple[ModuleType, ...] = (
    llm_stores, verdict_stores, dead_letter_store, integrity_store, scope_store, mail_stores, fact_store, outcome_store,
    metric_stores, backfill_store, health_store, recipient_stores, history_store, thread_stores,
)  # fmt: skip


@pytest.fixture
def both(pipeline: Pipeline, google: LocalGoogleAdmin) -> Pipeline:
    """Both clients from their sheets to their numbers; tables that a quiet day leaves empty are filled by hand."""
    for client in ("aurora", "borealis"):
        address = f"mia@{client}.example"
        google.add_mailbox(address)
        google.put_sheet(
            f"in-{client}", title="Creators",
            tabs={"Creators": [["Name", "Email", "City"], [f"Ana {client}", "ana@creator.example", client], ["", ""],
                               [f"Bo {client}", "bo@creator.example", client], ["Cy", "broken", client]]},
        )  # fmt: skip
        google.put_sheet(f"out-{client}", title="Numbers", tabs={"Notes": [[client]]})
        an_account(
            pipeline.database, alias=f"mia-{client}", client=client, address=address,
            credentials_json=google.credentials_json(address),
        )  # fmt: skip
        a_campaign(
            pipeline.database, slug=f"spring-{client}", client=client, senders=(f"mia-{client}",),
            spreadsheet_id=f"in-{client}", metrics_spreadsheet_id=f"out-{client}",
        )  # fmt: skip
        pitch = a_message().sender(address).to("ana@creator.example").message_id("<p1@mail.example>")
        pitch = pitch.subject(f"{client} and you").text(f"Hello from {client}!")
        reply = a_message().to(address).message_id("<r1@creator.example>").replying_to("<p1@mail.example>")
        reply = reply.days_later(1).subject(f"Re: {client} and you").text(f"Yes, I would love to join {client}!")
        google.deliver(address, pitch.bytes(), label_ids=("SENT",), internal_date=START)
        google.deliver(address, reply.bytes(), internal_date=reply.at_)
    pipeline.sync_everything()
    _fill_what_is_empty(pipeline.database)
    return pipeline


def _fill_what_is_empty(database: Database) -> None:
    for client in ("aurora", "borealis"):
        names = {
            "batch": uuid4(), "backfill": uuid4(), "alias": f"mia-{client}", "slug": f"spring-{client}", "words": client
        }  # fmt: skip
        with database.transaction() as connection:
            for statement in (
                "insert into quota_spend (gmail_account_id, units, expires_at) select id, 1, now() + interval '1 hour' "
                "from gmail_account where alias = :alias",
                "insert into quota_learned (scope, gmail_account_id, units_a_minute, changed_at) "
                "select id::text, id, 3000, now() from gmail_account where alias = :alias",
                "insert into passed_over_message select id, 'm9', 't9' from gmail_account where alias = :alias",
                "insert into searched_address select id, :words || '@creator.example' from gmail_account "
                "where alias = :alias on conflict do nothing",
                "insert into fetch_in_flight select id, 'run-' || :words, array['m9'] from gmail_account "
                "where alias = :alias",
                "insert into suspect_message select id, 'm9', 1 from gmail_account where alias = :alias",
                "insert into archive_month select id, date '2026-10-01', 1, 1, 0, now(), 'r' from gmail_account "
                "where alias = :alias",
                "insert into dead_letter (user_id, gmail_account_id, gmail_message_id, stage, reason_code, reason) "
                "select user_id, id, 'm9', 'fetch', 'x', :words from gmail_account where alias = :alias",
                "insert into thread_override (gmail_account_id, gmail_thread_id, label, author, reason) "
                "select gmail_account_id, gmail_thread_id, 'interested', :words, :words from gmail_thread_state "
                "join gmail_account on gmail_account.id = gmail_account_id and alias = :alias where is_latest limit 1",
                "insert into llm_spend (campaign_id, kind, classifier_version, calls, tokens_in, tokens_out) "
                "select id, 'live', :words, 1, 1, 1 from campaign where slug = :slug",
                "insert into llm_batch (id, campaign_id, classifier_version, status, handle, requests) "
                "select :batch, id, :words, 'submitted', :words, 1 from campaign where slug = :slug",
                "insert into llm_batch_item select :batch, s.id, :words from gmail_thread_state s "
                "join gmail_account a on a.id = s.gmail_account_id and alias = :alias where is_latest limit 1",
                "insert into outcome_news (campaign_id, recipient_id) select campaign_id, id from campaign_recipient "
                "where campaign_id = (select id from campaign where slug = :slug)",
                "insert into backfill (id, campaign_id, since, until, stages, state, requested_by) "
                "select :backfill, id, '2026-10-01', '2026-11-01', array['sheet'], 'running', :words from campaign "
                "where slug = :slug",
                "insert into person_request (user_id, kind, address_hash, requested_by) "
                "select user_id, 'export', :words, :words from campaign where slug = :slug",
                "insert into person_mention (user_id, address_hash, gmail_account_id, gmail_message_id, kind, field, "
                "starts_at, length) select user_id, :words, id, 'm9', 'name', 'subject', 0, 1 from gmail_account "
                "where alias = :alias",
                "insert into work_failure (unit, user_id, failure_class, error, attempts, first_failed_at, failed_at, "
                "next_try_at, summary, what_to_do) select 'campaign:' || slug, user_id, 'unknown', '', 1, now(), "
                "now(), now(), :words, '' from campaign where slug = :slug",
                "insert into backfill_part (backfill_id, number, stage, partition_key, state) "
                "values (:backfill, 1, 'sheet', :slug, 'waiting')",
            ):
                wanted = {name: value for name, value in names.items() if f":{name}" in statement}
                connection.execute(sa.text(statement), wanted)
    with database.transaction() as connection:
        for statement in (
            "insert into sheet_lease values ('out-borealis', 'borealis', now())",
            "insert into sheets_call (kind, calls, expires_at) values ('read', 1, now())",
            "insert into alert (key, kind, words, what_to_do, opened_at) values ('k', 'k', 'borealis', '', now())",
            "insert into alert_notified (sink, alert_key) values ('borealis', 'k')",
            "insert into web_session (id, subject, role, expires_at, checked_at, trusted_until) "
            "values (gen_random_uuid(), 'borealis', 'viewer', now(), now(), now())",
            "insert into sign_in_attempt values (gen_random_uuid(), 'borealis')",
            "insert into sign_in_known values ('borealis', now())",
        ):
            connection.execute(sa.text(statement))


def user_of(database: Database, client: str) -> UUID:
    """The client's user id."""
    return next(one.user_id for one in CampaignStore(database).clients() if one.slug == client)


def rows_of(database: Database, table: str) -> set[str]:
    """Every row that may be seen, as text."""
    with database.transaction() as connection:
        return set(connection.execute(sa.text(f"select cast(t as text) from {table} t")).scalars())


def test_every_table_has_row_security_forced_and_a_policy(database: Database) -> None:
    """From the catalog: a table that a later migration forgets fails here."""
    with database.login_transaction() as connection:
        found = connection.execute(
            sa.text("""
                select c.relname, c.relrowsecurity and c.relforcerowsecurity,
                       array(select p.polname::text from pg_policy p where p.polrelid = c.oid)
                  from pg_class c join pg_namespace n on n.oid = c.relnamespace
                 where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
            """)
        ).all()

    assert sorted(name for name, _, _ in found) == TABLES
    assert [name for name, is_forced, _ in found if not is_forced] == []
    assert [name for name, _, policies in found if not {"own_rows", "every_row"} <= set(policies)] == []


def test_the_pipelines_role_is_nobody_special_and_sees_nothing_by_itself(database: Database) -> None:
    with database.login_transaction() as connection:
        role = connection.execute(
            sa.text(
                "select rolname, rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, "
                "(select count(*) from pg_class where relowner = r.oid) from pg_roles r where rolname = current_user"
            )
        ).one()
        assert tuple(role) == ("cheerful_pipeline", False, False, False, False, 0)
    for table in TABLES:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), database.login_transaction() as one:
            one.execute(sa.text(f"select 1 from {table}"))


def test_a_database_of_which_nobody_said_for_whom_refuses(database_url: str) -> None:
    unscoped = Database(database_url)
    with pytest.raises(ValueError, match="Nobody said for whom"), unscoped.transaction():
        pass
    of_one = unscoped.for_client(uuid4())
    for widen in (of_one.for_every_client, lambda: of_one.for_client(uuid4())):
        with pytest.raises(ValueError, match="one client's"):
            widen()
    unscoped.close()


def test_a_claim_ends_with_its_transaction(database_url: str) -> None:
    """The next one on the same connection starts without: a pooler hands connections around."""
    database = Database(database_url, pool_size=1)
    with database.for_client(uuid4()).transaction():
        pass
    with database.login_transaction() as connection:
        claims = connection.execute(sa.text("select current_setting('request.jwt.claims', true)")).scalar_one()
        assert claims in (None, "")
        assert connection.execute(sa.text("select current_user")).scalar_one() == "cheerful_pipeline"
    database.close()


def test_each_client_sees_its_own_rows_of_every_table_and_changes_no_other(both: Pipeline) -> None:
    """Of every table: seen, updated, deleted and inserted as the other one."""
    everyone = both.database
    aurora = everyone.for_client(user_of(everyone, "aurora"))
    borealis = everyone.for_client(user_of(everyone, "borealis"))
    for table in TABLES:
        whole, hers, others = rows_of(everyone, table), rows_of(aurora, table), rows_of(borealis, table)
        assert whole, f"{table} is empty: nothing is proved"
        if table in EVERYBODYS:
            assert hers == others == whole
            continue
        if table in NOBODYS:
            assert not hers, table
            assert not others, table
            continue
        nobodys_spend = {row for row in hers & others if table == "llm_spend"}
        assert hers, table
        assert others, table
        assert hers & others == nobodys_spend, table
        assert hers | others == whole, table
        _cannot_be_changed_by(aurora, everyone, table, others)


def _cannot_be_changed_by(aurora: Database, everyone: Database, table: str, others: set[str]) -> None:
    column = next(iter(metadata.tables[table].c)).name
    with aurora.transaction() as connection:
        theirs = next(iter(others))
        where = f"where cast({table} as text) = :row"
        assert (
            connection.execute(sa.text(f"update {table} set {column} = {column} {where}"), {"row": theirs}).rowcount
            == 0
        )
        assert connection.execute(sa.text(f"delete from {table} {where}"), {"row": theirs}).rowcount == 0
    with everyone.transaction() as connection:
        row = connection.execute(
            sa.text(f"select to_json(t) from {table} t where cast(t as text) = :row"), {"row": theirs}
        ).scalar_one()
    copied = sa.text(f"insert into {table} select * from json_populate_record(null::{table}, cast(:row as json))")
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"), aurora.transaction() as connection:
        connection.execute(copied, {"row": json.dumps(row)})
    assert others <= rows_of(everyone, table)


def methods() -> Iterator[tuple[type, str, Callable[..., Any]]]:
    """(store, name, method) of every public method of every store of clients' data."""
    for module in STORES:
        for store in vars(module).values():
            if inspect.isclass(store) and store.__module__ == module.__name__ and store.__name__.endswith("Store"):
                yield from (
                    (store, name, found)
                    for name, found in vars(store).items()
                    if inspect.isfunction(found) and not name.startswith("_")
                )


NEEDS_MORE = {
    # Writers of whole objects: the policies of every table were tried above, insert by insert.
    "OutcomeStore.save", "MetricStore.replace", "MailStore.apply", "MailStore.store_fetched", "BackfillStore.add",
    "MailStore.apply_label_changes", "RecipientStore.apply", "ThreadStore.save_readings", "ThreadStore.append_states",
    "ThreadStore.finish", "VerdictStore.save", "VerdictStore.save_batch", "LlmStore.record_spend",
    "LlmStore.save_evaluation", "LlmStore.begin_batch",
}  # fmt: skip


def test_no_method_of_any_store_gives_or_changes_what_is_another_clients(both: Pipeline) -> None:
    """Every method that can be called with names and ids is called with Borealis' as Aurora."""
    everyone = both.database
    aurora = everyone.for_client(user_of(everyone, "aurora"))
    theirs = _borealis(everyone)
    before = {table: rows_of(everyone.for_client(user_of(everyone, "borealis")), table) for table in TABLES}
    untried = set()
    for store, name, method in methods():
        parameters = list(inspect.signature(method).parameters.values())[1:]
        needed = [p.name for p in parameters if p.default is inspect.Parameter.empty or p.name in theirs]
        if f"{store.__name__}.{name}" in NEEDS_MORE:
            continue
        if not set(needed) <= theirs.keys():
            untried.add(f"{store.__name__}.{name}: {sorted(set(needed) - theirs.keys())}")
            continue
        arguments = {parameter: theirs[parameter] for parameter in needed}
        made = (
            store(aurora, both.resources["blobs"]) if "blobs" in inspect.signature(store).parameters else store(aurora)
        )
        try:
            given = method(made, **arguments)
            given = list(given) if inspect.isgenerator(given) else given
        except Exception as error:
            given = str(error)
        assert "borealis" not in repr(given).replace("spring-borealis", "").replace("mia-borealis", ""), (store, name)

    assert untried == set()
    borealis = everyone.for_client(user_of(everyone, "borealis"))
    assert {table: rows_of(borealis, table) for table in TABLES} == before


def _borealis(everyone: Database) -> dict[str, Any]:
    """Values by parameter name, all of them Borealis'."""
    registry = CampaignStore(everyone)
    campaign, account = registry.campaign("spring-borealis"), registry.account("mia-borealis")
    threads = thread_stores.ThreadStore(everyone)
    work = threads.begin("spring-borealis")
    with everyone.transaction() as connection:
        thread_id = connection.execute(
            sa.text("select gmail_thread_id from gmail_thread_state where gmail_account_id = :id limit 1"),
            {"id": account.id},
        ).scalar_one()
        message_ids = list(
            connection.execute(
                sa.text("select gmail_message_id from gmail_message where gmail_account_id = :id"), {"id": account.id}
            ).scalars()
        )
        states = list(
            connection.execute(
                sa.text("select id from gmail_thread_state where gmail_account_id = :id"), {"id": account.id}
            ).scalars()
        )
        keys = list(
            connection.execute(
                sa.text("select cache_key from thread_verdict where gmail_account_id = :id"), {"id": account.id}
            ).scalars()
        )
        batch = connection.execute(
            sa.text("select id from llm_batch where campaign_id = :id"), {"id": campaign.id}
        ).scalar_one()
        backfill = connection.execute(
            sa.text("select id from backfill where campaign_id = :id"), {"id": campaign.id}
        ).scalar_one()
    now = datetime.now(UTC)
    people = ["ana@creator.example", "bo@creator.example", "borealis@creator.example"]
    return {
        "campaign_id": campaign.id, "account_id": account.id, "user_id": campaign.user_id, "slug": campaign.slug,
        "account": account, "work": work, "thread": (account.id, thread_id), "threads": [(account.id, thread_id)],
        "thread_id": thread_id, "account_alias": account.alias, "aliases": [account.alias],
        "gmail_message_id": message_ids[0], "gmail_message_ids": message_ids, "gmail_thread_ids": [thread_id],
        "rfc822_message_ids": ["p1@mail.example", "r1@creator.example"], "state_ids": states, "cache_keys": keys,
        "ids": ["p1@mail.example", "r1@creator.example"], "keys": people, "batch_id": batch, "number": backfill,
        "part": 1, "state": "cancelled", "status": "lost", "spreadsheet_id": campaign.spreadsheet_id,
        "as_of": now, "instant": now, "since": START - timedelta(days=9), "until": now, "now": now, "start": START,
        "end": now, "month": date(2026, 10, 1), "run_id": "run-borealis", "run_ids": ["run-borealis"], "most": 100,
        "stage": "fetch", "reason_code": "x", "classifier_version": "x", "version": "x", "golden": "x",
        "label": "opt_out", "author": "x", "reason": "x", "history_id": 10**9, "exported_at": now, "reported_at": now,
        "content_hash": "x", "in_force": "x", "listed": 0, "fetched": 0, "vanished": 0, "reader_version": "x",
        "among": None, "hash_key": "cd" * 16,
    }  # fmt: skip


def test_exports_and_shortcuts_are_one_clients(both: Pipeline, google: LocalGoogleAdmin, database_url: str) -> None:
    tabs = google.tabs("out-aurora")
    shown = str(both.resources["sheets"].read_ranges("out-aurora", tabs, dates_as_numbers=True)).lower()
    assert "mia-aurora" in shown
    assert "borealis" not in shown
    unscoped = Database(database_url)
    wanted = user_of(both.database, "borealis")
    assert database_of_campaign(unscoped, "spring-borealis").scope == wanted
    assert database_of_account(unscoped, "mia-borealis").scope == wanted
    unscoped.close()


def test_who_signs_in_through_supabase_reads_own_numbers_and_nothing_else(
    both: Pipeline, database: Database, postgres: EmbeddedPostgres
) -> None:
    """The role `authenticated` with a claim, as PostgREST comes: three tables to read, none to write."""
    claims = json.dumps({"sub": str(user_of(both.database, "aurora")), "role": "authenticated"})
    readable = {"client", "campaign", "campaign_metric"}
    owner = sa.create_engine(postgres.url(database.engine.url.database or ""), poolclass=sa.pool.NullPool)
    with owner.begin() as connection:
        connection.execute(
            sa.text("select set_config('role', 'authenticated', true), set_config('request.jwt.claims', :c, true)"),
            {"c": claims},
        )
        assert str(connection.execute(sa.text("select auth.uid()")).scalar_one()) in claims
        for table in sorted(readable):
            seen = list(connection.execute(sa.text(f"select cast(t as text) from {table} t")).scalars())
            assert seen, table
            assert "borealis" not in str(seen)
        for table in sorted(set(TABLES) - readable):
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"), connection.begin_nested():
                connection.execute(sa.text(f"select 1 from {table}"))
    with owner.connect() as connection:
        granted = connection.execute(
            sa.text(
                "select table_name, privilege_type from information_schema.role_table_grants "
                "where grantee in ('authenticated', 'anon', 'PUBLIC') and table_schema = 'public'"
            )
        ).all()
    assert {(name, what) for name, what in granted} == {(name, "SELECT") for name in readable}


def test_a_database_that_keeps_clients_apart_has_no_problem_and_any_other_says_which(
    database: Database, postgres: EmbeddedPostgres
) -> None:
    assert row_security_problems(database) == []
    owner = Database(postgres.url(database.engine.url.database or ""))
    assert "the login is superuser" in row_security_problems(owner)
    assert "the login owns tables" in row_security_problems(owner)
    with owner.login_transaction() as connection:
        connection.execute(sa.text("create table forgotten (secret text)"))
        connection.execute(sa.text("alter table message no force row level security"))
    assert row_security_problems(database) == ["no row-level security on forgotten, message"]
    owner.close()


def test_production_refuses_a_database_that_does_not_keep_clients_apart(
    database: Database, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusal = "refuses this database: the login is superuser"
    owner_url = postgres.url(database.engine.url.database or "")
    for url, is_refused in ((owner_url, True), (str(database.engine.url), False)):
        monkeypatch.setenv("CHEERFUL_ENVIRONMENT", "production")
        monkeypatch.setenv("CHEERFUL_MODE", "live")
        monkeypatch.setenv("CHEERFUL_WEB_URL", "https://cheerful.example")
        monkeypatch.setenv("CHEERFUL_DATABASE_URL", url)
        load_settings.cache_clear()
        resources._database.cache_clear()
        try:
            if is_refused:
                with pytest.raises(ConfigurationError, match=refusal):
                    resources._database()
            else:
                assert resources._database().scope is None
        finally:
            load_settings.cache_clear()
            resources._database.cache_clear()
