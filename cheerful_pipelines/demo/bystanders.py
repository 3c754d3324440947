"""Mail that belongs to no campaign: newsletters, colleagues, spam, drafts. It must change no number."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from cheerful_pipelines.demo.mails import Box, Letter, html_of, new_message_id, to_bytes
from cheerful_pipelines.demo.models import DemoAccount, DemoDelivery, Person

_PRIVATE: tuple[tuple[Box, str, str], ...] = (
    (("Mum", "mum@family.example"), "Sunday lunch?",
     "Are you coming on Sunday? Dad makes the big lasagne.\n\nLove, Mum"),
    (("Dentist Gullport", "desk@dentist-gullport.example"), "Your appointment",
     "A reminder of your appointment on Thursday at 9:30. Please bring your card."),
    (("Rowan Ashby", "rowan@supplier.example"), "Invoice 20417",
     "Please find the invoice for last month's boxes below."),
    (("Lena Holt", "lena@friends.example"), "Photos from the lake",
     "They turned out so well! I'll bring them along."),
    (("Building Services", "house@harbour-steps.example"), "Lift out of order",
     "The lift is being repaired until Friday."),
    (("Ola Brandt", "ola@partner-agency.example"), "Deck for Tuesday",
     "Here's the outline. Could you look at page four?"),
)  # fmt: skip
_NEWS: tuple[tuple[Box, str], ...] = (
    (("The Creator Weekly", "news@creatorweekly.example"), "What worked this week: 7 small ideas"),
    (("Parcel Desk", "updates@parceldesk.example"), "New rates from next month"),
    (("Studio Tools", "hello@studiotools.example"), "Five templates you will use daily"),
)
_SPAM: tuple[tuple[Box, str], ...] = (
    (("Winner Desk", "prize@lucky-draw.example"), "You have been selected!!!"),
    (("Growth Guru", "deal@followers-now.example"), "10k followers for the price of lunch"),
)


def bystander_mail(
    random: Random, account: DemoAccount, others: Sequence[DemoAccount], *, begins: datetime, days: int,
    drafts_to: Sequence[Person] = (),
) -> list[DemoDelivery]:  # fmt: skip
    """All of one mailbox, so many days from `begins`. `drafts_to`: whom we began to write to and didn't."""
    found: list[DemoDelivery] = []
    for day in range(days):
        at = begins + timedelta(days=day, hours=7, seconds=random.randint(0, 36_000))
        if day % 4 == 2:
            found.append(_newsletter(random, account, at))
        if random.random() < 0.4:
            found += _private(random, account, at)
        if random.random() < 0.07:
            found.append(_spam(random, account, at))
        if random.random() < 0.1:
            found += _internal(random, account, others[0], at)
    for person in drafts_to:
        at = begins + timedelta(days=days * 0.6, seconds=random.randint(0, 36_000))
        draft = _letter(random, _us(account), (person.name, person.address), at, "Idea", "Hi, I was thinking")
        found.append(DemoDelivery(at, account.address, to_bytes(draft), ("DRAFT",), draft.message_id))
    return found


def _us(account: DemoAccount) -> Box:
    return account.display_name, account.address


def _letter(random: Random, sender: Box, to: Box, at: datetime, subject: str, text: str, **more: object) -> Letter:
    message_id = new_message_id(sender[1].partition("@")[2], sender[1], to[1], at.isoformat(), random.random())
    return Letter(message_id, at, sender, (to,), (), subject, text, html_of(text), **more)  # type: ignore[arg-type]


def _newsletter(random: Random, account: DemoAccount, at: datetime) -> DemoDelivery:
    sender, subject = random.choice(_NEWS)
    letter = _letter(
        random, sender, _us(account), at, subject,
        f"{subject}\n\nRead on at https://news.example/\n\nUnsubscribe here.",
        headers=(
            ("List-Id", f"<news.{sender[1].partition('@')[2]}>"), ("Precedence", "bulk"),
            ("List-Unsubscribe", "<https://news.example/out>"),
        ),
    )  # fmt: skip
    labels = ("INBOX", "CATEGORY_PROMOTIONS", "UNREAD")
    return DemoDelivery(at, account.address, to_bytes(letter), labels, letter.message_id)


def _private(random: Random, account: DemoAccount, at: datetime) -> list[DemoDelivery]:
    sender, subject, text = random.choice(_PRIVATE)
    letter = _letter(random, sender, _us(account), at, subject, text)
    found = [DemoDelivery(at, account.address, to_bytes(letter), ("INBOX",), letter.message_id)]
    if random.random() < 0.5:
        later = at + timedelta(hours=random.uniform(0.2, 9))
        answer = _letter(
            random, _us(account), sender, later, f"Re: {subject}", "Thanks, that works for me!",
            in_reply_to=letter.message_id, references=(letter.message_id,),
        )  # fmt: skip
        found.append(DemoDelivery(later, account.address, to_bytes(answer), ("SENT",), answer.message_id))
    return found


def _internal(random: Random, account: DemoAccount, other: DemoAccount, at: datetime) -> list[DemoDelivery]:
    text = f"Hi {other.first_name}, can we talk about next week's list at ten?\n\n{account.first_name}"
    letter = _letter(random, _us(account), _us(other), at, "Next week's list", text)
    raw = to_bytes(letter)
    return [
        DemoDelivery(at, account.address, raw, ("SENT",), letter.message_id),
        DemoDelivery(at + timedelta(seconds=2), other.address, raw, ("INBOX",), letter.message_id),
    ]


def _spam(random: Random, account: DemoAccount, at: datetime) -> DemoDelivery:
    sender, subject = random.choice(_SPAM)
    letter = _letter(random, sender, _us(account), at, subject, "Click https://lucky-draw.example/ within 24 hours.")
    return DemoDelivery(at, account.address, to_bytes(letter), ("SPAM", "UNREAD"), letter.message_id)
