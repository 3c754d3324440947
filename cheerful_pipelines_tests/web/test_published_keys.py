"""Published keys: fetched once for many, again only now and then, and a server that hangs holds up nobody else."""

import asyncio
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from cheerful_pipelines.core.errors import TransientError
from cheerful_pipelines.core.settings import Settings
from cheerful_pipelines.web.provider import Answer
from cheerful_pipelines.web.published_keys import KEEP_SECONDS, RETRY_SECONDS, STALE_SECONDS, PublishedKeys
from cheerful_pipelines.web.tokens import TokenReader
from cheerful_pipelines_tests.web.installation import SECRET, Auth

PRIVATE = ec.generate_private_key(ec.SECP256R1())
JWK = {**json.loads(jwt.algorithms.ECAlgorithm.to_jwk(PRIVATE.public_key())), "kid": "k1", "alg": "ES256"}


class Server:
    """Publishes keys, or does not answer, or hangs; the clock is ours."""

    def __init__(self) -> None:
        self.asked, self.now = 0, 1_000.0
        self.answers = threading.Event()
        self.answers.set()
        self.is_away = False
        self.keys = PublishedKeys("http://keys.example", fetch=self.fetch, clock=lambda: self.now)

    def fetch(self, _url: str) -> Answer:
        self.asked += 1
        assert self.answers.wait(30)
        if self.is_away:
            raise TransientError("away")
        broken = [{"kid": "k2"}, {"kid": "k3", "kty": "EC", "crv": "P-256", "x": "!"}, "no key", {"kty": "RSA"}]
        return Answer(200, {"keys": [*broken, JWK]})


def test_one_fetch_serves_everybody_who_waits() -> None:
    server = Server()
    server.answers.clear()
    waiting = [server.keys.refresh() for _ in range(20)]
    server.answers.set()
    assert [one.result(timeout=30) for one in waiting] == [None] * 20
    assert server.asked == 1
    assert server.keys.known("k1") is not None
    assert server.keys.known("k2") is None


def test_invented_key_ids_do_not_make_us_ask_again() -> None:
    server = Server()
    for _ in range(50):
        server.keys.refresh().result(timeout=30)
    assert server.asked == 1
    server.now += RETRY_SECONDS + 1
    server.keys.refresh().result(timeout=30)
    assert server.asked == 2


def test_a_server_that_is_away_is_not_asked_by_every_token() -> None:
    server = Server()
    server.is_away = True
    for _ in range(20):
        with pytest.raises(TransientError):
            server.keys.refresh().result(timeout=30)
    assert server.asked == 1


def test_old_keys_are_used_while_new_ones_are_fetched_but_not_for_ever() -> None:
    server = Server()
    server.keys.refresh().result(timeout=30)
    server.answers.clear()
    server.now += KEEP_SECONDS + 1
    assert server.keys.known("k1") is not None  # without waiting for the server, which hangs
    server.now += STALE_SECONDS
    assert server.keys.known("k1") is None
    server.answers.set()


def test_a_key_server_that_hangs_delays_only_tokens_whose_key_is_not_known(auth: Auth) -> None:
    """In one event loop: known keys go on while a thousand tokens with unknown ones wait."""
    reader, server = TokenReader(Settings(auth_url=auth.url)), Server()
    reader._keys = server.keys
    known = jwt.encode(auth.claims("viewer"), PRIVATE, algorithm="ES256", headers={"kid": "k1"})
    unknown = jwt.encode(auth.claims("viewer"), PRIVATE, algorithm="ES256", headers={"kid": "new"})

    async def both() -> int:
        await reader.read_soon(known)
        server.answers.clear()
        server.now += RETRY_SECONDS + 1
        waiting = [asyncio.ensure_future(reader.read_soon(unknown)) for _ in range(1_000)]
        await asyncio.sleep(0)
        read = [(await reader.read_soon(known)).role for _ in range(100)]
        assert not any(one.done() for one in waiting)
        server.answers.set()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(one).__name__ for one in ended} == {"AuthError"}
        return len(read)

    assert asyncio.run(both()) == 100
    assert server.asked == 2


def test_a_server_that_drips_is_given_up_in_time() -> None:
    """By the wall clock: each byte comes within the limit of a single read."""
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Dripping(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "8192")
            self.end_headers()
            for _ in range(100):
                try:
                    self.wfile.write(b" " * 81)
                except OSError:
                    return
                time.sleep(0.1)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    from cheerful_pipelines.web.provider import call

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dripping)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(call, "GET", f"http://127.0.0.1:{server.server_port}/", seconds=0.5)
            with pytest.raises(TransientError):
                asked.result(timeout=8)
    finally:
        server.shutdown()
        server.server_close()


def test_a_shared_secret_is_never_taken_for_a_published_key(auth: Auth) -> None:
    reader = TokenReader(Settings(auth_url=auth.url))
    signed = jwt.encode(auth.claims("analyst"), auth.key, algorithm="ES256", headers={"kid": "k1"})
    assert reader.read(signed).role == "analyst"
    from cheerful_pipelines.core.errors import AuthError

    stranger = jwt.encode(auth.claims("engineer"), PRIVATE, algorithm="ES256", headers={"kid": "k1"})
    confused = jwt.encode(auth.claims("engineer"), SECRET, algorithm="HS256", headers={"kid": "k1"})
    nameless = jwt.encode(auth.claims("engineer"), auth.key, algorithm="ES256")
    for token in (stranger, confused, nameless):
        with pytest.raises(AuthError, match="not valid"):
            reader.read(token)
