"""The longer SQL of `store.py`, as text. No Python rule belongs here."""

# From the mail to the people: joined the other way round, each recipient would look through the whole mailbox.
RECIPIENT_THREADS = """
    select distinct g.gmail_account_id, g.gmail_thread_id
      from gmail_message g
      join campaign_sender s on s.gmail_account_id = g.gmail_account_id and s.campaign_id = :campaign_id
     cross join lateral unnest(g.to_keys || g.from_key) as named (key)
      join campaign_recipient p on p.campaign_id = :campaign_id and p.email_key = named.key
     where true
"""
AMONG_THREADS = """
       and (g.gmail_account_id, g.gmail_thread_id) in (
            select cast(account as uuid), thread
              from unnest(cast(:accounts as text[]), cast(:threads as text[])) as asked (account, thread))
"""

RELATED = """
    select g.gmail_account_id, g.gmail_thread_id
      from message m join gmail_message g on g.message_id = m.id
     where m.user_id = :user_id and m.rfc822_message_id = any(:ids)
    union
    select g.gmail_account_id, g.gmail_thread_id
      from cheerful_mail_about(cast(:ids as text[])) g join gmail_account a on a.id = g.gmail_account_id
     where a.user_id = :user_id
    union
    select g.gmail_account_id, g.gmail_thread_id
      from message_reading r
      join gmail_message g using (gmail_account_id, gmail_message_id)
      join gmail_account a on a.id = g.gmail_account_id
     where a.user_id = :user_id and r.bounced_message_id = any(:ids)
"""

THREADS_OF_PEOPLE = """
    select distinct g.gmail_account_id, g.gmail_thread_id
      from cheerful_mail_naming(cast(:people as text[])) g
      join campaign_sender s on s.gmail_account_id = g.gmail_account_id and s.campaign_id = :campaign_id
"""

REPORTS = """
    select distinct g.gmail_account_id, g.gmail_thread_id
      from message_reading r
      join gmail_account a on a.id = r.gmail_account_id
      join gmail_message g using (gmail_account_id, gmail_message_id)
     cross join jsonb_array_elements(r.bounces) as failed
      join campaign_recipient p on p.campaign_id = :campaign_id
       and p.email_key in (failed ->> 'address_key', failed ->> 'final_key')
     where a.user_id = :user_id and r.kind = 'bounce'
"""

CONSISTENCY = """
    with threads as (
        select distinct gmail_account_id, gmail_thread_id from thread_attribution where campaign_id = :campaign_id
    ), latest as (
        select t.gmail_account_id, t.gmail_thread_id, count(s.id) as states
          from threads t left join gmail_thread_state s
            on s.gmail_account_id = t.gmail_account_id and s.gmail_thread_id = t.gmail_thread_id and s.is_latest
         group by 1, 2
    )
    select (select count(*) from latest l where states = 0 and exists (
                select 1 from gmail_message g where g.gmail_account_id = l.gmail_account_id
                   and g.gmail_thread_id = l.gmail_thread_id and not g.label_ids && array['DRAFT', 'TRASH']
                   and g.deleted_at is null)) as threads_without_state,
           (select count(*) from latest where states > 1) as threads_with_several_latest_states,
           (select count(*) from threads t where not exists (
                select 1 from gmail_message g where g.gmail_account_id = t.gmail_account_id
                   and g.gmail_thread_id = t.gmail_thread_id)) as threads_without_messages,
           (select count(*) from threads t
             where exists (select 1 from gmail_message g join gmail_message_event e
                              on e.gmail_account_id = g.gmail_account_id and e.gmail_message_id = g.gmail_message_id
                             and e.gmail_thread_id <> g.gmail_thread_id and e.ingest_seq = g.ingest_seq
                            where g.gmail_account_id = t.gmail_account_id
                              and g.gmail_thread_id = t.gmail_thread_id)) as threads_that_share_a_message,
           (select count(*) from threads t join gmail_account a on a.id = t.gmail_account_id
             where a.user_id <> (select user_id from campaign where id = :campaign_id)) as threads_of_another_client,
           (select count(*) from thread_attribution t join campaign_recipient r on r.id = t.recipient_id
             where t.campaign_id = :campaign_id and r.campaign_id <> :campaign_id) as foreign_recipients
"""

FINGERPRINT = """
    select concat_ws(':',
        (select coalesce(max(ingest_seq), 0) from gmail_message_event),
        (select concat_ws(':', count(*), sum(processed_ingest_seq), sum(recipients_revision),
                          sum(processed_recipients_revision), count(sheet_imported_at), count(metrics_computed_at),
                          count(exported_at)) from campaign_mark),
        (select count(*) from campaign where status <> 'DRAFT'),
        (select count(*) from campaign_sender),
        (select coalesce(max(id), 0) from outcome_news))
"""

# Private mail must not start runs: an event counts for a campaign only where its message involves a recipient of it,
# its thread belongs to the campaign already, it answers such a thread, or a mail system sent it.
PULSES = """
    select c.slug,
           greatest(k.processed_ingest_seq, coalesce((
               select max(e.ingest_seq)
                 from gmail_message_event e
                 join gmail_account a on a.id = e.gmail_account_id
                 join gmail_message g on g.gmail_account_id = e.gmail_account_id
                                     and g.gmail_message_id = e.gmail_message_id
                where a.user_id = c.user_id and e.ingest_seq > k.processed_ingest_seq
                  and (exists (select 1 from thread_attribution t
                                where t.campaign_id = c.id and t.gmail_account_id = e.gmail_account_id
                                  and t.gmail_thread_id = e.gmail_thread_id)
                    or exists (select 1 from campaign_sender s where s.campaign_id = c.id
                                  and s.gmail_account_id = e.gmail_account_id)
                       and (g.from_key ~ :daemons
                         or exists (select 1 from campaign_recipient r
                                     where r.campaign_id = c.id
                                       and r.email_key = any(g.to_keys || coalesce(g.from_key, ''))))
                    or exists (select 1 from message m
                                 join gmail_message h on h.message_id = m.id
                                 join thread_attribution t on t.campaign_id = c.id
                                  and t.gmail_account_id = h.gmail_account_id
                                  and t.gmail_thread_id = h.gmail_thread_id
                                where m.user_id = c.user_id
                                  and m.rfc822_message_id = any(g.reference_ids || g.in_reply_to)))
           ), 0)) as newest_relevant_seq,
           k.processed_ingest_seq as processed_seq,
           k.recipients_revision,
           k.processed_recipients_revision as processed_revision,
           (select count(*) from campaign_sender s
             where s.campaign_id = c.id and s.created_at > k.processed_at) as new_senders,
           (select coalesce(max(n.id), 0) from outcome_news n where n.campaign_id = c.id) as newest_news,
           k.metrics_computed_at is not null as was_computed,
           k.reported_at is not null as was_reported,
           k.exported_at is not null as was_exported,
           c.metrics_spreadsheet_id is not null as wants_export
      from campaign c join campaign_mark k on k.campaign_id = c.id
     where c.status <> 'DRAFT' and k.sheet_imported_at is not null
     order by c.slug
"""
