"""Language models over real HTTP: the providers' own clients against a server that speaks their protocols."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from cheerful_pipelines.classification.budget import Budget, Limits, Spent
from cheerful_pipelines.classification.classify import classify
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier, LlmOptions
from cheerful_pipelines.classification.models import CallFailed, Conversation, Usage, Verdict
from cheerful_pipelines.core.errors import AuthError, ConfigurationError
from cheerful_pipelines_tests.classification.llm.llm_stub import TOKENS_IN, TOKENS_OUT, StubLlm, running_stub
from cheerful_pipelines_tests.classification.words import conversation, reply

PROVIDERS = ["anthropic", "openai", "openai-compatible"]
MODELS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-5-mini", "openai-compatible": "own-model"}


@pytest.fixture
def stub() -> Iterator[StubLlm]:
    with running_stub() as server:
        yield server


def model(stub: StubLlm, provider: str = "anthropic", **changed: Any) -> LlmClassifier:
    base = stub.url if provider == "anthropic" else f"{stub.url}/v1"
    return LlmClassifier(
        LlmOptions(provider=provider, model=MODELS[provider], api_key="test-key", base_url=base, **changed)  # type: ignore[arg-type]
    )


def outcomes(classifier: LlmClassifier, talks: list[Conversation], budget: Budget | None = None) -> list[Any]:
    found = dict(classifier.classify_many(talks, budget or Budget.without_limits()))
    return [found[number] for number in range(len(talks))]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_reply_gets_a_verdict_with_tokens_and_cost(stub: StubLlm, provider: str):
    verdict = classify(reply("Count me in, I'd love to try it!"), model(stub, provider))

    assert verdict is not None
    assert (verdict.label, verdict.decided_by, verdict.confidence_source) == ("interested", "classifier", "model")
    assert (verdict.tokens_in, verdict.tokens_out) == (TOKENS_IN, TOKENS_OUT)
    assert verdict.evidence_quote == "Count me in, I'd love to try it!"
    if provider == "openai-compatible":
        assert verdict.cost_usd is None  # nobody knows its price, and nothing is not 0
    else:
        assert verdict.cost_usd is not None
        assert 0 < verdict.cost_usd < 0.01


def test_what_rules_settle_reaches_no_model(stub: StubLlm):
    classifier = model(stub)

    for talk in (
        reply("Please unsubscribe me."),
        conversation(("ours", "human", "Hi"), ("theirs", "bounce", "550")),
        conversation(("ours", "human", "Hi"), ("theirs", "out_of_office", "Away")),
        reply(" "),
    ):
        classify(talk, classifier)

    assert stub.asked == 0


def test_a_model_that_says_interested_loses_no_opt_out_said_earlier(stub: StubLlm):
    stub.answer = lambda _: {"label": "interested", "confidence": 1.0}

    verdict = classify(
        conversation(("theirs", "human", "Take me off this list."), ("theirs", "human", "hello?")), model(stub)
    )

    assert verdict is not None
    assert verdict.label == "opt_out"
    assert verdict.needs_review


def test_a_model_may_add_an_opt_out(stub: StubLlm):
    stub.answer = lambda _: {"label": "opt_out", "confidence": 0.9, "evidence_quote": "my lawyer will hear of this"}

    verdict = classify(reply("One more of these and my lawyer will hear of this"), model(stub))

    assert verdict is not None
    assert verdict.label == "opt_out"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_outside_the_schema_is_asked_for_once_more(stub: StubLlm, provider: str):
    stub.faults.append("wrong label")

    verdict = outcomes(model(stub, provider), [reply("Count me in!")])[0]

    assert isinstance(verdict, Verdict)
    assert stub.asked == 2
    assert verdict.tokens_in == 2 * TOKENS_IN  # both calls are paid for, and said


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_answer_that_breaks_the_schema_twice_is_no_verdict(stub: StubLlm, provider: str):
    stub.faults.extend(["wrong label", "wrong label", "wrong label"])

    outcome = outcomes(model(stub, provider), [reply("Count me in!")])[0]

    assert isinstance(outcome, CallFailed)
    assert stub.asked == 2
    assert outcome.usage == Usage(tokens_in=2 * TOKENS_IN, tokens_out=2 * TOKENS_OUT)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_passing_trouble_is_tried_again(stub: StubLlm, provider: str, fault: str):
    stub.faults.extend([fault, fault])

    outcome = outcomes(model(stub, provider), [reply("Count me in!")])[0]

    assert isinstance(outcome, Verdict)
    assert stub.asked == 3


def test_lasting_trouble_is_a_failure_of_that_call_only(stub: StubLlm):
    stub.faults.extend(["500"] * 5)

    found = outcomes(model(stub, at_once=1), [reply("Count me in!"), reply("No thanks, not for me.")])

    assert isinstance(found[0], CallFailed)
    assert isinstance(found[1], Verdict)


def test_a_hanging_provider_is_left_after_the_timeout(stub: StubLlm):
    stub.faults.extend(["hang"] * 10)

    found = outcomes(model(stub, timeout_seconds=0.2), [reply("Count me in!")])

    assert isinstance(found[0], CallFailed)


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_refused_key_ends_the_run_and_is_not_shown(stub: StubLlm, status: str):
    stub.faults.extend([status] * 20)

    with pytest.raises(AuthError, match="CHEERFUL_LLM_API_KEY") as caught:
        outcomes(model(stub), [reply("Count me in!")] * 3)

    assert "test-key" not in repr(caught.value)


def test_an_unknown_model_ends_the_run_with_words(stub: StubLlm):
    stub.faults.extend(["404"] * 20)

    with pytest.raises(ConfigurationError, match="CHEERFUL_CLASSIFIER"):
        outcomes(model(stub), [reply("Count me in!")])


def test_a_provider_that_is_away_is_not_asked_for_ever(stub: StubLlm):
    stub.faults.extend(["400"] * 1000)

    found = outcomes(model(stub, at_once=2), [reply(f"Count me in {n}!") for n in range(60)])

    assert all(isinstance(item, CallFailed) for item in found)
    assert stub.asked < 20
    assert sum(item.is_for_later for item in found) >= 40


def test_calls_go_out_at_once_but_never_more_than_allowed(stub: StubLlm):
    stub.latency_seconds = 0.05

    outcomes(model(stub, at_once=8), [reply(f"Count me in {n}!") for n in range(40)])

    assert stub.most_at_once == 8


def test_the_budget_of_a_run_is_never_passed_and_the_rest_is_left(stub: StubLlm):
    classifier = model(stub, usd_per_million_tokens_in=100.0, usd_per_million_tokens_out=100.0)
    budget = Budget(Limits(run_usd=1.0), Spent())

    found = outcomes(classifier, [reply(f"Count me in {n}!") for n in range(40)], budget)

    left = [item for item in found if isinstance(item, CallFailed)]
    assert left
    assert all(item.is_for_later and item.reason == "budget" for item in left)
    assert budget.run_usd <= 1.0
    assert budget.run_usd == pytest.approx(stub.answered * (TOKENS_IN + TOKENS_OUT) * 100 / 1e6)
    assert budget.refused is not None


def test_stopping_early_gives_up_what_is_under_way(stub: StubLlm):
    stub.latency_seconds = 0.02
    answers = model(stub, at_once=4).classify_many([reply(f"In {n}!") for n in range(100)], Budget.without_limits())

    next(answers)
    answers.close()  # type: ignore[attr-defined]

    assert stub.asked <= 12


def test_an_estimate_needs_no_call_and_knows_when_it_does_not_know(stub: StubLlm):
    talks = [reply("Count me in!")] * 10

    known = model(stub).estimate(talks)
    unknown = model(stub, "openai-compatible").estimate(talks)

    assert stub.asked == 0
    assert known.calls == 10
    assert known.usd is not None
    assert known.usd_as_batch == pytest.approx(known.usd / 2)
    assert unknown.usd is None


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_a_batch_is_handed_in_waited_for_and_fetched(stub: StubLlm, provider: str):
    classifier = model(stub, provider)
    talks = {"s-1": reply("Count me in!"), "s-2": reply("No thanks, not for me.")}

    handle = classifier.submit_batch(talks)
    ended, handle = classifier.batch_has_ended(handle)
    while not ended:
        ended, handle = classifier.batch_has_ended(handle)
    found = classifier.batch_outcomes(handle, talks)

    assert {key: item.label for key, item in found.items()} == {"s-1": "interested", "s-2": "not_interested"}  # type: ignore[union-attr]
    first = found["s-1"]
    live = outcomes(classifier, [talks["s-1"]])[0]
    assert isinstance(first, Verdict)
    assert first.cost_usd == pytest.approx(live.cost_usd / 2)


def test_what_a_batch_did_not_run_is_named(stub: StubLlm):
    stub.batch_results_left_out = 1
    classifier = model(stub)
    talks = {"s-1": reply("Count me in!"), "s-2": reply("No thanks, not for me.")}
    handle = classifier.submit_batch(talks)
    while not (state := classifier.batch_has_ended(handle))[0]:
        handle = state[1]

    found = classifier.batch_outcomes(state[1], talks)

    assert isinstance(found["s-1"], Verdict)
    assert isinstance(found["s-2"], CallFailed)


def test_a_compatible_server_has_no_batches_and_says_so(stub: StubLlm):
    with pytest.raises(ConfigurationError, match="no batch"):
        model(stub, "openai-compatible").submit_batch({"s-1": reply("Count me in!")})


def test_the_identity_follows_model_and_endpoint_but_not_the_key(stub: StubLlm):
    options = LlmOptions(provider="anthropic", model="claude-haiku-4-5", api_key="one", base_url=stub.url)

    def version(**changed: str) -> str:
        return LlmClassifier(options.model_copy(update=changed)).identity().version

    assert version(api_key="two") == version()
    assert (
        len(
            {
                version(),
                version(model="claude-sonnet-4-5"),
                version(base_url="http://other"),
                version(provider="openai"),
            }
        )
        == 4
    )


def test_nothing_of_it_is_imported_until_a_model_is_used():
    code = (
        "import sys, cheerful_pipelines.definitions, cheerful_pipelines.classification.llm.llm_classifier\n"
        "print([name for name in ('pydantic_ai', 'openai', 'anthropic', 'genai_prices', 'numpy') "
        "if name in sys.modules and name != 'numpy'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip().splitlines()[-1] == "[]"
