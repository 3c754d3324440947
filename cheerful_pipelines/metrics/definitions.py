"""What every number means: once, in words and as a formula. Where two people argue about a number, they
read this.

The unit is a recipient in the campaign unless `unit` says otherwise. `compute.py` counts by these keys; each
stored row carries DEFINITION_VERSION, so that numbers of two definitions are never compared in silence.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import CampaignType
from cheerful_pipelines.classification.models import Label
from cheerful_pipelines.metrics.models import Grain

DEFINITION_VERSION = "1"
"""Raise it whenever a definition below, or the code that counts it, changes what a number says."""

BOUNCE_WINDOW_DAYS = 7
"""A bounce that names no Message-ID is laid to the newest send to the failed address within so many days
before it.
"""

AFTER_REPLY = "after reply"
"""Step key of what we wrote once a person had answered: part of a conversation, no step of the sequence."""

_BY_RECIPIENT: tuple[Grain, ...] = ("campaign", "day", "sender", "cohort")
_BY_STEP: tuple[Grain, ...] = ("campaign", "day", "sender", "step", "cohort")
_RATE: tuple[Grain, ...] = (
    "campaign",
    "sender",
    "cohort",
)  # none by day: that day's replies answer other days' sends
_RATE_BY_STEP: tuple[Grain, ...] = ("campaign", "sender", "step", "cohort")


class MetricDefinition(BaseModel):
    """One metric. `is_additive`: its parts (days, senders, cohorts) add up to the whole."""

    model_config = ConfigDict(frozen=True)
    key: str
    title: str
    words: str
    formula: str
    unit: Literal["recipients", "messages", "threads", "share", "hours"]
    is_additive: bool
    grains: tuple[Grain, ...]
    numerator: str | None = None  # key of a count, for shares
    denominator: str | None = None


def _count(
    key: str, title: str, words: str, formula: str, *, grains: tuple[Grain, ...] = _BY_RECIPIENT,
    unit: Literal["recipients", "messages", "threads"] = "recipients",
) -> MetricDefinition:  # fmt: skip
    return MetricDefinition(
        key=key, title=title, words=words, formula=formula, unit=unit, is_additive=True, grains=grains
    )


def _share(
    key: str, title: str, words: str, numerator: str, denominator: str, *, grains: tuple[Grain, ...] = _RATE
) -> MetricDefinition:
    return MetricDefinition(
        key=key, title=title, words=words, formula=f"{numerator} / {denominator}", unit="share",
        is_additive=False, grains=grains, numerator=numerator, denominator=denominator,
    )  # fmt: skip


def _median(key: str, title: str, words: str, formula: str) -> MetricDefinition:
    return MetricDefinition(
        key=key, title=title, words=words, formula=formula, unit="hours", is_additive=False, grains=_RATE
    )


DEFINITIONS: tuple[MetricDefinition, ...] = (
    _count(
        "recipients", "Recipients",
        "Creators that stand in the campaign's sheet now. Those taken out of it are counted apart.",
        "active imported recipients", grains=("campaign",),
    ),
    _count(
        "recipients_removed", "Removed recipients",
        "Creators that once stood in the sheet and no longer do. What happened with them stays in all other "
        "numbers.",
        "imported recipients that were taken out of the sheet", grains=("campaign",),
    ),
    _count(
        "messages_sent", "Messages sent",
        "Mails that we sent to recipients since the campaign's start. One mail seen in two of our mailboxes "
        "is one; "
        "drafts and scheduled mails are none.",
        "distinct outbound Message-IDs with SENT, without DRAFT, from a sender of the campaign to the "
        "recipient, "
        "internalDate >= campaign start", grains=_BY_STEP, unit="messages",
    ),
    _count(
        "contacted", "Contacted", "Recipients to whom we sent at least one mail.",
        "recipients with messages_sent >= 1", grains=_BY_STEP,
    ),
    _count(
        "hard_bounced", "Hard bounces", "Contacted recipients of whom at least one mail came back for good.",
        "contacted with a delivery report failed 5.x.x for a sent Message-ID (without one: for the failed "
        "address, "
        f"newest send within {BOUNCE_WINDOW_DAYS} days before)",
    ),
    _count(
        "soft_bounced", "Soft bounces",
        "Contacted recipients with delivery troubles that may pass (mailbox full, delayed), and no success "
        "since.",
        "contacted with only 4.x.x or delayed reports, no later send without a report and no later human "
        "message",
    ),
    _count(
        "delivered", "Delivered (inferred)",
        "Contacted recipients of whom at least one mail did not come back. Inferred: Gmail gives no receipt.",
        "contacted with at least one sent message without a hard bounce", grains=_BY_STEP,
    ),
    _count(
        "replied", "Replied",
        "Delivered recipients from whom a person wrote to us after our first mail. Automatic answers, "
        "absences, "
        "bounces and mail among ourselves are no reply; a reply from another address of theirs is one.",
        "delivered with >= 1 human inbound message after the first send", grains=_BY_STEP,
    ),
    _count(
        "auto_replied", "Automatic answers only",
        "Contacted recipients from whom only automatic answers came, absences included.",
        "contacted with >= 1 automatic and no human inbound message after the first send",
    ),
    _count(
        "ooo", "Absent", "Of those with automatic answers only: at least one says that the person is away.",
        "auto_replied with >= 1 out-of-office message",
    ),
    _share(
        "reply_rate", "Reply rate", "Of those whom a mail reached, the share that answered. The headline.",
        "replied", "delivered", grains=_RATE_BY_STEP,
    ),
    _share(
        "reply_rate_contacted", "Reply rate of contacted",
        "Of all to whom we wrote, the share that answered, bounces included in the whole.",
        "replied", "contacted",
    ),
    _count(
        "positive", "Positive",
        "Recipients that replied and at some time were interested or sent their details; in paid campaigns, "
        "negotiating counts too. A person's override outranks the model. Who changed their mind later stays "
        "counted.",
        "replied with an effective label (override, else verdict) ever in the positive set", grains=_BY_STEP,
    ),
    _share(
        "positive_rate", "Positive rate", "Of those whom a mail reached, the share with a positive answer.",
        "positive", "delivered",
    ),
    _share(
        "positive_share", "Positive share of replies", "Of those who answered, the share that was positive.",
        "positive", "replied",
    ),
    _count(
        "opted_out", "Opted out",
        "Contacted recipients that at any time asked not to be written to again. It is never taken back by "
        "a later "
        "friendly mail.",
        "contacted with an effective label ever opt_out",
    ),
    _share(
        "opt_out_rate", "Opt-out rate", "Of those whom a mail reached, the share that opted out.",
        "opted_out_and_delivered", "delivered",
    ),
    _count(
        "questions", "Asked a question", "Recipients that replied and at some time asked something.",
        "replied with an effective label ever question",
    ),
    _count(
        "negotiating", "Negotiated", "Recipients that replied and at some time spoke about terms.",
        "replied with an effective label ever negotiating",
    ),
    _median(
        "median_hours_to_first_reply", "Median hours to the first reply",
        "Half of those who replied did so within so many hours. Naive: who has not replied yet is left out, "
        "so a young "
        "campaign looks quicker than it is.",
        "median over replied of (first human inbound - first send)",
    ),
    _median(
        "median_hours_our_response", "Median hours to our answer",
        "Half of our answers went out within so many hours of the mail that they answer. Open ones are left "
        "out.",
        "median over answered human inbound of (our next outbound in the conversation - inbound)",
    ),
    _count(
        "needs_review", "To be reviewed",
        "Threads whose newest verdict is too unsure to stand alone, and on which no person has decided.",
        "threads with needs_review on the newest verdict and no standing override", grains=("campaign",),
        unit="threads",
    ),
)  # fmt: skip

LABEL_TITLES: dict[Label, str] = {
    "interested": "interested",
    "details_provided": "sent details",
    "negotiating": "negotiating",
    "question": "question",
    "referral": "referral",
    "not_now": "not now",
    "not_interested": "not interested",
    "opt_out": "opted out",
    "unrelated": "unrelated",
    "unclear": "unclear",
    "out_of_office": "out of office",
    "auto_reply": "automatic",
    "bounce": "bounce",
}

LABEL_DEFINITIONS: tuple[MetricDefinition, ...] = tuple(
    _count(
        f"label_{label}", f"Label now: {title}",
        f"Recipients that replied and whose newest label is: {title}. Every one has one label at most.",
        f"replied with newest effective label {label}", grains=("campaign",),
    )
    for label, title in LABEL_TITLES.items()
)  # fmt: skip

BY_KEY: dict[str, MetricDefinition] = {item.key: item for item in (*DEFINITIONS, *LABEL_DEFINITIONS)}

HEADLINE: tuple[str, ...] = (
    "recipients", "messages_sent", "contacted", "delivered", "hard_bounced", "soft_bounced", "replied",
    "reply_rate", "positive", "positive_rate", "opted_out", "opt_out_rate", "median_hours_to_first_reply",
)  # fmt: skip
"""What stands first wherever numbers are shown."""


def positive_labels(campaign_type: CampaignType) -> frozenset[Label]:
    """The labels that count as a positive answer.

    Haggling is a yes where money is on offer, not where a gift is.
    """
    if campaign_type == "PAID_PROMOTION":
        return frozenset({"interested", "details_provided", "negotiating"})
    return frozenset({"interested", "details_provided"})
