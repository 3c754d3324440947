"""Every call to the outside ends at its limit of wall-clock time, and half an answer never passes for a whole one."""

import http.client
import time
from collections.abc import Callable

import pytest
import requests

from cheerful_pipelines.errors import SlowCallError
from cheerful_pipelines.gmail.connection import WatchedHttp
from cheerful_pipelines.google.deadlines import Limit, WatchedConnection, finish_within
from cheerful_pipelines.google.watched_requests import watched
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
