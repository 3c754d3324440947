"""How everything is, as far as our own database knows: one snapshot for the health report. Ids and counts only."""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.operations.models import AccountHealth, CampaignHealth
from cheerful_pipelines.storage.engine import Database

_ACCOUNTS = sa.text("""
    select a.alias, a.status,
           extract(epoch from now() - greatest(m.live_marked_at, m.in_step_at))::float8 as lag_seconds,
           m.archive_complete_from as complete_from,
           (select count(*) from dead_letter d where d.gmail_account_id = a.id and d.resolved_at is null)
               as dead_letters,
           coalesce(a.not_before > now(), false) as is_throttled
    from gmail_account a left join account_mark m on m.gmail_account_id = a.id
    order by a.alias
""")
_CAMPAIGNS = sa.text("""
    select c.slug, c.status, m.sheet_imported_at as imported_at, m.metrics_computed_at as counted_at, m.exported_at,
           c.metrics_spreadsheet_id is not null as wants_export,
           (select count(*) from outcome_news n where n.campaign_id = c.id) as news,
           (select extract(epoch from now() - min(n.noted_at))::float8 from outcome_news n where n.campaign_id = c.id)
               as oldest_news_seconds,
           (select count(*) from recipient_problem p where p.campaign_id = c.id) as row_problems
    from campaign c left join campaign_mark m on m.campaign_id = c.id
    where c.status <> 'DRAFT'
    order by c.slug
""")
_NUMBERS = sa.text("""
    select (select coalesce(sum(units), 0) from quota_spend where expires_at > clock_timestamp()) as gmail_units,
           (select coalesce(sum(calls), 0) from sheets_call where expires_at > clock_timestamp()) as sheets_calls,
           (select count(*) from llm_batch where status in ('submitting', 'submitted', 'ended')) as batches,
           (select count(*) from backfill where state = 'running') as backfills,
           pg_database_size(current_database()) as bytes,
           (select count(*) from pg_stat_activity where datname = current_database()) as connections,
           (select version_num from alembic_version) as migration
""")


class HealthStore:
    """Three queries over marks and backlogs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def oldest_lag_seconds(self) -> int | None:
        """Of the active mailbox that is furthest behind; None without any."""
        statement = sa.text(
            "select extract(epoch from clock_timestamp() - "
            "min(coalesce(greatest(m.in_step_at, m.live_marked_at), a.created_at)))::float8 "
            "from gmail_account a left join account_mark m on m.gmail_account_id = a.id where a.status = 'active'"
        )
        with self._database.transaction() as connection:
            lag = connection.execute(statement).scalar_one()
        return None if lag is None else max(0, round(lag))

    def read(self) -> tuple[datetime, tuple[AccountHealth, ...], tuple[CampaignHealth, ...], dict[str, Any]]:
        """(now, mailboxes by alias, campaigns by slug, numbers of the whole)."""
        with self._database.transaction() as connection:
            accounts = [AccountHealth.model_validate(dict(row)) for row in connection.execute(_ACCOUNTS).mappings()]
            campaigns = [CampaignHealth.model_validate(dict(row)) for row in connection.execute(_CAMPAIGNS).mappings()]
            numbers = dict(connection.execute(_NUMBERS).mappings().one())
        numbers["spent_today"] = LlmStore(self._database).spent_today(None).day_usd
        return datetime.now(UTC), tuple(accounts), tuple(campaigns), numbers
