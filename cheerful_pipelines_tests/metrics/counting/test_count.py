"""Counting only those who have news gives what counting everybody gives, and the past stays readable."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.metrics.counting.compute import compute_metrics, rows_of_outcomes
from cheerful_pipelines.metrics.counting.count_campaign import count_campaign
from cheerful_pipelines.metrics.counting.fact_store import FactStore
from cheerful_pipelines.metrics.counting.outcome_document import document_of, outcome_of
from cheerful_pipelines.metrics.counting.outcome_store import OutcomeStore
from cheerful_pipelines.metrics.counting.outcomes import recipient_outcomes
from cheerful_pipelines.metrics.counting.receipts import changes_between, explain
from cheerful_pipelines.metrics.models import CountReport, MetricRow
from cheerful_pipelines.metrics.store import MetricStore
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema import metadata
from cheerful_pipelines.storage.schema.campaigns import campaign_mark
from cheerful_pipelines.storage.schema.metrics import outcome_news
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import START, a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch

PEOPLE = ("ana", "bo", "cy")
WORDS = ("Count me in!", "Please take me off your list.", "What would I have to do?", "I charge $400 for a reel.")


class Office:
    """A campaign with three recipients to which things happen, counted after each by its news."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self.database = database
        self.room = Mailroom(database, blobs)
        self.mia: GmailAccount = an_account(database)
        self.spring: Campaign = a_campaign(database)
        self.room.recipients(self.spring, *(f"{name}@creator.example" for name in PEOPLE))
        self.verdicts = VerdictStore(database)
        self._mails = 0

    def wrote(self, name: str) -> None:
        """We write to them, once more."""
        self._mails += 1
        mail = pitch(f"{name}@creator.example", f"<p{self._mails}@brand.example>")
        self.room.receive(self.mia, mail.at(START + timedelta(hours=self._mails)), thread=name)

    def answered(self, name: str, words: str, *, late: bool = False) -> None:
        """They answer; a late mail is older than what is known."""
        self._mails += 1
        reply = answer(words, f"<r{self._mails}@creator.example>").sender(f"{name}@creator.example")
        at = START + timedelta(hours=1.5 if late else self._mails)
        self.room.receive(self.mia, reply.at(at), thread=name)

    def bounced(self, name: str) -> None:
        """A delivery report in a thread of its own."""
        self._mails += 1
        report = (
            a_message()
            .sender("mailer-daemon@googlemail.example")
            .message_id(f"<b{self._mails}@googlemail.example>")
            .subject("Delivery Status Notification (Failure)")
            .header("X-Failed-Recipients", f"{name}@creator.example")
            .text(f"Your message wasn't delivered to {name}@creator.example because the address couldn't be found.")
        )
        self.room.receive(self.mia, report.at(START + timedelta(hours=self._mails)), thread=f"b{self._mails}")

    def overrode(self, name: str, label: str) -> None:
        """A person's word, where there is such a thread."""
        self.verdicts.set_override(self.mia.id, name, label, author="kim", reason="read it")  # type: ignore[arg-type]

    def revoked(self, name: str) -> None:
        """And taken back."""
        self.verdicts.revoke_override(self.mia.id, name)

    def refresh(self, *, of: str = "news") -> CountReport:
        """What a run of `campaign_refresh` does."""
        process_campaign(ThreadStore(self.database), self.room.blobs, self.spring.slug)
        classify_pending(self.verdicts, LocalClassifier(), self.spring.id, run_id=None)
        return count_campaign(self.database, self.spring.slug, of=of)  # type: ignore[arg-type]

    def stored(self) -> list[MetricRow]:
        """The numbers as they stand."""
        rows = MetricStore(self.database).rows(slug=self.spring.slug)
        return [MetricRow.model_validate(row.model_dump(include=set(MetricRow.model_fields))) for row in rows]

    def counted_at(self) -> datetime:
        """When they were counted."""
        with self.database.transaction() as connection:
            return connection.execute(sa.select(campaign_mark.c.metrics_computed_at)).scalar_one()


people = st.sampled_from(PEOPLE)
happenings: st.SearchStrategy[Callable[[Office], None]] = st.one_of(
    st.builds(lambda name: lambda office: office.wrote(name), people),
    st.builds(
        lambda name, words, late: lambda office: office.answered(name, words, late=late),
        people, st.sampled_from(WORDS), st.booleans(),
    ),
    st.builds(lambda name: lambda office: office.bounced(name), people),
    st.builds(lambda name: lambda office: office.overrode(name, "question"), people),
    st.builds(lambda name: lambda office: office.revoked(name), people),
)  # fmt: skip


@given(st.lists(st.lists(happenings, min_size=1, max_size=3), min_size=1, max_size=4))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_news_alone_gives_the_numbers_of_everybody_and_every_past_stays_readable(
    database: Database, owner: Database, blobs: BlobStore, rounds: list[list[Callable[[Office], None]]]
) -> None:
    with owner.login_transaction() as connection:
        connection.execute(sa.text(f"truncate {', '.join(table.fullname for table in metadata.sorted_tables)} cascade"))
    office = Office(database, blobs)
    pasts: list[tuple[datetime, list[MetricRow]]] = []
    for happened in rounds:
        for happens in happened:
            happens(office)
        office.refresh()
        facts = FactStore(office.database).facts("spring")
        assert office.stored() == compute_metrics(facts)
        pasts.append((office.counted_at(), office.stored()))

    store = OutcomeStore(office.database)
    for counted_at, rows in pasts:
        assert rows_of_outcomes(store.outcomes(office.spring.id, as_of=counted_at), "UTC", counted_at) == rows
    proof = office.refresh(of="everybody")
    assert (proof.outcomes_changed, proof.without_news) == (0, 0)


def test_only_those_with_news_are_read(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    for name in PEOPLE:
        office.wrote(name)
    first = office.refresh()
    office.answered("bo", WORDS[0])

    second, third = office.refresh(), office.refresh()

    assert (first.of, second.of, third.of) == ("everybody", "news", "news")
    assert second.recipients_in < len(PEOPLE)
    assert second.outcomes_changed == 1
    assert (third.recipients_in, third.rows.changed, third.rows.inserted) == (0, 0, 0)
    gained = {item.metric for item in second.changes if item.counts_now}
    assert {"replied", "positive", "answered_any", "waiting_for_us"} <= gained
    assert {item.thread_key for item in second.changes} == {"mia/bo"}
    assert all(item.message_id for item in second.changes)


def test_news_that_nobody_noted_is_found_by_a_count_of_everybody(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    office.wrote("ana")
    office.refresh()
    office.answered("ana", WORDS[0])
    process_campaign(ThreadStore(database), blobs, "spring")
    with database.transaction() as connection:
        connection.execute(sa.delete(outcome_news))

    quiet = count_campaign(database, "spring", of="news")
    proof = count_campaign(database, "spring", of="everybody")

    assert quiet.outcomes_changed == 0
    assert proof.without_news == 1
    assert {row.metric: row.value for row in office.stored() if row.grain == "campaign"}["replied"] == 1


def test_another_start_or_type_counts_everybody(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    office.wrote("ana")
    office.refresh()
    with database.transaction() as connection:
        connection.execute(sa.text("update campaign set starts_at = starts_at + interval '9 days'"))

    report = office.refresh()

    assert report.of == "everybody"
    assert {row.metric: row.value for row in office.stored() if row.grain == "campaign"}["contacted"] == 0


def test_what_changed_since_a_report_names_the_mail_even_a_late_one(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    office.wrote("ana")
    office.wrote("bo")
    office.refresh()
    monday = office.counted_at()
    office.answered("ana", WORDS[0], late=True)
    office.refresh()

    pairs = OutcomeStore(database).changed_since(office.spring.id, monday)
    changes = [change for before, after in pairs for change in changes_between(before, after)]

    replied = next(item for item in changes if item.metric == "replied")
    assert replied.counts_now
    assert replied.thread_key == "mia/ana"
    assert replied.happened_at < monday, "the mail is older than the report: the past is restated"
    assert OutcomeStore(database).changed_since(office.spring.id, datetime.now(UTC)) == []


def test_receipts_name_exactly_those_who_are_counted(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    for name in PEOPLE:
        office.wrote(name)
    office.answered("ana", WORDS[0])
    office.bounced("cy")
    office.refresh()
    outcomes = OutcomeStore(database).outcomes(office.spring.id)

    for row in office.stored():
        found = explain(outcomes, row.metric, (row.grain, row.grain_key), "UTC")
        if found.definition.unit in ("recipients", "messages", "threads"):
            assert sum(receipt.adds for receipt in found.counted) == row.value
        elif row.numerator is not None:
            assert sum(receipt.adds for receipt in found.counted) == row.numerator
            assert sum(receipt.adds for receipt in found.of or []) == row.denominator


def test_an_outcome_survives_being_stored(database: Database, blobs: BlobStore) -> None:
    office = Office(database, blobs)
    for name in PEOPLE:
        office.wrote(name)
        office.answered(name, WORDS[3])
    office.wrote("ana")
    office.bounced("cy")
    office.refresh()
    outcomes = recipient_outcomes(FactStore(database).facts("spring"))

    assert any(outcome.sends for outcome in outcomes)
    for outcome in outcomes:
        document = document_of(outcome)
        assert document_of(outcome_of(outcome.recipient_id, document)) == document
