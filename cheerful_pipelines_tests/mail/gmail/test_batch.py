"""The batch format by hand: what google-api-python-client's own reader finds in an answer, we find."""

import json
from typing import Any

from googleapiclient.http import BatchHttpRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from cheerful_pipelines.mail.gmail.batch import decode_batch, encode_batch


def _answer(parts: dict[str, tuple[int, bytes]], boundary: str = "batch_x") -> bytes:
    pieces = [
        f"--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{name}>\r\n\r\n"
        f"HTTP/1.1 {status} Word\r\nContent-Type: application/json\r\nRetry-After: 7\r\n\r\n".encode()
        + body
        + b"\r\n"
        for name, (status, body) in parts.items()
    ]
    return b"".join(pieces) + f"--{boundary}--\r\n".encode()


def test_a_request_is_one_that_googles_own_reader_understands() -> None:
    content_type, body = encode_batch({"18aa": "/gmail/v1/users/me/messages/18aa?format=raw"})

    assert content_type.startswith("multipart/mixed; boundary=")
    assert b"Content-ID: <18aa>\r\n\r\nGET /gmail/v1/users/me/messages/18aa?format=raw HTTP/1.1\r\n" in body


NAMES = st.text("0123456789abcdef", min_size=1, max_size=16)
BODIES = st.dictionaries(st.text(max_size=5), st.text(max_size=50), max_size=3)


@given(parts=st.dictionaries(NAMES, st.tuples(st.sampled_from([200, 404, 429, 500]), BODIES), max_size=6))
def test_every_part_comes_back_with_its_status_headers_and_body(parts: dict[str, tuple[int, dict[str, str]]]) -> None:
    encoded = {name: (status, json.dumps(body).encode()) for name, (status, body) in parts.items()}

    found = decode_batch('multipart/mixed; boundary="batch_x"', _answer(encoded), list(parts))

    assert {name: (part.status, json.loads(part.body)) for name, part in found.items()} == parts
    assert all(part.headers["retry-after"] == "7" for part in found.values())


@given(cut=st.integers(0, 500))
def test_a_cut_answer_gives_only_parts_that_are_whole(cut: int) -> None:
    parts = {name: (200, json.dumps({"id": name, "raw": "x" * 40}).encode()) for name in ("a1", "b2", "c3")}

    found = decode_batch("multipart/mixed; boundary=batch_x", _answer(parts)[:cut], list(parts))

    assert all(json.loads(part.body)["id"] == name for name, part in found.items())


def test_parts_that_nobody_asked_for_and_answers_without_a_boundary_are_nothing() -> None:
    body = _answer({"zz": (200, b"{}")})

    assert decode_batch("multipart/mixed; boundary=batch_x", body, ["a1"]) == {}
    assert decode_batch("text/html", b"<html>", ["a1"]) == {}


def test_it_reads_what_googles_reader_reads() -> None:
    body = _answer({"a1": (200, b'{"id": "a1"}'), "b2": (404, b'{"error": {"code": 404}}')})
    theirs: dict[str, Any] = {}
    batch = BatchHttpRequest(batch_uri="http://127.0.0.1/batch")
    for name in ("a1", "b2"):
        headers, content = batch._deserialize_response(
            f"HTTP/1.1 {200 if name == 'a1' else 404} Word\r\nContent-Type: application/json\r\nRetry-After: 7\r\n\r\n"
            + ('{"id": "a1"}' if name == "a1" else '{"error": {"code": 404}}')
        )
        theirs[name] = (int(headers.status), json.loads(content))

    ours = decode_batch("multipart/mixed; boundary=batch_x", body, ["a1", "b2"])

    assert {name: (part.status, json.loads(part.body)) for name, part in ours.items()} == theirs


def _ends_of(bodies: list[bytes], *, with_length: bool) -> tuple[str, bytes, list[int]]:
    """(Content-Type, body, where each part ends)."""
    whole, ends = b"", []
    for number, body in enumerate(bodies):
        length = f"Content-Length: {len(body)}\r\n" if with_length else ""
        head = (
            f"--batch_x\r\nContent-Type: application/http\r\nContent-ID: <response-id{number}>\r\n\r\n"
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{length}\r\n"
        )
        whole += head.encode() + body
        ends.append(len(whole) if with_length else len(whole) + len(b"\r\n--batch_x"))
        whole += b"\r\n"
    return "multipart/mixed; boundary=batch_x", whole + b"--batch_x--\r\n", ends


@given(
    bodies=st.lists(st.binary(max_size=40).filter(lambda body: b"\n" not in body and b"\r" not in body), max_size=4),
    with_length=st.booleans(),
    is_told=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_body_cut_at_any_byte_gives_exactly_the_parts_that_came_whole(
    bodies: list[bytes], with_length: bool, is_told: bool
) -> None:
    content_type, whole, ends = _ends_of(bodies, with_length=with_length)
    names = [f"id{number}" for number in range(len(bodies))]
    for cut in range(len(whole) + 1):
        found = decode_batch(content_type if is_told else "", whole[:cut], names)

        came = [number for number, end in enumerate(ends) if end <= cut]
        assert sorted(found) == [f"id{number}" for number in came]
        assert all(found[f"id{number}"].body == bodies[number] for number in came)
