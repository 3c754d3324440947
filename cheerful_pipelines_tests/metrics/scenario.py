"""A campaign's facts put straight into the tables, so that a test's numbers can be counted on one hand.

scenario = Scenario(database)
ana = scenario.recipient("ana@creator.example")
thread = scenario.thread(ana)
thread.sent(day=0); thread.reply(day=1, label="interested")
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.core.addresses import address_key
from cheerful_pipelines.metrics.counting.compute import compute_metrics
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.storage import schema
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines_tests.builders import START, a_campaign, an_account

_NUMBERS = count(1)  # shared, since two scenarios may put mail into one mailbox


def at(day: float) -> datetime:
    """A moment so many days after the first of October 2026, 9:00 UTC."""
    return START + timedelta(days=day)


@dataclass
class Thread:
    """One Gmail thread of one account; its methods store mails with their readings."""

    scenario: "Scenario"
    account: GmailAccount
    gmail_thread_id: str
    recipients: tuple[str, ...]
    versions: Any = field(default_factory=lambda: count(1))

    @property
    def key(self) -> str:
        """As the sheet shows it."""
        return f"{self.account.alias}/{self.gmail_thread_id}"

    def sent(self, *, day: float, message_id: str | None = None, **changes: Any) -> str:
        """A mail of ours; returns its Message-ID."""
        values = {
            "label_ids": ["SENT"],
            "from_key": self.account.address_key,
            "to_keys": list(self.recipients),
        }
        return self._mail(day, {**values, **changes}, {"direction": "ours"}, message_id)

    def reply(
        self,
        *,
        day: float,
        label: str | None = None,
        sender: str | None = None,
        message_id: str | None = None,
        confidence: float = 0.9,
        needs_review: bool = False,
        kind: str = "human",
    ) -> str:
        """A mail to us; with a label, a state and a verdict on it too."""
        values = {"from_key": sender or self.recipients[0], "to_keys": [self.account.address_key]}
        found = self._mail(day, values, {"kind": kind}, message_id)
        if label is not None:
            self.verdict(label, confidence=confidence, needs_review=needs_review)
        return found

    def bounce(
        self,
        *,
        day: float,
        severity: str = "hard",
        address: str | None = None,
        message_id: str | None = None,
        kind: str = "bounce",
    ) -> str:
        """A delivery report for an address, and for a Message-ID where given."""
        failed = {
            "address_key": address or self.recipients[0],
            "severity": severity,
            "status": "5.1.1" if severity == "hard" else "4.2.2",
            "reason": "no such user",
        }
        reading = {"kind": kind, "bounces": [failed], "bounced_message_id": message_id}
        return self._mail(day, {"from_key": "mailer-daemon@brand.example", "to_keys": []}, reading, None)

    def verdict(self, label: str, *, confidence: float = 0.9, needs_review: bool = False) -> None:
        """A new state of the thread whose newest human message is the newest one stored, and its verdict."""
        with self.scenario.database.transaction() as connection:
            latest = sa.and_(
                schema.threads.gmail_thread_state.c.gmail_account_id == self.account.id,
                schema.threads.gmail_thread_state.c.gmail_thread_id == self.gmail_thread_id,
            )
            connection.execute(sa.update(schema.threads.gmail_thread_state).where(latest).values(is_latest=False))
            version = next(self.versions)
            state_id = connection.execute(
                insert(schema.threads.gmail_thread_state)
                .values(
                    gmail_account_id=self.account.id,
                    gmail_thread_id=self.gmail_thread_id,
                    version=version,
                    is_latest=True,
                    state={"newest_human_id": self.newest},
                    state_hash=str(version),
                    reason="message added",
                    cause_ingest_seq=0,
                    cause_gmail_message_id=self.newest,
                    code_version="1",
                )
                .returning(schema.threads.gmail_thread_state.c.id)
            ).scalar_one()
            connection.execute(
                insert(schema.classification.thread_verdict).values(
                    thread_state_id=state_id,
                    gmail_account_id=self.account.id,
                    gmail_thread_id=self.gmail_thread_id,
                    classifier_version="1",
                    cache_key="k",
                    label=label,
                    confidence=confidence,
                    confidence_source="rule",
                    rationale="r",
                    flags={},
                    fields={},
                    needs_review=needs_review,
                    provider="local",
                    model="rules",
                    prompt_version="1",
                    taxonomy_version="1",
                )
            )

    def override(self, label: str) -> None:
        """A person's word."""
        with self.scenario.database.transaction() as connection:
            connection.execute(
                insert(schema.classification.thread_override).values(
                    gmail_account_id=self.account.id,
                    gmail_thread_id=self.gmail_thread_id,
                    label=label,
                    author="pat",
                    reason="read it",
                )
            )

    def _mail(self, day: float, values: dict[str, Any], reading: dict[str, Any], message_id: str | None) -> str:
        number = next(self.scenario.numbers)
        rfc822 = message_id or f"<m{number}@mail.example>"
        self.newest = f"g{number:04x}"
        with self.scenario.database.transaction() as connection:
            canonical = connection.execute(
                insert(schema.mail.message)
                .values(user_id=self.scenario.campaign.user_id, canonical_key=rfc822, rfc822_message_id=rfc822)
                .on_conflict_do_update(index_elements=["user_id", "canonical_key"], set_={"rfc822_message_id": rfc822})
                .returning(schema.mail.message.c.id)
            ).scalar_one()
            stored: dict[str, Any] = {
                "gmail_account_id": self.account.id,
                "gmail_message_id": self.newest,
                "gmail_thread_id": self.gmail_thread_id,
                "message_id": canonical,
                "label_ids": ["INBOX"],
                "internal_date": at(day),
                "raw_sha256": "0",
                "size_bytes": 1,
                "ingest_seq": number,
                "parser_version": "1",
                "rfc822_message_id": rfc822,
                "in_reply_to": [],
                "reference_ids": [],
                "subject": "",
                "headers": [],
                "body_text": "",
                "attachments": [],
            }
            connection.execute(insert(schema.mail.gmail_message).values({**stored, **values}))
            read: dict[str, Any] = {
                "gmail_account_id": self.account.id,
                "gmail_message_id": self.newest,
                "reader_version": "1",
                "direction": "theirs",
                "kind": "human",
                "new_words": "",
                "bounces": [],
            }
            connection.execute(insert(schema.mail.message_reading).values({**read, **reading}))
        return rfc822


class Scenario:
    """One campaign, its senders and recipients."""

    def __init__(
        self,
        database: Database,
        *,
        campaign_type: str = "GIFTING",
        senders: tuple[str, ...] = ("mia", "noa"),
        slug: str = "spring",
        time_zone: str = "UTC",
        **changes: Any,
    ) -> None:
        self.database = database
        self.numbers = _NUMBERS
        self.accounts = {
            alias: an_account(database, alias=alias, address=f"{alias}@brand.example") for alias in senders
        }
        self.campaign: Campaign = a_campaign(
            database, slug=slug, senders=senders, campaign_type=campaign_type, **changes
        )
        if time_zone != "UTC":
            with database.transaction() as connection:
                connection.execute(
                    sa.update(schema.campaigns.campaign)
                    .where(schema.campaigns.campaign.c.id == self.campaign.id)
                    .values(time_zone=time_zone)
                )

    def recipient(self, address: str, *, removed: bool = False, **changes: Any) -> int:
        """A recipient of the campaign's sheet; returns its id."""
        values: dict[str, Any] = {
            "campaign_id": self.campaign.id,
            "email": address,
            "email_key": address_key(address),
            "name": "Ana",
            "content_hash": "h",
            "sheet_row": next(self.numbers) + 1,
            "removed_at": at(9) if removed else None,
        }
        with self.database.transaction() as connection:
            return int(
                connection.execute(
                    insert(schema.recipients.campaign_recipient)
                    .values({**values, **changes})
                    .returning(schema.recipients.campaign_recipient.c.id)
                ).scalar_one()
            )

    def thread(
        self,
        *recipient_ids: int,
        sender: str = "mia",
        conversation: str | None = None,
        ambiguous: bool = False,
    ) -> Thread:
        """A thread that belongs to the recipients."""
        thread_id = f"t{next(self.numbers):04x}"
        account = self.accounts[sender]
        with self.database.transaction() as connection:
            for recipient_id in recipient_ids:
                connection.execute(
                    insert(schema.threads.thread_attribution).values(
                        campaign_id=self.campaign.id,
                        gmail_account_id=account.id,
                        gmail_thread_id=thread_id,
                        recipient_id=recipient_id,
                        rule="written_to",
                        confidence=1.0,
                        is_ambiguous=ambiguous,
                        conversation_key=conversation or thread_id,
                    )
                )
            keys = connection.execute(
                sa.select(schema.recipients.campaign_recipient.c.email_key)
                .where(schema.recipients.campaign_recipient.c.id.in_(recipient_ids))
                .order_by(schema.recipients.campaign_recipient.c.id)
            ).scalars()
            return Thread(self, account, thread_id, tuple(keys))

    def numbers_of(self, grain: str = "campaign", grain_key: str = "") -> dict[str, float | None]:
        """The metrics at one grain, computed now."""
        rows = compute_metrics(FactStore(self.database).facts(self.campaign.slug))
        return {row.metric: row.value for row in rows if (row.grain, row.grain_key) == (grain, grain_key)}

    def parts(self, grain: str, metric: str) -> dict[str, float | None]:
        """One metric at every key of a grain."""
        rows = compute_metrics(FactStore(self.database).facts(self.campaign.slug))
        return {row.grain_key: row.value for row in rows if (row.grain, row.metric) == (grain, metric)}
