"""Who does what when: each fate tells one creator's story to its end. Pure but for `random`.

`deal_fates` hands them out in fixed shares, so that every kind of reply occurs in every campaign.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from random import Random

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.demo.models import DemoCampaign
from cheerful_pipelines.demo.people import manager_of
from cheerful_pipelines.demo.story import Story

Fate = Callable[[Story], None]
_FOLLOW_UP_DAYS = {2: 4, 3: 5}


def working_hour(random: Random, day: datetime) -> datetime:
    """A moment of a working day's morning or afternoon, on `day` or the next Monday."""
    midnight = day.replace(hour=0, minute=0, second=0, microsecond=0)
    if midnight.weekday() >= 5:
        midnight += timedelta(days=7 - midnight.weekday())
    return midnight + timedelta(hours=8, seconds=random.randint(0, 8 * 3600))


def _steps(story: Story, count: int) -> None:
    story.first_mail()
    for step in range(2, count + 1):
        story.follow_up(step, working_hour(story.random, story.clock + timedelta(days=_FOLLOW_UP_DAYS[step])))


def _soon(story: Story) -> timedelta:
    """How long people take to answer: half within a working day, none longer than three."""
    return timedelta(
        hours=min(max(story.random.lognormvariate(2.5, 1.0), 0.3), 72), seconds=story.random.randint(1, 59)
    )


def _our_turn(story: Story) -> timedelta:
    return timedelta(hours=story.random.uniform(0.5, 20))


def _minutes(story: Story) -> timedelta:
    return timedelta(seconds=story.random.randint(4, 240))


def _silent(story: Story) -> None:
    _steps(story, 3)


def _bounces(story: Story) -> None:
    _steps(story, 1)
    story.report("bounce_hard", _minutes(story))


def _bounces_later(story: Story) -> None:
    """The first mail arrived, the second did not: delivered and hard bounced at once."""
    _steps(story, 2)
    story.report("bounce_hard", _minutes(story))


def _bounces_softly(story: Story) -> None:
    _steps(story, 1)
    story.report("delayed", timedelta(hours=26))
    story.report("bounce_soft", timedelta(hours=47))


def _stays_delayed(story: Story) -> None:
    _steps(story, 1)
    story.report("delayed", timedelta(hours=25))


def _arrives_late(story: Story) -> None:
    """Delayed, then delivered: the answer is the proof, and this is no bounce."""
    _steps(story, 1)
    story.report("delayed", timedelta(hours=25))
    story.they_write(story.random.choice(("interested", "question")), _soon(story))


def _away(story: Story) -> None:
    _steps(story, 1)
    story.they_are_away(_minutes(story))
    story.follow_up(2, working_hour(story.random, story.clock + timedelta(days=5)))
    if story.random.random() < 0.4:
        story.they_are_away(_minutes(story))


def _away_then_back(story: Story) -> None:
    _steps(story, 1)
    story.they_are_away(_minutes(story))
    story.they_write(story.random.choice(("interested", "not_interested")), timedelta(days=3) + _soon(story))


def _machine(story: Story) -> None:
    _steps(story, 1)
    story.machine_answers(_minutes(story))


def _replies(story: Story, label: Label) -> None:
    _steps(story, story.random.choice((1, 1, 1, 2, 2, 3)))
    manager = manager_of(story.person, story.random) if label == "referral" else None
    story.they_write(label, _soon(story), manager=manager)


def _talks(story: Story, first: Label, second: Label) -> None:
    """A reply, our answer, and what they say then."""
    _replies(story, first)
    is_paid = story.campaign.campaign_type == "PAID_PROMOTION"
    story.we_answer("interested_paid" if first == "interested" and is_paid else first, _our_turn(story))
    story.they_write(second, _soon(story))
    if second in {"details_provided", "not_interested"}:
        story.we_answer(second, _our_turn(story))


def _next_step(story: Story) -> Label:
    return "negotiating" if story.campaign.campaign_type == "PAID_PROMOTION" else "details_provided"


def _agrees(story: Story) -> None:
    _talks(story, "interested", _next_step(story))


def _manager_answers(story: Story) -> None:
    """From another address, with proper References: a secondary reply."""
    _steps(story, story.random.choice((1, 2)))
    story.they_write(
        story.random.choice(("negotiating", "question")),
        _soon(story),
        writer=manager_of(story.person, story.random),
    )


def _refers_on(story: Story) -> None:
    manager = manager_of(story.person, story.random)
    _steps(story, 1)
    story.they_write("referral", _soon(story), manager=manager)
    story.we_answer("referral", _our_turn(story), to=manager)
    story.they_write(story.random.choice(("interested", "negotiating")), _soon(story), writer=manager)


def _handed_over(story: Story) -> None:
    """The second account stands in Cc, then goes on; the creator's next letter lands in its mailbox only."""
    _replies(story, "interested")
    story.we_answer("handover", _our_turn(story), cc_colleague=True)
    if story.random.random() < 0.5:
        story.we_answer("takeover", _our_turn(story), sender=story.colleague)
    story.they_write(_next_step(story), _soon(story), to=[story.colleague])


def _answers_both(story: Story) -> None:
    """The same mail in two of our mailboxes."""
    _replies(story, "question")
    story.we_answer("handover", _our_turn(story), cc_colleague=True)
    story.they_write("interested", _soon(story), to=[story.sender, story.colleague])


def _wrote_before(story: Story) -> None:
    """They asked us something before the campaign began; that is no reply to it."""
    begins = story.clock
    story.clock = story.campaign.starts_at - timedelta(minutes=story.random.randint(1800, 2400))
    story.they_write("question", timedelta(0), begins_thread="A question about your products")
    story.we_answer("question", timedelta(hours=story.random.uniform(2, 20)))
    story.clock = begins
    _steps(story, 3)


_PLAIN_REPLIES: tuple[tuple[Label, float], ...] = (
    ("opt_out", 3), ("not_interested", 5), ("not_now", 3), ("referral", 2), ("question", 3),
    ("interested", 4), ("details_provided", 3), ("negotiating", 3), ("unrelated", 1), ("unclear", 2),
)  # fmt: skip
_SHARES: tuple[tuple[float, Fate], ...] = (
    (3, _bounces),
    (1, _bounces_later),
    (2, _bounces_softly),
    (1, _stays_delayed),
    (1, _arrives_late),
    (3, _away),
    (2, _away_then_back),
    (3, _machine),
    *((share, partial(_replies, label=label)) for label, share in _PLAIN_REPLIES),
    (4, _agrees),
    (2, partial(_talks, first="question", second="interested")),
    (1, partial(_talks, first="question", second="not_interested")),
    (1, partial(_talks, first="negotiating", second="interested")),
    (1, partial(_talks, first="negotiating", second="not_interested")),
    (1, partial(_talks, first="interested", second="opt_out")),
    (2, _manager_answers),
    (1, _refers_on),
    (3, _handed_over),
    (1, _answers_both),
    (1, _wrote_before),
)  # fmt: skip
"""In a hundred; the others stay silent."""


def deal_fates(random: Random, campaign: DemoCampaign, count: int) -> list[Fate]:
    """One fate for each of `count` creators, in shuffled order."""
    fates = [fate for share, fate in _SHARES for _ in range(max(1, round(share * count / 100)))]
    fates += [_silent] * max(0, count - len(fates))
    random.shuffle(fates)
    return fates[:count]
