"""Seconds from a delivered reply until `campaign_metrics` counts it, on the running system, default launcher.

Start the system without the player, then run:

    ./infra/dev.sh start --play-per-minute 0
    eval "$(./infra/dev.sh env)" && .venv/bin/python benchmarks/mail_to_metrics.py --rounds 10
"""

import argparse
import random
import statistics
import time
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

from sqlalchemy import text

from cheerful_pipelines.core.settings import load_settings
from cheerful_pipelines.local_google.admin import LocalGoogleAdmin
from cheerful_pipelines.storage.engine import Database

UNANSWERED = text("""
    select distinct on (t.recipient_id) c.slug, a.address, m.rfc822_message_id, m.subject, m.to_keys[1] as creator
    from thread_attribution t
    join campaign_recipient p on p.id = t.recipient_id
    join campaign c on c.id = t.campaign_id and c.status = 'ACTIVE'
    join gmail_account a on a.id = t.gmail_account_id
    join gmail_message m on m.gmail_account_id = t.gmail_account_id and m.gmail_thread_id = t.gmail_thread_id
    where not t.is_ambiguous and 'SENT' = any(m.label_ids)
    and not exists (  -- a reply of somebody whose every mail bounced is not counted
        select 1 from message_reading b, jsonb_array_elements(b.bounces) f where f->>'address_key' = p.email_key)
    and not exists (
        select 1 from thread_attribution o
        join gmail_message r on r.gmail_account_id = o.gmail_account_id and r.gmail_thread_id = o.gmail_thread_id
        where o.campaign_id = t.campaign_id and o.recipient_id = t.recipient_id and not 'SENT' = any(r.label_ids))
    order by t.recipient_id, m.id
""")
REPLIED = text("""
    select value from campaign_metric m join campaign c on c.id = m.campaign_id
    where c.slug = :slug and metric = 'replied' and grain = 'campaign'
""")


def main() -> None:
    """Deliver one reply after the other; print each time, the median and the 95th percentile."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    settings = load_settings()
    database, google = (
        Database(settings.require_database_url()).for_every_client(),
        LocalGoogleAdmin(settings.local_google_url),
    )
    with database.transaction() as connection:
        open_threads = connection.execute(UNANSWERED).all()
    random.Random(1).shuffle(open_threads)
    taken: list[float] = []
    for number, thread in enumerate(open_threads[:rounds]):
        before = replied(database, thread.slug)
        started = time.monotonic()
        google.deliver(thread.address, reply_to(thread, number))
        while replied(database, thread.slug) <= before:
            if time.monotonic() - started > 120:
                raise SystemExit(f"{thread.slug}: the reply was not counted within 120 s")
            time.sleep(0.1)
        taken.append(time.monotonic() - started)
        print(f"{number + 1:3d}  {thread.slug:30s} {taken[-1]:5.1f} s", flush=True)
        time.sleep(random.Random(number).uniform(3, 12))  # so that sensor ticks are met at any phase
    print(f"median {statistics.median(taken):.1f} s   max {max(taken):.1f} s   n {len(taken)}")


def reply_to(thread: object, number: int) -> bytes:
    """A short human answer to the thread's first mail."""
    mail = EmailMessage()
    mail["From"] = thread.creator  # type: ignore[attr-defined]
    mail["To"] = thread.address  # type: ignore[attr-defined]
    mail["Subject"] = f"Re: {thread.subject}"  # type: ignore[attr-defined]
    mail["Date"] = format_datetime(datetime.now(UTC))
    mail["Message-ID"] = f"<bench-{time.time_ns()}-{number}@creatormail.example>"
    mail["In-Reply-To"] = mail["References"] = f"<{thread.rfc822_message_id.strip('<>')}>"  # type: ignore[attr-defined]
    mail.set_content("Yes, count me in! What is the next step?")
    return mail.as_bytes()


def replied(database: Database, slug: str) -> float:
    """The campaign's replied count as stored."""
    with database.transaction() as connection:
        return float(connection.execute(REPLIED, {"slug": slug}).scalar() or 0)


if __name__ == "__main__":
    main()
