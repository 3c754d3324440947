"""Verdicts in a real database, and the asset with its checks in a real Dagster."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.classification.assets import ASSETS
from cheerful_pipelines.classification.checks import CHECKS
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.consistency import problems
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.models import ClassifierIdentity, Conversation, StoredVerdict, Verdict
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.errors import NotFoundError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database, transaction_is_open
from cheerful_pipelines.storage.schema.classification import thread_override, thread_verdict
from cheerful_pipelines.threads.process import process_campaign
from cheerful_pipelines.threads.store import ThreadStore
from cheerful_pipelines_tests.builders import a_campaign, a_message, an_account
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch


class Recording(LocalClassifier):
    """The embedded default under another version; counts its calls and refuses them while a transaction is open."""

    def __init__(self, *, version: str = "v1", fails_at: int | None = None) -> None:
        super().__init__()
        self.calls = 0
        self._version = version
        self._fails_at = fails_at

    def identity(self) -> ClassifierIdentity:
        return super().identity().model_copy(update={"version": self._version})

    def classify(self, conversation: Conversation) -> Verdict:
        assert not transaction_is_open()
        self.calls += 1
        if self.calls == self._fails_at:
            raise TransientError("The model is away.")
        return super().classify(conversation)


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    return Mailroom(database, blobs)


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


@pytest.fixture
def spring(room: Mailroom, mia: GmailAccount) -> Campaign:
    """Three threads: one answered with a yes, one with an opt-out, one not at all."""
    campaign = a_campaign(room.database)
    room.recipients(campaign, "ana@creator.example", "bo@creator.example", "cy@creator.example")
    talks = {"ana": "Count me in!", "bo": "Please take me off your list.", "cy": None}
    for name, words in talks.items():
        first = f"<p-{name}@brand.example>"
        room.receive(mia, pitch(f"{name}@creator.example", first), thread=name)
        if words is not None:
            reply = answer(words, f"<r-{name}@creator.example>").sender(f"{name}@creator.example").replying_to(first)
            room.receive(mia, reply, thread=name)
    thread(room, campaign)
    return campaign


def thread(room: Mailroom, campaign: Campaign) -> None:
    """What `email_threads` does."""
    process_campaign(ThreadStore(room.database), room.blobs, campaign.slug)


def run(room: Mailroom, campaign: Campaign, classifier: LocalClassifier | None = None) -> Any:
    return classify_pending(VerdictStore(room.database), classifier or Recording(), campaign.id, run_id="run")


def labels(room: Mailroom, campaign: Campaign) -> dict[str, str]:
    return {item.gmail_thread_id: item.label for item in VerdictStore(room.database).effective_labels(campaign.id)}


def test_every_answered_thread_gets_its_verdict(room: Mailroom, spring: Campaign):
    report = run(room, spring)

    assert labels(room, spring) == {"ana": "interested", "bo": "opt_out"}
    assert (report.looked_at, report.classified, report.inserted, report.cost_usd) == (2, 2, 2, 0.0)


def test_a_second_run_asks_nobody_and_inserts_nothing(room: Mailroom, spring: Campaign):
    run(room, spring)
    classifier = Recording()

    report = run(room, spring, classifier)

    assert (classifier.calls, report.looked_at, report.inserted) == (0, 0, 0)


def test_a_new_answer_is_judged_and_the_old_verdict_stays(room: Mailroom, mia: GmailAccount, spring: Campaign):
    run(room, spring)
    later = answer("Sorry, I'll pass.", "<r2@creator.example>").days_later(3)
    room.receive(mia, later, thread="ana")
    thread(room, spring)

    report = run(room, spring)

    assert report.inserted == 1
    assert labels(room, spring)["ana"] == "not_interested"
    assert len(room.rows(thread_verdict)) == 3


def test_equal_conversations_are_judged_once(room: Mailroom, mia: GmailAccount, spring: Campaign):
    run(room, spring)
    room.recipients(spring, "di@creator.example")
    first = "<p-di@brand.example>"
    room.receive(mia, pitch("di@creator.example", first), thread="di")
    twin = answer("Count me in!", "<r-di@creator.example>").sender("di@creator.example").replying_to(first)
    room.receive(mia, twin, thread="di")
    thread(room, spring)
    classifier = Recording()

    report = run(room, spring, classifier)

    assert (classifier.calls, report.cached, report.inserted) == (0, 1, 1)
    assert labels(room, spring)["di"] == "interested"


def test_another_version_judges_again_and_keeps_what_was_said(room: Mailroom, spring: Campaign):
    run(room, spring)

    report = run(room, spring, Recording(version="v2"))

    assert (report.classified, report.inserted) == (2, 2)
    assert {row["classifier_version"] for row in room.rows(thread_verdict)} == {"v1", "v2"}


def test_a_classifier_that_fails_leaves_nothing_half_said(room: Mailroom, spring: Campaign):
    with pytest.raises(TransientError):
        run(room, spring, Recording(fails_at=1))
    run(room, spring)

    assert sorted(row["label"] for row in room.rows(thread_verdict)) == ["interested", "opt_out"]


def test_a_bounce_is_settled_by_rules_and_says_so(room: Mailroom, mia: GmailAccount, spring: Campaign):
    report_mail = (
        a_message().sender("mailer-daemon@creator.example").subject("Undelivered Mail Returned to Sender")
        .header("X-Failed-Recipients", "cy@creator.example").replying_to("<p-cy@brand.example>")
        .message_id("<b@creator.example>").text("550 5.1.1 user unknown").days_later(1)
    )  # fmt: skip
    room.receive(mia, report_mail, thread="cy")
    thread(room, spring)
    classifier = Recording()

    run(room, spring, classifier)

    row = next(row for row in room.rows(thread_verdict) if row["gmail_thread_id"] == "cy")
    assert (row["label"], row["provider"], classifier.calls) == ("bounce", "rules", 1)


def test_a_persons_word_outranks_every_verdict_and_survives_the_next(
    room: Mailroom, mia: GmailAccount, spring: Campaign
):
    run(room, spring)
    store = VerdictStore(room.database)
    store.set_override(mia.id, "ana", "negotiating", author="pat", reason="she named a fee on the phone")

    run(room, spring, Recording(version="v2"))

    assert labels(room, spring)["ana"] == "negotiating"
    assert store.revoke_override(mia.id, "ana")
    assert labels(room, spring)["ana"] == "interested"


def test_a_second_override_revokes_the_first_and_the_same_again_does_nothing(
    room: Mailroom, mia: GmailAccount, spring: Campaign
):
    store = VerdictStore(room.database)
    for _ in range(2):
        store.set_override(mia.id, "ana", "negotiating", author="pat", reason="phone")
    store.set_override(mia.id, "ana", "question", author="kim", reason="asked again")

    rows = room.rows(thread_override)
    assert sorted((row["label"], row["revoked_at"] is None) for row in rows) == [
        ("negotiating", False),
        ("question", True),
    ]


def test_pending_states_come_in_chunks_and_none_is_lost(room: Mailroom, spring: Campaign):
    chunks = list(VerdictStore(room.database).pending(spring.id, "v1", chunk_size=1))

    assert [len(chunk) for chunk in chunks] == [1, 1]
    assert {chunk[0].gmail_thread_id for chunk in chunks} == {"ana", "bo"}


def test_an_unknown_campaign_is_named_as_such(database: Database):
    with pytest.raises(NotFoundError, match="no campaign 'winter'"):
        VerdictStore(database).campaign_id("winter")


def test_a_quotation_from_nowhere_and_an_unknown_label_are_problems():
    fine = StoredVerdict(thread_state_id=1, label="question", evidence_quote="paid", inbound_words=("Is it paid?",))
    made_up = fine.model_copy(update={"evidence_quote": "yes"})
    unknown = fine.model_copy(update={"label": "maybe"})

    assert problems([fine]) == []
    assert len(problems([made_up, unknown])) == 2


# --- in Dagster ---


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as found:
        found.add_dynamic_partitions("campaign", ["spring"])
        yield found


SELECTED = dg.AssetSelection.assets("thread_classifications")


def materialize(room: Mailroom, settings: Settings, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*ASSETS, *CHECKS], partition_key="spring", instance=instance, selection=SELECTED,
        resources={"database": room.database, "settings": settings, "classifier": LocalClassifier()},
    )  # fmt: skip


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("thread_classifications")
    return {name: value.value for name, value in event.metadata.items()}


def test_the_asset_says_what_it_did_and_by_whom(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
):
    said = metadata(materialize(room, settings, instance))

    assert (said["inserted"], said["classified"], said["cached"], said["cost_usd"]) == (2, 2, 0, 0.0)
    assert said["provider"] == "local-rules+ngram"
    assert said["mode"] == "local"
    assert "| opt_out | 1 | 1 |" in said["labels"]


def test_a_second_materialization_inserts_nothing_and_keeps_the_data_version(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
):
    first = materialize(room, settings, instance)
    second = materialize(room, settings, instance)

    assert metadata(second)["inserted"] == 0
    versions = [
        result.asset_materializations_for_node("thread_classifications")[0].tags["dagster/data_version"]
        for result in (first, second)
    ]
    assert versions[0] == versions[1]


def test_checks_pass_on_sound_verdicts(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
):
    evaluations = materialize(room, settings, instance).get_asset_check_evaluations()

    assert {item.check_name: item.passed for item in evaluations} == {
        "verdicts_are_consistent": True,
        "every_answer_has_a_verdict": True,
        "labels_are_mixed_as_before": True,
    }


def test_a_quotation_that_nobody_wrote_fails_the_check(
    room: Mailroom, spring: Campaign, settings: Settings, instance: dg.DagsterInstance
):
    run(room, spring)
    with room.database.transaction() as connection:
        connection.execute(sa.update(thread_verdict).values(evidence_quote="I accept everything"))

    evaluations = materialize(room, settings, instance).get_asset_check_evaluations()

    assert {item.check_name: item.passed for item in evaluations}["verdicts_are_consistent"] is False
