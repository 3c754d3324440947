"""A language model behind the assets: the gate, money, batches, faults; over real HTTP and in a real database."""

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import dagster as dg
import pytest
import sqlalchemy as sa

from cheerful_pipelines.campaigns.models import Campaign, GmailAccount
from cheerful_pipelines.classification import sensors
from cheerful_pipelines.classification.assets import ASSETS
from cheerful_pipelines.classification.budget import Budget, Limits, Spent
from cheerful_pipelines.classification.checks import CHECKS
from cheerful_pipelines.classification.classify_pending import classify_pending
from cheerful_pipelines.classification.evaluation import run_evaluation as evaluation
from cheerful_pipelines.classification.evaluation.golden.golden_set import golden_version
from cheerful_pipelines.classification.llm import llm_classifier
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier, LlmOptions
from cheerful_pipelines.classification.llm.llm_store import LlmStore
from cheerful_pipelines.classification.local.local_classifier import LocalClassifier
from cheerful_pipelines.classification.models import ClassificationReport, OpenBatch
from cheerful_pipelines.classification.sensors import classifier_versions, llm_batch_results
from cheerful_pipelines.classification.store import VerdictStore
from cheerful_pipelines.core.errors import AuthError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.orchestration.side_by_side import SideBySide
from cheerful_pipelines.orchestration.work_failure_store import WorkFailureStore
from cheerful_pipelines.orchestration.work_sensor import WORK_TAG, work_tags
from cheerful_pipelines.storage.blobs import BlobStore
from cheerful_pipelines.storage.engine import Database
from cheerful_pipelines.storage.schema.campaigns import campaign as campaign_table
from cheerful_pipelines.storage.schema.classification import llm_batch, llm_spend, thread_verdict
from cheerful_pipelines_tests.builders import a_campaign, an_account
from cheerful_pipelines_tests.classification.llm.llm_stub import TOKENS_IN, StubLlm, running_stub
from cheerful_pipelines_tests.classification.words import reply
from cheerful_pipelines_tests.threads.mailroom import Mailroom, answer, pitch

WORDS = {
    "ana": "Count me in!",
    "bo": "Please take me off your list.",
    "cy": "I charge $400 for a reel.",
    "di": "What would I have to do for it?",
}


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with running_stub() as server:
        yield server


@pytest.fixture
def room(database: Database, blobs: BlobStore) -> Mailroom:
    return Mailroom(database, blobs)


@pytest.fixture
def mia(database: Database) -> GmailAccount:
    return an_account(database)


@pytest.fixture
def spring(room: Mailroom, mia: GmailAccount) -> Campaign:
    """Four threads with an answer each; one of them an opt-out, which no model is asked about."""
    return campaign_of(room, mia, WORDS)


def campaign_of(room: Mailroom, mia: GmailAccount, words: dict[str, str]) -> Campaign:
    from cheerful_pipelines.threads.process import process_campaign
    from cheerful_pipelines.threads.store import ThreadStore

    campaign = a_campaign(room.database)
    room.recipients(campaign, *(f"{name}@creator.example" for name in words))
    for name, said in words.items():
        first = f"<p-{name}@brand.example>"
        room.receive(mia, pitch(f"{name}@creator.example", first), thread=name)
        reply = answer(said, f"<r-{name}@creator.example>").sender(f"{name}@creator.example").replying_to(first)
        room.receive(mia, reply, thread=name)
    process_campaign(ThreadStore(room.database), room.blobs, campaign.slug)
    return campaign


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions("campaign", ["spring"])
        yield found


def options(stub: StubLlm, **changed: Any) -> LlmOptions:
    return LlmOptions(
        **{"provider": "anthropic", "model": "claude-haiku-4-5", "api_key": "test-key", "base_url": stub.url, **changed}
    )


def model(stub: StubLlm, **changed: Any) -> LlmClassifier:
    return LlmClassifier(options(stub, **changed))


def run(room: Mailroom, campaign: Campaign, classifier: LlmClassifier, **more: Any) -> ClassificationReport:
    return classify_pending(VerdictStore(room.database), classifier, campaign.id, run_id="r", **more)


def labels(room: Mailroom, campaign: Campaign) -> dict[str, str]:
    return {item.gmail_thread_id: item.label for item in VerdictStore(room.database).effective_labels(campaign.id)}


def materialize(
    room: Mailroom, settings: Settings, instance: dg.DagsterInstance, classifier: Any, *assets: str, **more: Any
) -> dg.ExecuteInProcessResult:
    partition = None if assets == ("classifier_evaluation",) else "spring"
    return dg.materialize(
        [*ASSETS, *CHECKS], partition_key=partition, instance=instance, selection=dg.AssetSelection.assets(*assets),
        resources={"database": room.database, "settings": settings, "classifier": classifier}, **more,
    )  # fmt: skip


def has_passed(room: Mailroom, classifier: LlmClassifier) -> None:
    """As if evaluated: the stub answers as the embedded classifier does. The gate's own tests make the real calls."""
    result = evaluation.evaluate(LocalClassifier(), Budget.without_limits(), before=None, compared_with=None)
    assert result.passed
    LlmStore(room.database).save_evaluation(
        classifier.identity(), golden_version(), passed=True, document=result.model_dump(mode="json"), run_id=None
    )


def said(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_each_verdict_is_stored_with_its_cost_and_a_second_run_asks_nothing(
    room: Mailroom, spring: Campaign, stub: StubLlm
):
    report = run(room, spring, model(stub))
    again = run(room, spring, model(stub))

    assert stub.asked == 3
    assert (report.calls, report.inserted, report.tokens_in) == (3, 4, 3 * TOKENS_IN)
    assert report.cost_usd is not None
    assert report.cost_usd > 0
    assert (again.calls, again.inserted, again.looked_at) == (0, 0, 0)
    spent = LlmStore(room.database).spent_today(spring.id)
    assert spent.calls == 3
    assert spent.day_usd == pytest.approx(report.cost_usd, abs=1e-5)
    assert spent.client_day_usd == spent.day_usd
    assert {row["provider"] for row in room.rows(thread_verdict)} == {"rules", "anthropic"}


def test_equal_conversations_are_asked_about_once(room: Mailroom, mia: GmailAccount, stub: StubLlm):
    campaign = campaign_of(room, mia, {"ana": "Count me in!", "eve": "Count me in!"})

    report = run(room, campaign, model(stub))

    assert stub.asked == 1
    assert (report.classified, report.cached, report.inserted) == (1, 1, 2)


def test_without_budget_the_rest_is_pending_and_has_a_first_word_meanwhile(
    room: Mailroom, spring: Campaign, stub: StubLlm
):
    dear = model(stub, usd_per_million_tokens_in=1000.0, usd_per_million_tokens_out=1000.0)

    report = run(room, spring, dear, budget=Budget(Limits(run_usd=0.5), Spent()), fallback=LocalClassifier())
    later = run(room, spring, dear)

    assert stub.asked == 3
    assert (report.left_pending, report.judged_by_fallback) == (3, 3)
    assert report.stopped_because is not None
    assert "0.5 USD" in report.stopped_because
    assert later.calls == 3
    assert labels(room, spring) == {"ana": "interested", "bo": "opt_out", "cy": "negotiating", "di": "question"}


def test_what_was_spent_today_counts(room: Mailroom, spring: Campaign, stub: StubLlm):
    dear = model(stub, usd_per_million_tokens_in=1000.0, usd_per_million_tokens_out=1000.0)
    run(room, spring, dear)
    spent = LlmStore(room.database).spent_today(spring.id)

    budget = Budget(Limits(day_usd=spent.day_usd + 0.1), spent)

    assert not budget.reserve(0.2)
    assert budget.refused is not None


def test_a_failed_call_is_paid_for_but_no_verdict_and_no_cache(room: Mailroom, spring: Campaign, stub: StubLlm):
    stub.faults.extend(["wrong label", "wrong label"])

    report = run(room, spring, model(stub, at_once=1), fallback=LocalClassifier())
    later = run(room, spring, model(stub))

    assert (report.failed, report.judged_by_fallback) == (1, 1)
    assert LlmStore(room.database).spent_today(None).calls == 4
    assert later.calls == 1
    assert sum(row["tokens_in"] for row in room.rows(llm_spend)) == 5 * TOKENS_IN


def test_a_provider_that_is_down_fails_the_run_for_a_retry_and_nothing_is_silent(
    room: Mailroom, mia: GmailAccount, stub: StubLlm
):
    campaign = campaign_of(room, mia, {f"n{n}": f"Count me in, number {n}!" for n in range(8)})
    stub.faults.extend(["400"] * 100)

    with pytest.raises(TransientError, match="8 of 8 calls failed"):
        run(room, campaign, model(stub), fallback=LocalClassifier())

    assert set(labels(room, campaign).values()) == {"interested"}  # the embedded default's first word


def test_a_refused_key_stops_at_once_with_a_first_word(room: Mailroom, spring: Campaign, stub: StubLlm):
    stub.faults.extend(["401"] * 100)

    with pytest.raises(AuthError):
        run(room, spring, model(stub), fallback=LocalClassifier())

    assert labels(room, spring)["bo"] == "opt_out"  # rules need no provider


def test_a_model_judges_no_campaign_before_it_has_passed(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    waiting = said(
        materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications"
    )
    assert stub.asked == 0
    assert "was not evaluated yet" in waiting["judged_instead"]
    assert waiting["provider"] == "local-rules+ngram"

    materialize(room, settings, instance, model(stub), "classifier_evaluation")
    asked = stub.asked
    now = said(materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications")

    assert asked > 250
    assert stub.asked == asked + 3
    assert now["provider"] == "anthropic"
    assert "judged_instead" not in now


def test_a_model_that_misses_opt_outs_is_kept_out(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    stub.answer = lambda _: {"label": "interested", "confidence": 1.0}

    done = materialize(room, settings, instance, model(stub), "classifier_evaluation", raise_on_error=False)
    judged = said(
        materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications"
    )

    checks = {item.check_name: item for item in done.get_asset_check_evaluations()}
    assert not checks["golden_set"].passed
    assert "failed its evaluation" in judged["judged_instead"]
    assert judged["provider"] == "local-rules+ngram"


def test_a_local_only_campaign_sends_no_word_away(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    has_passed(room, model(stub))
    asked = stub.asked
    with room.database.transaction() as connection:
        connection.execute(sa.update(campaign_table).values(llm_local_only=True))

    judged = said(
        materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications"
    )

    assert stub.asked == asked
    assert judged["provider"] == "local-rules+ngram"


def test_a_new_model_shows_what_it_judges_otherwise(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    materialize(room, settings, instance, LocalClassifier(), "thread_classifications")
    has_passed(room, model(stub))
    stub.answer = lambda words: {"label": "question" if "in!" in words else "negotiating", "confidence": 0.9}

    changed = said(
        materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications"
    )

    assert "| interested | question | judged otherwise | 1 |" in changed["label_changes"]
    assert len(room.rows(thread_verdict)) == 8  # the old ones stay readable


def test_a_batch_goes_out_is_not_asked_live_meanwhile_and_comes_in_once(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    has_passed(room, model(stub))
    asked = stub.asked

    out = said(materialize(room, settings, instance, model(stub), "classification_batches"), "classification_batches")
    live = said(materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications")
    assert out["requests"] == 3
    assert out["settled_without_a_model"] == 1
    assert (live["calls"], stub.asked) == (0, asked)

    def tick() -> Any:
        context = dg.build_sensor_context(
            instance=instance, resources={"database": room.database, "classifier": model(stub)}
        )
        return llm_batch_results(context)

    stub.batches_end = False
    first = tick()
    stub.batches_end = True
    second = tick()
    assert isinstance(first, dg.SkipReason)
    assert [request.partition_key for request in second] == ["spring"]
    taken = said(materialize(room, settings, instance, model(stub), "batch_verdicts"), "batch_verdicts")
    again = said(materialize(room, settings, instance, model(stub), "batch_verdicts"), "batch_verdicts")

    assert (taken["batches"], taken["inserted"], again["batches"]) == (1, 3, 0)
    assert taken["cost_usd"] > 0
    assert labels(room, spring) == {"ana": "interested", "bo": "opt_out", "cy": "negotiating", "di": "question"}
    assert [row["status"] for row in room.rows(llm_batch)] == ["taken_in"]
    assert isinstance(tick(), dg.SkipReason)


def test_what_a_batch_did_not_run_is_pending_again(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    stub.batch_results_left_out = 2
    has_passed(room, model(stub))
    materialize(room, settings, instance, model(stub), "classification_batches")
    context = dg.build_sensor_context(
        instance=instance, resources={"database": room.database, "classifier": model(stub)}
    )
    while isinstance(llm_batch_results(context), dg.SkipReason):
        pass

    taken = said(materialize(room, settings, instance, model(stub), "batch_verdicts"), "batch_verdicts")
    later = said(materialize(room, settings, instance, model(stub), "thread_classifications"), "thread_classifications")

    assert (taken["inserted"], taken["failed"]) == (1, 2)
    assert later["calls"] == 2


def batch_of(room: Mailroom, campaign: Campaign, stub: StubLlm, *, status: str = "submitted") -> OpenBatch:
    """One more that is with the provider, or has ended."""
    classifier, store = model(stub), LlmStore(room.database)
    known = {batch.id for batch in store.open_batches()}
    handle = classifier.submit_batch({"state-0": reply("Count me in!")})
    while status == "ended" and not (state := classifier.batch_has_ended(handle))[0]:
        handle = state[1]
    handle = state[1] if status == "ended" else handle
    with room.database.transaction() as connection:
        connection.execute(
            sa.insert(llm_batch).values(
                id=uuid4(), campaign_id=campaign.id, classifier_version=classifier.identity().version, status=status,
                requests=0, handle=handle, run_id="r",
            )
        )  # fmt: skip
    (new,) = [batch for batch in store.open_batches() if batch.id not in known]
    return new


def test_batches_that_hang_keep_no_other_from_being_asked(
    room: Mailroom, spring: Campaign, stub: StubLlm, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    """More hang than are asked at once, and all of them are older."""
    monkeypatch.setattr(sensors, "_QUESTIONS", SideBySide(at_once=2, seconds=3.0))
    monkeypatch.setattr(llm_classifier, "QUESTION_SECONDS", 300.0)
    batches = [batch_of(room, spring, stub) for _ in range(6)]
    stub.batches["msgbatch_6"]["looked"] = 1  # it has ended
    stub.hanging = {f"msgbatch_{number}" for number in range(1, 6)}
    cursor, ended = None, list[str]()
    try:
        for _ in range(6):
            context = dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"database": room.database, "classifier": model(stub)}
            )
            began = time.monotonic()
            found = llm_batch_results(context)
            assert time.monotonic() - began < 30
            cursor = context.cursor
            ended += [] if isinstance(found, dg.SkipReason) else [json.loads(r.tags[WORK_TAG]) for r in found]
    finally:
        stub.hanging = set()

    assert ended
    assert all(list(work) == [f"batch:spring:{batches[-1].id}"] for work in ended)
    waiting = WorkFailureStore(room.database).failures("batch")
    assert waiting.keys() <= {f"batch:spring:{batch.id}" for batch in batches[:-1]}
    assert {failure.failure_class for failure in waiting.values()} == {"transient"}


def test_results_that_do_not_come_hold_up_no_other_batch(
    room: Mailroom, spring: Campaign, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
):  # fmt: skip
    monkeypatch.setattr(llm_classifier, "TRANSFER_SECONDS", 20.0)
    older, newer = (batch_of(room, spring, stub, status="ended") for _ in range(2))
    stub.hanging = {"msgbatch_1"}
    unit = f"batch:spring:{newer.id}"
    try:
        tags = work_tags("batch", {unit: "ended"})
        done = materialize(room, settings, instance, model(stub), "batch_verdicts", tags=tags)
    finally:
        stub.hanging = set()

    assert done.success
    assert [batch.id for batch in LlmStore(room.database).open_batches()] == [older.id]


def test_the_version_sensor_asks_once_and_rests_when_the_ui_shows_it(
    room: Mailroom, stub: StubLlm, settings: Settings, instance: dg.DagsterInstance
):
    def tick(cursor: str | None = None) -> tuple[Any, dg.SensorEvaluationContext]:
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"database": room.database, "classifier": LocalClassifier()}
        )
        return classifier_versions(context), context

    (request,), _ = tick()
    assert isinstance(request, dg.RunRequest)
    materialize(room, settings, instance, LocalClassifier(), "classifier_evaluation")
    rest, context = tick()

    assert isinstance(rest, dg.SkipReason)
    assert context.cursor is not None
    assert isinstance(tick("damaged cursor")[0], dg.SkipReason)


def _paid_run(url: str, stub_options: dict[str, Any], campaign_id: Any) -> None:
    database = Database(url).for_every_client()
    classify_pending(VerdictStore(database), LlmClassifier(LlmOptions(**stub_options)), campaign_id, run_id="killed")


def test_a_killed_run_pays_twice_for_nothing_but_what_was_under_way(
    room: Mailroom, mia: GmailAccount, stub: StubLlm, database_url: str
):
    campaign = campaign_of(room, mia, {f"n{n}": f"Count me in, number {n}!" for n in range(60)})
    stub.latency_seconds = 0.1
    at_once = 4
    settings = options(stub, at_once=at_once).model_dump()
    process = multiprocessing.get_context("spawn").Process(target=_paid_run, args=(database_url, settings, campaign.id))
    process.start()
    while stub.answered < 20:
        assert process.is_alive()
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    time.sleep(0.3)

    report = run(room, campaign, model(stub))

    assert report.inserted + 20 - at_once <= 60
    assert len(room.rows(thread_verdict)) == 60
    assert stub.answered <= 60 + at_once
