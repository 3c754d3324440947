"""The longer SQL of `store.py`, as text. No Python rule belongs here."""

UPSERT = """
    insert into campaign_recipient
        (campaign_id, email_key, email, name, handle, custom_fields, content_hash, custom_hash, sheet_row,
         suppressed_reason, suppressed_in, updated_at, run_id)
    select :campaign_id, r.email_key, r.email, r.name, r.handle, r.custom_fields, r.content_hash, r.custom_hash,
           r.sheet_row, r.suppressed_reason, r.suppressed_in, :at, :run_id
      from jsonb_to_recordset(cast(:rows as jsonb)) as r(
           email_key text, email text, name text, handle text, custom_fields jsonb, content_hash text,
           custom_hash text, sheet_row int, suppressed_reason text, suppressed_in text)
    on conflict (campaign_id, email_key) do update
       set email = excluded.email, name = excluded.name, handle = excluded.handle,
           custom_fields = excluded.custom_fields, content_hash = excluded.content_hash,
           custom_hash = excluded.custom_hash, sheet_row = excluded.sheet_row,
           suppressed_reason = excluded.suppressed_reason, suppressed_in = excluded.suppressed_in,
           removed_at = null, updated_at = excluded.updated_at, run_id = excluded.run_id
    returning email_key, id
"""

OPEN_VERSIONS = """
    insert into campaign_recipient_version
        (campaign_id, recipient_id, valid_from, email, name, handle, custom_fields, content_hash, sheet_row, import_id)
    select campaign_id, id, :at, email, name, handle, custom_fields, content_hash, sheet_row, :import_id
      from campaign_recipient where id = any(:ids)
"""

CLOSE_VERSIONS = """
    update campaign_recipient_version set valid_to = :at where valid_to is null and recipient_id = any(:ids)
"""

REFRESH_VERSIONS = """
    update campaign_recipient_version v
       set sheet_row = r.sheet_row, custom_fields = r.custom_fields
      from campaign_recipient r
     where r.id = v.recipient_id and v.valid_to is null and v.recipient_id = any(:ids)
"""

# A thread with one recipient tells whose opt-out it is; in one with several only the writer's own address does.
OPT_OUTS = """
    with said as (
        select v.gmail_account_id, v.gmail_thread_id, m.from_key
          from thread_verdict v
          join gmail_account a on a.id = v.gmail_account_id and a.user_id = :user_id
          join gmail_thread_state s on s.id = v.thread_state_id
          left join gmail_message m on m.gmail_account_id = s.gmail_account_id
           and m.gmail_message_id = coalesce(s.state ->> 'newest_human_id', s.state ->> 'newest_inbound_id')
         where v.label = 'opt_out'
           and not exists (select 1 from thread_verdict w where w.thread_state_id = v.thread_state_id and w.id > v.id)
           and not exists (select 1 from thread_override o where o.gmail_account_id = v.gmail_account_id
                              and o.gmail_thread_id = v.gmail_thread_id and o.revoked_at is null
                              and o.label <> 'opt_out')
        union all
        select o.gmail_account_id, o.gmail_thread_id, null
          from thread_override o join gmail_account a on a.id = o.gmail_account_id and a.user_id = :user_id
         where o.revoked_at is null and o.label = 'opt_out'
    ), owned as (
        select t.gmail_account_id, t.gmail_thread_id, t.campaign_id, t.recipient_id,
               count(*) over (partition by t.campaign_id, t.gmail_account_id, t.gmail_thread_id) as people
          from thread_attribution t where not t.is_ambiguous
    )
    select r.email_key, min(c.slug) as campaign
      from said
      join owned using (gmail_account_id, gmail_thread_id)
      join campaign_recipient r on r.id = owned.recipient_id
      join campaign c on c.id = owned.campaign_id and c.user_id = :user_id
     where owned.people = 1 or said.from_key = r.email_key
     group by r.email_key
"""

# Only addresses to which that mailbox really wrote: a report about anybody else proves nothing.
HARD_BOUNCES = """
    with failed as (
        select distinct r.gmail_account_id, b ->> 'address_key' as email_key
          from message_reading r
          join gmail_account a on a.id = r.gmail_account_id and a.user_id = :user_id
         cross join jsonb_array_elements(r.bounces) as b
         where r.kind = 'bounce' and b ->> 'severity' = 'hard'
    )
    select f.email_key, min(c.slug) as campaign
      from failed f
      left join (campaign_recipient p
                 join campaign c on c.id = p.campaign_id and c.user_id = :user_id
                 join campaign_sender s on s.campaign_id = c.id)
        on p.email_key = f.email_key and s.gmail_account_id = f.gmail_account_id
     where exists (select 1 from cheerful_mail_naming(array[f.email_key]) m
                    where m.gmail_account_id = f.gmail_account_id and m.is_sent)
     group by f.email_key
"""

ELSEWHERE = """
    select distinct on (r.email_key) r.email_key, c.slug, r.sheet_row
      from campaign_recipient r join campaign c on c.id = r.campaign_id
     where c.user_id = :user_id and c.id <> :campaign_id and c.status = 'ACTIVE'
       and r.removed_at is null and r.email_key = any(:keys)
     order by r.email_key, c.slug
"""

AS_OF = """
    select recipient_id as id, email, name, handle, custom_fields, sheet_row, valid_from, valid_to
      from campaign_recipient_version
     where campaign_id = :campaign_id and valid_from <= :instant and (valid_to is null or valid_to > :instant)
     order by sheet_row, recipient_id
"""
