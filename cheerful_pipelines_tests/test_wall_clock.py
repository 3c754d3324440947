"""Every call to the outside ends at its limit of wall-clock time, and half an answer never passes for a whole one."""

import http.client
import time
from collections.abc import Callable

import jwt
import pytest
import requests

from cheerful_pipelines.classification.budget import Budget
from cheerful_pipelines.classification.llm import llm_classifier
from cheerful_pipelines.classification.llm.llm_classifier import LlmClassifier, LlmOptions
from cheerful_pipelines.classification.models import CallFailed
from cheerful_pipelines.core.errors import SlowCallError, TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.google.deadlines import Limit, WatchedConnection, finish_within
from cheerful_pipelines.google.watched_requests import watched
from cheerful_pipelines.mail.gmail.connection import WatchedHttp
from cheerful_pipelines.web import sign_in
from cheerful_pipelines.web.provider import call
from cheerful_pipelines.web.tokens import TokenReader
from cheerful_pipelines_tests.classification.llm.llm_stub import running_stub
from cheerful_pipelines_tests.classification.words import reply
from cheerful_pipelines_tests.slow_server import BEGINNINGS, slow_server

SOON = 0.5
"""A limit for tests; what they inject lasts until the test ends, so that a busy machine changes no result."""


class Plain(WatchedConnection):
    """http.client alone."""


def by_http_client(port: int) -> object:
    connection = Plain("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    return connection.getresponse().read()


def by_httplib2(port: int) -> object:
    return WatchedHttp(timeout=60).request(f"http://127.0.0.1:{port}/")


def by_requests(port: int) -> object:
    return watched(requests.Session()).get(f"http://127.0.0.1:{port}/", timeout=60).content


def seconds_until(error: type[Exception], call: Callable[[], object]) -> float:
    started = time.monotonic()
    with pytest.raises(error):
        call()
    return time.monotonic() - started


@pytest.mark.parametrize("library", [by_http_client, by_httplib2, by_requests])
@pytest.mark.parametrize("where", BEGINNINGS)
@pytest.mark.parametrize("drip", [b"", b" "], ids=["hangs", "drips"])
def test_an_answer_that_was_cut_off_is_always_a_time_out(
    library: Callable[[int], object], where: str, drip: bytes
) -> None:
    """http.client takes a socket that was shut for the end of the headers, or of a body whose length nobody named."""
    with slow_server(BEGINNINGS[where], drip=drip if BEGINNINGS[where] else b"") as server:
        call = lambda: finish_within(Limit(SOON), lambda: library(server.port), name="test")  # noqa: E731
        assert seconds_until(SlowCallError, call) < 30


def test_a_time_out_tells_what_had_come() -> None:
    with slow_server(BEGINNINGS["with a length"] + b"abc") as server, pytest.raises(SlowCallError) as told:
        finish_within(Limit(SOON), lambda: by_http_client(server.port), name="test")

    assert isinstance(told.value.__cause__, http.client.IncompleteRead)
    assert told.value.__cause__.partial == b"abc"


# --- language models ----------------------------------------------------------------------------------------------

MODELS = {"anthropic": "claude-haiku-4-5", "openai": "gpt-5.4-mini", "openai-compatible": "served-here"}
DRIPPED = {name: beginning for name, beginning in BEGINNINGS.items() if beginning}


def model(provider: str, url: str, *, timeout_seconds: float = 60.0) -> LlmClassifier:
    base = url if provider == "anthropic" else f"{url}/v1"
    return LlmClassifier(
        LlmOptions(  # type: ignore[call-arg]
            provider=provider, model=MODELS[provider], api_key="test-key", base_url=base,  # type: ignore[arg-type]
            timeout_seconds=timeout_seconds,
        )
    )  # fmt: skip


def a_batch(provider: str) -> tuple[str, int]:
    """The handle of one that has ended, and the port of its server, which is gone: it is good for one address."""
    with running_stub() as stub:
        classifier, ended = model(provider, stub.url), False
        handle = classifier.submit_batch({"s-1": reply("Count me in!")})
        while not ended:
            ended, handle = classifier.batch_has_ended(handle)
        return handle, int(stub.url.rpartition(":")[2])


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("where", DRIPPED)
def test_a_model_whose_answer_drips_fails_that_call_only(
    monkeypatch: pytest.MonkeyPatch, provider: str, where: str
) -> None:
    """Each byte comes in time for the client's own time-out, which counts from one read to the next."""
    with running_stub() as stub:  # the first use imports the provider's library
        assert list(model(provider, stub.url).classify_many([reply("Count me in!")], Budget.without_limits()))
    monkeypatch.setattr(llm_classifier, "conversation_seconds", lambda _of_one: 2.0)
    with slow_server(DRIPPED[where], drip=b" ") as server:
        started = time.monotonic()
        found = list(model(provider, server.url).classify_many([reply("Count me in!")], Budget.without_limits()))

    assert time.monotonic() - started < 30
    assert [outcome.reason for _, outcome in found if isinstance(outcome, CallFailed)] == ["SlowCallError"]


def test_each_request_to_a_model_has_a_limit_of_its_own_and_is_tried_again() -> None:
    with slow_server(BEGINNINGS["in mid-headers"], drip=b" ") as server:
        ((_, outcome),) = model("anthropic", server.url, timeout_seconds=0.3).classify_many(
            [reply("Count me in!")], Budget.without_limits()
        )

        assert isinstance(outcome, CallFailed)
        assert server.asked > 1


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
@pytest.mark.parametrize("where", BEGINNINGS)
def test_calls_about_a_batch_end_at_their_limits(monkeypatch: pytest.MonkeyPatch, provider: str, where: str) -> None:
    (handle, port), talks = a_batch(provider), {"s-1": reply("Count me in!")}
    for name in ("QUESTION_SECONDS", "TRANSFER_SECONDS", "CANCEL_SECONDS"):
        monkeypatch.setattr(llm_classifier, name, SOON)
    with slow_server(BEGINNINGS[where], drip=b" " if BEGINNINGS[where] else b"", port=port) as server:
        classifier = model(provider, server.url)
        for call in (
            lambda: classifier.batch_has_ended(handle),
            lambda: classifier.cancel_batch(handle),
            lambda: classifier.submit_batch(talks),
            lambda: classifier.batch_outcomes(handle, talks),
        ):
            assert seconds_until(TransientError, call) < 30


# --- Supabase Auth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", BEGINNINGS)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_call_to_supabase_auth_ends_at_its_limit(where: str, method: str) -> None:
    with slow_server(BEGINNINGS[where], drip=b" " if BEGINNINGS[where] else b"") as server:
        assert seconds_until(TransientError, lambda: call(method, server.url, seconds=SOON)) < 30


def test_a_sign_in_and_its_renewal_end_when_the_headers_drip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "call", lambda *args, **more: call(*args, seconds=SOON, **more))
    with slow_server(BEGINNINGS["in mid-headers"], drip=b" ") as server:
        settings = Settings(auth_url=server.url)
        assert seconds_until(TransientError, lambda: sign_in.tokens_for(settings, "kim@brand.example", "p")) < 30
        assert seconds_until(TransientError, lambda: sign_in.refreshed(settings, "r")) < 30


def test_published_keys_that_drip_are_given_up_and_the_next_fetch_is_not_held_up() -> None:
    token = jwt.encode({"sub": "1"}, "x" * 32, algorithm="HS256", headers={"kid": "k1"})
    with slow_server(BEGINNINGS["in mid-headers"], drip=b" ") as server:
        reader = TokenReader(Settings(auth_url=server.url))
        assert seconds_until(TransientError, lambda: reader.read(token)) < 40
        assert reader._keys is not None
        assert reader._keys._under_way is None
