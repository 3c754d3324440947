"""Facts become one outcome a recipient: what was sent, what came back, what it meant, and when. Pure.

Each rule of `definitions.py` that looks at single mails stands here; adding up stands in `compute.py`.
The order in which facts come in makes no difference.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cheerful_pipelines.classification.models import Label
from cheerful_pipelines.metrics.definitions import BOUNCE_WINDOW_DAYS, positive_labels
from cheerful_pipelines.metrics.models import (
    BounceFact,
    CampaignFacts,
    MessageFact,
    RecipientFact,
    ThreadFact,
)

_AUTOMATIC_KINDS = ("auto_reply", "out_of_office")


@dataclass(frozen=True, slots=True)
class Send:
    """One mail of ours to one recipient. `step` is None once a person had answered."""

    message_id: int
    rfc822_message_id: str | None
    at: datetime
    sender: str
    conversation_key: str
    step: int | None = None
    hard_bounced_at: datetime | None = None
    soft_bounced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Inbound:
    """One mail from a recipient, or from somebody who answered in their place."""

    message_id: int
    at: datetime
    kind: str
    from_key: str | None
    conversation_key: str


@dataclass(frozen=True, slots=True)
class EffectiveLabel:
    """What a thread meant at one time: a person's word, else the verdict. No time: as late as can be."""

    label: Label
    at: datetime | None
    version: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it went with one recipient. A time that is None says: it did not happen."""

    recipient: RecipientFact
    sends: tuple[Send, ...]
    inbound: tuple[Inbound, ...]
    delivered_at: datetime | None = None  # of the first send that did not come back
    hard_bounced_at: datetime | None = None
    soft_bounced_at: datetime | None = None
    replied_at: datetime | None = None
    reply_step: int | None = None
    from_other_address: bool = False
    auto_replied_at: datetime | None = None
    absent_at: datetime | None = None
    label_at: Mapping[Label, datetime] | None = None  # first time of each label, of those who replied
    positive_at: datetime | None = None
    opted_out_at: datetime | None = None
    newest_label: Label | None = None
    response_hours: tuple[float, ...] = ()

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
    positive = positive_labels(facts.campaign.campaign_type)
    return [
        _outcome(recipient, sends.get(number, []), inbound.get(number, []), labels.get(number, []), positive)
        for number, recipient in sorted(known.items())
    ]


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
                conversation_key=thread.conversation_key,
            )
            found[number].setdefault(message.message_id, send)
    return {
        number: _with_steps(list(by_message.values()), inbound.get(number, [])) for number, by_message in found.items()
    }


def _with_steps(sends: list[Send], inbound: Iterable[Inbound]) -> list[Send]:
    """Number the sends up to the first human answer after the first of them."""
    answered_at = _first_human_after(inbound, sends[0].at)
    return [
        replace(send, step=number if answered_at is None or send.at < answered_at else None)
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
            if is_hard and current.hard_bounced_at is None:
                current = replace(current, hard_bounced_at=bounce.at)
            elif not is_hard and current.soft_bounced_at is None:
                current = replace(current, soft_bounced_at=bounce.at)
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
            found[number].append(EffectiveLabel(verdict.label, verdict.judged_at, verdict.state_version))
    newest_human = _newest_human(facts, overridden)
    for key, label in overridden.items():
        newest = newest_human.get(key)
        number = _owner(threads[key], newest.from_key if newest else None, known)
        if number is not None:
            found[number].append(EffectiveLabel(label, newest.at if newest else None, 0))
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
    positive: frozenset[Label],
) -> Outcome:
    if not sends:
        return Outcome(recipient=recipient, sends=(), inbound=tuple(inbound))
    first_at = sends[0].at
    delivered_at = next((send.at for send in sends if send.hard_bounced_at is None), None)
    human_at = _first_human_after(inbound, first_at)
    replied_at = human_at if delivered_at is not None else None
    automatic = [mail for mail in inbound if mail.kind in _AUTOMATIC_KINDS and mail.at > first_at and human_at is None]
    label_at = _first_times(labels, first_at, replied_at)
    opt_outs = [item.at or human_at or first_at for item in labels if item.label == "opt_out"]
    return Outcome(
        recipient=recipient,
        sends=tuple(sends),
        inbound=tuple(inbound),
        delivered_at=delivered_at,
        hard_bounced_at=min((send.hard_bounced_at for send in sends if send.hard_bounced_at), default=None),
        soft_bounced_at=_soft_bounced_at(sends, inbound),
        replied_at=replied_at,
        reply_step=_reply_step(sends, replied_at),
        from_other_address=any(mail.at == replied_at and mail.from_key != recipient.email_key for mail in inbound),
        auto_replied_at=min((mail.at for mail in automatic), default=None),
        absent_at=min((mail.at for mail in automatic if mail.kind == "out_of_office"), default=None),
        label_at=label_at,
        positive_at=min((at for label, at in label_at.items() if label in positive), default=None),
        opted_out_at=min(opt_outs, default=None),
        newest_label=_newest_label(labels) if replied_at is not None else None,
        response_hours=_response_hours(sends, inbound),
    )


def _first_human_after(inbound: Iterable[Inbound], moment: datetime) -> datetime | None:
    return min((mail.at for mail in inbound if mail.kind == "human" and mail.at > moment), default=None)


def _soft_bounced_at(sends: list[Send], inbound: list[Inbound]) -> datetime | None:
    """First passing trouble, unless a mail came back for good or one got through since."""
    troubles = [send.soft_bounced_at for send in sends if send.soft_bounced_at]
    if not troubles or any(send.hard_bounced_at for send in sends):
        return None
    newest = max(troubles)
    got_through = any(send.at > newest and not send.soft_bounced_at for send in sends)
    return None if got_through or _first_human_after(inbound, newest) else min(troubles)


def _reply_step(sends: list[Send], replied_at: datetime | None) -> int | None:
    """The last numbered send before the reply that did not come back; where all came back, the last one."""
    if replied_at is None:
        return None
    steps = [send for send in sends if send.step is not None]
    arrived = [send for send in steps if send.hard_bounced_at is None]
    return (arrived or steps)[-1].step


def _first_times(
    labels: list[EffectiveLabel], first_at: datetime, replied_at: datetime | None
) -> dict[Label, datetime]:
    """First time of each label on what came after the first send.

    Without a reply there is nothing to label.
    """
    found: dict[Label, datetime] = {}
    if replied_at is None:
        return found
    for item in labels:
        if item.at is not None and item.at <= first_at:
            continue
        at = max(item.at or replied_at, replied_at)
        found[item.label] = min(found.get(item.label, at), at)
    return found


def _newest_label(labels: list[EffectiveLabel]) -> Label | None:
    """By time of the judged message; an override without one is a person's word and comes last."""
    if not labels:
        return None
    timeless = [item for item in labels if item.at is None]
    timed = [item for item in labels if item.at is not None]
    newest = timeless or [max(timed, key=lambda item: (item.at, item.version, item.label))]
    return max(newest, key=lambda item: (item.version, item.label)).label


def _response_hours(sends: list[Send], inbound: list[Inbound]) -> tuple[float, ...]:
    """Hours from each human mail that begins a wait to our next mail in the same conversation."""
    by_conversation: dict[str, list[tuple[datetime, bool]]] = defaultdict(list)
    for send in sends:
        by_conversation[send.conversation_key].append((send.at, True))
    for mail in inbound:
        if mail.kind == "human":
            by_conversation[mail.conversation_key].append((mail.at, False))
    hours: list[float] = []
    for turns in by_conversation.values():
        waiting_since: datetime | None = None
        for at, is_ours in sorted(turns):
            if not is_ours:
                waiting_since = waiting_since or at
            elif waiting_since is not None:
                hours.append((at - waiting_since).total_seconds() / 3600)
                waiting_since = None
    return tuple(sorted(hours))


def _message_order(message: MessageFact) -> tuple[datetime, int, str]:
    return message.at, message.message_id, message.thread_key


def bare_id(message_id: str | None) -> str | None:
    """A Message-ID without its brackets, so that header and delivery report compare equal.

    >>> bare_id(" <a@b.example> ")
    'a@b.example'
    """
    return (message_id or "").strip().strip("<>").strip() or None
