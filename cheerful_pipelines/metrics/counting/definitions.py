"""What every number means: once, in words and as a formula. Where two people argue about a number, they
read this. Other vendors' words for the same stand at the end.

The unit is a recipient in the campaign unless `unit` says otherwise. `compute.py` counts by these keys; each
stored row carries DEFINITION_VERSION, so that numbers of two definitions are never compared in silence.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cheerful_pipelines.campaigns.models import CampaignType
from cheerful_pipelines.classification.labels.creator_status import all_statuses
from cheerful_pipelines.classification.labels.table import SHOWN_LABELS, Label, with_class
from cheerful_pipelines.metrics.models import Grain

DEFINITION_VERSION = "2"
"""Raise it whenever a definition below, or the code that counts it, changes what a number says."""

BOUNCE_WINDOW_DAYS = 7
"""A bounce that names no Message-ID is laid to the newest send to the failed address within so many days
before it.
"""

EARLY_BELOW = 50
"""A rate over fewer than so many is marked as too early to tell."""

EARLY_DAYS = 7
"""So is a rate of replies while fewer than half of those whom a mail reached were first written to so long ago."""

EXPECTED_AFTER_DAYS = 30
"""When a reply that has not come is no longer waited for: the horizon of the expected reply rate."""

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
_WHOLE: tuple[Grain, ...] = ("campaign",)


class MetricDefinition(BaseModel):
    """One metric. `is_additive`: its parts (days, senders, cohorts) add up to the whole."""

    model_config = ConfigDict(frozen=True)
    key: str
    title: str
    words: str
    formula: str
    unit: Literal["recipients", "messages", "threads", "share", "hours", "per conversation", "per mail"]
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


def _hours(
    key: str, title: str, words: str, formula: str, *, grains: tuple[Grain, ...] = _RATE
) -> MetricDefinition:  # fmt: skip
    return MetricDefinition(
        key=key, title=title, words=words, formula=formula, unit="hours", is_additive=False, grains=grains
    )


def _mean(
    key: str, title: str, words: str, numerator: str, denominator: str, *,
    unit: Literal["per conversation", "per mail"] = "per conversation",
) -> MetricDefinition:  # fmt: skip
    return MetricDefinition(
        key=key, title=title, words=words, formula=f"{numerator} / {denominator}", unit=unit,
        is_additive=False, grains=_RATE, numerator=numerator, denominator=denominator,
    )  # fmt: skip


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
        "recipients_suppressed", "Suppressed recipients",
        "Of those that stand in the sheet: whom nobody may write to, since they opted out or their address is dead.",
        "active imported recipients that are flagged as opted out or hard-bounced", grains=_WHOLE,
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
        "replied_from_elsewhere", "Replied from another address",
        "Of those who replied: the first reply came from an address that is not the one in the sheet.",
        "replied whose first human message has another sender than the imported address", grains=_WHOLE,
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
    _count(
        "answered_any", "Answered in any way",
        "Contacted recipients from whom anything came, automatic answers and absences included. No reply of ours: "
        "others count it so.",
        "contacted with >= 1 human or automatic inbound message after the first send",
    ),
    _count(
        "delivered_not_automatic", "Delivered, automatic-only left out",
        "Of those whom a mail reached: without those from whom only automatic answers came. Others divide by it.",
        "delivered and not auto_replied",
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
    _mean(
        "replies_per_mail", "Replies per mail sent",
        "Recipients who answered, by mails that we sent: follow-ups make it smaller.", "replied", "messages_sent",
        unit="per mail",
    ),
    MetricDefinition(
        key="expected_reply_rate", title="Expected reply rate",
        words=f"Of those whom a mail reached, the share that will have answered {EXPECTED_AFTER_DAYS} days after our "
        "first mail, if the young ones go on as the older ones did. With its 95 % band.",
        formula=f"1 - S({EXPECTED_AFTER_DAYS} days), S by Kaplan and Meier over delivered, time from first send to "
        "first human inbound, those without one censored at the last full hour; at the last time with 5 at risk "
        "where nobody is older",
        unit="share", is_additive=False, grains=_WHOLE,
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
    _count(
        "opted_out_delivered", "Opted out, of those reached", "Of those who opted out: whom a mail reached.",
        "opted_out and delivered",
    ),
    _share(
        "opt_out_rate", "Opt-out rate", "Of those whom a mail reached, the share that opted out.",
        "opted_out_delivered", "delivered",
    ),
    _share(
        "bounce_rate", "Hard bounce rate", "Of all to whom we wrote, the share of whom a mail came back for good.",
        "hard_bounced", "contacted",
    ),
    _count(
        "questions", "Asked a question", "Recipients that replied and at some time asked something.",
        "replied with an effective label ever question",
    ),
    _count(
        "negotiating", "Negotiated", "Recipients that replied and at some time spoke about terms.",
        "replied with an effective label ever negotiating",
    ),
    _hours(
        "median_hours_to_first_reply", "Median hours to the first reply",
        "Half of those who replied did so within so many hours. Naive: who has not replied yet is left out, "
        "so a young "
        "campaign looks quicker than it is.",
        "median over replied of (first human inbound - first send)",
    ),
    _hours(
        "median_hours_to_reply_of_all", "Median hours to the first reply, of all",
        "Half of all whom a mail reached will have answered within so many hours, those who have not yet taken into "
        "account. No value while it is less than half.",
        "smallest t with S(t) <= 0.5, S by Kaplan and Meier as for the expected reply rate", grains=_WHOLE,
    ),
    _hours(
        "p90_hours_to_first_reply", "Hours within which 90 % of replies came",
        "Nine in ten of those who replied did so within so many hours. Naive, as the median.",
        "90th percentile over replied of (first human inbound - first send)",
    ),
    _hours(
        "median_business_hours_to_first_reply", "Median working hours to the first reply",
        "As the median, counted in working hours (Monday to Friday, 9 to 17) of the campaign's time zone.",
        "median over replied of working hours between first send and first human inbound",
    ),
    _hours(
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
    _count(
        "waiting_for_us", "Waiting for our answer",
        "Recipients to whose last words we have not answered yet. `cheerful metrics explain` lists them by age.",
        "contacted with a conversation whose newest human inbound message has no later mail of ours", grains=_WHOLE,
    ),
    _count(
        "handed_over", "Handed over", "Recipients to whom a second mailbox wrote, too.",
        "contacted with sends from more than one mailbox", grains=_WHOLE,
    ),
    _count(
        "conversations", "Conversations", "Exchanges with recipients; threads that belong together are one.",
        "distinct conversations with a send, over contacted", grains=_RATE, unit="threads",
    ),
    _count(
        "conversation_messages", "Mails in conversations", "Our mails and those of people, automatic ones left out.",
        "distinct sends and human inbound messages of conversations", grains=_RATE, unit="messages",
    ),
    _count(
        "conversation_turns", "Changes of speaker", "How often the word went from us to them or back.",
        "changes of direction between consecutive mails of a conversation", grains=_RATE, unit="messages",
    ),
    _mean(
        "thread_depth", "Mails a conversation", "How long conversations with recipients are.",
        "conversation_messages", "conversations",
    ),
    _mean(
        "turns_per_conversation", "Changes of speaker a conversation", "How much of a dialogue they are.",
        "conversation_turns", "conversations",
    ),
)  # fmt: skip

LABEL_DEFINITIONS: tuple[MetricDefinition, ...] = tuple(
    _count(
        f"label_{label.name}", f"Label now: {label.title}",
        f"Recipients that replied and whose newest label is: {label.title}. Every one has one label at most.",
        f"replied with newest effective label {label.name}", grains=("campaign",),
    )
    for label in SHOWN_LABELS
)  # fmt: skip

STATUS_DEFINITIONS: tuple[MetricDefinition, ...] = tuple(
    _count(
        f"status_{status.lower()}", f"Suggested status: {status.lower().replace('_', ' ')}",
        f"Contacted recipients whose labels suggest {status}. A suggestion: nothing acts on it by itself.",
        f"contacted whose labels, in order, lead to {status}", grains=_WHOLE,
    )
    for status in all_statuses() if status != "ORDERED"  # the order system's word, never ours
)  # fmt: skip

BY_KEY: dict[str, MetricDefinition] = {
    item.key: item for item in (*DEFINITIONS, *LABEL_DEFINITIONS, *STATUS_DEFINITIONS)
}


class VendorDefinition(BaseModel):
    """How somebody else computes a rate of the same name. No numerator: it rests on something we do not measure."""

    model_config = ConfigDict(frozen=True)
    vendor: str
    title: str
    words: str
    numerator: str | None = None
    denominator: str | None = None
    source: str


VENDOR_DEFINITIONS: tuple[VendorDefinition, ...] = (
    VendorDefinition(
        vendor="Instantly", title="Reply rate", words="Anything that came back, of leads emailed.",
        numerator="answered_any", denominator="contacted", source="developer.instantly.ai, steps analytics",
    ),
    VendorDefinition(
        vendor="Instantly", title="Positive rate", words="Positive answers, of replies.",
        numerator="positive", denominator="replied", source="developer.instantly.ai, steps analytics",
    ),
    VendorDefinition(
        vendor="Reply.io", title="Reply rate",
        words="Replies of people, of contacted without bounced, absent and automatic-only.",
        numerator="replied", denominator="delivered_not_automatic", source="support.reply.io, article 978058",
    ),
    VendorDefinition(
        vendor="Smartlead", title="Reply rate", words="Anything that came back, of leads emailed.",
        numerator="answered_any", denominator="contacted", source="helpcenter.smartlead.ai, articles 100 and 200",
    ),
    VendorDefinition(
        vendor="Smartlead", title="Positive rate", words="Positive answers, of replies.",
        numerator="positive", denominator="replied", source="helpcenter.smartlead.ai, articles 100 and 200",
    ),
    VendorDefinition(
        vendor="lemlist", title="Reply rate",
        words="Replied, of opened. Opens are told by a hidden picture; we send none, so there is no such number.",
        source="help.lemlist.com, article 4843584",
    ),
)  # fmt: skip
"""The same campaign in others' words, beside ours: where two numbers of one name differ, this is why."""

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
        return with_class("positive", "positive_when_paid")
    return with_class("positive")
