"""Clients kept apart: roles, row-level security on every table, Supabase's names where they are absent

`cheerful_pipeline` logs in and may see nothing by itself; in each transaction it becomes either
`cheerful_one_client` (rows of the client that the claim names) or `cheerful_every_client` (the registry, the sensors).
The claim is Supabase's own: `request.jwt.claims`, whose `sub` is the client's user id, so that a client who signs in
there (`authenticated`) is kept apart by the same rule.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BY_USER = ("client", "campaign", "gmail_account", "message", "dead_letter")
BY_ACCOUNT = (
    "gmail_account_identity", "quota_spend", "account_mark", "gmail_message", "gmail_message_event",
    "passed_over_message", "searched_address", "fetch_in_flight", "suspect_message", "archive_month",
    "message_reading", "gmail_thread_state", "thread_verdict", "thread_override",
)  # fmt: skip
BY_CAMPAIGN = (
    "campaign_mark", "campaign_recipient", "campaign_recipient_version", "recipient_import", "recipient_problem",
    "llm_batch", "outcome_news", "recipient_outcome", "campaign_metric", "backfill",
)  # fmt: skip
BY_BOTH = ("campaign_sender", "thread_attribution")
NOBODYS = ("sheet_lease", "sheets_call", "alert")
"""Ours, and no client's: counters and leases that hold for all together."""
READ_BY_SIGNED_IN = ("client", "campaign", "campaign_metric")

LOOKUPS = """
    create function cheerful_mail_naming(people text[])
    returns table (gmail_account_id uuid, gmail_thread_id text, is_sent boolean)
    language sql stable security definer set search_path = '' rows 20 as $$
        select g.gmail_account_id, g.gmail_thread_id, 'SENT' = any (g.label_ids)
          from public.gmail_message g join public.gmail_account a on a.id = g.gmail_account_id
         where (g.to_keys operator(pg_catalog.&&) people or g.from_key = any (people))
           and (pg_catalog.current_setting('role') = 'cheerful_every_client'
                or a.user_id = (select public.cheerful_client_id()))
    $$;
    create function cheerful_mail_about(message_ids text[])
    returns table (gmail_account_id uuid, gmail_thread_id text)
    language sql stable security definer set search_path = '' rows 20 as $$
        select g.gmail_account_id, g.gmail_thread_id
          from public.gmail_message g join public.gmail_account a on a.id = g.gmail_account_id
         where (g.reference_ids operator(pg_catalog.&&) message_ids
                or g.in_reply_to operator(pg_catalog.&&) message_ids)
           and (pg_catalog.current_setting('role') = 'cheerful_every_client'
                or a.user_id = (select public.cheerful_client_id()))
    $$
"""
"""Postgres uses no index on an array (GIN) below row security, since `&&` is not proven to leak nothing. So these two
look as a role that sees all mail, and hold the claim themselves; they give ids only."""

OWN = "(select cheerful_client_id())"
# `in (select ...)` is one hash look-up a row, and the planner takes it for every second row. `= any (array(...))` would
# be taken for one row in hundreds, and joins of large tables would become loops.
OWN_ACCOUNTS = f"in (select id from gmail_account where user_id = {OWN})"
OWN_CAMPAIGNS = f"in (select id from campaign where user_id = {OWN})"


def predicates() -> dict[str, str]:
    """Of each table: when a row belongs to the client whom the claim names."""
    return {
        **{table: f"user_id = {OWN}" for table in BY_USER},
        **{table: f"gmail_account_id {OWN_ACCOUNTS}" for table in BY_ACCOUNT},
        **{table: f"campaign_id {OWN_CAMPAIGNS}" for table in BY_CAMPAIGN},
        **{table: f"campaign_id {OWN_CAMPAIGNS} and gmail_account_id {OWN_ACCOUNTS}" for table in BY_BOTH},
        "llm_spend": f"campaign_id is null or campaign_id {OWN_CAMPAIGNS}",  # null: an evaluation, nobody's mail
        "llm_batch_item": f"llm_batch_id in (select id from llm_batch where campaign_id {OWN_CAMPAIGNS})",
        "backfill_part": f"backfill_id in (select id from backfill where campaign_id {OWN_CAMPAIGNS})",
        "classifier_evaluation": "true",  # figures on invented mail
        **dict.fromkeys(NOBODYS, "false"),
    }


def upgrade() -> None:
    for role, options in (
        ("cheerful_one_client", "nologin"),
        ("cheerful_every_client", "nologin"),
        ("cheerful_lookup", "nologin"),
        ("cheerful_pipeline", "nologin noinherit"),  # whoever installs gives it a login and a password
        ("anon", "nologin noinherit"),  # Supabase has these three
        ("authenticated", "nologin noinherit"),
    ):
        op.execute(
            f"do $$ begin create role {role} {options}; "
            "exception when duplicate_object or unique_violation then null; end $$"
        )
    op.execute("grant cheerful_one_client, cheerful_every_client to cheerful_pipeline")
    op.execute(
        "create function cheerful_client_id() returns uuid language sql stable parallel safe set search_path = '' as "
        "$$ select nullif(nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub', '')::uuid $$"
    )
    op.execute("""
        do $$ begin
            if to_regprocedure('auth.uid()') is null then
                create function auth.uid() returns uuid language sql stable set search_path = ''
                as 'select public.cheerful_client_id()';
                grant usage on schema auth to authenticated, anon;
            end if;
        end $$
    """)
    both = "cheerful_one_client, cheerful_every_client"
    op.execute("revoke all on all tables in schema public from public, anon, authenticated")
    op.execute(f"grant usage on schema public to {both}, cheerful_pipeline, authenticated")
    op.execute(f"grant usage, select on all sequences in schema public to {both}")
    op.execute(f"grant select on alembic_version to {both}, cheerful_pipeline")
    # In Supabase the table is Auth's own: users come by signing up, and we only read who there is.
    op.execute("""
        do $$ begin
            grant usage on schema auth to cheerful_every_client;
            grant select (id, email), insert (id, email) on auth.users to cheerful_every_client;
        exception when insufficient_privilege then null; end $$
    """)
    for table, predicate in predicates().items():
        op.execute(f"grant select, insert, update, delete on {table} to {both}")
        op.execute(f"alter table {table} enable row level security")
        op.execute(f"alter table {table} force row level security")
        op.execute(f"create policy own_rows on {table} to cheerful_one_client using ({predicate})")
        # `true` costs nothing at all: the planner leaves it out
        op.execute(f"create policy every_row on {table} to cheerful_every_client using (true)")
    op.execute(LOOKUPS)
    op.execute("grant usage on schema public to cheerful_lookup")
    for table in ("gmail_message", "gmail_account"):
        op.execute(f"grant select on {table} to cheerful_lookup")
        op.execute(f"create policy lookup on {table} for select to cheerful_lookup using (true)")
    op.execute("do $$ begin execute format('grant cheerful_lookup to %I', current_user); end $$")
    op.execute("grant create on schema public to cheerful_lookup")  # an owner of functions needs it at the change
    for function in ("cheerful_mail_naming(text[])", "cheerful_mail_about(text[])"):
        op.execute(f"revoke execute on function {function} from public")
        op.execute(f"grant execute on function {function} to {both}")
        op.execute(f"alter function {function} owner to cheerful_lookup")
    op.execute("revoke create on schema public from cheerful_lookup")
    for table in READ_BY_SIGNED_IN:
        op.execute(f"grant select on {table} to authenticated")
        op.execute(f"create policy read_own on {table} for select to authenticated using ({predicates()[table]})")


def downgrade() -> None:
    for table in predicates():
        if table in READ_BY_SIGNED_IN:
            op.execute(f"drop policy read_own on {table}")
        op.execute(f"drop policy own_rows on {table}")
        op.execute(f"drop policy every_row on {table}")
        op.execute(f"alter table {table} no force row level security")
        op.execute(f"alter table {table} disable row level security")
    for table in ("gmail_message", "gmail_account"):
        op.execute(f"drop policy lookup on {table}")
    op.execute("drop function cheerful_mail_naming(text[])")
    op.execute("drop function cheerful_mail_about(text[])")
    op.execute("drop function if exists auth.uid()")
    op.execute("drop function cheerful_client_id()")
