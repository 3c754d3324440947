"""Facts become one outcome a recipient: what was sent, what came back, what it meant, and when. Pure.

Each rule of `definitions.py` that looks at single mails stands here; adding up stands in `compute.py`.
The order in which facts come in makes no difference. Whatever is counted of a recipient is an *event* of the
outcome: when it first happened, and by which mail in which thread. Receipts read them, too.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from cheerful_pipelines.classification.labels.creator_status import suggested_status
from cheerful_pipelines.classification.labels.table import CreatorStatus, Label
from cheerful_pipelines.metrics.counting.business_hours import business_hours
from cheerful_pipelines.metrics.counting.definitions import BOUNCE_WINDOW_DAYS, positive_labels
from cheerful_pipelines.metrics.models import (
    BounceFact,
    CampaignFacts,
    MessageFact,
    RecipientFact,
    ThreadFact,
)

OUTCOME_VERSION = "1"
"""Raise it whenever this code makes another outcome of the same facts: every campaign is counted anew."""

_AUTOMATIC_KINDS = ("auto_reply", "out_of_office")


class Event(NamedTuple):
    """Something that happened with a recipient: when, and by which mail. The mail is None for a person's word."""

    at: datetime
    thread_key: str | None = None
    message_id: int | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """One mail of ours to one recipient. `step` is None once a person had answered."""

    message_id: int
    rfc822_message_id: str | None
    at: datetime
    sender: str
    thread_key: str
    conversation_key: str
    step: int | None = None
    hard_bounce: Event | None = None
    soft_bounce: Event | None = None
    is_first_of_mail: bool = True
    """Of a mail to several recipients: whether it is counted with this one."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One mail from a recipient, or from somebody who answered in their place."""

    message_id: int
    at: datetime
    kind: str
    from_key: str | None
    thread_key: str
    conversation_key: str

    @property
    def event(self) -> Event:
        """That it came."""
        return Event(self.at, self.thread_key, self.message_id)


@dataclass(frozen=True, slots=True)
class EffectiveLabel:
    """What a thread meant at one time: a person's word, else the verdict. No time: as late as can be."""

    label: Label
    at: datetime | None
    version: int
    thread_key: str
    message_id: int | None = None
    address_complete: bool = False
    left_company: bool = False

    def event(self, otherwise: datetime) -> Event:
        """That it was said."""
        return Event(self.at or otherwise, self.thread_key, self.message_id)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went with one recipient. `events` by the metric that counts them; what is missing did not happen."""

    recipient_id: int
    is_removed: bool = False
    is_suppressed: bool = False
    sends: tuple[Send, ...] = ()
    events: Mapping[str, Event] = field(default_factory=dict)
    reply_step: int | None = None
    newest_label: Label | None = None
    status: CreatorStatus | None = None
    response_hours: tuple[float, ...] = ()
    business_hours_to_reply: float | None = None
    conversations: int = 0
    conversation_messages: int = 0
    conversation_turns: int = 0
    threads: tuple[str, ...] = ()
    review_threads: tuple[str, ...] = ()

    @property
    def first_send(self) -> Send | None:
        """The send that made the recipient a contacted one."""
        return self.sends[0] if self.sends else None


def recipient_outcomes(facts: CampaignFacts) -> list[Outcome]:
    """One outcome for every recipient, in order of recipient id."""
    threads = {thread.key: thread for thread in facts.threads}
    known = {recipient.id: recipient for recipient in facts.recipients}
    inbound = _inbound(facts, threads, known)
    sends = _with_bounces(_sends(facts, threads, known, inbound), facts, threads, known)
    labels = _labels(facts, threads, known)
    rules = _Rules(positive_labels(facts.campaign.campaign_type), ZoneInfo(facts.campaign.time_zone))
    in_threads = _threads_of(facts.threads)
    review = _review_threads(facts)
    counted: set[int] = set()
    outcomes = []
    for number, recipient in sorted(known.items()):
        mine = [_counted_once(send, counted) for send in sends.get(number, [])]
        outcome = _outcome(recipient, mine, inbound.get(number, []), labels.get(number, []), rules)
        outcomes.append(
            replace(outcome, threads=in_threads.get(number, ()), review_threads=review.get(number, ()))
        )  # fmt: skip
    return outcomes


class _Rules(NamedTuple):
    """What differs by campaign."""

    positive: frozenset[Label]
    zone: ZoneInfo


def _counted_once(send: Send, counted: set[int]) -> Send:
    """A mail to several recipients is counted with the first of them."""
    if send.message_id in counted:
        return replace(send, is_first_of_mail=False)
    counted.add(send.message_id)
    return send


def _threads_of(threads: Iterable[ThreadFact]) -> dict[int, tuple[str, ...]]:
    found: dict[int, list[str]] = defaultdict(list)
    for thread in threads:
        for number in thread.recipient_ids:
            found[number].append(thread.key)
    return {number: tuple(sorted(keys)) for number, keys in found.items()}


def _review_threads(facts: CampaignFacts) -> dict[int, tuple[str, ...]]:
    """Threads whose newest verdict waits for a person, by the first of their recipients."""
    newest = {item.thread_key: item for item in sorted(facts.verdicts, key=lambda item: item.state_version)}
    overridden = {item.thread_key for item in facts.overrides}
    with_mail = {message.thread_key for message in facts.messages}
    found: dict[int, list[str]] = defaultdict(list)
    for thread in facts.threads:
        verdict = newest.get(thread.key)
        if verdict is not None and verdict.needs_review and thread.key not in overridden and thread.key in with_mail:
            found[min(thread.recipient_ids)].append(thread.key)
    return {number: tuple(sorted(keys)) for number, keys in found.items()}


def _sends(
    facts: CampaignFacts,
    threads: Mapping[str, ThreadFact],
    known: Mapping[int, RecipientFact],
    inbound: Mapping[int, list[Inbound]],
) -> dict[int, list[Send]]:
    """Our mails by recipient, in order of time; copies of one mail count once.

    A mail belongs to a recipient if it went to the address of the sheet, or to one from which they answered.
    """
    addresses = {
        number: {recipient.email_key, *(mail.from_key for mail in inbound.get(number, []) if mail.from_key)}
        for number, recipient in known.items()
    }
    found: dict[int, dict[int, Send]] = defaultdict(dict)
    for message in sorted(facts.messages, key=_message_order):
        if not message.is_sent or message.direction != "ours" or message.at < facts.campaign.starts_at:
            continue
        thread = threads[message.thread_key]
        for number in thread.recipient_ids:
            if addresses[number].isdisjoint(message.to_keys):
                continue
            send = Send(
                message_id=message.message_id,
                rfc822_message_id=bare_id(message.rfc822_message_id),
                at=message.at,
                sender=message.account_alias,
                thread_key=thread.key,
                conversation_key=thread.conversation_key,
            )
            found[number].setdefault(message.message_id, send)
    return {
        number: _with_steps(list(by_message.values()), inbound.get(number, [])) for number, by_message in found.items()
    }


def _with_steps(sends: list[Send], inbound: Iterable[Inbound]) -> list[Send]:
    """Number the sends up to the first human answer after the first of them."""
    answered = _first_human_after(inbound, sends[0].at)
    return [
        replace(send, step=number if answered is None or send.at < answered.at else None)
        for number, send in enumerate(sends, start=1)
    ]


def _inbound(
    facts: CampaignFacts, threads: Mapping[str, ThreadFact], known: Mapping[int, RecipientFact]
) -> dict[int, list[Inbound]]:
    """Mails to us by recipient, in order of time; copies of one mail count once, mail among ourselves
    never.
    """
    found: dict[int, dict[int, Inbound]] = defaultdict(dict)
    for message in sorted(facts.messages, key=_message_order):
        if message.direction != "theirs" or message.from_key in facts.our_keys:
            continue
        thread = threads[message.thread_key]
        number = _owner(thread, message.from_key, known)
        if number is not None:
            mail = Inbound(
                message_id=message.message_id,
                at=message.at,
                kind=message.kind,
                from_key=message.from_key,
                thread_key=thread.key,
                conversation_key=thread.conversation_key,
            )
            found[number].setdefault(message.message_id, mail)
    return {number: list(by_message.values()) for number, by_message in found.items()}


def _owner(thread: ThreadFact, from_key: str | None, known: Mapping[int, RecipientFact]) -> int | None:
    """Whose mail it is. In a thread with several recipients only their own addresses tell."""
    if len(thread.recipient_ids) == 1:
        return thread.recipient_ids[0]
    return next((number for number in thread.recipient_ids if known[number].email_key == from_key), None)


def _with_bounces(
    sends: dict[int, list[Send]],
    facts: CampaignFacts,
    threads: Mapping[str, ThreadFact],
    known: Mapping[int, RecipientFact],
) -> dict[int, list[Send]]:
    """Mark the sends that came back."""
    by_address = {recipient.email_key: number for number, recipient in known.items()}
    marked = {number: {send.message_id: send for send in items} for number, items in sends.items()}
    for bounce in sorted(facts.bounces, key=lambda item: (item.at, item.message_id)):
        for number, send, is_hard in _bounced_sends(bounce, sends, threads.get(bounce.thread_key), by_address):
            current = marked[number][send.message_id]
            report = Event(bounce.at, bounce.thread_key, bounce.message_id)
            if is_hard and current.hard_bounce is None:
                current = replace(current, hard_bounce=report)
            elif not is_hard and current.soft_bounce is None:
                current = replace(current, soft_bounce=report)
            marked[number][send.message_id] = current
    return {number: list(items.values()) for number, items in marked.items()}


def _bounced_sends(
    bounce: BounceFact,
    sends: Mapping[int, list[Send]],
    thread: ThreadFact | None,
    by_address: Mapping[str, int],
) -> list[tuple[int, Send, bool]]:
    """The (recipient, send, hard or not) that a delivery report is about: the named mail, else the newest
    before it.
    """
    named = bare_id(bounce.bounced_message_id)
    targets = {
        by_address[item.address_key]: bounce.kind == "bounce" and item.severity == "hard"
        for item in bounce.failed
        if item.address_key in by_address
    }
    is_hard = bounce.kind == "bounce" and (not bounce.failed or any(item.severity == "hard" for item in bounce.failed))
    if not targets and named is not None:
        owners = [n for n, items in sends.items() if any(send.rfc822_message_id == named for send in items)]
        targets = {owners[0]: is_hard} if len(owners) == 1 else {}
    if not targets and thread is not None and len(thread.recipient_ids) == 1:
        targets = {thread.recipient_ids[0]: is_hard}
    found: list[tuple[int, Send, bool]] = []
    for number, hard in targets.items():
        send = _bounced_send(bounce, named, sends.get(number, []))
        if send is not None:
            found.append((number, send, hard))
    return found


def _bounced_send(bounce: BounceFact, named: str | None, sends: list[Send]) -> Send | None:
    for send in sends:
        if named is not None and send.rfc822_message_id == named:
            return send
    if named is not None and bounce.names_stored_message:
        return None  # about a mail of another campaign, or of none
    earliest = bounce.at - timedelta(days=BOUNCE_WINDOW_DAYS)
    return next((send for send in reversed(sends) if earliest <= send.at <= bounce.at), None)


def _labels(
    facts: CampaignFacts, threads: Mapping[str, ThreadFact], known: Mapping[int, RecipientFact]
) -> dict[int, list[EffectiveLabel]]:
    """Effective labels by recipient. A standing override replaces every verdict on its thread."""
    overridden = {item.thread_key: item.label for item in facts.overrides}
    found: dict[int, list[EffectiveLabel]] = defaultdict(list)
    for verdict in facts.verdicts:
        if verdict.thread_key in overridden:
            continue
        number = _owner(threads[verdict.thread_key], verdict.judged_from_key, known)
        if number is not None:
            found[number].append(
                EffectiveLabel(
                    verdict.label, verdict.judged_at, verdict.state_version, verdict.thread_key,
                    verdict.judged_message_id, verdict.address_complete, verdict.left_company,
                )
            )  # fmt: skip
    newest_human = _newest_human(facts, overridden)
    for key, label in overridden.items():
        newest = newest_human.get(key)
        number = _owner(threads[key], newest.from_key if newest else None, known)
        if number is not None:
            found[number].append(EffectiveLabel(label, newest.at if newest else None, 0, key))
    return found


def _newest_human(facts: CampaignFacts, thread_keys: Collection[str]) -> dict[str, MessageFact]:
    """The newest message of a person, of each of the named threads."""
    found: dict[str, MessageFact] = {}
    for item in facts.messages:
        if item.thread_key in thread_keys and item.kind == "human" and item.direction == "theirs":
            current = found.get(item.thread_key)
            if current is None or _message_order(current) < _message_order(item):
                found[item.thread_key] = item
    return found


def _outcome(
    recipient: RecipientFact,
    sends: list[Send],
    inbound: list[Inbound],
    labels: list[EffectiveLabel],
    rules: _Rules,
) -> Outcome:
    outcome = Outcome(
        recipient_id=recipient.id,
        is_removed=recipient.is_removed,
        is_suppressed=recipient.is_suppressed and not recipient.is_removed,
    )
    if not sends:
        return outcome
    events = _mail_events(sends, inbound)
    human = _first_human_after(inbound, sends[0].at)
    replied = events.get("replied")
    if replied and any(
        mail.message_id == replied.message_id and mail.from_key != recipient.email_key for mail in inbound
    ):
        events["replied_from_elsewhere"] = replied
    label_events = _first_times(labels, sends[0].at, replied.at if replied else None)
    for key, wanted in (("positive", rules.positive), ("questions", {"question"}), ("negotiating", {"negotiating"})):
        found = [event for label, event in label_events.items() if label in wanted]
        if found:
            events[key] = min(found, key=_event_order)
    left = [item.event(human.at if human else sends[0].at) for item in labels if item.label == "opt_out"]
    if left:
        events["opted_out"] = min(left, key=_event_order)
        if "delivered" in events:
            events["opted_out_delivered"] = events["opted_out"]
    conversations = _turns(sends, inbound)
    waits, response_hours = _responses(conversations)
    if waits is not None:
        events["waiting_for_us"] = waits
    return replace(
        outcome,
        sends=tuple(sends),
        events=events,
        reply_step=_reply_step(sends, replied.at if replied else None),
        newest_label=_newest_label(labels) if replied else None,
        status=_status(labels, "UNRESPONSIVE" if human is None else "CONTACTED"),
        response_hours=response_hours,
        business_hours_to_reply=business_hours(sends[0].at, replied.at, rules.zone) if replied else None,
        conversations=len(conversations),
        conversation_messages=sum(len(turns) for turns in conversations),
        conversation_turns=sum(
            before.is_ours != after.is_ours for turns in conversations for before, after in pairwise(turns)
        ),
    )


def _mail_events(sends: list[Send], inbound: list[Inbound]) -> dict[str, Event]:
    """Everything that mail alone tells, whatever it meant."""
    first = sends[0]
    human = _first_human_after(inbound, first.at)
    arrived = next((send for send in sends if send.hard_bounce is None), None)
    automatic = [mail for mail in inbound if mail.kind in _AUTOMATIC_KINDS and mail.at > first.at]
    away = [mail for mail in automatic if mail.kind == "out_of_office"]
    handed_over = next((send for send in sends if send.sender != first.sender), None)
    found: dict[str, Event | None] = {
        "contacted": _sent(first),
        "delivered": _sent(arrived) if arrived else None,
        "hard_bounced": min((send.hard_bounce for send in sends if send.hard_bounce), key=_event_order, default=None),
        "soft_bounced": _soft_bounce(sends, inbound),
        "replied": human if arrived else None,
        "answered_any": min((*([human] if human else []), *(mail.event for mail in automatic)), key=_event_order,
                            default=None),
        "auto_replied": None if human else min((mail.event for mail in automatic), key=_event_order, default=None),
        "ooo": None if human else min((mail.event for mail in away), key=_event_order, default=None),
        "handed_over": _sent(handed_over) if handed_over else None,
    }  # fmt: skip
    if arrived and not (automatic and human is None):
        found["delivered_not_automatic"] = _sent(arrived)
    return {key: event for key, event in found.items() if event is not None}


def _sent(send: Send) -> Event:
    return Event(send.at, send.thread_key, send.message_id)


def _event_order(event: Event) -> tuple[datetime, int, str]:
    return event.at, event.message_id or 0, event.thread_key or ""


def _first_human_after(inbound: Iterable[Inbound], moment: datetime) -> Event | None:
    found = [mail.event for mail in inbound if mail.kind == "human" and mail.at > moment]
    return min(found, key=_event_order, default=None)


def _soft_bounce(sends: list[Send], inbound: list[Inbound]) -> Event | None:
    """First passing trouble, unless a mail came back for good or one got through since."""
    troubles = [send.soft_bounce for send in sends if send.soft_bounce]
    if not troubles or any(send.hard_bounce for send in sends):
        return None
    newest = max(trouble.at for trouble in troubles)
    got_through = any(send.at > newest and not send.soft_bounce for send in sends)
    return None if got_through or _first_human_after(inbound, newest) else min(troubles, key=_event_order)


def _reply_step(sends: list[Send], replied_at: datetime | None) -> int | None:
    """The last numbered send before the reply that did not come back; where all came back, the last one."""
    if replied_at is None:
        return None
    steps = [send for send in sends if send.step is not None]
    arrived = [send for send in steps if send.hard_bounce is None]
    return (arrived or steps)[-1].step


def _first_times(labels: list[EffectiveLabel], first_at: datetime, replied_at: datetime | None) -> dict[Label, Event]:
    """First time of each label on what came after the first send.

    Without a reply there is nothing to label.
    """
    found: dict[Label, Event] = {}
    if replied_at is None:
        return found
    for item in labels:
        if item.at is not None and item.at <= first_at:
            continue
        event = item.event(replied_at)
        event = event._replace(at=max(event.at, replied_at))
        found[item.label] = min(found.get(item.label, event), event, key=_event_order)
    return found


def _status(labels: list[EffectiveLabel], begins: CreatorStatus) -> CreatorStatus:
    """The status that the labels suggest, in order of time; never backwards, never out of OPTED_OUT."""
    status = begins
    timed = [(item.at, item.version, item.label, item) for item in labels if item.at is not None]
    in_order = [item for *_, item in sorted(timed, key=lambda one: one[:3])]
    for item in (*in_order, *(item for item in labels if item.at is None)):
        flags = {"address_complete": item.address_complete, "left_company": item.left_company}
        status = suggested_status(status, item.label, flags)
    return status


def _newest_label(labels: list[EffectiveLabel]) -> Label | None:
    """By time of the judged message; an override without one is a person's word and comes last."""
    if not labels:
        return None
    timeless = [item for item in labels if item.at is None]
    timed = [item for item in labels if item.at is not None]
    newest = timeless or [max(timed, key=lambda item: (item.at, item.version, item.label))]
    return max(newest, key=lambda item: (item.version, item.label)).label


class _Turn(NamedTuple):
    """One mail of a conversation: ours, or a person's."""

    at: datetime
    is_ours: bool
    thread_key: str
    message_id: int


def _turns(sends: list[Send], inbound: list[Inbound]) -> list[list[_Turn]]:
    """The mails of each conversation in order of time, automatic ones left out."""
    by_conversation: dict[str, list[_Turn]] = defaultdict(list)
    for send in sends:
        by_conversation[send.conversation_key].append(_Turn(send.at, True, send.thread_key, send.message_id))
    for mail in inbound:
        if mail.kind == "human":
            by_conversation[mail.conversation_key].append(_Turn(mail.at, False, mail.thread_key, mail.message_id))
    return [sorted(by_conversation[key]) for key in sorted(by_conversation)]


def _responses(conversations: Iterable[list[_Turn]]) -> tuple[Event | None, tuple[float, ...]]:
    """Since when somebody waits for our answer, and hours from each mail that began a wait to our next mail."""
    hours: list[float] = []
    open_waits: list[Event] = []
    for turns in conversations:
        waiting: _Turn | None = None
        for turn in turns:
            if not turn.is_ours:
                waiting = waiting or turn
            elif waiting is not None:
                hours.append((turn.at - waiting.at).total_seconds() / 3600)
                waiting = None
        if waiting is not None:
            open_waits.append(Event(waiting.at, waiting.thread_key, waiting.message_id))
    return min(open_waits, key=_event_order, default=None), tuple(sorted(hours))


def _message_order(message: MessageFact) -> tuple[datetime, int, str]:
    return message.at, message.message_id, message.thread_key


def bare_id(message_id: str | None) -> str | None:
    """A Message-ID without its brackets, so that header and delivery report compare equal.

    >>> bare_id(" <a@b.example> ")
    'a@b.example'
    """
    return (message_id or "").strip().strip("<>").strip() or None
