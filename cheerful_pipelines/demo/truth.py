"""What really happened in a demo world, counted as metrics/counting/definitions.py says, but from the facts.

The tests compare the pipeline's numbers with these.
Nothing here looks at mail: a fact says what it was meant to be.
Definitions, per campaign and as of a moment (exclusive):

    recipients     people in the sheet: active rows. rejected / duplicate / no_address: rows of that kind
    messages_sent  our mails to (or in Cc to) the recipient since the campaign's start, each once
    contacted      recipients with such a mail
    hard_bounced   contacted, a report "failed 5.x.x" names one of those mails
    soft_bounced   contacted, only reports 4.x.x or "delayed", and no later send nor human letter
    delivered      contacted, at least one of those mails without a hard bounce (so one can be both)
    replied        delivered, a human letter after the first send, from any address; `unrelated` counts too
    auto_replied   contacted, an automatic answer (or absence) after the first send, and no human one
    opted_out      contacted, ever wrote an opt-out
    positive       replied, ever wrote interested or details_provided, or negotiating where the campaign pays
    positive_now   replied, and the newest human letter is one of those: what judging newest states sees

Message-IDs are given as the database keeps them: without their angle brackets.
Mails between our own accounts (a colleague in Cc) are never replies.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.demo.models import DemoCampaign, DemoWorld, FactKind, MailFact

_AUTOMATIC: frozenset[FactKind] = frozenset({"out_of_office", "auto_reply"})


@dataclass(frozen=True)
class RecipientTruth:
    """One contacted recipient of a campaign."""

    key: str
    first_sent: datetime
    sends: int
    is_hard_bounced: bool
    is_soft_bounced: bool
    is_delivered: bool
    first_reply: datetime | None
    is_auto_only: bool
    has_opted_out: bool
    label: Label | None  # of the newest human letter after the first send, else of the newest automatic one
    is_ever_positive: bool
    is_positive_now: bool
    has_secondary_reply: bool


@dataclass(frozen=True)
class ThreadTruth:
    """One conversation in one mailbox: its newest inbound letter and what that means."""

    account: str
    campaign: str
    recipient: str
    message_ids: tuple[str, ...]
    newest_inbound_id: str | None
    newest_human_id: str | None
    label: Label | None


class DemoTruth:
    """The truth of a world as of a moment. Everything after it has not happened yet."""

    def __init__(self, world: DemoWorld, as_of: datetime) -> None:
        self._campaigns = {campaign.slug: campaign for campaign in world.campaigns}
        self._facts = [fact for fact in world.facts if fact.at < as_of]
        self._rows = [
            row
            for row in world.rows
            if (row.since is None or row.since < as_of) and (row.until is None or row.until >= as_of)
        ]

    def recipients(self, campaign: str) -> dict[str, RecipientTruth]:
        """Everyone contacted, by key."""
        by_key: dict[str, list[MailFact]] = defaultdict(list)
        for fact in self._facts:
            if fact.campaign == campaign:
                by_key[fact.recipient].append(fact)
        told = {key: _recipient(self._campaigns[campaign], key, facts) for key, facts in by_key.items()}
        return {key: found for key, found in told.items() if found is not None}

    def counts(self, campaign: str) -> dict[str, int]:
        """The campaign's numbers by the keys of the metrics."""
        people = self.recipients(campaign).values()
        rows = [row.kind for row in self._rows if row.campaign == campaign]
        replied = [person for person in people if person.first_reply is not None]
        return {
            "recipients": rows.count("active"),
            "rejected": rows.count("rejected"),
            "duplicate": rows.count("duplicate"),
            "no_address": rows.count("no_address"),
            "messages_sent": sum(person.sends for person in people),
            "contacted": len(people),
            "hard_bounced": sum(person.is_hard_bounced for person in people),
            "soft_bounced": sum(person.is_soft_bounced for person in people),
            "delivered": sum(person.is_delivered for person in people),
            "replied": len(replied),
            "auto_replied": sum(person.is_auto_only for person in people),
            "opted_out": sum(person.has_opted_out for person in people),
            "positive": sum(person.is_ever_positive for person in replied),
            "positive_now": sum(person.is_positive_now for person in replied),
        }

    def message_labels(self) -> dict[str, Label]:
        """What each inbound letter means, by its Message-ID."""
        return {_bare(fact.message_id): fact.label for fact in self._facts if fact.label is not None}

    def threads(self) -> list[ThreadTruth]:
        """Every conversation of a campaign, once for each mailbox that holds a part of it.

        What ended before the campaign began is none of its own.
        """
        grouped: dict[tuple[str, str], list[MailFact]] = defaultdict(list)
        for fact in self._facts:
            for account in fact.accounts:
                grouped[account, fact.conversation].append(fact)
        return [
            _thread(account, facts)
            for (account, _), facts in grouped.items()
            if facts[-1].at >= self._campaigns[facts[0].campaign].starts_at
        ]

    def thread_labels(self) -> Mapping[tuple[str, str], Label]:
        """Label by (alias, Message-ID of the newest human letter, else of the newest automatic one)."""
        return {
            (thread.account, thread.newest_human_id or thread.newest_inbound_id or ""): thread.label
            for thread in self.threads()
            if thread.label is not None
        }


def _recipient(campaign: DemoCampaign, key: str, facts: list[MailFact]) -> RecipientTruth | None:
    sent = [fact for fact in facts if fact.kind == "ours" and fact.at >= campaign.starts_at]
    if not sent:
        return None
    first = sent[0].at
    since = [fact for fact in facts if fact.at > first]
    human = [fact for fact in since if fact.kind == "human"]
    automatic = [fact for fact in since if fact.kind in _AUTOMATIC]
    hard = {fact.about for fact in since if fact.kind == "bounce_hard"}
    soft = [fact for fact in since if fact.kind in {"bounce_soft", "delayed"}]
    is_delivered = any(fact.message_id not in hard for fact in sent)
    positive = positive_labels(campaign)
    newest = next(reversed(human or automatic), None)
    return RecipientTruth(
        key=key,
        first_sent=first,
        sends=len(sent),
        is_hard_bounced=bool(hard),
        is_soft_bounced=bool(soft) and not hard and not any(fact.at > soft[-1].at for fact in [*sent, *human]),
        is_delivered=is_delivered,
        first_reply=human[0].at if human and is_delivered else None,
        is_auto_only=bool(automatic) and not human,
        has_opted_out=any(fact.label == "opt_out" for fact in human),
        label=newest.label if newest else None,
        is_ever_positive=any(fact.label in positive for fact in human),
        is_positive_now=bool(human) and human[-1].label in positive,
        has_secondary_reply=any(fact.from_other_address for fact in human),
    )


def positive_labels(campaign: DemoCampaign) -> frozenset[Label]:
    """features.md section 5: haggling is a yes only where money is on offer."""
    if campaign.campaign_type == "PAID_PROMOTION":
        return frozenset({"interested", "details_provided", "negotiating"})
    return frozenset({"interested", "details_provided"})


def _thread(account: str, facts: list[MailFact]) -> ThreadTruth:
    inbound = [fact for fact in facts if fact.kind != "ours"]
    human = [fact for fact in inbound if fact.kind == "human"]
    judged = next(reversed(human or inbound), None)
    return ThreadTruth(
        account=account,
        campaign=facts[0].campaign,
        recipient=facts[0].recipient,
        message_ids=tuple(_bare(fact.message_id) for fact in facts),
        newest_inbound_id=_bare(inbound[-1].message_id) if inbound else None,
        newest_human_id=_bare(human[-1].message_id) if human else None,
        label=judged.label if judged else None,
    )


def _bare(message_id: str) -> str:
    return message_id.strip("<>")
