"""Which recipient of which campaign a thread belongs to, by which rule, and how sure that is. Pure.

    written_to          we wrote to the recipient from a sender of the campaign, while the campaign ran
    wrote_to_us         the recipient wrote to a sender of the campaign, and we wrote nothing in that thread
    joined_by_headers   nobody of the campaign is in it, but its headers answer a thread that belongs to it

Where two campaigns fit equally well the thread is listed as ambiguous in both, never guessed. Clients never mix:
the caller passes the campaigns of one client.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.threads.models import ThreadAttribution

GRACE = timedelta(days=30)
"""After a campaign's end its conversations go on: mail this much later still belongs to it."""

Rule = Literal["written_to", "wrote_to_us", "joined_by_headers"]
_CONFIDENCE: dict[Rule, float] = {"written_to": 1.0, "wrote_to_us": 0.8, "joined_by_headers": 0.7}
ThreadKey = tuple[UUID, str]


class CampaignScope(BaseModel):
    """What attribution has to know of a campaign. `recipients`: address key to recipient id, removed ones included."""

    model_config = ConfigDict(frozen=True)
    campaign_id: UUID
    starts_at: datetime
    ends_at: datetime | None
    account_ids: frozenset[UUID]
    recipients: Mapping[str, int]


class ThreadFacts(BaseModel):
    """Who wrote to whom in one thread, without texts.

    `sent`: (when, to whom) of ours. `received`: (when, who, True where they wrote it); False for somebody who was
    copied in, or whom a delivery report names. `conversation_key`: by headers alone, which decides; `shown_key`: also
    by subject, where that is all there is.
    """

    model_config = ConfigDict(frozen=True)
    gmail_account_id: UUID
    gmail_thread_id: str
    sent: tuple[tuple[datetime, tuple[str, ...]], ...]
    received: tuple[tuple[datetime, str, bool], ...]
    conversation_key: str
    shown_key: str | None = None
    is_guess: bool = False

    @property
    def key(self) -> ThreadKey:
        return (self.gmail_account_id, self.gmail_thread_id)


class _Match(BaseModel):
    model_config = ConfigDict(frozen=True)
    campaign: CampaignScope
    recipient_key: str
    recipient_id: int
    rule: Rule
    at: datetime
    within: bool
    """The mail falls into the campaign's own days, not only into the grace after them."""


def attribute(threads: Sequence[ThreadFacts], campaigns: Sequence[CampaignScope]) -> list[ThreadAttribution]:
    """Attributions of the threads to any of the client's campaigns; a thread of none of them has no row.

    The answer depends on the sets given, never on their order.
    """
    direct = {thread.key: _settled(_direct_matches(thread, campaigns)) for thread in threads}
    found: list[ThreadAttribution] = []
    by_conversation: dict[str, list[ThreadAttribution]] = defaultdict(list)
    for thread in threads:
        for match, ambiguous in direct[thread.key]:
            row = _row(thread, match.campaign, match.recipient_id, match.rule, is_ambiguous=ambiguous)
            found.append(row)
            by_conversation[thread.conversation_key].append(row)
    scopes = {campaign.campaign_id: campaign for campaign in campaigns}
    for thread in threads:
        if not direct[thread.key]:
            found.extend(_joined(thread, by_conversation[thread.conversation_key], scopes))
    return sorted(
        found,
        key=lambda row: (
            str(row.campaign_id),
            str(row.gmail_account_id),
            row.gmail_thread_id,
            row.recipient_id,
        ),
    )


def _direct_matches(thread: ThreadFacts, campaigns: Iterable[CampaignScope]) -> list[_Match]:
    matches: list[_Match] = []
    written_ever = {key for _, keys in thread.sent for key in keys}
    for campaign in campaigns:
        if thread.gmail_account_id not in campaign.account_ids:
            continue
        # The first fitting mail of each person decides, hence newest first into the dict.
        written = {
            key: at
            for at, keys in sorted(thread.sent, reverse=True)
            for key in keys
            if key in campaign.recipients and _fits(campaign, at)
        }
        if written:
            matches.extend(_match(campaign, key, "written_to", at) for key, at in written.items())
            continue
        # Whom we wrote to outside the campaign's days belongs to what came before it.
        came = [
            (at, key, wrote)
            for at, key, wrote in sorted(thread.received, reverse=True)
            if key in campaign.recipients and key not in written_ever and _fits(campaign, at)
        ]
        writers = {key: at for at, key, wrote in came if wrote}
        named = writers or {key: at for at, key, _ in came}
        matches.extend(_match(campaign, key, "wrote_to_us", at) for key, at in named.items())
    return matches


def _match(campaign: CampaignScope, key: str, rule: Rule, at: datetime) -> _Match:
    within = campaign.ends_at is None or at < campaign.ends_at
    return _Match(
        campaign=campaign,
        recipient_key=key,
        recipient_id=campaign.recipients[key],
        rule=rule,
        at=at,
        within=within,
    )


def _fits(campaign: CampaignScope, at: datetime) -> bool:
    return campaign.starts_at <= at and (campaign.ends_at is None or at - GRACE < campaign.ends_at)


def _settled(matches: list[_Match]) -> list[tuple[_Match, bool]]:
    """Per recipient one campaign, or all that fit equally well, marked ambiguous.

    The stronger rule wins; among equals the one whose own days hold the mail.
    """
    by_person: dict[str, list[_Match]] = defaultdict(list)
    for match in matches:
        by_person[match.recipient_key].append(match)
    settled: list[tuple[_Match, bool]] = []
    for rivals in by_person.values():
        best = max(_CONFIDENCE[match.rule] for match in rivals)
        strongest = [match for match in rivals if _CONFIDENCE[match.rule] == best]
        within = [match for match in strongest if match.within]
        chosen = within or strongest
        settled.extend((match, len(chosen) > 1) for match in chosen)
    return settled


def _joined(
    thread: ThreadFacts, relatives: Iterable[ThreadAttribution], scopes: Mapping[UUID, CampaignScope]
) -> list[ThreadAttribution]:
    """A manager's answer, or a hand-over to another mailbox: the conversation says to whom it belongs."""
    sure = {(row.campaign_id, row.recipient_id): row for row in relatives}
    campaigns = {campaign_id for campaign_id, _ in sure}
    doubtful = len(campaigns) > 1 or any(row.is_ambiguous for row in sure.values())
    return [
        _row(thread, scopes[campaign_id], recipient_id, "joined_by_headers", is_ambiguous=doubtful)
        for campaign_id, recipient_id in sure
    ]


def _row(
    thread: ThreadFacts, campaign: CampaignScope, recipient_id: int, rule: Rule, *, is_ambiguous: bool
) -> ThreadAttribution:
    return ThreadAttribution(
        campaign_id=campaign.campaign_id,
        gmail_account_id=thread.gmail_account_id,
        gmail_thread_id=thread.gmail_thread_id,
        recipient_id=recipient_id,
        rule=rule,
        confidence=_CONFIDENCE[rule] * (0.5 if is_ambiguous else 1.0),
        is_ambiguous=is_ambiguous,
        conversation_key=thread.shown_key or thread.conversation_key,
        conversation_is_guess=thread.is_guess,
    )
