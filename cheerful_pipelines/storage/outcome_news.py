"""Whose outcome may have changed: noted, in the same transaction, by whoever changes what numbers rest on.

Recipients, attributions of threads, readings and states of mail, verdicts and overrides: their stores call this.
`campaign_metrics` takes the notes and counts these recipients anew. A nightly count of everybody proves that no note
was missed.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

import sqlalchemy as sa

_OF_THREADS = sa.text("""
    insert into outcome_news (campaign_id, recipient_id)
    select distinct a.campaign_id, a.recipient_id
    from thread_attribution a
    join unnest(cast(:accounts as uuid[]), cast(:threads as text[])) as changed(gmail_account_id, gmail_thread_id)
        using (gmail_account_id, gmail_thread_id)
""")
_OF_RECIPIENTS = sa.text("""
    insert into outcome_news (campaign_id, recipient_id)
    select campaign_id, id from campaign_recipient where id = any(cast(:ids as bigint[]))
""")


def note_threads(connection: sa.Connection, threads: Iterable[tuple[UUID, str]]) -> None:
    """Everyone to whom these threads, (account, Gmail thread id), are laid now, in whatever campaign."""
    keys = sorted(set(threads))
    if keys:
        accounts, names = [str(account) for account, _ in keys], [thread for _, thread in keys]
        connection.execute(_OF_THREADS, {"accounts": accounts, "threads": names})


def note_recipients(connection: sa.Connection, ids: Sequence[int]) -> None:
    """These recipients."""
    if ids:
        connection.execute(_OF_RECIPIENTS, {"ids": sorted(set(ids))})
