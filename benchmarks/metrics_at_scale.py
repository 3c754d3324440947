"""Numbers of a large campaign: `python benchmarks/metrics_at_scale.py [--recipients 50000]`.

Fills a database with that many recipients and four mails each, half of them ours, and prints how long counting
everybody takes, a count of everybody with nothing new, a count after one new reply, and one export's thread rows.
The count after one reply is compared with a count of everybody: equal rows.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import sqlalchemy as sa

from cheerful_pipelines.campaigns.store import database_of_campaign
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.metrics.models import CountReport
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.embedded_postgres import EmbeddedPostgres
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.migrate import migrate
from cheerful_pipelines.storage.outcome_news import note_threads
from cheerful_pipelines_tests.builders import a_campaign, an_account

FILL = """
    insert into campaign_recipient (campaign_id, email, email_key, content_hash, sheet_row)
    select :campaign, k, k, 'h', n + 1
    from (select n, 'c' || n || '@creator.example' as k from generate_series(1, :many) n) people;
    insert into thread_attribution (campaign_id, gmail_account_id, gmail_thread_id, recipient_id, rule, confidence,
                                    conversation_key)
    select :campaign, :account, 't' || r.sheet_row, r.id, 'written_to', 1, 't' || r.sheet_row
    from campaign_recipient r where r.campaign_id = :campaign;
    insert into message (user_id, canonical_key, rfc822_message_id)
    select :client, 'm' || n, 'm' || n || '@mail.example' from generate_series(1, :many * 4) n;
    insert into gmail_message (gmail_account_id, gmail_message_id, gmail_thread_id, message_id, label_ids,
        internal_date, raw_sha256, size_bytes, ingest_seq, parser_version, rfc822_message_id, in_reply_to,
        reference_ids, subject, from_key, to_keys, headers, body_text, attachments)
    select :account, 'g' || n, 't' || ((n - 1) / 4 + 2), m.id,
           case when n % 2 = 1 then array['SENT'] else array['INBOX'] end,
           timestamptz '2026-10-05 09:00Z' + ((n - 1) / 4 % 40) * interval '1 day' + (n % 4) * interval '30 hours',
           '0', 1, n, '1', m.rfc822_message_id, '{}', '{}', '',
           case when n % 2 = 1 then 'mia@brand.example' else 'c' || ((n - 1) / 4 + 1) || '@creator.example' end,
           array[case when n % 2 = 1 then 'c' || ((n - 1) / 4 + 1) || '@creator.example' else 'mia@brand.example' end],
           '[]', '', '[]'
    from generate_series(1, :many * 4) n join message m on m.canonical_key = 'm' || n and m.user_id = :client;
    insert into message_reading (gmail_account_id, gmail_message_id, reader_version, direction, kind, new_words,
        bounces)
    select gmail_account_id, gmail_message_id, '1', case when label_ids = array['SENT'] then 'ours' else 'theirs' end,
           case when ingest_seq % 40 = 2 then 'bounce' when ingest_seq % 12 = 2 then 'auto_reply' else 'human' end, '',
           case when ingest_seq % 40 = 2
                then jsonb_build_array(jsonb_build_object('address_key', from_key, 'severity', 'hard',
                                                          'status', '5.1.1', 'reason', 'no such user'))
                else '[]' end
    from gmail_message;
    insert into gmail_thread_state (gmail_account_id, gmail_thread_id, version, is_latest, state, state_hash, reason,
                                    cause_ingest_seq, cause_gmail_message_id, code_version)
    select gmail_account_id, gmail_thread_id, 1, true, jsonb_build_object('newest_human_id', max(gmail_message_id)),
           '1', 'message added', 0, '', '1'
    from gmail_message group by 1, 2;
    insert into thread_verdict (thread_state_id, gmail_account_id, gmail_thread_id, classifier_version, cache_key,
        label, confidence, confidence_source, rationale, flags, fields, needs_review, provider, model, prompt_version,
        taxonomy_version)
    select id, gmail_account_id, gmail_thread_id, '1', 'k',
           (array['interested', 'question', 'not_now', 'opt_out'])[id % 4 + 1],
           0.9, 'rule', '', '{}', '{}', id % 50 = 0, 'local', 'rules', '1', '1'
    from gmail_thread_state where id % 2 = 0;
    insert into campaign_mark (campaign_id) values (:campaign) on conflict do nothing
"""
ONE_REPLY = """
    insert into message (user_id, canonical_key, rfc822_message_id) values (:client, 'new', 'new@mail.example');
    insert into gmail_message (gmail_account_id, gmail_message_id, gmail_thread_id, message_id, label_ids,
        internal_date, raw_sha256, size_bytes, ingest_seq, parser_version, rfc822_message_id, in_reply_to,
        reference_ids, subject, from_key, to_keys, headers, body_text, attachments)
    select :account, 'new', 't42', max(id), '{INBOX}', timestamptz '2026-11-20 09:00Z', '0', 1, 9999999, '1',
           'new@mail.example', '{}', '{}', '', 'c41@creator.example', '{mia@brand.example}', '[]', '', '[]'
    from message;
    insert into message_reading (gmail_account_id, gmail_message_id, reader_version, direction, kind, new_words,
        bounces)
    values (:account, 'new', '1', 'theirs', 'human', '', '[]')
"""


def timed(what: str, work: Callable[[], CountReport]) -> CountReport:
    """Run it and print its wall time."""
    began = time.monotonic()
    report = work()
    print(
        f"{what}: {time.monotonic() - began:.2f} s ({report.of}, {report.recipients_in} recipients and "
        f"{report.messages_in} messages read, {report.outcomes_changed} outcomes and "
        f"{report.rows.changed} rows changed)"
    )
    return report


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipients", type=int, default=50_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="cheerful-bench-") as name:
        Path(name).chmod(0o755)
        postgres = EmbeddedPostgres(Path(name) / "postgres")
        database = Database(postgres.url("metrics")).for_every_client()
        migrate(database)
        mia, spring = an_account(database), a_campaign(database)
        ids = {"campaign": spring.id, "account": mia.id, "client": spring.user_id, "many": chosen.recipients}
        with database.transaction() as connection:
            for statement in FILL.split(";"):
                connection.execute(sa.text(statement), ids)
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("vacuum analyze"))
        ours = database_of_campaign(database, spring.slug)  # as a run sees it
        timed("everybody, the first time", lambda: count_campaign(ours, spring.slug))
        timed("everybody, nothing new", lambda: count_campaign(ours, spring.slug))
        with database.transaction() as connection:
            for statement in ONE_REPLY.split(";"):
                connection.execute(sa.text(statement), ids)
            note_threads(connection, [(mia.id, "t42")])
        timed("after one new reply", lambda: count_campaign(ours, spring.slug, of="news"))
        timed("no news", lambda: count_campaign(ours, spring.slug, of="news"))
        incremental = {(r.grain, r.grain_key, r.metric): r.value for r in MetricStore(ours).rows(slug=spring.slug)}
        timed("everybody, to compare", lambda: count_campaign(ours, spring.slug))
        full = {(r.grain, r.grain_key, r.metric): r.value for r in MetricStore(ours).rows(slug=spring.slug)}
        print(f"{len(full)} rows; equal after one reply: {incremental == full}")
        database.close()
        postgres.stop()


if __name__ == "__main__":
    main()
