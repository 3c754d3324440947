"""One conversation with one creator in the making: every verb adds a mail, its copies and its fact.

What happens when is decided in fates.py; this file only knows how it looks in the mailboxes.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

from cheerful_pipelines.classification.labels.table import Label
from cheerful_pipelines.demo import our_words
from cheerful_pipelines.demo.bounce_mails import ReportKind, report
from cheerful_pipelines.demo.mails import Box, Letter, html_of, new_message_id, to_bytes
from cheerful_pipelines.demo.models import DemoAccount, DemoCampaign, DemoDelivery, FactKind, MailFact, Person
from cheerful_pipelines.demo.phrase_bank import words
from cheerful_pipelines.demo.quoting import QuoteStyle, with_history

_OFFSET = {"en": 0, "es": 1, "pt": 0, "fr": 1, "de": 1}
_AWAY_SUBJECT = {
    "en": "Automatic reply: ", "es": "Respuesta automática: ", "pt": "Resposta automática: ",
    "fr": "Réponse automatique : ", "de": "Automatische Antwort: ",
}  # fmt: skip


class Story:
    """A creator, the account that wrote first, all that was said. `clock`: the time of the newest mail."""

    def __init__(
        self, random: Random, campaign: DemoCampaign, person: Person, sender: DemoAccount, *, begins: datetime
    ) -> None:
        self.random = random
        self.campaign = campaign
        self.person = person
        self.sender = sender
        self.clock = begins
        self.letters: list[Letter] = []
        self.deliveries: list[DemoDelivery] = []
        self.facts: list[MailFact] = []
        self.style: QuoteStyle = random.choice(("gmail", "gmail", "outlook", "apple", "none"))
        self._id = 0

    @property
    def colleague(self) -> DemoAccount:
        """The other account that sends for the campaign."""
        return next(account for account in self.campaign.senders if account != self.sender)

    def first_mail(self) -> None:
        """Step 1, at the clock. An earlier correspondence stays a thread of its own."""
        self.letters = []
        subject, text = our_words.first_mail(self.random, self.campaign, self.sender, self.person)
        self._ours(text, subject=subject, sender=self.sender)

    def follow_up(self, step: int, at: datetime) -> None:
        """Step 2 or 3, in the thread of the first."""
        self.clock = at
        text = our_words.follow_up(self.random, step, self.campaign, self.sender, self.person)
        self._ours(text, sender=self.sender)

    def we_answer(
        self, topic: str, after: timedelta, *, sender: DemoAccount | None = None, to: Person | None = None,
        cc_colleague: bool = False,
    ) -> None:  # fmt: skip
        """We answer the newest letter. A letter to somebody else carries the creator in Cc."""
        self._wait(after)
        sender = sender or self.sender
        other = next(account for account in self.campaign.senders if account != sender)
        text = our_words.answer(
            self.random, topic, self.campaign, sender, to or self.person, colleague=other.first_name
        )
        cc: list[Box] = []
        if to is not None:
            cc.append((self.person.name, self.person.address))
        if cc_colleague:
            cc.append((other.display_name, other.address))
        self._ours(text, sender=sender, to=to, cc=cc, is_answer=True)

    def they_write(
        self, label: Label, after: timedelta, *, writer: Person | None = None, manager: Person | None = None,
        to: Sequence[DemoAccount] = (), begins_thread: str | None = None,
    ) -> None:  # fmt: skip
        """A human letter from the creator, or from `writer` on their behalf, to the accounts named."""
        self._wait(after)
        author = writer or self.person
        accounts = tuple(to) or (self.sender,)
        text = words(
            self.random, label, writer=author, campaign=self.campaign, sender_first=accounts[0].first_name,
            at=self.clock, manager=manager,
        )  # fmt: skip
        cc: list[Box] = [(account.display_name, account.address) for account in accounts[1:]]
        if manager is not None and self.random.random() < 0.3:
            cc.append((manager.name, manager.address))
        if begins_thread is not None:
            letter = self._letter(author, accounts[0], begins_thread, text, None)
        else:
            plain, html = with_history(text, self.letters[-1], self.style, author.language)
            rich = None if self.random.random() < 0.25 else html
            letter = self._letter(author, accounts[0], self._reply_subject(), plain, rich, cc=cc)
        self.letters.append(letter)
        self._inbound(letter, "human", label, accounts, from_other_address=writer is not None)

    def they_are_away(self, after: timedelta) -> None:
        """An absence notice to the newest letter of ours. One in eight betrays itself by its words only."""
        self._wait(after)
        text = self._automatic_words("out_of_office")
        subject = _AWAY_SUBJECT[self.person.language] + self.letters[-1].subject
        headers: tuple[tuple[str, str], ...] = (("Auto-Submitted", "auto-replied"), ("X-Autoreply", "yes"))
        shown = self.random.random()
        if shown < 0.125:
            headers = ()
        elif shown < 0.5:
            headers = (("X-Auto-Response-Suppress", "All"), ("Auto-Submitted", "auto-generated"))
        letter = self._letter(self.person, self.sender, subject, text, None, headers=headers)
        self._inbound(letter, "out_of_office", "out_of_office", (self.sender,))

    def machine_answers(self, after: timedelta) -> None:
        """A receipt, an unmonitored mailbox, somebody who left."""
        self._wait(after)
        headers = (("Auto-Submitted", "auto-replied"), ("Precedence", "auto_reply"))
        text = self._automatic_words("auto_reply")
        letter = self._letter(self.person, self.sender, self._reply_subject(), text, None, headers=headers)
        self._inbound(letter, "auto_reply", "auto_reply", (self.sender,))

    def report(self, kind: ReportKind, after: timedelta) -> None:
        """Gmail tells us that the newest letter did not arrive, or not yet."""
        self._wait(after)
        about = self.letters[-1]
        message_id = self._next_id("google-reports.example")
        raw = report(
            self.random, kind, message_id=message_id, at=self.clock, about=about.message_id,
            sender=self.sender.address, recipient=about.to[0][1], original=to_bytes(about),
        )  # fmt: skip
        self._deliver(self.sender, raw, ("INBOX", "UNREAD"), message_id)
        label: Label | None = None if kind == "delayed" else "bounce"  # "not yet" has no meaning of its own
        self._fact(message_id, kind, label, (self.sender.alias,), about=about.message_id)

    # --- how it is made ---

    def _wait(self, after: timedelta) -> None:
        self.clock = (self.clock + after).replace(microsecond=0)  # a Date header knows whole seconds

    def _ours(
        self, text: str, *, sender: DemoAccount, subject: str | None = None, to: Person | None = None,
        cc: Sequence[Box] = (), is_answer: bool = False,
    ) -> None:  # fmt: skip
        receiver = to or self.person
        earlier = self.letters[-1] if self.letters else None
        plain, html = text, html_of(text)
        if earlier is not None and (is_answer or self.random.random() < 0.4):
            plain, html = with_history(text, earlier, "gmail", "en")
        letter = Letter(
            message_id=self._next_id(sender.address.partition("@")[2]), at=self.clock,
            sender=(sender.display_name, sender.address), to=((receiver.name, receiver.address),),
            cc=tuple(cc), subject=subject or self._reply_subject(), text=plain, html=html,
            in_reply_to=earlier.message_id if earlier else None, references=self._references(),
        )  # fmt: skip
        self.letters.append(letter)
        raw = to_bytes(letter)
        self._deliver(sender, raw, ("SENT",), letter.message_id)
        copies = [account for account in self.campaign.senders if any(box[1] == account.address for box in cc)]
        for account in copies:
            self._deliver(account, raw, ("INBOX", "UNREAD"), letter.message_id, later=3)
        aliases = (sender.alias, *(account.alias for account in copies))
        self._fact(letter.message_id, "ours", None, aliases)

    def _letter(
        self, author: Person, to: DemoAccount, subject: str, text: str, html: str | None, *,
        cc: Sequence[Box] = (), headers: tuple[tuple[str, str], ...] = (),
    ) -> Letter:  # fmt: skip
        return Letter(
            message_id=self._next_id("creatormail.example"), at=self.clock,
            sender=(author.name, author.address),
            to=((to.display_name, to.address),), cc=tuple(cc), subject=subject, text=text, html=html,
            in_reply_to=self.letters[-1].message_id if self.letters else None, references=self._references(),
            headers=headers, utc_offset_hours=_OFFSET[author.language],
        )  # fmt: skip

    def _inbound(
        self, letter: Letter, kind: FactKind, label: Label, accounts: Sequence[DemoAccount], *,
        from_other_address: bool = False,
    ) -> None:  # fmt: skip
        raw = to_bytes(letter)
        for position, account in enumerate(accounts):
            labels = ("INBOX", "UNREAD") if self.random.random() < 0.5 else ("INBOX",)
            self._deliver(account, raw, labels, letter.message_id, later=position)
        aliases = tuple(account.alias for account in accounts)
        self._fact(letter.message_id, kind, label, aliases, from_other_address=from_other_address)

    def _automatic_words(self, label: Label) -> str:
        return words(
            self.random, label, writer=self.person, campaign=self.campaign,
            sender_first=self.sender.first_name, at=self.clock, is_automatic=True,
        )  # fmt: skip

    def _deliver(
        self, account: DemoAccount, raw: bytes, labels: tuple[str, ...], message_id: str, *, later: int = 0
    ) -> None:
        at = self.clock + timedelta(seconds=later)
        self.deliveries.append(DemoDelivery(at, account.address, raw, labels, message_id))

    def _fact(
        self, message_id: str, kind: FactKind, label: Label | None, accounts: tuple[str, ...], *,
        about: str | None = None, from_other_address: bool = False,
    ) -> None:  # fmt: skip
        conversation = self.letters[0].message_id if self.letters else message_id
        self.facts.append(
            MailFact(
                at=self.clock, message_id=message_id, conversation=conversation, campaign=self.campaign.slug,
                recipient=self.person.key, kind=kind, label=label, accounts=accounts, about=about,
                from_other_address=from_other_address,
            )
        )  # fmt: skip

    def _next_id(self, domain: str) -> str:
        self._id += 1
        return new_message_id(domain, self.campaign.slug, self.person.key, self._id, self.random.random())

    def _references(self) -> tuple[str, ...]:
        return tuple(letter.message_id for letter in self.letters)

    def _reply_subject(self) -> str:
        subject = self.letters[-1].subject
        return subject if subject.startswith("Re: ") else f"Re: {subject}"
